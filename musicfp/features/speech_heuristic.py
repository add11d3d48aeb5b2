"""Whether a track is speech, told without a model: by how its level and its strongest frequency move.

Speech is syllables and pauses, and its pitch glides; music rarely falls silent, and holds its notes. Not here: what is
reported (`speech`).
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
_FRAME_SAMPLES = 512  # 32 ms, as the speech detector has
_FLOOR_DB = -40.0  # below the loud frames; what is lower counts as this low, however deep the silence
_PAUSE_DB = -25.0
_WINDOW_SAMPLES = 2 * _FRAME_SAMPLES
_FIRST_BIN, _LAST_BIN = 4, 258  # 60 Hz to 4 kHz, where voices are, also on the telephone
_HELD_FRAMES = 4  # a note is held when its peak is in the same place 0.13 s later
FEATURE_NAMES = ("level_spread", "held_peaks", "level_steps")
# Fitted by `python -m eval.features.speech --fit`; measures and scores in docs/features.md.
_WEIGHTS = (0.542, -5.980, 0.584)
_INTERCEPT = -5.502


def speech_likelihood(mono_16k: NDArray[np.float32]) -> float:
    """Return how likely a track is speech, 0 to 1: a logistic function of `movement`."""
    return float(1 / (1 + np.exp(-(movement(mono_16k) @ np.array(_WEIGHTS) + _INTERCEPT))))


def movement(mono_16k: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how much the sound moves: FEATURE_NAMES, in that order.

    - standard deviation of the level, in dB;
    - share of frames whose strongest frequency is the same 0.13 s later, pauses left out;
    - mean step of the level from frame to frame, in dB.

    Parameters
    ----------
    mono_16k
        At least a second that is not silent. [shape=(n_samples,)]

    References
    ----------
    E. Scheirer, M. Slaney, "Construction and evaluation of a robust multifeature speech/music discriminator", ICASSP
    1997, for the idea of each.

    """
    n_frames = len(mono_16k) // _FRAME_SAMPLES
    frames = mono_16k[: n_frames * _FRAME_SAMPLES].reshape(n_frames, _FRAME_SAMPLES)
    rms = np.sqrt(np.einsum("ij,ij->i", frames, frames) / _FRAME_SAMPLES)
    loud = max(float(np.percentile(rms, 95)), 1e-9)
    level_db = np.maximum(20 * np.log10(np.maximum(rms, 1e-9) / loud), _FLOOR_DB)
    held = _held_peaks(mono_16k, sounding=level_db > _PAUSE_DB)
    return np.array([level_db.std(), held, np.abs(np.diff(level_db)).mean()], dtype=np.float64)


def _held_peaks(mono_16k: NDArray[np.float32], *, sounding: NDArray[np.bool_]) -> float:
    windows = np.lib.stride_tricks.sliding_window_view(mono_16k, _WINDOW_SAMPLES)[::_FRAME_SAMPLES][: len(sounding)]
    spectra = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW_SAMPLES).astype(np.float32), axis=1))
    peaks = spectra[:, _FIRST_BIN:_LAST_BIN].argmax(axis=1)
    stays = np.abs(peaks[_HELD_FRAMES:] - peaks[:-_HELD_FRAMES]) <= 1
    sounding = sounding[: len(peaks)]
    both = sounding[_HELD_FRAMES:] & sounding[:-_HELD_FRAMES]
    return float(stays[both].mean()) if both.any() else 0.0
