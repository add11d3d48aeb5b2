"""Short-time spectra of a track, reduced to bands and numbers per frame in one pass.

Frames of 2048 samples every 1024 (46 and 23 ms at 44.1 kHz), under the window and the definitions of AcousticBrainz's
low-level schema. Frames are worked on in small blocks and only what is listed in `Spectra` is kept: 30 MB for 15
minutes where the spectra themselves would be 160 MB. Here: numbers of frames. Not here: their statistics over the track
and their names (`lowlevel`), pitch (`pitch_classes`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.filterbanks import N_BARK, N_ERB, N_MEL, bark_weights, box, erb_weights, mel_weights

FRAME_SAMPLES = 2048
HOP_SAMPLES = 1024
N_BINS = FRAME_SAMPLES // 2 + 1
# Of the mean square. Digital silence and dither below 16 bits have no spectrum worth a number.
SILENT_POWER = 1e-10
# A block of spectra stays in the processor's cache.
_BLOCK_FRAMES = 128
_BLACKMAN_HARRIS_62 = (0.44959, -0.49364, 0.05677)
_ROLLOFF_SHARE = 0.85
ENERGY_BANDS_HZ = {"low": (20, 150), "middle_low": (150, 800), "middle_high": (800, 4000), "high": (4000, 20000)}
_PEAKS_HZ = (100.0, 5000.0)
_PEAK_MAGNITUDE = 0.005
_CONTRAST_BANDS = 6
# Where AcousticBrainz's bands are (measured); the parameters in its schema say half of that.
_CONTRAST_HZ = (40.0, 22_000.0)
_CONTRAST_STATIC_SHARE = 0.15
_CONTRAST_NEIGHBOURS = 0.4
_DISSONANT_PEAKS = 12
_TINY = 1e-30


@dataclass(frozen=True)
class Spectra:
    """Frames of a track that are not silent.

    Parameters
    ----------
    mel, bark, erb
        Power in bands. [shape=(n_frames, N_MEL), (n_frames, N_BARK), (n_frames, N_ERB)]
    contrast, valleys
        Spectral contrast and the logarithm of its valleys in six bands. [shape=(n_frames, 6) each]
    scalars
        One number per frame, by name. [shape=(n_frames,) each]
    powers
        Mean square of every frame, silent ones too. [shape=(n_all_frames,)]

    """

    mel: NDArray[np.float32]
    bark: NDArray[np.float32]
    erb: NDArray[np.float32]
    contrast: NDArray[np.float32]
    valleys: NDArray[np.float32]
    scalars: dict[str, NDArray[np.float64]]
    powers: NDArray[np.float64]

    @property
    def n_frames(self) -> int:
        """How many frames are not silent."""
        return len(self.mel)


def measure_spectra(mono: NDArray[np.float32], *, sample_rate_hz: int) -> Spectra:
    """Return the bands and numbers of all whole frames of `mono`; there are none if it is shorter than one frame.

    Parameters
    ----------
    mono
        Finite samples. [shape=(n_samples,)]
    sample_rate_hz
        Of `mono`.

    References
    ----------
    A. Porter, D. Bogdanov, R. Kaye, R. Tsukanov, X. Serra, "AcousticBrainz: a community platform for gathering music
    information obtained from audio", ISMIR 2015.

    """
    if len(mono) < FRAME_SAMPLES:
        mono = mono[:0]
        frames = np.empty((0, FRAME_SAMPLES), dtype=np.float32)
    else:
        frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME_SAMPLES)[::HOP_SAMPLES]
    ruler = _Ruler(sample_rate_hz)
    blocks: list[dict[str, NDArray[np.floating]]] = []
    before: NDArray[np.float32] | None = None
    for start in range(0, max(1, len(frames)), _BLOCK_FRAMES):
        block = frames[start : start + _BLOCK_FRAMES]
        magnitudes = np.abs(np.fft.rfft(block * ruler.window, axis=1))
        blocks.append(ruler.measure(block, magnitudes, before=before))
        before = magnitudes[-1] if len(magnitudes) else None
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    powers = joined.pop("powers").astype(np.float64)
    sounding = {name: values[powers > SILENT_POWER] for name, values in joined.items()}
    arrays = {name: sounding.pop(name).astype(np.float32) for name in ("mel", "bark", "erb", "contrast", "valleys")}
    scalars = {name: values.astype(np.float64) for name, values in sounding.items()}
    return Spectra(**arrays, scalars=scalars, powers=powers)


class _Ruler:
    """What does not depend on the sound: window, weights and edges for one sample rate."""

    def __init__(self, sample_rate_hz: int) -> None:
        phase = 2 * np.pi * np.arange(FRAME_SAMPLES) / (FRAME_SAMPLES - 1)
        window = np.asarray(_BLACKMAN_HARRIS_62) @ np.cos(np.outer(np.arange(3), phase))
        # A sine then has its amplitude as magnitude.
        self.window = np.asarray(2 * window / window.sum(), dtype=np.float32)
        self._bin_hz = np.linspace(0.0, sample_rate_hz / 2, N_BINS)
        self._hz_per_bin = float(self._bin_hz[1])
        banks = [bank(N_BINS, sample_rate_hz) for bank in (mel_weights, bark_weights, erb_weights)]
        boxes = [box(low, high, N_BINS, sample_rate_hz)[:, np.newaxis] for low, high in ENERGY_BANDS_HZ.values()]
        # Sums over the power spectrum with weights are one product of matrices.
        self._of_power = np.concatenate([*banks, *boxes, self._linear_weights()], axis=1)
        share = self._bin_hz / self._bin_hz[-1]
        self._moments = np.stack([share**order for order in range(5)], axis=1)
        self._contrast_sizes, self._contrast_first = _contrast_bands(self._hz_per_bin)
        low, high = (int(hz / self._hz_per_bin) for hz in _PEAKS_HZ)
        self._peak_bins = slice(low, high)

    def measure(
        self,
        block: NDArray[np.float32],
        magnitudes: NDArray[np.float32],
        *,
        before: NDArray[np.float32] | None,
    ) -> dict[str, NDArray[np.floating]]:
        """Return all that is kept of a block of frames, by name; the first axis is the frame."""
        power = magnitudes * magnitudes
        energy = power.sum(axis=1, dtype=np.float64)
        sums = power @ self._of_power
        edges = np.cumsum([N_MEL, N_BARK, N_ERB, len(ENERGY_BANDS_HZ)])
        mel, bark, erb, bands, linear = np.split(sums, edges, axis=1)
        contrast, valleys = self._contrast(magnitudes)
        spread, skewness, kurtosis = self._shape(magnitudes)
        return {
            "powers": np.einsum("ij,ij->i", block, block) / FRAME_SAMPLES,
            "mel": mel,
            "bark": bark,
            "erb": erb,
            "contrast": contrast,
            "valleys": valleys,
            "zerocrossingrate": np.count_nonzero(np.diff(block > 0, axis=1), axis=1) / FRAME_SAMPLES,
            "spectral_energy": energy,
            "spectral_rms": np.sqrt(energy / N_BINS),
            **{f"spectral_energyband_{name}": bands[:, index] for index, name in enumerate(ENERGY_BANDS_HZ)},
            "hfc": linear[:, 0],
            "spectral_centroid": linear[:, 0] / np.maximum(energy, _TINY),
            "spectral_decrease": linear[:, 1],
            "spectral_spread": spread,
            "spectral_skewness": skewness,
            "spectral_kurtosis": kurtosis,
            "spectral_rolloff": self._rolloff(power, energy),
            "spectral_flux": _flux(magnitudes, before),
            "spectral_entropy": _entropy(magnitudes),
            "spectral_complexity": self._complexity(magnitudes),
            "pitch_salience": self._pitch_salience(magnitudes),
            "dissonance": self._dissonance(magnitudes),
        }

    def _linear_weights(self) -> NDArray[np.float32]:
        """Return weights of the high-frequency content and of the slope of a line through the power spectrum."""
        centred = self._bin_hz - self._bin_hz.mean()
        return np.stack([self._bin_hz, centred / (centred**2).sum()], axis=1).astype(np.float32)

    def _shape(self, magnitudes: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        """Return spread in Hz^2, skewness and excess kurtosis of the magnitudes taken as a distribution."""
        # In float64: central moments are small differences of these.
        m0, *raw = (magnitudes.astype(np.float64) @ self._moments).T
        return shape_from_moments([each / np.maximum(m0, _TINY) for each in raw], scale=float(self._bin_hz[-1]))

    def _rolloff(self, power: NDArray[np.float32], energy: NDArray[np.float64]) -> NDArray[np.float64]:
        reached = np.cumsum(power, axis=1) >= (_ROLLOFF_SHARE * energy)[:, np.newaxis]
        return np.asarray(self._bin_hz[reached.argmax(axis=1)])

    def _complexity(self, magnitudes: NDArray[np.float32]) -> NDArray[np.int64]:
        peaks = is_peak(magnitudes) & (magnitudes > _PEAK_MAGNITUDE)
        return np.asarray(np.count_nonzero(peaks[:, self._peak_bins], axis=1))

    def _pitch_salience(self, magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the highest autocorrelation of the spectrum at a distance of 100 to 5000 Hz, over that at none."""
        folded = np.fft.rfft(magnitudes, n=FRAME_SAMPLES, axis=1)
        correlation = np.fft.irfft(folded.real**2 + folded.imag**2, axis=1)[:, :N_BINS]
        highest = correlation[:, self._peak_bins].max(axis=1)
        return np.asarray(highest / np.maximum(correlation[:, 0], _TINY))

    def _dissonance(self, magnitudes: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the roughness of all pairs of the strongest peaks to 5 kHz, weighted by the product of magnitudes.

        R. Plomp, W. Levelt, "Tonal consonance and critical bandwidth", 1965, in the form of W. Sethares, "Local
        consonance and the relationship between timbre and scale", 1993, scaled so that the roughest distance is 1.
        """
        low = magnitudes[:, : self._peak_bins.stop]
        peaks = np.where(is_peak(low), low, np.float32(0.0))
        bins = np.argpartition(peaks, -_DISSONANT_PEAKS, axis=1)[:, -_DISSONANT_PEAKS:]
        heights = np.take_along_axis(peaks, bins, axis=1).astype(np.float64)
        one, other = np.triu_indices(_DISSONANT_PEAKS, k=1)
        hz = self._bin_hz[bins]
        width = 0.24 / (0.0207 * np.minimum(hz[:, one], hz[:, other]) + 18.96)
        distance = np.abs(hz[:, one] - hz[:, other]) * width
        roughness = (np.exp(-3.51 * distance) - np.exp(-5.75 * distance)) / _ROUGHEST
        weights = heights[:, one] * heights[:, other]
        return np.asarray((roughness * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), _TINY))

    def _contrast(self, magnitudes: NDArray[np.float32]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return contrast and valleys of each band: V. Akkermans, J. Serra, P. Herrera, SMC 2009."""
        contrast, valleys = [], []
        first = self._contrast_first
        for size in self._contrast_sizes:
            band = np.sort(magnitudes[:, first : first + size], axis=1)
            n_near = max(1, round(_CONTRAST_NEIGHBOURS * size))
            valley = band[:, :n_near].mean(axis=1, dtype=np.float64) + _TINY
            peak = band[:, -n_near:].mean(axis=1, dtype=np.float64) + _TINY
            # Magnitudes are below 1 here, except for clipped or synthetic sound: there the exponent would explode.
            level = np.minimum(np.log(band.mean(axis=1, dtype=np.float64) + _TINY), -0.1)
            contrast.append(-((peak / valley) ** (1 / level)))
            valleys.append(np.log(valley))
            first += size
        return np.stack(contrast, axis=1), np.stack(valleys, axis=1)


_ROUGHEST = max(np.exp(-3.51 * x) - np.exp(-5.75 * x) for x in np.linspace(0.0, 1.0, 1001))


def shape_from_moments(
    raw: list[NDArray[np.float64]], *, scale: float = 1.0, least: float = 1e-9
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return variance times scale squared, skewness and excess kurtosis from the first four moments about zero.

    Where the variance is below `least`, all is in one place: skewness 0 and kurtosis -3, as essentia has it.
    """
    m1, m2, m3, m4 = raw
    variance = np.maximum(m2 - m1**2, 0.0)
    spread = variance > least
    safe = np.where(spread, variance, 1.0)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    skewness = np.where(spread, third / safe**1.5, 0.0)
    return variance * scale**2, skewness, np.where(spread, fourth / safe**2, 0.0) - 3


def is_peak(magnitudes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which bins are above both their neighbours; the outermost never are."""
    peaks = np.zeros(magnitudes.shape, dtype=bool)
    middle = magnitudes[:, 1:-1]
    peaks[:, 1:-1] = (middle > magnitudes[:, :-2]) & (middle >= magnitudes[:, 2:])
    return peaks


def _flux(magnitudes: NDArray[np.float32], before: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the Euclidean distance of each spectrum from the one before; the first is compared with nothing."""
    first = np.zeros((1, N_BINS), dtype=np.float32) if before is None else before[np.newaxis]
    change = np.diff(magnitudes, axis=0, prepend=first)
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", change, change)))


def _entropy(magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy in bits of the magnitudes taken as a distribution."""
    total = np.maximum(magnitudes.sum(axis=1), _TINY)
    plogp = np.einsum("ij,ij->i", magnitudes, np.log2(magnitudes + np.float32(_TINY)))
    return np.asarray(np.log2(total) - plogp / total)


def _contrast_bands(hz_per_bin: float) -> tuple[list[int], int]:
    """Return sizes in bins of six bands and the first bin: 15 % of the bins evenly, the rest evenly in pitch."""
    low_hz, high_hz = _CONTRAST_HZ
    n_bins = round(high_hz / hz_per_bin)
    n_static = round(_CONTRAST_STATIC_SHARE * n_bins / _CONTRAST_BANDS)
    top_hz = round((1 - _CONTRAST_STATIC_SHARE) * n_bins) * hz_per_bin
    edges_hz = low_hz * (top_hz / low_hz) ** (np.arange(_CONTRAST_BANDS + 1) / _CONTRAST_BANDS)
    edges = np.round(edges_hz / hz_per_bin).astype(int)
    return [int(size) + n_static for size in np.diff(edges)], int(edges[0])
