"""Searching by fingerprint."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.errors import INVALID_ARGUMENT, client_error
from graphql_api.fields import resolved
from graphql_api.limits import MAX_SEARCH_MATCHES
from graphql_api.types.outcomes import SearchByFingerprintResult, SearchMatches
from graphql_api.types.tracks import matches_found
from musicfp.fingerprint.calibration import DEFAULT_MIN_SCORE

_MIN_SCORE = (
    f"Leave out lower scores, 0 to 1. By default {DEFAULT_MIN_SCORE:.2f}: music that is not in the catalogue gets an "
    "answer once in 200 queries at most, however many tracks there are. Less also yields weaker matches."
)


@resolved("Tracks that hold the audio of a fingerprint, of a clip or of a whole recording.")
async def search_by_fingerprint(
    info: Info,
    fingerprint: Annotated[str, strawberry.argument(description="Compressed Chromaprint text, as `fpcalc` prints it.")],
    limit: Annotated[int, strawberry.argument(description="Most matches to return, 1 to 100.")] = 10,
    min_score: Annotated[float | None, strawberry.argument(description=_MIN_SCORE)] = None,
) -> SearchByFingerprintResult:
    """Search in a thread."""
    check_search(limit=limit, min_score=min_score)
    found = await info.context.services.search_fingerprint(fingerprint, limit=limit, min_score=min_score)
    return SearchMatches(
        matches=await matches_found(info, found.matches),
        candidates_examined=found.candidates_examined,
        took_ms=found.took_ms,
    )


def check_search(*, limit: int, min_score: float | None) -> None:
    """Raise a client error for bounds that make no sense."""
    if not 1 <= limit <= MAX_SEARCH_MATCHES:
        message = f"`limit` is {limit}; ask for 1 to {MAX_SEARCH_MATCHES} matches."
        raise client_error(INVALID_ARGUMENT, message, argument="limit")
    if min_score is not None and not 0 <= min_score <= 1:
        message = f"`minScore` is {min_score}; scores go from 0 to 1."
        raise client_error(INVALID_ARGUMENT, message, argument="minScore")
