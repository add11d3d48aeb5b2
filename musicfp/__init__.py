"""The domain of musicfp: audio, fingerprints, features, catalogue, object store and the pipeline that joins them.

Nothing here knows Dagster (that is `musicfp_assets`) or GraphQL (that is `graphql_api`).
"""

__version__ = "0.1.0"
