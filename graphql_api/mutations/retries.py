"""Trying again what failed of a track."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import mutating
from graphql_api.types.outcomes import RetriedDerivations, RetryDerivationsResult
from graphql_api.types.tracks import Track
from musicfp.pipeline import retries


@mutating("Make again what failed of a track and was given up: transcodes, its second fingerprint, features.")
async def retry_derivations(
    info: Info,
    track_id: Annotated[strawberry.ID, strawberry.argument(description="Id of the track.")],
) -> RetryDerivationsResult:
    """Put what failed back into the queue."""
    services = info.context.services
    retried = await services.workers.database.run(retries.retry_derivations, services.database, track_id=str(track_id))
    return RetriedDerivations(track=Track.of_row(retried.track), assets=list(retried.assets))
