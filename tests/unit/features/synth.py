"""Small synthetic music with known tempo and key for the tests of features."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE_HZ = 44_100
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def sine(*, hz: float, dbfs: float, duration_s: float, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    """Return a stereo sine whose peak is at `dbfs` in both channels. Shape (n, 2)."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    mono = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * time_s)
    return np.stack([mono, mono], axis=1).astype(np.float32)


def silence(duration_s: float) -> NDArray[np.float32]:
    """Return digital silence. Shape (n, 2)."""
    return np.zeros((round(duration_s * RATE_HZ), 2), dtype=np.float32)


def noise(duration_s: float, *, colour: float = 0.0, seed: int = 1) -> NDArray[np.float32]:
    """Return stereo noise with a power spectrum of 1/f**colour at -20 dBFS RMS. Shape (n, 2)."""
    n_samples = round(duration_s * RATE_HZ)
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal((n_samples, 2)), axis=0)
    spectrum *= np.maximum(1, np.arange(len(spectrum)))[:, None] ** (-colour / 2)
    shaped = np.fft.irfft(spectrum, n=n_samples, axis=0)
    return np.asarray(0.1 * shaped / shaped.std(), dtype=np.float32)


def applause(duration_s: float, *, seed: int, n_people: int = 60) -> NDArray[np.float32]:
    """Return the sound of people who clap three to five times a second, each in a pitch of his own. Shape (n, 2)."""
    rng = np.random.default_rng(seed)
    mono = rng.normal(0, 0.005, round(duration_s * RATE_HZ))
    decay = _decay(1500, 0.007)
    for _ in range(n_people):
        between_s, instant_s = rng.uniform(0.2, 0.34), rng.uniform(0, 0.3)
        centre_hz = rng.uniform(800, 2500)
        band = signal.butter(2, [centre_hz * 0.7, centre_hz * 1.4], btype="band", fs=RATE_HZ, output="sos")
        clap = rng.uniform(0.1, 1) * signal.sosfilt(band, rng.standard_normal(1500)) * decay
        while instant_s < duration_s:
            _add(mono, instant_s, clap * rng.uniform(0.7, 1.3))
            instant_s += between_s * (1 + rng.normal(0, 0.06))
    mono *= 0.5 / np.abs(mono).max()
    return np.stack([mono, mono], axis=1).astype(np.float32)


def drums(duration_s: float, *, bpm: float) -> NDArray[np.float64]:
    """Return a drum loop: kick on 1 and 3, snare on 2 and 4, hi-hat in eighths. Shape (n,)."""
    rng = np.random.default_rng(7)
    mix = np.zeros(round(duration_s * RATE_HZ))
    beat_s = 60 / bpm
    for eighth in range(int(duration_s / beat_s * 2)):
        start_s = eighth * beat_s / 2
        _add(mix, start_s, 0.15 * rng.standard_normal(1500) * _decay(1500, 0.008))
        if eighth % 4 == 0:
            time_s = np.arange(8000) / RATE_HZ
            _add(
                mix,
                start_s,
                0.8 * np.sin(2 * np.pi * (50 * time_s + 4 * (1 - np.exp(-time_s * 30)))) * _decay(8000, 0.06),
            )
        elif eighth % 2 == 0:
            _add(mix, start_s, 0.4 * rng.standard_normal(7000) * _decay(7000, 0.04))
    return mix


def chords(duration_s: float, *, bpm: float, progression: tuple[str, ...], transpose: int = 0) -> NDArray[np.float64]:
    """Return triads ("A" major, "Am" minor), one per four beats, with bass and five partials a note. Shape (n,)."""
    mix = np.zeros(round(duration_s * RATE_HZ))
    bar_s = 4 * 60 / bpm
    for bar in range(int(np.ceil(duration_s / bar_s))):
        name = progression[bar % len(progression)]
        root = _SEMITONES[name[0]] + transpose
        third = 3 if name.endswith("m") else 4
        n_samples = round(bar_s * RATE_HZ)
        time_s = np.arange(n_samples) / RATE_HZ
        for note in (root + 36, root + 60, root + 60 + third, root + 67):
            hz = 440 * 2 ** ((note - 69) / 12)
            tone = sum(np.sin(2 * np.pi * hz * partial * time_s) / partial**1.5 for partial in range(1, 6))
            _add(mix, bar * bar_s, 0.06 * tone * _decay(n_samples, 1.5))
    return mix


def song(
    duration_s: float, *, bpm: float = 120, progression: tuple[str, ...] = ("Am", "Dm", "Em", "Am"), transpose: int = 0
) -> NDArray[np.float32]:
    """Return drums and chords in stereo. Shape (n, 2)."""
    left = chords(duration_s, bpm=bpm, progression=progression, transpose=transpose)
    beat = drums(duration_s, bpm=bpm)
    return np.stack([left + 0.4 * beat, left * 0.8 + 0.4 * beat], axis=1).astype(np.float32)


def _decay(n_samples: int, time_constant_s: float) -> NDArray[np.float64]:
    return np.exp(-np.arange(n_samples) / RATE_HZ / time_constant_s)


def _add(mix: NDArray[np.float64], start_s: float, sound: NDArray[np.float64]) -> None:
    start = round(start_s * RATE_HZ)
    stop = min(len(mix), start + len(sound))
    mix[start:stop] += sound[: stop - start]


def clicks(duration_s: float, *, rate_hz: float) -> NDArray[np.float32]:
    """Return short bursts of noise in stereo, the first at 0. Shape (n, 2)."""
    rng = np.random.default_rng(5)
    mix = np.zeros(round(duration_s * RATE_HZ))
    for index in range(int(duration_s * rate_hz)):
        _add(mix, index / rate_hz, 0.4 * rng.standard_normal(1200) * _decay(1200, 0.005))
    return np.stack([mix, mix], axis=1).astype(np.float32)


def band(duration_s: float, *, bpm: float, beats_per_bar: int, subdivision: int) -> NDArray[np.float32]:
    """Return kick and a new chord on first beats, snare on the others, hi-hat on subdivisions, and a melody. Stereo."""
    rng = np.random.default_rng(3)
    mix = np.zeros(round(duration_s * RATE_HZ))
    beat_s = 60 / bpm
    roots = (48, 53, 55, 48, 45, 50, 55, 43)
    for part in range(int(duration_s / beat_s * subdivision)):
        start_s = part * beat_s / subdivision
        beat, within = divmod(part, subdivision)
        bar, place = divmod(beat, beats_per_bar)
        _add(mix, start_s, 0.08 * rng.standard_normal(1500) * _decay(1500, 0.008))
        if rng.random() < (0.9 if within == 0 else 0.6):
            _add(mix, start_s, 0.08 * _note(72 + int(rng.choice([0, 2, 4, 5, 7])), beat_s / subdivision))
        if within:
            continue
        if place == 0:
            _add(mix, start_s, 0.7 * np.sin(2 * np.pi * 55 * np.arange(8000) / RATE_HZ) * _decay(8000, 0.06))
            for step in (-12, 0, 4, 7):
                _add(mix, start_s, 0.06 * _note(roots[bar % len(roots)] + step, beat_s * beats_per_bar))
        else:
            _add(mix, start_s, 0.2 * rng.standard_normal(5000) * _decay(5000, 0.03))
    return np.stack([mix, 0.9 * mix], axis=1).astype(np.float32)


def _note(pitch: int, duration_s: float) -> NDArray[np.float64]:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    tone = sum(np.sin(2 * np.pi * hz * partial * time_s) / partial for partial in range(1, 5))
    return np.asarray(tone * _decay(len(time_s), 0.6 * duration_s))
