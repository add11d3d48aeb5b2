"""Trying again what was derived from a track and failed, when a person has removed the cause."""

from dataclasses import dataclass

from musicfp.catalog import derivations, relations
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import TrackRow
from musicfp.errors import InvalidRequest
from musicfp.identity import is_id


@dataclass(frozen=True)
class RetriedDerivations:
    """A track, and its assets that will be made again; none if none had failed."""

    track: TrackRow
    assets: tuple[str, ...]


def retry_derivations(database: Database, *, track_id: str) -> RetriedDerivations:
    """Put everything that failed of a track back into the queue, with all attempts before it. Raises InvalidRequest."""
    with database.write() as session:
        track = relations.tracks(session, [track_id]).get(track_id) if is_id(track_id) else None
        if track is None:
            raise InvalidRequest("not_found", f"There is no track {track_id[:40]!r}.", "trackId")
        return RetriedDerivations(track, tuple(derivations.requeue_failed(session, track_id)))
