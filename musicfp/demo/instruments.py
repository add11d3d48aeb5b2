"""Sounds of the demo songs: one note or one drum stroke at a time.

What belongs here: oscillators, envelopes and drums. What does not: which notes are played (`score`, `songs`) and how
they are mixed (`mix`).

Oscillators read single-cycle tables with a 32-bit phase that wraps, the way hardware synthesizers do. A note costs one
table lookup however many partials it has, and integer phases give the same samples on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 44100
_TABLE_BITS = 12
_PHASE_TURN = 1 << 32
# Partials above this would alias or be lost in the lossy copies anyway.
_HIGHEST_PARTIAL_HZ = 15000.0
_NOISE_SEED = 20240229

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Instrument:
    """A pitched sound: a bright part that fades fast over a mellow part that stays.

    `bright` and `mellow` are amplitudes of the partials 1, 2, 3, ...; `fm_index` is in radians and modulates both by a
    sine at `fm_ratio` times the pitch; `detune_cents` spreads the left from the right channel; `drive` above 0 bends
    the wave like an overdriven amplifier.
    """

    bright: tuple[float, ...]
    mellow: tuple[float, ...]
    attack_s: float = 0.005
    bright_decay_s: float = 0.25
    decay_s: float = 1.2
    sustain: float = 0.0
    release_s: float = 0.08
    vibrato_hz: float = 0.0
    vibrato_cents: float = 0.0
    fm_ratio: float = 0.0
    fm_index: float = 0.0
    detune_cents: float = 0.0
    breath: float = 0.0
    drive: float = 0.0


@lru_cache(maxsize=1024)
def play_note(instrument: Instrument, midi_pitch: int, duration_samples: int) -> Samples:
    """Return one note as stereo samples [shape=(n, 2)], `release_s` longer than it is held; peak is about 1."""
    release = int(instrument.release_s * RATE_HZ)
    n = duration_samples + release
    time_s = np.arange(n, dtype=np.float64) / RATE_HZ
    pitch_hz = 440.0 * 2.0 ** ((midi_pitch - 69) / 12)
    sides = [
        _oscillate(instrument, pitch_hz * 2.0 ** (sign * instrument.detune_cents / 1200), time_s)
        for sign in ((-1, 1) if instrument.detune_cents else (0,))
    ]
    envelope = _envelope(instrument, time_s, held_samples=duration_samples, release_samples=release)
    note = np.stack([sides[0], sides[-1]], axis=1) * envelope[:, None]
    note.flags.writeable = False
    return note


@lru_cache(maxsize=64)
def play_drum(name: str) -> Samples:
    """Return one drum stroke, mono [shape=(n,)]; peak is about 1."""
    stroke = _DRUMS[name]()
    stroke.flags.writeable = False
    return stroke


def wind(n_samples: int, *, period_s: float) -> Samples:
    """Return soft low noise that swells and ebbs once in `period_s`, mono [shape=(n,)]."""
    noise = np.cumsum(_noise(n_samples + 64), dtype=np.float64)
    smooth = (noise[64:] - noise[:-64]) / 8.0
    swell = 0.5 - 0.5 * _sine_at(np.arange(n_samples) / (RATE_HZ * period_s) + 0.25)
    return (smooth * swell).astype(np.float32)


def _oscillate(instrument: Instrument, pitch_hz: float, time_s: NDArray[np.float64]) -> Samples:
    n = time_s.size
    phase = np.arange(n, dtype=np.uint32) * np.uint32(round(pitch_hz / RATE_HZ * _PHASE_TURN))
    if instrument.fm_index:
        modulator = _sine_at(time_s * pitch_hz * instrument.fm_ratio) * np.exp(-time_s / instrument.bright_decay_s)
        phase = phase + _turns(modulator * (instrument.fm_index / (2 * np.pi)))
    if instrument.vibrato_cents:
        # Vibrato that sets in after the attack; the depth is that of the phase, not of the frequency.
        depth = pitch_hz * (2.0 ** (instrument.vibrato_cents / 1200) - 1.0) / (2 * np.pi * instrument.vibrato_hz)
        phase = phase + _turns(_sine_at(time_s * instrument.vibrato_hz) * np.minimum(time_s / 0.3, 1.0) * depth)
    index = phase >> np.uint32(32 - _TABLE_BITS)
    n_partials = max(1, int(_HIGHEST_PARTIAL_HZ / pitch_hz))
    fade = np.exp(-time_s / instrument.bright_decay_s).astype(np.float32)
    wave = _table(instrument.bright[:n_partials])[index] * fade
    wave += _table(instrument.mellow[:n_partials])[index] * (np.float32(1.0) - fade)
    if instrument.breath:
        wave += _noise(n) * np.float32(instrument.breath)
    return _overdrive(wave, instrument.drive) if instrument.drive else wave


def _envelope(
    instrument: Instrument, time_s: NDArray[np.float64], *, held_samples: int, release_samples: int
) -> Samples:
    level = instrument.sustain + (1.0 - instrument.sustain) * np.exp(-time_s / instrument.decay_s)
    level *= np.minimum(time_s / instrument.attack_s, 1.0)
    level[held_samples:] *= np.linspace(1.0, 0.0, release_samples)
    return level.astype(np.float32)


@lru_cache(maxsize=256)
def _table(partials: tuple[float, ...]) -> Samples:
    angle = 2 * np.pi * np.arange(1 << _TABLE_BITS) / (1 << _TABLE_BITS)
    wave = np.zeros_like(angle)
    for number, amplitude in enumerate(partials, start=1):
        # Phases that differ keep many partials from adding up to one sharp peak.
        wave += amplitude * np.sin(number * angle + 0.7 * number * number)
    normalised: Samples = (wave / np.abs(wave).max()).astype(np.float32)
    return normalised


def _sine_at(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    sine: NDArray[np.float64] = np.sin(2 * np.pi * (turns % 1.0))
    return sine


def _turns(turns: NDArray[np.float64]) -> NDArray[np.uint32]:
    return np.rint((turns % 1.0) * (_PHASE_TURN - 1)).astype(np.uint32)


def _overdrive(wave: Samples, drive: float) -> Samples:
    pushed = wave * np.float32(1.0 + drive)
    bent: Samples = pushed / (np.float32(1.0) + np.abs(pushed))
    return bent


def _noise(n_samples: int) -> Samples:
    return np.random.default_rng(_NOISE_SEED).random(n_samples, dtype=np.float32) * np.float32(2.0) - np.float32(1.0)


def _decay(n_samples: int, time_constant_s: float) -> Samples:
    return np.exp(-np.arange(n_samples) / (RATE_HZ * time_constant_s)).astype(np.float32)


def _sweep(n_samples: int, *, from_hz: float, to_hz: float, time_constant_s: float) -> Samples:
    frequency = to_hz + (from_hz - to_hz) * np.exp(-np.arange(n_samples) / (RATE_HZ * time_constant_s))
    return _sine_at(np.cumsum(frequency) / RATE_HZ).astype(np.float32)


def _kick() -> Samples:
    n = int(0.28 * RATE_HZ)
    return _sweep(n, from_hz=170.0, to_hz=48.0, time_constant_s=0.03) * _decay(n, 0.09)


def _tom() -> Samples:
    n = int(0.3 * RATE_HZ)
    return _sweep(n, from_hz=190.0, to_hz=105.0, time_constant_s=0.06) * _decay(n, 0.1)


def _snare() -> Samples:
    n = int(0.2 * RATE_HZ)
    body = _sweep(n, from_hz=260.0, to_hz=180.0, time_constant_s=0.02) * _decay(n, 0.04)
    return np.float32(0.45) * body + np.float32(0.5) * np.diff(_noise(n + 1)) * _decay(n, 0.055)


def _brush() -> Samples:
    n = int(0.25 * RATE_HZ)
    return np.float32(0.5) * np.diff(_noise(n + 1)) * _decay(n, 0.07) * (np.float32(1.0) - _decay(n, 0.012))


def _rim() -> Samples:
    n = int(0.06 * RATE_HZ)
    return _sweep(n, from_hz=1700.0, to_hz=1650.0, time_constant_s=0.01) * _decay(n, 0.012)


def _cymbal(duration_s: float, time_constant_s: float) -> Callable[[], Samples]:
    def stroke() -> Samples:
        n = int(duration_s * RATE_HZ)
        # Two differences are a high-pass filter of 12 dB per octave.
        return np.float32(0.25) * np.diff(_noise(n + 2), n=2) * _decay(n, time_constant_s)

    return stroke


_DRUMS: dict[str, Callable[[], Samples]] = {
    "kick": _kick,
    "tom": _tom,
    "snare": _snare,
    "brush": _brush,
    "rim": _rim,
    "hat": _cymbal(0.07, 0.018),
    "open_hat": _cymbal(0.35, 0.11),
    "ride": _cymbal(0.6, 0.2),
    "shaker": _cymbal(0.09, 0.03),
}
