"""Extractors of how a track is laid out in time: its duration and its silences."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, measured

SILENCE_DBFS = -60.0
FRAME_S = 0.1
_FRAME_SAMPLES = round(FRAME_S * SAMPLE_RATE_HZ)
_CHUNK_FRAMES = 300


@extractor(
    name="duration",
    version="1",
    description="Duration of the decoded sound.",
    values=(
        FeatureSpec("audio.duration", unit="s", description="Decoded samples over sample rate.", range=(0.0, 1e6)),
    ),
    finite=False,
    cost_s_per_min=0.0,
)
def duration(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the duration of what was decoded, which may differ from what the file's header claims."""
    yield measured("audio.duration", audio.duration_s, confidence=1.0)


@extractor(
    name="silence",
    version="1",
    description=f"Frames of {FRAME_S * 1000:.0f} ms whose RMS in the louder channel is below {SILENCE_DBFS:.0f} dBFS.",
    values=(
        FeatureSpec("silence.rate", unit=None, description="Share of silent frames, 0 to 1.", range=(0.0, 1.0)),
        FeatureSpec("silence.leading", unit="s", description="Silence before the first sound.", range=(0.0, 1e6)),
        FeatureSpec("silence.trailing", unit="s", description="Silence after the last sound.", range=(0.0, 1e6)),
    ),
    min_duration_s=FRAME_S,
    inputs=("stereo_44k",),
    cost_s_per_min=0.01,
)
def silence(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report silence in whole frames; a track that is all silence is silent from both ends."""
    silent = _silent_frames(audio.stereo_44k)
    sounding = np.flatnonzero(~silent)
    leading = int(sounding[0]) if len(sounding) else len(silent)
    trailing = len(silent) - 1 - int(sounding[-1]) if len(sounding) else len(silent)
    yield measured("silence.rate", float(silent.mean()))
    yield measured("silence.leading", leading * FRAME_S)
    yield measured("silence.trailing", trailing * FRAME_S)


def _silent_frames(stereo: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which whole frames are silent; a remainder shorter than a frame is left out. Shape (n_frames,)."""
    n_frames = len(stereo) // _FRAME_SAMPLES
    powers = np.zeros((n_frames, 2))
    for first in range(0, n_frames, _CHUNK_FRAMES):
        last = min(n_frames, first + _CHUNK_FRAMES)
        chunk = stereo[first * _FRAME_SAMPLES : last * _FRAME_SAMPLES].reshape(last - first, _FRAME_SAMPLES, 2)
        powers[first:last] = np.einsum("ijk,ijk->ik", chunk, chunk) / _FRAME_SAMPLES
    return np.asarray(powers.max(axis=1) < 10 ** (SILENCE_DBFS / 10))
