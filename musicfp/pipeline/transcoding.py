"""From an accepted track to its source's picture, its second fingerprint and its transcodes, for a batch of tracks.

Each track's source is downloaded and decoded once for all that is asked for; every transcode is decoded again and
compared with the source before it is stored. Objects are stored first, under the hash of their content; then the rows
become true in one transaction.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from musicfp.audio.sniff import require_format
from musicfp.audio.tags import track_tags
from musicfp.audio.transcode import (
    SOURCE_CHANNELS,
    TranscodedFile,
    Transcoding,
    Verification,
    transcode,
    verify_transcodes,
)
from musicfp.audio.transcode_profiles import profiles_named
from musicfp.audio.waveform import waveform_png
from musicfp.catalog import deletions, derivations, fingerprints, lineage, relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import FingerprintRow, TrackRow, TranscodeRow
from musicfp.catalog.work_in_hand import Stage
from musicfp.errors import RetryableError
from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.downmix import Downmix, choose_downmix, fingerprint_samples, mixed
from musicfp.fingerprint.fidelity import typical_bit_error_rate
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.identity import transcode_key, transcodes_prefix
from musicfp.pipeline.blame import blamed_on_the_file
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.derived_tracks import (
    AskedTrack,
    download_source,
    failure_of,
    load_asked,
    longest_first,
)
from musicfp.pipeline.in_hand import Hand, in_hand, let_go
from musicfp.pipeline.named_objects import require_stored, until_stored
from musicfp.pipeline.parallel import map_in_groups
from musicfp.pipeline.versions import BAND_FINGERPRINT, SOURCE_AUDIO, TRANSCODE_PREFIX, transcode_asset

# The contract's 50 ms, beyond what a codec adds because it works in whole frames.
MAX_DURATION_DIFFERENCE_S = 0.050
# Same recording through any codec: .085 at most; unrelated music: .35 and more (docs/decisions).
MAX_BIT_ERROR_RATE = 0.20

# Which channel of a transcode is compared when the source was heard in this way.
_CHANNELS = {Downmix.SUM: None, Downmix.LEFT: 0, Downmix.RIGHT: 1}
# Four hours of decoded sound are half a gigabyte, and some steps need several times what they look at.
_CHUNK_SAMPLES = 1 << 16

Samples = NDArray[np.int16]


class TranscodeWrong(RetryableError):
    """A transcode decodes to something else than its source."""

    code = "transcode_wrong"


@dataclass(frozen=True)
class FingerprintPair:
    """The second fingerprint of a track, of 300 to 3400 Hz, and the ordinary one beside it."""

    band: Fingerprint
    full: Fingerprint


@dataclass(frozen=True)
class TranscodeOutcome:
    """What became of one track in the transcode stage, or why not: transcodes by asset, and what else was asked for.

    `waveform` is a PNG. `repeated`: these assets were made by an earlier run, and this is what the catalogue keeps of
    them.
    """

    track: TrackRow
    versions: Mapping[str, str]
    transcodes: Mapping[str, TranscodeRow] = field(default_factory=dict)
    waveform: bytes | None = None
    fingerprints: FingerprintPair | None = None
    cpu_s: float = 0.0
    failure: Failure | None = None
    repeated: bool = False


def transcode_batch(
    context: StageContext, track_ids: Sequence[str], versions: Mapping[str, str], *, recompute: bool = False
) -> Iterator[TranscodeOutcome]:
    """Make the assets named in `versions` for these tracks and yield each track's outcome as soon as it is stored.

    What was made before comes first, from the catalogue and marked `repeated`; unless all is to be made again. A track
    that is deleted meanwhile has no outcome.

    Raises StoreUnavailable when the store fails: what is not done stays pending.
    """
    settings = context.settings
    asked = load_asked(context.database, track_ids, versions, recompute=recompute)
    yield from _made_before(context, [each for each in asked if each.done])
    let_go(context.database, Stage.TRANSCODE, [each.track.id for each in asked if not each.versions])
    pending = [each for each in asked if each.versions]
    if not pending:
        return
    settings.scratch_path.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=settings.scratch_path, prefix="transcode-") as scratch,
        in_hand(context.database, Stage.TRANSCODE) as hand,
    ):
        groups = map_in_groups(
            lambda each: (each, _transcode_track(context, hand, each, Path(scratch))),
            hand.taking(longest_first(pending), id_of=lambda each: each.track.id),
            threads=settings.workers,
            look_ahead=2 * settings.workers,
        )
        for group in groups:
            for asked_track, _ in group:
                hand.put_down(asked_track.track.id)
            yield from (outcome for _, outcome in group if outcome is not None)


def _made_before(context: StageContext, asked: Sequence[AskedTrack]) -> Iterator[TranscodeOutcome]:
    if not asked:
        return
    with context.database.read() as session:
        rows = relations.transcodes(session, [each.track.id for each in asked])
        pairs = _stored_pairs(session, [each.track.id for each in asked if BAND_FINGERPRINT in each.done])
    for each in asked:
        by_asset = {f"{TRANSCODE_PREFIX}{row.profile}": row for row in rows.get(each.track.id, [])}
        kept = {asset: by_asset[asset] for asset in each.done if asset in by_asset}
        yield TranscodeOutcome(each.track, each.done, kept, fingerprints=pairs.get(each.track.id), repeated=True)


def _transcode_track(context: StageContext, hand: Hand, pending: AskedTrack, scratch: Path) -> TranscodeOutcome | None:
    track = pending.track
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        try:
            hand.require_harmless(track.id)
            return _make(context, pending, Path(directory))
        except Exception as error:  # what nobody foresaw in one track must not cost the batch its others
            blamed = blamed_on_the_file(error, scratch)
            failure = failure_of(blamed, attempts=max(pending.attempts.values(), default=0))
            with context.database.write() as session:
                if not deletions.track_remains(session, track.id):
                    return None
                derivations.mark_failed(session, track.id, pending.versions, failure)
            return TranscodeOutcome(track, pending.versions, failure=failure)


def _make(context: StageContext, pending: AskedTrack, directory: Path) -> TranscodeOutcome | None:
    """Make what a track lacks, store it and return it; None if the track was deleted meanwhile."""
    track = pending.track
    source_path = download_source(context, track, directory)
    names = [asset.removeprefix(TRANSCODE_PREFIX) for asset in pending.versions if asset.startswith(TRANSCODE_PREFIX)]
    made = transcode(
        source_path,
        fmt=require_format(source_path),
        profiles=profiles_named(names),
        tags=track_tags(pending.tags),
        out_dir=directory,
        decoded_s=track.duration_s,
    )
    sound, downmix = _heard(_samples(made.pcm_path, n_channels=SOURCE_CHANNELS))
    checked = verify_transcodes(made.outputs, out_dir=directory, channel=_CHANNELS[downmix])
    rows = _rows(track, pending.versions, made, checked, error_rates=_check(made, checked, sound))
    band = band_fingerprint(sound) if _lacks_band(context, pending) else None
    if not until_stored(lambda: _store(context, pending, made.outputs, rows, band)):
        for row in rows.values():
            context.store.delete(context.settings.transcode_bucket, row.object_key)
        return None
    with context.database.read() as session:
        pairs = _stored_pairs(session, [track.id] if BAND_FINGERPRINT in pending.versions else [])
    return TranscodeOutcome(
        track,
        pending.versions,
        rows,
        waveform=waveform_png(sound) if SOURCE_AUDIO in pending.versions else None,
        fingerprints=pairs.get(track.id),
        cpu_s=made.cpu_s + checked.cpu_s,
    )


def _store(
    context: StageContext,
    pending: AskedTrack,
    outputs: Sequence[TranscodedFile],
    rows: Mapping[str, TranscodeRow],
    band: Fingerprint | None,
) -> bool:
    """Store files, then the rows that name them; exclusive for that and because a fingerprint changes the index.

    Return False, without any row, if the track is gone.
    """
    track, bucket = pending.track, context.settings.transcode_bucket
    _store_files(context, outputs, rows)
    with context.database.exclusive() as session:
        if not deletions.track_remains(session, track.id):
            return False
        sizes_bytes = {row.object_key: row.size_bytes for row in rows.values()}
        require_stored(context.store, bucket, sizes_bytes, prefix=transcodes_prefix(track.id))
        for row in rows.values():
            session.merge(row)
        if band is not None:
            version = pending.versions[BAND_FINGERPRINT]
            fingerprints.store(session, track, band, kind=FingerprintKind.BAND, version=version)
        derivations.mark_done(session, {track.id: pending.versions})
        lineage.record(session, context.provenance, {track.id: pending.versions})
    return True


def _lacks_band(context: StageContext, pending: AskedTrack) -> bool:
    """Whether the second fingerprint is to be made: most tracks were stored with theirs, from the same sound."""
    version = pending.versions.get(BAND_FINGERPRINT)
    if version is None or pending.recompute:
        return version is not None
    with context.database.read() as session:
        return not fingerprints.is_stored(session, pending.track.id, kind=FingerprintKind.BAND, version=version)


def _heard(stereo: Samples) -> tuple[Samples, Downmix]:
    """Return the sound in one channel, mixed as its ordinary fingerprint was, by the same rule."""
    downmix = choose_downmix(_chunks(stereo))
    return np.concatenate([mixed(chunk, downmix) for chunk in _chunks(stereo)]), downmix


def _check(made: Transcoding, checked: Verification, sound: Samples) -> dict[str, float]:
    """Compare each transcode's decoded length and fingerprint with the source's; return bit error rates by asset."""
    if not checked.transcodes:
        return {}
    source = _fingerprint(sound)
    error_rates = {}
    for each in checked.transcodes:
        allowed_s = MAX_DURATION_DIFFERENCE_S + each.profile.codec_delay_s
        if abs(each.duration_s - made.duration_s) > allowed_s:
            raise TranscodeWrong(
                f"The {each.profile.name} transcode lasts {each.duration_s:.3f} s, its source {made.duration_s:.3f} s: "
                f"{allowed_s:.3f} s of difference are allowed. It was not stored."
            )
        copy = _fingerprint(_samples(each.pcm_path, n_channels=1)[:, 0])
        rate = typical_bit_error_rate(source.sub_fingerprints, copy.sub_fingerprints)
        if rate > MAX_BIT_ERROR_RATE:
            raise TranscodeWrong(
                f"The {each.profile.name} transcode's fingerprint differs from its source's in {rate:.0%} of its bits; "
                f"{MAX_BIT_ERROR_RATE:.0%} are allowed. It was not stored."
            )
        error_rates[transcode_asset(each.profile)] = rate
    return error_rates


def _rows(
    track: TrackRow,
    versions: Mapping[str, str],
    made: Transcoding,
    checked: Verification,
    *,
    error_rates: Mapping[str, float],
) -> dict[str, TranscodeRow]:
    by_asset = {transcode_asset(each.profile): each for each in made.outputs}
    return {
        asset: _row(track, output, checked, version=versions[asset], bit_error_rate=error_rates[asset])
        for asset, output in by_asset.items()
    }


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


def _store_files(context: StageContext, outputs: Sequence[TranscodedFile], rows: Mapping[str, TranscodeRow]) -> None:
    for output in outputs:
        context.store.put_file(
            context.settings.transcode_bucket,
            rows[transcode_asset(output.profile)].object_key,
            output.path,
            mime=output.profile.mime,
            sha256=output.sha256,
        )


def _stored_pairs(session: Session, track_ids: Sequence[str]) -> dict[str, FingerprintPair]:
    if not track_ids:
        return {}
    band = relations.fingerprints(session, track_ids, kind=FingerprintKind.BAND)
    full = relations.fingerprints(session, track_ids)
    return {each: FingerprintPair(_of_row(band[each]), _of_row(full[each])) for each in band.keys() & full.keys()}


def _of_row(row: FingerprintRow) -> Fingerprint:
    return Fingerprint.from_bytes(row.sub_fingerprints, audio_duration_s=row.audio_duration_s)


def _fingerprint(mono: Samples) -> Fingerprint:
    chunks = _chunks(mono[:, np.newaxis])
    fingerprint, _ = fingerprint_samples(chunks, sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1)
    return fingerprint


def _chunks(samples: Samples) -> Iterator[Samples]:
    return (samples[at : at + _CHUNK_SAMPLES] for at in range(0, len(samples), _CHUNK_SAMPLES))


def _samples(pcm_path: Path, *, n_channels: int) -> Samples:
    """Return what ffmpeg wrote [shape=(n_samples, n_channels)], left on disk until it is looked at."""
    return np.asarray(np.memmap(pcm_path, dtype="<i2", mode="r")).reshape(-1, n_channels)
