"""From an accepted track to its source's picture and its transcodes, for a batch of tracks.

Each track's source is downloaded and decoded once for all its profiles; every transcode is decoded again and compared
with the source before it is stored. Objects are stored first, under the hash of their content; then the rows become
true in one transaction.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.audio.sniff import require_format
from musicfp.audio.tags import track_tags
from musicfp.audio.transcode import (
    CHECK_CHANNELS,
    TranscodedFile,
    Transcoding,
    Verification,
    transcode,
    verify_transcodes,
)
from musicfp.audio.transcode_profiles import profiles_named
from musicfp.audio.waveform import waveform_png
from musicfp.catalog import derivations, lineage, relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import TrackRow, TranscodeRow
from musicfp.errors import RetryableError, StoreUnavailable
from musicfp.fingerprint.downmix import Downmix, fingerprint_samples, mixed
from musicfp.fingerprint.fidelity import typical_bit_error_rate
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.identity import transcode_key
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.derived_tracks import AskedTrack, download_source, failure_of, load_asked
from musicfp.pipeline.parallel import map_in_order
from musicfp.pipeline.versions import TRANSCODE_PREFIX, transcode_asset

# The contract's 50 ms, beyond what a codec adds because it works in whole frames.
MAX_DURATION_DIFFERENCE_S = 0.050
# Same recording through any codec: .085 at most; unrelated music: .35 and more (docs/decisions).
MAX_BIT_ERROR_RATE = 0.20


class TranscodeWrong(RetryableError):
    """A transcode decodes to something else than its source."""

    code = "transcode_wrong"


@dataclass(frozen=True)
class TranscodeOutcome:
    """What became of one track in the transcode stage: rows by asset, or why not. `waveform` is a PNG.

    `repeated`: these assets were made by an earlier run, and this is what the catalogue keeps of them.
    """

    track: TrackRow
    versions: Mapping[str, str]
    transcodes: Mapping[str, TranscodeRow] = field(default_factory=dict)
    waveform: bytes | None = None
    cpu_s: float = 0.0
    failure: Failure | None = None
    repeated: bool = False


def transcode_batch(
    context: StageContext, track_ids: Sequence[str], versions: Mapping[str, str]
) -> Iterator[TranscodeOutcome]:
    """Make the assets named in `versions` for these tracks and yield each track's outcome as soon as it is stored.

    What was made before comes first, from the catalogue and marked `repeated`.

    Raises StoreUnavailable when the store fails: what is not done stays pending.
    """
    settings = context.settings
    asked = load_asked(context.database, track_ids, versions)
    yield from _made_before(context, [each for each in asked if each.done])
    pending = [each for each in asked if each.versions]
    if not pending:
        return
    settings.scratch_path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.scratch_path, prefix="transcode-") as scratch:
        yield from map_in_order(
            lambda each: _transcode_track(context, each, Path(scratch)),
            pending,
            threads=settings.workers,
            look_ahead=2 * settings.workers,
        )


def _made_before(context: StageContext, asked: Sequence[AskedTrack]) -> Iterator[TranscodeOutcome]:
    if not asked:
        return
    with context.database.read() as session:
        rows = relations.transcodes(session, [each.track.id for each in asked])
    for each in asked:
        by_asset = {f"{TRANSCODE_PREFIX}{row.profile}": row for row in rows.get(each.track.id, [])}
        kept = {asset: by_asset[asset] for asset in each.done if asset in by_asset}
        yield TranscodeOutcome(each.track, each.done, kept, repeated=True)


def _transcode_track(context: StageContext, pending: AskedTrack, scratch: Path) -> TranscodeOutcome:
    track = pending.track
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        try:
            return _make(context, pending, Path(directory))
        except StoreUnavailable:
            raise
        except Exception as error:  # what nobody foresaw in one track must not cost the batch its others
            failure = failure_of(error, attempts=max(pending.attempts.values(), default=0))
            with context.database.write() as session:
                derivations.mark_failed(session, track.id, pending.versions, failure)
            return TranscodeOutcome(track, pending.versions, failure=failure)


def _make(context: StageContext, pending: AskedTrack, directory: Path) -> TranscodeOutcome:
    track = pending.track
    source_path = download_source(context, track, directory)
    names = [asset.removeprefix(TRANSCODE_PREFIX) for asset in pending.versions if asset.startswith(TRANSCODE_PREFIX)]
    made = transcode(
        source_path,
        fmt=require_format(source_path),
        profiles=profiles_named(names),
        tags=track_tags(pending.tags),
        out_dir=directory,
    )
    checked = verify_transcodes(made.outputs, out_dir=directory)
    source, downmix = _fingerprint(made.pcm_path)
    error_rates = _check(made, checked, source, downmix)
    rows = {}
    for output in made.outputs:
        asset = transcode_asset(output.profile)
        rows[asset] = _row(track, output, checked, version=pending.versions[asset], bit_error_rate=error_rates[asset])
        context.store.put_file(
            context.settings.transcode_bucket,
            rows[asset].object_key,
            output.path,
            mime=output.profile.mime,
            sha256=output.sha256,
        )
    with context.database.write() as session:
        for row in rows.values():
            session.merge(row)
        derivations.mark_done(session, track.id, pending.versions)
        lineage.record(session, context.provenance, track.id, pending.versions.items())
    picture = waveform_png(mixed(_samples(made.pcm_path), downmix))
    return TranscodeOutcome(track, pending.versions, rows, picture, cpu_s=made.cpu_s + checked.cpu_s)


def _check(made: Transcoding, checked: Verification, source: Fingerprint, downmix: Downmix) -> dict[str, float]:
    """Compare each transcode's decoded length and fingerprint with the source's; return bit error rates by asset."""
    error_rates = {}
    for each in checked.transcodes:
        allowed_s = MAX_DURATION_DIFFERENCE_S + each.profile.codec_delay_s
        if abs(each.duration_s - made.duration_s) > allowed_s:
            raise TranscodeWrong(
                f"The {each.profile.name} transcode lasts {each.duration_s:.3f} s, its source {made.duration_s:.3f} s: "
                f"{allowed_s:.3f} s of difference are allowed. It was not stored."
            )
        rate = typical_bit_error_rate(source.sub_fingerprints, _fingerprint(each.pcm_path, downmix)[0].sub_fingerprints)
        if rate > MAX_BIT_ERROR_RATE:
            raise TranscodeWrong(
                f"The {each.profile.name} transcode's fingerprint differs from its source's in {rate:.0%} of its bits; "
                f"{MAX_BIT_ERROR_RATE:.0%} are allowed. It was not stored."
            )
        error_rates[transcode_asset(each.profile)] = rate
    return error_rates


def _row(
    track: TrackRow, output: TranscodedFile, checked: Verification, *, version: str, bit_error_rate: float
) -> TranscodeRow:
    profile = output.profile
    duration_s = next(each.duration_s for each in checked.transcodes if each.profile == profile)
    return TranscodeRow(
        track_id=track.id,
        profile=profile.name,
        version=version,
        codec=profile.codec,
        container=profile.container,
        bitrate_bps=output.bitrate_bps,
        size_bytes=output.size_bytes,
        duration_s=duration_s,
        sha256=output.sha256,
        object_key=transcode_key(track.id, profile.name, output.sha256, profile.extension),
        bit_error_rate=bit_error_rate,
        created_at=utc_now(),
    )


def _fingerprint(pcm_path: Path, downmix: Downmix | None = None) -> tuple[Fingerprint, Downmix]:
    return fingerprint_samples(
        [_samples(pcm_path)], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=CHECK_CHANNELS, downmix=downmix
    )


def _samples(pcm_path: Path) -> NDArray[np.int16]:
    return np.fromfile(pcm_path, dtype="<i2").astype(np.int16, copy=False).reshape(-1, CHECK_CHANNELS)
