"""Deleting tracks."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import mutating
from graphql_api.types.deletions import TrackDeletion
from graphql_api.types.outcomes import DeleteTrackResult
from musicfp.pipeline import deletion


@mutating(
    "Delete a track for good: it is gone from all answers at once, and its files as soon as no run works on them. "
    "Repeating it changes nothing and tells how far it is."
)
async def delete_track(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the track.")],  # noqa: A002
    reason: Annotated[str | None, strawberry.argument(description="Why, for others to understand later.")] = None,
) -> DeleteTrackResult:
    """Take the track out of the catalogue; a run does the rest."""
    services = info.context.services
    row = await services.workers.database.run(
        deletion.request_deletion, services.database, track_id=str(id), reason=reason
    )
    return TrackDeletion.of_row(row)
