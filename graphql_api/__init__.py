"""The GraphQL and HTTP API over the catalogue. Imports musicfp, never Dagster; Dagster is only ever asked over HTTP."""
