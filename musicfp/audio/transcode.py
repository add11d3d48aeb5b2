"""Making every delivery format of a track in one ffmpeg process, and decoding them all again in another.

What belongs here: building the two command lines, running them within limits, describing the files. What does not: the
profiles (transcode_profiles), and deciding whether a transcode is right: the caller compares fingerprints.

Starting ffmpeg costs 0.08 CPU seconds and decoding the source a tenth of a cheap encoder, so all profiles share both.
Frame by frame the encoders would push each other out of the processor's caches: working in turns on bursts of 1.5 s
takes 7 % less CPU and gives the same bytes.
Outputs are bit-exact: the same source, tags and ffmpeg give the same bytes, so their sha256 can be their name.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from musicfp.audio.limits import LimitExceeded, ProcessLimits, run_limited
from musicfp.audio.probe import file_url, input_guards, rejected_for_limit, require_demuxer, undecodable
from musicfp.audio.sniff import AudioFormat
from musicfp.audio.tags import TrackTags
from musicfp.audio.transcode_profiles import TranscodeProfile
from musicfp.errors import MusicfpError, SubmissionRejected, WorkerLost

LOGGER = logging.getLogger(__name__)

CHECK_RATE_HZ = 11025  # what Chromaprint works at; enough for a picture
SOURCE_CHANNELS = 2  # also of mono: channels that cancel out must not be mixed before somebody has looked at them
TRANSCODE_LIMITS = ProcessLimits(
    wall_s=7200, cpu_s=3600, address_space_bytes=3 << 30, output_file_bytes=8 << 30, stdout_bytes=1 << 16
)
MAX_TAG_CHARS = 500  # per value: all of them are arguments of one command line, once for each profile
_SAMPLE_BYTES = 2  # int16
_HASH_CHUNK_BYTES = 1 << 20
_QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-y", "-filter_threads", "1")
_ONE_THREAD = ("-threads", "1")  # of a decoder: whole tracks run at once, so its threads would only wait for each other
_ENCODE_BURST = "asetnsamples=n=65536:p=0"
_VERIFY_BURST = "asetnsamples=n=8192:p=0"
# As long as the filter of Chromaprint's own resampler; ffmpeg's default is twice as long and costs twice as much.
_TO_CHECK_RATE = f"aresample={CHECK_RATE_HZ}:filter_size=16"
_SAME_LENGTH_S = 0.001
_BITEXACT = ("-fflags", "+bitexact", "-flags:a", "+bitexact")
# Normal name -> the name that ffmpeg gives to every container; ISRC has no common one.
_METADATA_KEYS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "albumartist": "album_artist",
    "date": "date",
    "genre": "genre",
    "track": "track",
    "disc": "disc",
    "composer": "composer",
    "copyright": "copyright",
}
_ISRC_KEYS = {"mp3": "TSRC", "ogg": "ISRC", "flac": "ISRC"}


@dataclass(frozen=True)
class TranscodedFile:
    """One delivery file. `duration_s` is the source's decoded duration; `verify_transcodes` measures the file's own."""

    profile: TranscodeProfile
    path: Path
    size_bytes: int
    sha256: str
    duration_s: float
    bitrate_bps: int


@dataclass(frozen=True)
class Transcoding:
    """What one run over a source made. `pcm_path` is its sound as raw stereo int16 at `pcm_rate_hz`, little-endian."""

    outputs: tuple[TranscodedFile, ...]
    pcm_path: Path
    pcm_rate_hz: int
    duration_s: float
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class VerifiedTranscode:
    """What one delivery file sounds like when decoded: mono int16 at CHECK_RATE_HZ, little-endian, raw."""

    profile: TranscodeProfile
    pcm_path: Path
    duration_s: float


@dataclass(frozen=True)
class Verification:
    """All delivery files of one track decoded again."""

    transcodes: tuple[VerifiedTranscode, ...]
    cpu_s: float
    peak_rss_bytes: int


def transcode(
    source_path: Path,
    *,
    fmt: AudioFormat,
    profiles: Sequence[TranscodeProfile],
    tags: TrackTags,
    out_dir: Path,
    decoded_s: float | None = None,
    limits: ProcessLimits = TRANSCODE_LIMITS,
) -> Transcoding:
    """Encode a source in all profiles at once, decoding it once.

    Parameters
    ----------
    source_path : Path
        The file.
    fmt : AudioFormat
        What `sniff_format` found: the only demuxer that ffmpeg may use.
    profiles : sequence of TranscodeProfile
        What to make; empty is allowed and gives only the PCM.
    tags : TrackTags
        Carried over. Nothing else of the source's metadata is, and never a picture.
    out_dir : Path
        An existing directory; gets `<profile>.<extension>` for each profile and `source.pcm`.
    decoded_s : float, optional
        How many seconds the source had when it was decoded before. If given, encoders work in bursts. Where a source
        changes its rate or channels midway, ffmpeg forgets the burst that it was collecting; the length tells, and
        then everything is encoded again without bursts.
    limits : ProcessLimits
        What ffmpeg may use, each time.

    Returns
    -------
    Transcoding
        The files. More than two channels are mixed down to stereo; sample rates are converted to what players take.

    Raises
    ------
    SubmissionRejected
        `undecodable`, `over_limits`.
    WorkerLost
        ffmpeg failed for a reason other than the source.
    LimitExceeded
        The wall time ran out.
    """
    argv = ["ffmpeg", *_QUIET, *_ONE_THREAD, *input_guards(fmt), "-i", file_url(source_path)]
    in_bursts, frame_by_frame = (
        argv + _all_outputs(profiles, tags, out_dir, before=before) for before in ((_ENCODE_BURST,), ())
    )
    if decoded_s is None:
        return _encoded(frame_by_frame, source_path, fmt=fmt, profiles=profiles, out_dir=out_dir, limits=limits)
    made = _encoded(in_bursts, source_path, fmt=fmt, profiles=profiles, out_dir=out_dir, limits=limits)
    if abs(made.duration_s - decoded_s) <= _SAME_LENGTH_S:
        return made
    LOGGER.info("%s gave %.3f of %.3f s in bursts; encoding it again", source_path.name, made.duration_s, decoded_s)
    again = _encoded(frame_by_frame, source_path, fmt=fmt, profiles=profiles, out_dir=out_dir, limits=limits)
    return replace(again, cpu_s=made.cpu_s + again.cpu_s)


def verify_transcodes(
    outputs: Sequence[TranscodedFile],
    *,
    out_dir: Path,
    channel: int | None = None,
    limits: ProcessLimits = TRANSCODE_LIMITS,
) -> Verification:
    """Decode all delivery files of one track in one process.

    Parameters
    ----------
    outputs : sequence of TranscodedFile
        At least one.
    out_dir : Path
        An existing directory; gets `<profile>.pcm` for each.
    channel : int, optional
        Which channel to listen to, for files with two that cancel each other out; by default to the mean of all.
    limits : ProcessLimits
        What ffmpeg may use.

    Returns
    -------
    Verification
        For each file its sound and its exact decoded duration in seconds, within 1/11025 s.

    Raises
    ------
    WorkerLost
        ffmpeg could not decode what it had encoded.
    LimitExceeded
        A limit was reached.
    """
    if not outputs:
        return Verification(transcodes=(), cpu_s=0.0, peak_rss_bytes=0)
    argv = ["ffmpeg", *_QUIET]
    for output in outputs:
        # No thread that reads ahead per input: files on disk gain nothing from it and it costs switches.
        guards = ["-protocol_whitelist", "file", "-f", output.profile.container, "-thread_queue_size", "0"]
        argv += [*_ONE_THREAD, *guards, "-i", file_url(output.path)]
    pcm_paths = [out_dir / f"{output.profile.name}.pcm" for output in outputs]
    to_mono = "aformat=channel_layouts=mono" if channel is None else f"pan=mono|c0=c{channel}"
    for index, pcm_path in enumerate(pcm_paths):
        argv += _pcm_arguments(f"{index}:a:0", pcm_path, filters=(_VERIFY_BURST, to_mono))
    finished = run_limited(argv, limits)
    n_samples = [_pcm_samples(pcm_path, n_channels=1) for pcm_path in pcm_paths]
    if finished.returncode != 0 or finished.stderr or 0 in n_samples:
        names = ", ".join(output.profile.name for output in outputs)
        raise WorkerLost(f"Decoding the transcodes {names} failed (exit {finished.returncode}): {finished.stderr}")
    return Verification(
        transcodes=tuple(
            VerifiedTranscode(output.profile, pcm_path, samples / CHECK_RATE_HZ)
            for output, pcm_path, samples in zip(outputs, pcm_paths, n_samples, strict=True)
        ),
        cpu_s=finished.cpu_s,
        peak_rss_bytes=finished.peak_rss_bytes,
    )


def metadata_of(tags: TrackTags, profile: TranscodeProfile) -> Mapping[str, str]:
    """Return the tags to write into a file of this profile, by ffmpeg's names, several values joined into one."""
    keys = dict(_METADATA_KEYS)
    if profile.container in _ISRC_KEYS:
        keys["isrc"] = _ISRC_KEYS[profile.container]
    found = ((key, tags.joined(name)) for name, key in keys.items())
    return {key: value[:MAX_TAG_CHARS].rstrip() for key, value in found if value is not None}


def _encoded(
    argv: Sequence[str],
    source_path: Path,
    *,
    fmt: AudioFormat,
    profiles: Sequence[TranscodeProfile],
    out_dir: Path,
    limits: ProcessLimits,
) -> Transcoding:
    try:
        finished = run_limited(argv, limits)
    except LimitExceeded as error:
        raise rejected_for_limit(error) from error
    require_demuxer(finished.stderr, fmt)
    pcm_path = _source_pcm_path(out_dir)
    n_samples = _pcm_samples(pcm_path, n_channels=SOURCE_CHANNELS)
    if finished.returncode != 0 or n_samples == 0:
        LOGGER.info("ffmpeg could not transcode %s: %s", source_path.name, finished.stderr)
        raise _transcode_error(source_path, fmt, finished.stderr)
    duration_s = n_samples / CHECK_RATE_HZ
    return Transcoding(
        outputs=tuple(_describe(profile, _output_path(out_dir, profile), duration_s) for profile in profiles),
        pcm_path=pcm_path,
        pcm_rate_hz=CHECK_RATE_HZ,
        duration_s=duration_s,
        cpu_s=finished.cpu_s,
        peak_rss_bytes=finished.peak_rss_bytes,
    )


def _all_outputs(
    profiles: Sequence[TranscodeProfile], tags: TrackTags, out_dir: Path, *, before: Sequence[str]
) -> list[str]:
    argv = []
    for profile in profiles:
        argv += _output_arguments(profile, tags, _output_path(out_dir, profile), before=before)
    filters = (*before, "aformat=channel_layouts=stereo")
    return argv + _pcm_arguments("0:a:0", _source_pcm_path(out_dir), filters=filters)


def _output_arguments(profile: TranscodeProfile, tags: TrackTags, path: Path, *, before: Sequence[str]) -> list[str]:
    rates = "|".join(str(rate_hz) for rate_hz in profile.sample_rates_hz)
    argv = ["-map", "0:a:0", "-map_metadata", "-1", "-map_chapters", "-1"]
    argv += ["-af", ",".join([*before, f"aformat=sample_rates={rates}:channel_layouts=stereo|mono"])]
    argv += [*profile.ffmpeg_args, *_BITEXACT]
    for key, value in metadata_of(tags, profile).items():
        argv += ["-metadata", f"{key}={value}"]
    return [*argv, file_url(path)]


def _pcm_arguments(stream: str, path: Path, *, filters: Sequence[str]) -> list[str]:
    return ["-map", stream, "-af", ",".join([*filters, _TO_CHECK_RATE]), "-f", "s16le", file_url(path)]


def _output_path(out_dir: Path, profile: TranscodeProfile) -> Path:
    return out_dir / f"{profile.name}.{profile.extension}"


def _source_pcm_path(out_dir: Path) -> Path:
    return out_dir / "source.pcm"


def _pcm_samples(path: Path, *, n_channels: int) -> int:
    return path.stat().st_size // (_SAMPLE_BYTES * n_channels) if path.exists() else 0


def _describe(profile: TranscodeProfile, path: Path, duration_s: float) -> TranscodedFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    size_bytes = path.stat().st_size
    return TranscodedFile(profile, path, size_bytes, digest.hexdigest(), duration_s, round(size_bytes * 8 / duration_s))


def _transcode_error(source_path: Path, fmt: AudioFormat, stderr: str) -> MusicfpError:
    """Return whose fault it was: the file's when nothing can be decoded, else the disk's or the installation's."""
    if "Invalid data found" in stderr or not stderr:
        return SubmissionRejected(undecodable(fmt))
    return WorkerLost(f"ffmpeg could not transcode {source_path.name}: {stderr}")
