"""What an audio file says about itself: codec, declared duration, rate, channels, size, tags as ffprobe sees them.

What belongs here: reading facts, and refusing files whose facts are out of bounds. What does not: whether the audio
really is what its headers claim (decode), and tags as musicians know them (tags).
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicfp.audio.headers import duration_is_declared
from musicfp.audio.limits import LimitExceeded, ProcessLimits, run_limited
from musicfp.audio.sniff import SUPPORTED_IN_WORDS, AudioFormat
from musicfp.errors import DependencyMissing, Problem, SubmissionRejected

LOGGER = logging.getLogger(__name__)

PROBE_LIMITS = ProcessLimits(
    wall_s=60, cpu_s=20, address_space_bytes=2 << 30, output_file_bytes=0, stdout_bytes=16 << 20
)
MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 384_000  # the highest that studio converters deliver; FLAC headers can claim 655,350
MAX_CHANNELS = 16
TAG_NAMES = (
    "title,artist,album,album_artist,date,year,genre,track,disc,composer,isrc,tsrc,comment,bpm,tbpm,publisher,copyright"
)
_ENTRIES = (
    "format=format_name,duration,bit_rate:stream=codec_name,sample_rate,channels,bits_per_sample,bits_per_raw_sample,"
    f"bit_rate,duration:format_tags={TAG_NAMES}:stream_tags={TAG_NAMES}"
)


@dataclass(frozen=True)
class AudioFacts:
    """What the headers of one audio file claim. `duration_s` is None when the file does not declare one."""

    container: str
    codec: str
    duration_s: float | None
    sample_rate_hz: int
    n_channels: int
    bit_depth: int | None
    bitrate_bps: int | None
    size_bytes: int
    tags: Mapping[str, str]


def probe(path: Path, *, fmt: AudioFormat, limits: ProcessLimits = PROBE_LIMITS) -> AudioFacts:
    """Read what the headers of an audio file claim.

    Parameters
    ----------
    path : Path
        The file.
    fmt : AudioFormat
        What `sniff_format` found: the only demuxer that ffprobe may use.
    limits : ProcessLimits
        What ffprobe may use.

    Returns
    -------
    AudioFacts
        Of the first audio stream. `duration_s` (seconds) is None where ffprobe would only estimate it.

    Raises
    ------
    SubmissionRejected
        `undecodable`: the headers cannot be read. `no_audio`: no audio stream. `over_limits`: reading them takes
        too much.
    LimitExceeded
        The wall time ran out: the file or a busy machine, we cannot tell.
    """
    argv = ["ffprobe", "-v", "error", *input_guards(fmt), "-select_streams", "a:0"]
    argv += ["-show_entries", _ENTRIES, "-of", "json", file_url(path)]
    try:
        finished = run_limited(argv, limits)
    except LimitExceeded as error:
        raise rejected_for_limit(error) from error
    require_demuxer(finished.stderr, fmt)
    if finished.returncode != 0:
        LOGGER.info("ffprobe could not read %s as %s: %s", path.name, fmt.name, finished.stderr)
        raise SubmissionRejected(undecodable(fmt))
    return _facts(json.loads(finished.stdout), path, fmt)


def check_facts(facts: AudioFacts, *, max_duration_s: float) -> None:
    """Raise SubmissionRejected (`unsupported_format`, `too_long`) if the headers alone make the file unacceptable."""
    problems = []
    if not MIN_SAMPLE_RATE_HZ <= facts.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        found = f"a sample rate of {facts.sample_rate_hz} Hz"
        allowed = f"from {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz"
        problems.append(_out_of_range(found, allowed, "sample_rate_hz"))
    if not 1 <= facts.n_channels <= MAX_CHANNELS:
        problems.append(_out_of_range(f"{facts.n_channels} channels", f"1 to {MAX_CHANNELS}", "n_channels"))
    if facts.duration_s is not None and facts.duration_s > max_duration_s:
        problems.append(too_long(max_duration_s))
    if problems:
        raise SubmissionRejected(*problems)


def input_guards(fmt: AudioFormat) -> list[str]:
    """Return the ffmpeg options that go before an untrusted input: local files only, this demuxer only."""
    return ["-protocol_whitelist", "file", "-f", fmt.demuxer]


def file_url(path: Path) -> str:
    """Return `path` as ffmpeg must be given it: never mistaken for an option or another protocol."""
    return f"file:{path}"


def require_demuxer(stderr: str, fmt: AudioFormat) -> None:
    """Raise DependencyMissing if ffmpeg said that it was built without the demuxer for this format."""
    if "Unknown input format" in stderr:
        message = f"Could not open a {fmt.label} file: this ffmpeg was built without the demuxer {fmt.demuxer!r}."
        raise DependencyMissing(f"{message} Install a complete build, such as Debian's ffmpeg package.")


def undecodable(fmt: AudioFormat) -> Problem:
    """Return the problem of a file that starts like audio and cannot be decoded."""
    message = f"The file looks like {fmt.label} but cannot be played: it is damaged or incomplete."
    return Problem("undecodable", f"{message} Export it again and upload it again.")


def too_long(max_duration_s: float) -> Problem:
    """Return the problem of a recording longer than the limit."""
    message = f"The recording is longer than {max_duration_s / 3600:g} hours, the limit. Upload it in parts."
    if max_duration_s < 3600:
        message = f"The recording is longer than {max_duration_s:g} seconds, the limit. Upload it in parts."
    return Problem("too_long", message)


def rejected_for_limit(error: LimitExceeded) -> LimitExceeded | SubmissionRejected:
    """Return what to raise when a limit stopped the reading of an upload.

    Wall time may run out because the machine is busy, so it does not speak against the file; all else does.
    """
    if error.limit == "wall_s":
        return error
    message = "Reading this file takes far more time or memory than a recording should; it may be damaged."
    return SubmissionRejected(Problem("over_limits", f"{message} Export it as {SUPPORTED_IN_WORDS} and upload it."))


def _facts(found: Mapping[str, Any], path: Path, fmt: AudioFormat) -> AudioFacts:
    streams, container = found.get("streams") or [], found.get("format") or {}
    if not streams:
        message = "The file holds no sound, only pictures, video or text. Export the audio and upload it again."
        raise SubmissionRejected(Problem("no_audio", message))
    stream = streams[0]
    sample_rate_hz = _positive_int(stream.get("sample_rate"))
    n_channels = _positive_int(stream.get("channels"))
    codec = stream.get("codec_name")
    if sample_rate_hz is None or n_channels is None or codec is None:
        raise SubmissionRejected(undecodable(fmt))
    duration_s = _positive_float(stream.get("duration")) or _positive_float(container.get("duration"))
    return AudioFacts(
        container=fmt.name,
        codec=codec,
        duration_s=duration_s if duration_is_declared(path, fmt=fmt) else None,
        sample_rate_hz=sample_rate_hz,
        n_channels=n_channels,
        bit_depth=_positive_int(stream.get("bits_per_raw_sample")) or _positive_int(stream.get("bits_per_sample")),
        bitrate_bps=_positive_int(stream.get("bit_rate")) or _positive_int(container.get("bit_rate")),
        size_bytes=path.stat().st_size,
        tags={
            name.lower(): value
            for tags in (container.get("tags") or {}, stream.get("tags") or {})
            for name, value in tags.items()
        },
    )


def _out_of_range(found: str, allowed: str, field: str) -> Problem:
    message = f"The file claims {found}; we take {allowed}. Convert it and upload it again."
    return Problem("unsupported_format", message, field)


def _positive_int(text: str | int | None) -> int | None:
    value = _positive_float(text)
    return None if value is None or value < 1 else int(value)


def _positive_float(text: str | float | None) -> float | None:
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
