"""Decoding untrusted audio to PCM in a child process with limits, and judging whether what came out is a recording.

What belongs here: running the decoder, counting what it gives, the rules of `check_decoded`. What does not: reading
headers (probe, headers), encoding (transcode), and anything that analyses the samples.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from musicfp.audio.headers import ends_early
from musicfp.audio.limits import Finished, LimitedProcess, LimitExceeded, ProcessLimits
from musicfp.audio.probe import (
    AudioFacts,
    file_url,
    input_guards,
    rejected_for_limit,
    require_demuxer,
    too_long,
    undecodable,
)
from musicfp.audio.sniff import AudioFormat
from musicfp.errors import Problem, SubmissionRejected

LOGGER = logging.getLogger(__name__)

SampleFormat = Literal["s16", "f32"]

# A four-hour recording takes 30 CPU seconds in common codecs, ten times that in the slowest (Monkey's Audio "insane").
DECODE_LIMITS = ProcessLimits(wall_s=1800, cpu_s=600, address_space_bytes=2 << 30, output_file_bytes=0, stdout_bytes=0)
MIN_DURATION_S = 3.0  # a fingerprint of less has too few items to be compared
SILENCE_PEAK = 10 ** (-60 / 20)  # -60 dBFS
TRUNCATION_TOLERANCE_S = 2.0
TRUNCATION_TOLERANCE_SHARE = 0.05
# Decoding goes on for this long past the limit, so that a recording just over it can be told from one at it.
OVERRUN_S = 1.0
_F32_BYTES = 4


class DecodedAudio:
    """The samples of one file as they are decoded, and after the last of them how it went.

    Iterate once over it, inside `with`, for arrays of shape (n, n_channels) in int16 or float32, native byte order.
    Afterwards the attributes below are final. ffmpeg is always asked for float32 and int16 is made of it here: that is
    how samples that are not numbers, which a float file may hold, are seen at all.

    Attributes
    ----------
    n_samples : int
        Samples per channel.
    peak : float
        Largest magnitude among finite samples; 1.0 is full scale.
    n_not_finite : int
        How many samples were infinite or not a number.
    returncode, stderr, cpu_s, peak_rss_bytes
        Of ffmpeg.
    """

    def __init__(
        self, process: LimitedProcess, *, fmt: AudioFormat, sample_rate_hz: int, n_channels: int, sample_format: str
    ) -> None:
        self._process = process
        self._fmt = fmt
        self._sample_format = sample_format
        self.sample_rate_hz = sample_rate_hz
        self.n_channels = n_channels
        self.n_samples = 0
        self.peak = 0.0
        self.n_not_finite = 0
        self.returncode: int | None = None
        self.stderr = ""
        self.cpu_s = 0.0
        self.peak_rss_bytes = 0

    @property
    def duration_s(self) -> float:
        """Seconds decoded so far."""
        return self.n_samples / self.sample_rate_hz

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._record(self._process.stop())

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield arrays of shape (n, n_channels). Raise SubmissionRejected (`over_limits`) or LimitExceeded (wall_s)."""
        frame_bytes = _F32_BYTES * self.n_channels
        rest = b""
        try:
            for piece in self._process.chunks():
                data = rest + piece if rest else piece
                n_whole = len(data) // frame_bytes
                rest = data[n_whole * frame_bytes :]
                if n_whole:
                    samples = np.frombuffer(data, dtype="<f4", count=n_whole * self.n_channels)
                    yield self._measured(samples.reshape(n_whole, self.n_channels))
            self._record(self._process.finish())
        except LimitExceeded as error:
            raise rejected_for_limit(error) from error
        require_demuxer(self.stderr, self._fmt)

    def _measured(self, samples: NDArray[np.float32]) -> NDArray[Any]:
        self.n_samples += len(samples)
        peak = float(max(samples.max(), -samples.min()))
        is_finite = np.isfinite(peak)
        if not is_finite:
            finite = np.isfinite(samples)
            self.n_not_finite += int(samples.size - finite.sum())
            peak = float(np.abs(samples[finite]).max(initial=0.0))
        self.peak = max(self.peak, peak)
        if self._sample_format == "f32":
            return samples
        finite = samples if is_finite else np.where(np.isfinite(samples), samples, 0.0)
        with np.errstate(over="ignore"):  # a float file may hold 1e38: infinity is clipped as well
            scaled = finite * np.float32(32768)
        return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)

    def _record(self, finished: Finished) -> None:
        self.returncode = finished.returncode
        self.stderr = finished.stderr
        self.cpu_s = finished.cpu_s
        self.peak_rss_bytes = finished.peak_rss_bytes


def decode_pcm(
    path: Path,
    *,
    fmt: AudioFormat,
    sample_rate_hz: int,
    n_channels: int,
    sample_format: SampleFormat,
    max_duration_s: float,
    limits: ProcessLimits = DECODE_LIMITS,
) -> DecodedAudio:
    """Start decoding a file; use the result as a context manager and iterate over it.

    Parameters
    ----------
    path : Path
        The file.
    fmt : AudioFormat
        What `sniff_format` found: the only demuxer that ffmpeg may use.
    sample_rate_hz, n_channels : int
        What to convert to. Pass the file's own (`AudioFacts`) to change nothing.
    sample_format : {"s16", "f32"}
        int16, or float32 with full scale at 1.0 (a float file may go beyond).
    max_duration_s : float
        In seconds. Decoding ends a second after it: `check_decoded` then answers `too_long`.
    limits : ProcessLimits
        What ffmpeg may use.

    Raises
    ------
    DependencyMissing
        ffmpeg is not installed.
    """
    # One thread: several files are decoded at once, and the threads of each would only wait for one another.
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-filter_threads", "1", "-threads", "1"]
    argv += [*input_guards(fmt), "-i", file_url(path)]
    argv += ["-map", "0:a:0", "-vn", "-sn", "-dn", "-t", f"{max_duration_s + OVERRUN_S:.3f}"]
    argv += ["-ac", str(n_channels), "-ar", str(sample_rate_hz), "-f", "f32le", "pipe:1"]
    return DecodedAudio(
        LimitedProcess(argv, limits),
        fmt=fmt,
        sample_rate_hz=sample_rate_hz,
        n_channels=n_channels,
        sample_format=sample_format,
    )


def decode_to_array(
    path: Path,
    *,
    fmt: AudioFormat,
    sample_rate_hz: int = 44100,
    n_channels: int = 2,
    max_duration_s: float,
    limits: ProcessLimits = DECODE_LIMITS,
) -> NDArray[np.float32]:
    """Decode a whole file into memory, for feature extraction.

    Returns
    -------
    NDArray[np.float32] [shape=(n_samples, n_channels)]
        Full scale at 1.0; whether all are finite is for the caller to check. An hour of stereo at 44.1 kHz takes
        1.3 GB, so bound `max_duration_s` by the memory there is.

    Raises
    ------
    SubmissionRejected
        `undecodable`, `over_limits`.
    LimitExceeded
        The wall time ran out.
    """
    pcm = bytearray()
    stream = decode_pcm(
        path,
        fmt=fmt,
        sample_rate_hz=sample_rate_hz,
        n_channels=n_channels,
        sample_format="f32",
        max_duration_s=max_duration_s,
        limits=replace(limits, stdout_bytes=0),
    )
    with stream as decoded:
        for chunk in decoded:
            pcm += chunk.data
    if decoded.n_samples == 0:
        raise SubmissionRejected(undecodable(fmt))
    return np.frombuffer(pcm, dtype=np.float32).reshape(-1, n_channels)


def check_decoded(
    path: Path, facts: AudioFacts, decoded: DecodedAudio, *, fmt: AudioFormat, max_duration_s: float
) -> None:
    """Judge whether what was decoded is a whole, audible recording.

    Parameters
    ----------
    path : Path
        The file, for the end marks of its container.
    facts : AudioFacts
        What its headers claim.
    decoded : DecodedAudio
        Read to its end. `silent` is judged on the channels that were decoded: ask for the file's own if phase-inverted
        stereo, which cancels out in mono, must not be called silent.
    fmt : AudioFormat
        What the file is.
    max_duration_s : float
        The limit in seconds.

    Raises
    ------
    SubmissionRejected
        With every reason found: `undecodable` alone, or any of `too_long`, `truncated`, `too_short`, `silent`,
        `not_finite`.
    """
    if decoded.n_samples == 0 and (decoded.returncode != 0 or decoded.stderr):
        LOGGER.info("ffmpeg decoded nothing of %s as %s: %s", path.name, fmt.name, decoded.stderr)
        raise SubmissionRejected(undecodable(fmt))
    problems = []
    is_too_long = decoded.duration_s > max_duration_s
    if is_too_long:
        problems.append(too_long(max_duration_s))
    elif _is_truncated(path, facts, decoded, fmt=fmt):
        problems.append(_truncated(facts, decoded))
    elif decoded.returncode != 0:
        LOGGER.info("ffmpeg gave up on %s as %s: %s", path.name, fmt.name, decoded.stderr)
        raise SubmissionRejected(undecodable(fmt))
    elif decoded.duration_s < MIN_DURATION_S:
        message = f"The recording is {decoded.duration_s:.1f} seconds long; it must be at least {MIN_DURATION_S:g}."
        problems.append(Problem("too_short", message))
    if decoded.n_not_finite:
        message = "The file holds samples that are not numbers, which no player can play. Export it again."
        problems.append(Problem("not_finite", message))
    elif decoded.peak < SILENCE_PEAK and decoded.n_samples:
        message = "The recording is silent from beginning to end (never above -60 dBFS). Check the export."
        problems.append(Problem("silent", message))
    if problems:
        raise SubmissionRejected(*problems)


def _is_truncated(path: Path, facts: AudioFacts, decoded: DecodedAudio, *, fmt: AudioFormat) -> bool:
    if facts.duration_s is not None:
        tolerated_s = max(TRUNCATION_TOLERANCE_S, TRUNCATION_TOLERANCE_SHARE * facts.duration_s)
        if facts.duration_s - decoded.duration_s > tolerated_s:
            return True
    return ends_early(path, fmt=fmt)


def _truncated(facts: AudioFacts, decoded: DecodedAudio) -> Problem:
    found = f"only the first {decoded.duration_s:.1f} seconds can be played"
    if facts.duration_s is not None and facts.duration_s > decoded.duration_s + 0.1:
        found += f" of {facts.duration_s:.1f}"
    advice = "Check that your original plays to its end and upload it again."
    return Problem("truncated", f"The file is cut off: {found}. {advice}")
