"""Sounds that are mixed into queries: pink noise, a crowd, babble.

What belongs here: making noise of one kind. What does not: how loud it is mixed in (`degrade`).
"""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# What eight people at the next table sound like to a fingerprint: formants that come and go with the syllables.
_BABBLE_VOICES = 8
_CROWD_BURSTS_PER_S = 400
_CROWD_BURST_S = 0.012
_CROWD_DECAY_S = 0.003


def pink(n_samples: int, rng: np.random.Generator) -> Samples:
    """Return noise whose power falls by 3 dB an octave, down to the lowest frequency that the length holds."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    bins = np.arange(spectrum.size, dtype=np.float64)
    bins[0] = 1.0
    return np.fft.irfft(spectrum / np.sqrt(bins), n_samples).astype(np.float32)


def crowd(n_samples: int, rng: np.random.Generator, *, rate_hz: int) -> Samples:
    """Return applause: dense, short, decaying bursts of noise at random times and levels."""
    n_bursts = round(n_samples / rate_hz * _CROWD_BURSTS_PER_S)
    claps = np.zeros(n_samples)
    np.add.at(claps, rng.integers(0, n_samples, n_bursts), rng.exponential(1.0, n_bursts))
    n_burst = round(_CROWD_BURST_S * rate_hz)
    burst = rng.standard_normal(n_burst) * np.exp(-np.arange(n_burst) / (_CROWD_DECAY_S * rate_hz))
    return convolve(claps.astype(np.float32), burst.astype(np.float32))


def babble(n_samples: int, rng: np.random.Generator, *, rate_hz: int) -> Samples:
    """Return several synthetic voices: noise through formants, switched by syllables and pauses."""
    total = np.zeros(n_samples)
    time_s = np.arange(n_samples) / rate_hz
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / rate_hz)
    for _ in range(_BABBLE_VOICES):
        formants = ((rng.uniform(300, 800), 150, 1.0), (rng.uniform(1000, 2000), 300, 0.5), (2700, 500, 0.2))
        gain = sum(level * np.exp(-(((frequency_hz - at) / width) ** 2)) for at, width, level in formants)
        voice = np.fft.irfft(np.fft.rfft(rng.standard_normal(n_samples)) * gain, n_samples)
        syllables = np.sin(2 * np.pi * rng.uniform(2.5, 5) * time_s + rng.uniform(0, 2 * np.pi))
        sentences = 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * time_s + rng.uniform(0, 2 * np.pi))
        total += voice / voice.std() * np.clip(syllables + sentences, 0, None)
    return total.astype(np.float32)


def convolve(signal: Samples, response: Samples) -> Samples:
    """Return the first `signal.size` samples of the convolution, computed with FFTs."""
    size = 1 << (signal.size + response.size - 1).bit_length()
    product = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: signal.size].astype(np.float32)
