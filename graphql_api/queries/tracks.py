"""Reading tracks."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import resolved
from graphql_api.types.connections import Connection, bad_cursor, connection_of, decode_cursor, encode_cursor, page_size
from graphql_api.types.deletions import TrackDeletion
from graphql_api.types.filters import TrackFilter, conditions_of
from graphql_api.types.tracks import Track, load_track
from musicfp.catalog import pages
from musicfp.catalog.engine import Database
from musicfp.catalog.pages import Page, TrackConditions
from musicfp.catalog.tables import TrackRow
from musicfp.identity import is_id

_CURSOR = "track"
_MAX_ORDINAL_DIGITS = 18


@resolved("One track; null if there is none with this id.")
async def track(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the track.")],  # noqa: A002
) -> Track | None:
    """Load one track."""
    return await load_track(info, str(id)) if is_id(id) else None


@resolved("The deletion of a track, and how far it is; null if no track with this id was deleted.")
async def track_deletion(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the track.")],  # noqa: A002
) -> TrackDeletion | None:
    """Load one deletion."""
    row = await info.context.loaders.deletion.load(str(id)) if is_id(id) else None
    return None if row is None else TrackDeletion.of_row(row)


@resolved("All tracks in the order in which they were accepted, so that new ones come last.")
async def tracks(
    info: Info,
    first: Annotated[int, strawberry.argument(description="How many, at most 100.")] = 50,
    after: Annotated[str | None, strawberry.argument(description="Cursor to continue behind.")] = None,
    filter: Annotated[TrackFilter | None, strawberry.argument(description="Only tracks that fulfil this.")] = None,  # noqa: A002
) -> Connection[Track]:
    """Load one page of tracks."""
    services, limit, conditions = info.context.services, page_size(first), conditions_of(filter)
    page = await services.workers.database.run(_page, services.database, _after(after), conditions, limit=limit)
    return connection_of(
        [Track.of_row(row) for row in page.rows],
        [encode_cursor(_CURSOR, str(row.ordinal)) for row in page.rows],
        has_next=page.has_next,
        after=after,
        count=lambda session: pages.count_tracks(session, conditions=conditions),
    )


def _after(cursor: str | None) -> int | None:
    key = decode_cursor(_CURSOR, cursor)
    if key is None:
        return None
    if not key.isascii() or not key.isdigit() or len(key) > _MAX_ORDINAL_DIGITS:
        raise bad_cursor()
    return int(key)


def _page(database: Database, after: int | None, conditions: TrackConditions, *, limit: int) -> Page[TrackRow]:
    with database.read() as session:
        return pages.tracks_page(session, after_ordinal=after, limit=limit, conditions=conditions)
