"""The test signals of EBU Tech 3341 and 3342 that can be made from their descriptions, and what a meter should read.

What belongs here: making signals and measuring them. What does not: the meter (`musicfp.features.bs1770`).

Left out: recordings of programmes (3341 cases 7 and 8, 3342 cases 5 and 6) and surround (3341 case 6). Cases 11 and 14
are for live meters: each of their steps is measured alone here. The bursts of cases 20 to 23, whose crests fall between
samples by a quarter each, are made after that idea, not after the letter.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.bs1770 import Loudness, measure_loudness, true_peak

RATE_HZ = 44_100  # at which musicfp measures
LOUDNESS_TOLERANCE = (0.1, 0.1)  # LU, below and above; 3342 itself allows 1
PEAK_TOLERANCE = (0.4, 0.2)  # dB
_TONE_HZ = 1000.0
_Part = tuple[float | None, float]


@dataclass(frozen=True)
class Reading:
    """One measured signal; `expected` and `read` in LUFS, LU or dBTP."""

    case: str
    measure: str
    expected: float
    read: float | None

    @property
    def is_right(self) -> bool:
        """Whether the reading is within the tolerance."""
        if self.read is None:
            return False
        below, above = PEAK_TOLERANCE if self.measure == "true peak" else LOUDNESS_TOLERANCE
        return self.expected - below - 1e-9 <= self.read <= self.expected + above + 1e-9


def readings() -> Iterator[Reading]:
    """Make and measure every signal."""
    for case, parts, expected in _INTEGRATED:
        yield _loudness_reading(f"3341 case {case}", "integrated", parts, expected)
    for case, parts, expected in _RANGES:
        yield _loudness_reading(f"3342 case {case}", "range", parts, expected)
    yield _loudness_reading("3341 case 9", "short-term max", [(-20.0, 1.34), (-30.0, 1.66)] * 5, -23.0)
    yield _loudness_reading("3341 case 12", "momentary max", [(-20.0, 0.18), (-30.0, 0.22)] * 25, -23.0)
    for step in range(20):
        offset: list[_Part] = [(None, 0.15 * step), (-23.0, 3.0), (None, 1.0)]
        yield _loudness_reading(f"3341 case 10.{step + 1}", "short-term max", offset, -23.0)
        level: list[_Part] = [(None, 0.15 * step), (-38.0 + step, 3.0), (None, 1.0)]
        yield _loudness_reading(f"3341 case 11.{step + 1}", "short-term max", level, -38.0 + step)
        offset = [(None, 0.02 * step), (-23.0, 0.4), (None, 1.0)]
        yield _loudness_reading(f"3341 case 13.{step + 1}", "momentary max", offset, -23.0)
        level = [(None, 0.02 * step), (-38.0 + step, 0.4), (None, 1.0)]
        yield _loudness_reading(f"3341 case 14.{step + 1}", "momentary max", level, -38.0 + step)
    for case, fraction, phase_degrees, dbfs in _SINES:
        mono = _faded_sine(fraction, phase_degrees) * 10 ** (dbfs / 20)
        yield Reading(f"3341 case {case}", "true peak", dbfs, _peak_dbtp(mono))
    for quarter in range(4):
        yield Reading(f"3341 case {20 + quarter}", "true peak", 0.0, _peak_dbtp(_burst(quarter)))


_INTEGRATED: Sequence[tuple[str, list[_Part], float]] = (
    ("1", [(-23.0, 20.0)], -23.0),
    ("2", [(-33.0, 20.0)], -33.0),
    ("3", [(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
    ("4", [(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
    ("5", [(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
)
_RANGES: Sequence[tuple[str, list[_Part], float]] = (
    ("1", [(-20.0, 20.0), (-30.0, 20.0)], 10.0),
    ("2", [(-20.0, 20.0), (-15.0, 20.0)], 5.0),
    ("3", [(-40.0, 20.0), (-20.0, 20.0)], 20.0),
    ("4", [(-50.0, 20.0), (-35.0, 20.0), (-20.0, 20.0), (-35.0, 20.0), (-50.0, 20.0)], 15.0),
)
_SINES = (
    ("15", 4, 0.0, -6.02),
    ("16", 4, 45.0, -6.02),
    ("17", 6, 60.0, -6.02),
    ("18", 8, 67.5, -6.02),
    ("19", 4, 45.0, 3.0),
)
_READ: dict[str, Callable[[Loudness], float | None]] = {
    "integrated": lambda measured: measured.integrated_lufs,
    "range": lambda measured: measured.range_lu,
    "short-term max": lambda measured: measured.short_term_max_lufs,
    "momentary max": lambda measured: measured.momentary_max_lufs,
}


def _loudness_reading(case: str, measure: str, parts: Sequence[_Part], expected: float) -> Reading:
    measured = measure_loudness(_tones(parts), sample_rate_hz=RATE_HZ)
    return Reading(case, measure, expected, _READ[measure](measured))


def _tones(parts: Sequence[_Part]) -> NDArray[np.float32]:
    """Return a stereo tone whose level (dBFS; None is silence) changes without a jump in phase. Shape (n, 2)."""
    gains = [
        np.full(round(duration_s * RATE_HZ), 0.0 if dbfs is None else 10 ** (dbfs / 20)) for dbfs, duration_s in parts
    ]
    gain = np.concatenate(gains)
    mono = gain * np.sin(2 * np.pi * _TONE_HZ * np.arange(len(gain)) / RATE_HZ)
    return np.stack([mono, mono], axis=1).astype(np.float32)


def _faded_sine(fraction: int, phase_degrees: float) -> NDArray[np.float64]:
    """Return a second of a sine at a fraction of the sample rate, faded so that its ends make no peak of their own."""
    n = np.arange(RATE_HZ)
    fade = np.minimum(1, np.minimum(n, n[::-1]) / 2000)
    return fade * np.sin(2 * np.pi * n / fraction + math.radians(phase_degrees))


def _burst(quarter: int) -> NDArray[np.float64]:
    """Return a burst at a sixth of the sample rate whose crest of 0 dBFS is so many quarter samples off a sample."""
    t = np.arange(RATE_HZ) - RATE_HZ / 2 + quarter / 4
    return np.exp(-0.5 * (t / 12) ** 2) * np.cos(2 * np.pi * t / 6)


def _peak_dbtp(mono: NDArray[np.float64]) -> float:
    peak = true_peak(np.stack([mono, mono], axis=1).astype(np.float32), sample_rate_hz=RATE_HZ)
    return 20 * math.log10(peak)
