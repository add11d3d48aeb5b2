"""Weights that turn the spectrum of a frame into bands of hearing: mel, Bark and gammatone (ERB).

Here: matrices to multiply power spectra with, and cepstra of bands. Not here: the spectra (`spectra`).
"""

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

N_MEL = 40
N_ERB = 40
N_CEPSTRAL = 13
# Zwicker's critical bands, with the lowest two halved.
BARK_EDGES_HZ = (
    *(0, 50, 100, 150, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400),
    *(5300, 6400, 7700, 9500, 12000, 15500, 20500),
)
N_BARK = len(BARK_EDGES_HZ) - 1
_MEL_MAX_HZ = 11_000.0
_ERB_MIN_HZ = 40.0
# Glasberg and Moore 1990: the ERB at f is f / EAR_Q + MIN_ERB_HZ.
_EAR_Q = 9.26449
_MIN_ERB_HZ = 24.7
_GAMMATONE_WIDTH = 1.019
# The level that stands for nothing, so that logarithms stay finite: -100 dB.
FLOOR_POWER = 1e-10


@cache
def mel_weights(n_bins: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return triangles that are even in mel from 0 to 11 kHz, each of sum 1; shape (n_bins, N_MEL).

    References
    ----------
    S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980; mel as
    2595 log10(1 + f / 700).

    """
    edges = np.linspace(0.0, _mel(np.array(_MEL_MAX_HZ)), N_MEL + 2)
    mel = _mel(_bin_hz(n_bins, sample_rate_hz))[:, np.newaxis]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(weights / weights.sum(axis=0), dtype=np.float32)


@cache
def bark_weights(n_bins: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return ones where a bin is nearest to a critical band, so that bands are sums; shape (n_bins, N_BARK)."""
    return np.stack([box(low, high, n_bins, sample_rate_hz) for low, high in pairwise(BARK_EDGES_HZ)], axis=1)


@cache
def erb_weights(n_bins: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return magnitude responses of gammatone filters of order 4, even in ERB from 40 Hz up; shape (n_bins, N_ERB).

    References
    ----------
    R. Patterson et al., "An efficient auditory filterbank based on the gammatone function", 1987; B. Glasberg,
    B. Moore, "Derivation of auditory filter shapes from notched-noise data", 1990.

    """
    offset_hz = _EAR_Q * _MIN_ERB_HZ
    low, high = np.log(_ERB_MIN_HZ + offset_hz), np.log(sample_rate_hz / 2 + offset_hz)
    centres_hz = np.exp(low + (high - low) * np.arange(N_ERB) / N_ERB) - offset_hz
    widths_hz = _GAMMATONE_WIDTH * (centres_hz / _EAR_Q + _MIN_ERB_HZ)
    distance = (_bin_hz(n_bins, sample_rate_hz)[:, np.newaxis] - centres_hz) / widths_hz
    return np.asarray((1.0 + distance**2) ** -2, dtype=np.float32)


def box(low_hz: float, high_hz: float, n_bins: int, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return ones for the bins from `low_hz` up to, without, `high_hz`, both to the nearest bin; shape (n_bins,)."""
    hz_per_bin = sample_rate_hz / 2 / (n_bins - 1)
    weights = np.zeros(n_bins, dtype=np.float32)
    weights[int(low_hz / hz_per_bin + 0.5) : int(high_hz / hz_per_bin + 0.5)] = 1.0
    return weights


def cepstra(powers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the first 13 coefficients of the orthonormal DCT-II over bands in dB, the level first.

    Parameters
    ----------
    powers
        Of bands; below FLOOR_POWER they count as that. [shape=(n_frames, n_bands)]

    Returns
    -------
    array
        [shape=(n_frames, 13)]

    """
    n_bands = powers.shape[1]
    level_db = 20 * np.log10(np.maximum(powers, FLOOR_POWER).astype(np.float64))
    angles = np.pi / n_bands * np.outer(np.arange(n_bands) + 0.5, np.arange(N_CEPSTRAL))
    basis = np.cos(angles) * np.sqrt(2.0 / n_bands)
    basis[:, 0] /= np.sqrt(2.0)
    return np.asarray(level_db @ basis)


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + hz / 700))


def _bin_hz(n_bins: int, sample_rate_hz: int) -> NDArray[np.float64]:
    return np.linspace(0.0, sample_rate_hz / 2, n_bins)
