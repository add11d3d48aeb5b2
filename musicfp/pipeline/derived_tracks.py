"""What the stages that derive something from tracks have in common: the tracks, their source, and retry dates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from musicfp.catalog import derivations, relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import DerivationRow, TrackRow, TrackTagRow
from musicfp.errors import InvalidRequest, MusicfpError, PermanentError
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.pauses import require_room

MAX_ATTEMPTS = 4
_FIRST_RETRY_S = 60
_MIN_FREE_BYTES = 256 << 20


@dataclass(frozen=True)
class AskedTrack:
    """A track with its tags and the assets that this run has to make, with their versions; `done` were made before.

    `recompute`: also what the track was stored with is to be made again.
    """

    track: TrackRow
    tags: tuple[tuple[str, str], ...]
    versions: Mapping[str, str]
    done: Mapping[str, str]
    attempts: Mapping[str, int]
    recompute: bool = False


def load_asked(
    database: Database, track_ids: Sequence[str], versions: Mapping[str, str], *, recompute: bool = False
) -> list[AskedTrack]:
    """Return those of the tracks that still exist, in the given order, with every asset of `versions` to be made.

    What is done already in this version is kept apart, so that a run that is repeated makes only what is missing;
    with `recompute`, all of it is to be made.
    """
    with database.read() as session:
        tracks = relations.tracks(session, track_ids)
        tags = relations.tags(session, track_ids)
        states = derivations.states(session, track_ids, list(versions))
    return [
        _asked(
            tracks[each],
            tags.get(each, []),
            versions,
            {asset: states.get((each, asset)) for asset in versions},
            recompute=recompute,
        )
        for each in track_ids
        if each in tracks
    ]


def download_source(context: StageContext, track: TrackRow, directory: Path) -> Path:
    """Download a track's source and make sure that it is what was accepted. Raises SourceDamaged if it is not."""
    require_room(directory, 4 * track.source_size_bytes + _MIN_FREE_BYTES)
    path = directory / "source"
    # One byte more than it has, so that a longer object is found to be another one.
    limit_bytes = track.source_size_bytes + 1
    try:
        downloaded = context.store.download(
            context.settings.source_bucket, track.source_key, path, max_bytes=limit_bytes
        )
    except InvalidRequest as error:
        raise SourceDamaged(
            f"Read the source of track {track.id} from {track.source_key} and found more than its "
            f"{track.source_size_bytes} bytes: the object is damaged. Restore it from a backup, then retry."
        ) from error
    if downloaded.sha256 != track.source_sha256:
        raise SourceDamaged(
            f"Read the source of track {track.id} from {track.source_key} and found SHA-256 {downloaded.sha256} "
            f"instead of {track.source_sha256}: the object is damaged. Restore it from a backup, then retry."
        )
    return path


def longest_first(asked: Iterable[AskedTrack]) -> list[AskedTrack]:
    """Return the tracks in the order that lets several workers finish together, none alone with a long one."""
    return sorted(asked, key=lambda each: each.track.duration_s, reverse=True)


class SourceDamaged(PermanentError):
    """A stored source is not the file that was accepted."""

    code = "source_damaged"


def failure_of(error: MusicfpError, *, attempts: int) -> Failure:
    """Return how a failed derivation is recorded: permanent errors stay, others come again, later each time."""
    return Failure(error.code, str(error), _retry_at(error, attempts=attempts))


def _retry_at(error: MusicfpError, *, attempts: int) -> datetime | None:
    if isinstance(error, PermanentError) or attempts + 1 >= MAX_ATTEMPTS:
        return None
    return utc_now() + timedelta(seconds=_FIRST_RETRY_S * 4**attempts)


def _asked(
    track: TrackRow,
    tags: Sequence[TrackTagRow],
    versions: Mapping[str, str],
    states: Mapping[str, DerivationRow | None],
    *,
    recompute: bool,
) -> AskedTrack:
    done = {
        asset: row.version
        for asset, row in states.items()
        if not recompute and row is not None and row.status == "DONE" and row.version == versions[asset]
    }
    return AskedTrack(
        track,
        tags=tuple((row.name, row.value) for row in tags),
        versions={asset: version for asset, version in versions.items() if asset not in done},
        done=done,
        attempts={asset: row.attempts for asset, row in states.items() if row is not None},
        recompute=recompute,
    )
