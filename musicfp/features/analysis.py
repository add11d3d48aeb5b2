"""One track through named extractors, in this process: decode once, run each, count what it cost.

Call it through `worker.FeaturePool`: a crash or a hang in essentia takes the whole process with it.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.audio.decode import decode_pcm
from musicfp.audio.probe import probe
from musicfp.audio.sniff import require_format
from musicfp.errors import Problem, SubmissionRejected
from musicfp.features.inputs import MAX_WHOLE_S, SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import Registry
from musicfp.features.values import FeatureValue

_MAX_CHANNELS = 2


@dataclass(frozen=True)
class TrackAnalysis:
    """Values of one track and what they cost.

    Parameters
    ----------
    values
        By extractor name, in the order of declaration.
    cpu_s
        CPU seconds by extractor name. What extractors share is counted for the first that needs it.
    decode_cpu_s
        CPU seconds of decoding, ffmpeg included.
    peak_rss_bytes
        Largest resident memory of the worker since it started, not of this track alone.

    """

    values: dict[str, tuple[FeatureValue, ...]]
    cpu_s: dict[str, float]
    decode_cpu_s: float
    peak_rss_bytes: int


def analyse_file(
    path: Path, extractor_names: Sequence[str], *, registry: Registry, max_duration_s: float
) -> TrackAnalysis:
    """Decode the audio file at `path` and run the named extractors on it.

    Parameters
    ----------
    path
        A local file. What is decoded of a recording over MAX_WHOLE_S goes into an unnamed file beside it.
    extractor_names
        Which extractors to run.
    registry
        Where they are registered.
    max_duration_s
        What lies behind this is left out.

    Raises
    ------
    MusicfpError
        When the file cannot be decoded. An extractor that breaks raises nothing; its values say FAILED.

    """
    samples, decode_cpu_s = decode(path, max_duration_s=max_duration_s)
    return analyse(
        AudioInputs(samples, sample_rate_hz=SAMPLE_RATE_HZ),
        extractor_names,
        registry=registry,
        decode_cpu_s=decode_cpu_s,
    )


def analyse(
    audio: AudioInputs, extractor_names: Sequence[str], *, registry: Registry, decode_cpu_s: float = 0.0
) -> TrackAnalysis:
    """Run the named extractors on decoded audio; `decode_cpu_s` is passed on."""
    values: dict[str, tuple[FeatureValue, ...]] = {}
    cpu_s: dict[str, float] = {}
    for name in extractor_names:
        start = time.process_time()
        values[name] = registry.get(name).run(audio)
        cpu_s[name] = time.process_time() - start
    return TrackAnalysis(values=values, cpu_s=cpu_s, decode_cpu_s=decode_cpu_s, peak_rss_bytes=_peak_rss_bytes())


def decode(path: Path, *, max_duration_s: float) -> tuple[NDArray[np.float32], float]:
    """Return all samples at 44.1 kHz, shape (n, 1) or (n, 2), and the CPU seconds that decoding took.

    Mono stays mono: ffmpeg would make stereo of it that is 3 dB lower in each channel. More channels are mixed to two.

    Four hours are 5 GB. So a long recording is a memory map of an unlinked file: its pages can be dropped, and do not
    count as the worker's data.
    """
    start = _cpu_with_children_s()
    fmt = require_format(path)
    n_channels = min(_MAX_CHANNELS, probe(path, fmt=fmt).n_channels)
    in_memory = bytearray()
    with tempfile.TemporaryFile(dir=path.parent) as on_disk:
        with decode_pcm(
            path,
            fmt=fmt,
            sample_rate_hz=SAMPLE_RATE_HZ,
            n_channels=n_channels,
            sample_format="f32",
            max_duration_s=max_duration_s,
        ) as decoded:
            for chunk in decoded:
                in_memory += chunk.data
                if decoded.duration_s > MAX_WHOLE_S:
                    on_disk.write(in_memory)
                    in_memory.clear()
        cpu_s = _cpu_with_children_s() - start
        if decoded.n_samples == 0:
            message = f"No sound could be decoded from {path.name} as {fmt.label}."
            raise SubmissionRejected(Problem("undecodable", message))
        if decoded.duration_s <= MAX_WHOLE_S:
            return np.frombuffer(in_memory, dtype=np.float32).reshape(-1, n_channels), cpu_s
        on_disk.write(in_memory)
        on_disk.flush()
        return np.memmap(on_disk, dtype=np.float32, mode="r", shape=(decoded.n_samples, n_channels)), cpu_s


def _cpu_with_children_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_rss_bytes() -> int:
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes
