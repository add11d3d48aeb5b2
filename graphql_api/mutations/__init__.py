"""Fields of Mutation, one module per subject, as single functions that `graphql_api.schema` puts together."""
