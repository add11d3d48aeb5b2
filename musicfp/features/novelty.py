"""Where sound changes, and after how long the changes come back: what tempo and meter are judged by.

Here: onset strength in bands, chroma, and their autocorrelation, in plain numpy. Not here: what follows from them
(`meter_model`) and who reports it (`rhythm`, `meter`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 44_100
HOP_SAMPLES = 512
FRAME_RATE_HZ = SAMPLE_RATE_HZ / HOP_SAMPLES
MAX_LAG_S = 10.0
_FRAME_SAMPLES = 2048
_CHROMA_FRAME_SAMPLES = 8192
_CHROMA_HOP_FRAMES = 4  # in frames of HOP_SAMPLES: harmony is slower than onsets
_BAND_EDGES_HZ = (30, 60, 90, 130, 180, 250, 350, 500, 700, 1000, 1400, 2000, 2800, 4000, 5600, 8000, 11_000, 16_000)
_LOW_BANDS, _MID_BANDS, _HIGH_BANDS = slice(0, 4), slice(4, 12), slice(13, 17)
_CHROMA_HZ = (65.0, 2100.0)
_COMPRESSION = 1000.0  # of magnitudes relative to the track's mean, so that quiet notes count beside loud ones
_SMOOTHING_S = 0.02  # players are not exact: onsets that belong together are up to so far apart
_CHUNK_FRAMES = 2048
_PEAK_REACH_S = 0.035  # two onsets closer than that sound as one
_MEDIAN_S = 0.5
_LEAST_HEIGHT = 0.15  # of that of the clearest onsets
_LEAST_STRENGTH = 1e-9  # of a median: most of some sounds has none
_LEAST_CONTRAST = 1.0  # of the clearest onsets over the median: see the tests for noise and a steady tone
STREAMS = ("all", "low", "mid", "high", "harmony", "bands", "chroma")


@dataclass(frozen=True)
class Novelty:
    """Change in sound, at FRAME_RATE_HZ.

    Parameters
    ----------
    bands
        Rise of the compressed magnitude in each band. [shape=(n_frames, n_bands)]
    chroma
        Energy of each pitch class from C, each frame of unit length. [shape=(n_frames, 12)]
    harmony
        How far the chroma moves. [shape=(n_frames,)]

    """

    bands: NDArray[np.float32]
    chroma: NDArray[np.float32]
    harmony: NDArray[np.float32]

    @property
    def duration_s(self) -> float:
        """Duration of what was measured."""
        return len(self.bands) / FRAME_RATE_HZ

    @property
    def strength(self) -> NDArray[np.float32]:
        """Onset strength over all bands. Shape (n_frames,)."""
        return np.asarray(self.bands.sum(axis=1))

    @cached_property
    def peaks(self) -> "Peaks":
        """Peaks of the onset strength, found once for all who ask."""
        return _peaks(self.strength.astype(np.float64))


@dataclass(frozen=True)
class Peaks:
    """Where onset strength is highest within _PEAK_REACH_S.

    Parameters
    ----------
    height
        Of each peak above the median around it, 0 between peaks. [shape=(n_frames,)]
    clearest
        The height that one in twenty peaks exceeds; 0 without peaks.
    contrast
        That in units of the median onset strength.

    """

    height: NDArray[np.float64]
    clearest: float
    contrast: float


def novelty_of(mono: NDArray[np.float32]) -> Novelty:
    """Measure where a finite mono signal at 44.1 kHz changes [shape=(n_samples,)]."""
    magnitudes = np.concatenate([np.zeros((0, len(_BAND_EDGES_HZ) - 1), np.float32), *_band_magnitudes(mono)])
    compressed = np.log1p(_COMPRESSION * magnitudes / (magnitudes.mean() + 1e-12))
    rise = np.maximum(0, compressed[2:] - compressed[:-2])
    rise = _smoothed(np.pad(rise, ((1, 1), (0, 0))))
    chroma = _chroma(mono, n_frames=len(rise))
    moved = np.zeros(len(rise), np.float32)
    step = 2 * _CHROMA_HOP_FRAMES
    if len(rise) > step:
        moved[step // 2 : -(step - step // 2)] = np.linalg.norm(chroma[step:] - chroma[:-step], axis=1)
    return Novelty(bands=rise, chroma=chroma, harmony=moved)


def autocorrelations(novelty: Novelty) -> NDArray[np.float32]:
    """Return the autocorrelation of each of STREAMS by lag in frames, 1 at lag 0. Shape (n_streams, n_lags).

    The last two compare vectors: whether the same bands, the same pitch classes come back.
    """
    bands = novelty.bands
    scalars = [bands, bands[:, _LOW_BANDS], bands[:, _MID_BANDS], bands[:, _HIGH_BANDS]]
    streams = [each.sum(axis=1, keepdims=True) for each in scalars]
    return np.stack([_autocorrelation(each) for each in (*streams, novelty.harmony[:, None], bands, novelty.chroma)])


def onsets_s(novelty: Novelty) -> NDArray[np.float64] | None:
    """Return the instants at which sounds begin [shape=(n_onsets,)]; None if none stands out, as in noise."""
    peaks = novelty.peaks
    if peaks.contrast < _LEAST_CONTRAST:
        return None
    return np.flatnonzero(peaks.height > _LEAST_HEIGHT * peaks.clearest) / FRAME_RATE_HZ


def onsets_per_s(stretches: Sequence[Novelty]) -> float | None:
    """Return how many sounds begin in a second of several stretches, silence included; None if none stands out."""
    found = [onsets_s(each) for each in stretches]
    if all(each is None for each in found):
        return None
    return sum(len(each) for each in found if each is not None) / sum(each.duration_s for each in stretches)


def _peaks(strength: NDArray[np.float64]) -> Peaks:
    from scipy import ndimage  # noqa: PLC0415 (the registry must be cheap to import)

    reach = round(_PEAK_REACH_S * FRAME_RATE_HZ)
    around = ndimage.median_filter(strength, round(_MEDIAN_S * FRAME_RATE_HZ), mode="nearest")
    is_peak = (strength > 0) & (strength == ndimage.maximum_filter1d(strength, 2 * reach + 1, mode="nearest"))
    height = strength - around
    clearest = max(0.0, float(np.percentile(height[is_peak], 95))) if is_peak.any() else 0.0
    contrast = clearest / max(float(np.median(strength)), _LEAST_STRENGTH) if clearest else 0.0
    return Peaks(height=np.where(is_peak, height, 0.0), clearest=clearest, contrast=contrast)


def _band_magnitudes(mono: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    edges = np.round(np.array(_BAND_EDGES_HZ) * _FRAME_SAMPLES / SAMPLE_RATE_HZ).astype(int)
    for spectrum in _spectra(mono, frame_samples=_FRAME_SAMPLES, hop_samples=HOP_SAMPLES):
        sums = np.add.reduceat(spectrum[:, : edges[-1]], edges[:-1], axis=1)
        yield np.asarray(sums / np.diff(edges), dtype=np.float32)


def _chroma(mono: NDArray[np.float32], *, n_frames: int) -> NDArray[np.float32]:
    hz = np.fft.rfftfreq(_CHROMA_FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
    heard = np.flatnonzero((hz >= _CHROMA_HZ[0]) & (hz <= _CHROMA_HZ[1]))
    first, last = heard[0], heard[-1] + 1
    pitch = 12 * np.log2(hz[first:last] / 440.0) + 69
    away = (pitch[:, None] - np.arange(12) + 6) % 12 - 6
    weights = (np.exp(-0.5 * (away / 0.35) ** 2) / np.sqrt(hz[first:last, None])).astype(np.float32)
    hop_samples = HOP_SAMPLES * _CHROMA_HOP_FRAMES
    # einsum rather than @: the threads that BLAS would start cost more than they save, above all on a busy machine.
    parts = [
        np.einsum("ij,jk->ik", np.sqrt(spectrum[:, first:last]), weights)
        for spectrum in _spectra(mono, frame_samples=_CHROMA_FRAME_SAMPLES, hop_samples=hop_samples)
    ]
    energy = np.concatenate([np.zeros((0, 12), np.float32), *parts])
    chroma = energy / (np.linalg.norm(energy, axis=1, keepdims=True) + 1e-9)
    at = np.arange(n_frames) / _CHROMA_HOP_FRAMES
    known = np.arange(len(chroma))
    return np.stack([np.interp(at, known, each) for each in chroma.T], axis=1).astype(np.float32)


def _spectra(mono: NDArray[np.float32], *, frame_samples: int, hop_samples: int) -> Iterator[NDArray[np.float32]]:
    """Yield magnitudes of centred frames, some frames at a time. Shapes (n, frame_samples // 2 + 1)."""
    from scipy import fft  # noqa: PLC0415 (the registry must be cheap to import)

    window = np.hanning(frame_samples).astype(np.float32)
    padded = np.pad(mono, frame_samples // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame_samples)[::hop_samples]
    for start in range(0, len(frames), _CHUNK_FRAMES):
        yield np.abs(fft.rfft(frames[start : start + _CHUNK_FRAMES] * window, axis=1))


def _smoothed(rise: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy import ndimage  # noqa: PLC0415

    return np.asarray(ndimage.gaussian_filter1d(rise, _SMOOTHING_S * FRAME_RATE_HZ, axis=0), dtype=np.float32)


def _autocorrelation(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the autocorrelation of vectors around their mean, up to MAX_LAG_S. Shape (n_lags,)."""
    from scipy import fft  # noqa: PLC0415

    n_lags = round(MAX_LAG_S * FRAME_RATE_HZ)
    centred = vectors - vectors.mean(axis=0)
    size = fft.next_fast_len(len(centred) + n_lags, real=True)
    power = (np.abs(fft.rfft(centred, size, axis=0)) ** 2).sum(axis=1)
    products = fft.irfft(power, size)[:n_lags]
    pairs = np.maximum(1, len(centred) - np.arange(n_lags))
    raw = products / pairs
    return np.asarray(raw / (raw[0] + 1e-12), dtype=np.float32)
