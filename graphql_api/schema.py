"""The schema: the fields of Query and Mutation put together, with limits and exception handlers."""

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.tools import create_type
from strawberry.types import ExecutionContext

from graphql_api.limits import DOCUMENT_LIMITS
from graphql_api.mutations import deletions, retries, reviews, uploads
from graphql_api.observability import OperationTimer
from graphql_api.queries import features, search, submissions, tracks
from graphql_api.types.outcomes import InvalidFingerprintHandler, InvalidRequestHandler

Query: Any = create_type(
    "Query",
    [
        submissions.submission,
        submissions.submissions,
        tracks.track,
        tracks.tracks,
        tracks.track_deletion,
        search.search_by_fingerprint,
        features.feature_definitions,
        features.feature_coverage,
    ],
    description="Reading the catalogue.",
)
Mutation: Any = create_type(
    "Mutation",
    [
        uploads.request_upload,
        uploads.complete_upload,
        reviews.review_submission,
        reviews.retry_submission,
        retries.retry_derivations,
        deletions.delete_track,
    ],
    description="Uploading, deciding about submissions, trying again, and deleting tracks.",
)


class CatalogueSchema(strawberry.Schema):
    """A schema that leaves logging of errors to `graphql_api.errors`, which knows whose fault they are."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing: the default writes excerpts of documents at ERROR for every mistake of a client."""


schema = CatalogueSchema(
    query=Query,
    mutation=Mutation,
    extensions=[OperationTimer, *DOCUMENT_LIMITS],
    exception_handlers=[InvalidRequestHandler(), InvalidFingerprintHandler()],
)


def sdl() -> str:
    """Return the schema definition language of the whole schema, ending with a line break."""
    return schema.as_str().rstrip() + "\n"
