"""What the stages that derive something from tracks have in common: loading the tracks, their source, and retry dates."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import col, select

from musicfp.catalog import relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import DerivationRow, TrackRow, TrackTagRow
from musicfp.errors import MusicfpError, PermanentError, StoreUnavailable, SubmissionRejected
from musicfp.pipeline.context import StageContext

MAX_ATTEMPTS = 4
_FIRST_RETRY_S = 60
_MIN_FREE_BYTES = 256 << 20


@dataclass(frozen=True)
class PendingTrack:
    """A track with its tags and the assets that this run has to make, each with its version."""

    track: TrackRow
    tags: tuple[tuple[str, str], ...]
    versions: Mapping[str, str]
    attempts: Mapping[str, int]


def load_pending(
    database: Database, track_ids: Sequence[str], versions: Mapping[str, str]
) -> list[PendingTrack]:
    """Return those of the tracks that still exist, in the given order, with every asset of `versions` to be made.

    What is done already in this version is left out, so that a run that is repeated does only what is missing.
    """
    with database.read() as session:
        tracks = relations.tracks(session, track_ids)
        tags = relations.tags(session, track_ids)
        rows = session.exec(
            select(DerivationRow).where(
                col(DerivationRow.track_id).in_(track_ids), col(DerivationRow.asset).in_(list(versions))
            )
        ).all()
    states = {(row.track_id, row.asset): row for row in rows}
    return [
        PendingTrack(
            tracks[track_id],
            _pairs(tags.get(track_id, [])),
            _still_missing(states, track_id, versions),
            {asset: row.attempts for asset in versions if (row := states.get((track_id, asset))) is not None},
        )
        for track_id in track_ids
        if track_id in tracks
    ]


def download_source(context: StageContext, track: TrackRow, directory: Path) -> Path:
    """Download a track's source and make sure that it is what was accepted. Raises SubmissionRejected if it is not."""
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < 4 * track.source_size_bytes + _MIN_FREE_BYTES:
        raise StoreUnavailable(f"Only {free_bytes} bytes are free for scratch files in {directory}; make room.")
    path = directory / "source"
    downloaded = context.store.download(
        context.settings.source_bucket, track.source_key, path, max_bytes=track.source_size_bytes
    )
    if downloaded.sha256 != track.source_sha256:
        raise SourceDamaged(
            f"Read the source of track {track.id} from {track.source_key} and found SHA-256 {downloaded.sha256} instead "
            f"of {track.source_sha256}: the object is damaged. Restore it from a backup, then retry."
        )
    return path


class SourceDamaged(PermanentError):
    """A stored source is not the file that was accepted."""

    code = "source_damaged"


def failure_of(error: MusicfpError, *, attempts: int) -> Failure:
    """Return how a failed derivation is recorded: permanent errors stay, others come again, later each time."""
    return Failure(error.code, str(error), _retry_at(error, attempts=attempts))


def _retry_at(error: MusicfpError, *, attempts: int) -> datetime | None:
    if isinstance(error, PermanentError | SubmissionRejected) or attempts + 1 >= MAX_ATTEMPTS:
        return None
    return utc_now() + timedelta(seconds=_FIRST_RETRY_S * 4**attempts)


def _pairs(rows: Sequence[TrackTagRow]) -> tuple[tuple[str, str], ...]:
    return tuple((row.name, row.value) for row in rows)


def _still_missing(
    states: Mapping[tuple[str, str], DerivationRow], track_id: str, versions: Mapping[str, str]
) -> dict[str, str]:
    def is_done(asset: str) -> bool:
        row = states.get((track_id, asset))
        return row is not None and row.status == "DONE" and row.version == versions[asset]

    return {asset: version for asset, version in versions.items() if not is_done(asset)}
