"""Loudness and true peak as ITU-R BS.1770-4 and EBU Tech 3341/3342 define them, in chunks of bounded memory.

Own code rather than essentia's LoudnessEBUR128, because it needs half its CPU time, no second copy of the samples and
no import of essentia; a test holds the two together. scipy.signal is imported late: it costs a second, and Dagster and
the API import this module through the registry without measuring anything.

Here: the measurement. Not here: what is reported.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ABSOLUTE_GATE_LUFS = -70.0
INTEGRATED_GATE_LU = -10.0
RANGE_GATE_LU = -20.0
_OFFSET_DB = -0.691  # BS.1770-4, equation 2: makes a 997 Hz sine of 0 dBFS in one channel read -3.01
# Fine enough that the loudest 400 ms are found to 0.1 LU wherever they begin (EBU Tech 3341, cases 13 and 14): steps of
# 100 ms read up to 0.45 LU too little.
_STEPS_PER_S = 100
_MOMENTARY_STEPS = 40
_SHORT_TERM_STEPS = 300
_GATING_STEPS = 10  # BS.1770-4: gating blocks overlap by 75 %, so one begins every 100 ms; EBU Tech 3342 the same
_CHUNK_S = 30
_OVERSAMPLING = 4
_TAPS_PER_PHASE = 12  # as in BS.1770-4 annex 2


@dataclass(frozen=True)
class Loudness:
    """EBU R128 measures of one programme; None where silence or a short duration leaves nothing to measure.

    Parameters
    ----------
    integrated_lufs, momentary_max_lufs, short_term_max_lufs
        In LUFS.
    range_lu
        Loudness range, in LU.

    """

    integrated_lufs: float | None
    range_lu: float | None
    momentary_max_lufs: float | None
    short_term_max_lufs: float | None


def measure_loudness(stereo: NDArray[np.float32], *, sample_rate_hz: int) -> Loudness:
    """Measure the loudness of a finite stereo signal.

    Parameters
    ----------
    stereo
        Samples, full scale = 1. [shape=(n_samples, 2)]
    sample_rate_hz
        A multiple of 100 Hz, so that 10 ms are a whole number of samples.

    References
    ----------
    ITU-R BS.1770-4 (weighting, gating); EBU Tech 3341 (momentary, short-term); EBU Tech 3342 (loudness range).

    """
    step_power = _k_weighted_step_power(stereo, sample_rate_hz=sample_rate_hz)
    momentary = _moving_mean(step_power, _MOMENTARY_STEPS)
    short_term = _moving_mean(step_power, _SHORT_TERM_STEPS)
    return Loudness(
        integrated_lufs=_integrated_lufs(momentary[::_GATING_STEPS]),
        range_lu=_range_lu(short_term[::_GATING_STEPS]),
        momentary_max_lufs=_max_lufs(momentary),
        short_term_max_lufs=_max_lufs(short_term),
    )


def true_peak(stereo: NDArray[np.float32], *, sample_rate_hz: int) -> float:
    """Return the largest magnitude between and on samples, from 4x oversampling with a polyphase FIR.

    Parameters
    ----------
    stereo
        Finite samples, full scale = 1. [shape=(n_samples, 2)]
    sample_rate_hz
        Only sets the size of the chunks.

    References
    ----------
    ITU-R BS.1770-4 annex 2: 4 phases of 12 taps. The filter here is a Kaiser-windowed sinc of the same length.

    """
    from scipy import signal  # noqa: PLC0415 (see the module docstring)

    # Odd length, so that one phase passes the samples themselves through unchanged.
    taps = signal.firwin(_OVERSAMPLING * _TAPS_PER_PHASE + 1, 1 / _OVERSAMPLING, window=("kaiser", 5.0))
    taps = (taps * _OVERSAMPLING).astype(np.float32)
    overlap = _TAPS_PER_PHASE + 1
    highest = 0.0
    position = 0
    for chunk in _chunks(stereo, n_samples=_CHUNK_S * sample_rate_hz, overlap_samples=overlap):
        oversampled = signal.upfirdn(taps, chunk, _OVERSAMPLING, axis=0)
        # Where a chunk is cut from its neighbours the filter sees a step that the programme does not have.
        position = min(len(stereo), position + _CHUNK_S * sample_rate_hz)
        first = overlap * _OVERSAMPLING if len(chunk) < position else 0
        last = len(chunk) * _OVERSAMPLING if position < len(stereo) else len(oversampled)
        highest = max(highest, float(np.abs(oversampled[first:last]).max()))
    return highest


def k_weighting(sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the K-weighting filter for any sample rate as second-order sections of shape (2, 6).

    BS.1770-4 tabulates it for 48 kHz only; these are the analogue prototypes behind the table (a +4 dB shelf at
    1682 Hz and a high-pass at 38 Hz) put through the bilinear transform, which gives the table back at 48 kHz.
    """
    shelf_k = math.tan(math.pi * 1681.974450955533 / sample_rate_hz)
    shelf_q = 0.7071752369554196
    high_gain = 10 ** (3.999843853973347 / 20)
    band_gain = high_gain**0.4996667741545416
    norm = 1 + shelf_k / shelf_q + shelf_k**2
    shelf = [
        (high_gain + band_gain * shelf_k / shelf_q + shelf_k**2) / norm,
        2 * (shelf_k**2 - high_gain) / norm,
        (high_gain - band_gain * shelf_k / shelf_q + shelf_k**2) / norm,
        1.0,
        2 * (shelf_k**2 - 1) / norm,
        (1 - shelf_k / shelf_q + shelf_k**2) / norm,
    ]
    pass_k = math.tan(math.pi * 38.13547087602444 / sample_rate_hz)
    pass_q = 0.5003270373238773
    norm = 1 + pass_k / pass_q + pass_k**2
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (pass_k**2 - 1) / norm, (1 - pass_k / pass_q + pass_k**2) / norm]
    return np.array([shelf, high_pass], dtype=np.float64)


def _k_weighted_step_power(stereo: NDArray[np.float32], *, sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the weighted power, summed over channels, of each whole 10 ms. Shape (n_steps,)."""
    from scipy import signal  # noqa: PLC0415 (see the module docstring)

    step_samples = sample_rate_hz // _STEPS_PER_S
    sections = k_weighting(sample_rate_hz)
    state = np.zeros((len(sections), 2, stereo.shape[1]))
    powers = [np.zeros(0)]
    for chunk in _chunks(stereo, n_samples=_CHUNK_S * sample_rate_hz, overlap_samples=0):
        weighted, state = signal.sosfilt(sections, chunk, axis=0, zi=state)
        n_steps = len(weighted) // step_samples
        steps = weighted[: n_steps * step_samples].reshape(n_steps, -1)
        powers.append(np.einsum("ij,ij->i", steps, steps) / step_samples)
    return np.concatenate(powers)


def _chunks(stereo: NDArray[np.float32], *, n_samples: int, overlap_samples: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(stereo), n_samples):
        yield stereo[max(0, start - overlap_samples) : start + n_samples]


def _moving_mean(step_power: NDArray[np.float64], n_steps: int) -> NDArray[np.float64]:
    if len(step_power) < n_steps:
        return np.zeros(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(step_power, n_steps).mean(axis=1))


def _lufs(power: float) -> float:
    return _OFFSET_DB + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET_DB) / 10))


def _gated(power: NDArray[np.float64], *, relative_gate_lu: float) -> NDArray[np.float64]:
    """Return the blocks above the absolute gate and above the gate relative to the mean of those."""
    audible: NDArray[np.float64] = power[power > _power(ABSOLUTE_GATE_LUFS)]
    if len(audible) == 0:
        return audible
    return np.asarray(audible[audible > audible.mean() * 10 ** (relative_gate_lu / 10)])


def _integrated_lufs(momentary: NDArray[np.float64]) -> float | None:
    blocks = _gated(momentary, relative_gate_lu=INTEGRATED_GATE_LU)
    return _lufs(float(blocks.mean())) if len(blocks) else None


def _range_lu(short_term: NDArray[np.float64]) -> float | None:
    blocks = _gated(short_term, relative_gate_lu=RANGE_GATE_LU)
    if len(blocks) == 0:
        return None
    low, high = np.percentile(blocks, [10, 95], method="nearest")
    return _lufs(float(high)) - _lufs(float(low))


def _max_lufs(power: NDArray[np.float64]) -> float | None:
    loudest = float(power.max(initial=0.0))
    return _lufs(loudest) if loudest > _power(ABSOLUTE_GATE_LUFS) else None
