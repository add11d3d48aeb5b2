"""Expected outcomes that are no success: typed members of result unions, and how domain errors become them."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.types.deletions import TrackDeletion
from graphql_api.types.submissions import Submission
from graphql_api.types.tracks import Match, Track
from graphql_api.types.uploads import UploadTicket
from musicfp import errors


@strawberry.type(description="What was asked for cannot be done; nothing was changed.")
class InvalidRequest:
    """Typed form of musicfp.errors.InvalidRequest."""

    code: str = strawberry.field(description="Stable word for programs, such as `too_large`.")
    message: str = strawberry.field(description="What is wrong and what to do about it.")
    field: str | None = strawberry.field(description="Argument at fault, if there is one.")


@strawberry.type(description="The text is not a Chromaprint fingerprint that can be searched for.")
class InvalidFingerprint:
    """Typed form of musicfp.errors.InvalidFingerprint."""

    code: str = strawberry.field(description="Stable word for programs: `invalid_fingerprint`.")
    message: str = strawberry.field(description="What is wrong with the text.")


@strawberry.type(description="The answer to a search. Without a match the list is empty, never the least bad track.")
class SearchMatches:
    """Matches and what the search took."""

    matches: list[Match] = strawberry.field(description="Matching tracks, best first.")
    candidates_examined: int = strawberry.field(description="How many possible places in tracks were compared.")
    took_ms: float = strawberry.field(description="Time of the search in milliseconds.")


@strawberry.type(description="What failed of a track and is made again.")
class RetriedDerivations:
    """Typed form of musicfp.pipeline.retries.RetriedDerivations."""

    track: Track = strawberry.field(description="The track.")
    assets: list[str] = strawberry.field(description="Assets that are in the queue again; empty if none had failed.")


RequestUploadResult = Annotated[
    UploadTicket | InvalidRequest,
    strawberry.union("RequestUploadResult", description="A ticket, or why there is none."),
]
CompleteUploadResult = Annotated[
    Submission | InvalidRequest,
    strawberry.union("CompleteUploadResult", description="The submission, or why its parts cannot be joined."),
]
ReviewSubmissionResult = Annotated[
    Submission | InvalidRequest,
    strawberry.union("ReviewSubmissionResult", description="The decided submission, or why it cannot be decided."),
]
RetrySubmissionResult = Annotated[
    Submission | InvalidRequest,
    strawberry.union("RetrySubmissionResult", description="The submission to be looked at again, or why it is not."),
]
DeleteTrackResult = Annotated[
    TrackDeletion | InvalidRequest,
    strawberry.union("DeleteTrackResult", description="The deletion, or why there is none."),
]
RetryDerivationsResult = Annotated[
    RetriedDerivations | InvalidRequest,
    strawberry.union("RetryDerivationsResult", description="What is made again, or why nothing is."),
]
SearchByFingerprintResult = Annotated[
    SearchMatches | InvalidFingerprint,
    strawberry.union("SearchByFingerprintResult", description="Matches, or what is wrong with the fingerprint."),
]


class InvalidRequestHandler(strawberry.ExceptionHandler[errors.InvalidRequest, InvalidRequest]):
    """Turns the domain's refusal into a union member, on fields whose union has it."""

    def handle(self, exception: errors.InvalidRequest, *, field: object, info: Info) -> InvalidRequest:  # noqa: ARG002
        """Return the typed refusal."""
        return InvalidRequest(code=exception.code, message=exception.message, field=exception.field)


class InvalidFingerprintHandler(strawberry.ExceptionHandler[errors.InvalidFingerprint, InvalidFingerprint]):
    """Turns a text that is no fingerprint into a union member."""

    def handle(self, exception: errors.InvalidFingerprint, *, field: object, info: Info) -> InvalidFingerprint:  # noqa: ARG002
        """Return the typed refusal."""
        return InvalidFingerprint(code=exception.code, message=str(exception))
