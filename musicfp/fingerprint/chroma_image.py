"""From samples to the image of pitch classes over time that Chromaprint's classifiers look at.

What belongs here: framing, power spectra, folding them into twelve pitch classes, smoothing, normalising. What does
not: the classifiers (`classifiers`) and the library (`chromaprint`), which makes the fingerprint of every track.

The library keeps its image to itself. With it a query that comes as audio is worth more: it says how sure each bit is,
noise can be taken off before folding, and another speed or pitch is only another way to cut and fold the same samples.
With the defaults, the items made from this image are those of libchromaprint, bit for bit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.ndimage import median_filter

from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, HOP_SAMPLES

PITCH_CLASSES = 12
FRAME_SAMPLES = 4096
_MIN_HZ = 28
_MAX_HZ = 3520
_TUNING_HZ = 27.5
_SMOOTHING = (0.25, 0.75, 1.0, 0.75, 0.25)
# The frames that one column of the image is made of.
SMOOTHED_FRAMES = len(_SMOOTHING)
# A frame whose smoothed chroma is weaker than this is silence, an all-zero column of the image.
_SILENCE_NORM = 0.01
# A frame may be this much longer or shorter than asked for, 1.7 cents, to be transformed quickly. Ten would change 10 %
# of the bits: music tuned to 440 Hz lies on the borders of Chromaprint's pitch classes.
_LENGTH_SLACK_SAMPLES = 4
_QUICK_FACTOR = 47
# Stationary noise: the quiet fifth of each bin's frames, smooth over frequency as noise is and music is not.
_NOISE_QUANTILE = 0.2
_NOISE_SMOOTHING_BINS = 61
# The quiet fifth of noise is weaker than its mean; 3 times as much took most errors off at 0 and -5 dB.
_NOISE_EXCESS = 3.0


@dataclass(frozen=True)
class Band:
    """Which frequencies are heard, in Hz."""

    min_hz: float
    max_hz: float


FULL_BAND = Band(_MIN_HZ, _MAX_HZ)


def power_spectra(samples: NDArray[np.int16], *, pitch: float = 1.0, speed: float = 1.0) -> NDArray[np.float64]:
    """Cut samples into frames and return the power of each frequency bin.

    Parameters
    ----------
    samples
        NDArray[np.int16] [shape=(n_samples,)], mono, at 11025 Hz.
    pitch, speed
        By what factor the audio is higher and faster than the original that it shall be compared with. The frames
        become that much shorter, within 2 cents, and their distance that much smaller: no sample is computed anew.

    Returns
    -------
    NDArray[np.float64] [shape=(n_frames, n_bins)]
        Bin k stands for the frequency `k * 11025 / 4096` of the original.
    """
    frame_samples = _quick_length(round(FRAME_SAMPLES / pitch))
    hop_samples = HOP_SAMPLES / speed
    n_frames = int((samples.size - frame_samples) / hop_samples) + 1 if samples.size >= frame_samples else 0
    starts = np.floor(np.arange(n_frames) * hop_samples + 0.5).astype(np.int64)
    starts = starts[starts + frame_samples <= samples.size]
    window = (np.hamming(frame_samples) / np.iinfo(np.int16).max).astype(np.float32)
    _, last = _bins_of(FULL_BAND)
    if not starts.size:
        return np.zeros((0, last))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame_samples)[starts]
    spectrum = rfft(frames * window, axis=1)[:, :last]  # SciPy's takes four frames at once, a third of NumPy's time
    power: NDArray[np.float64] = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
    return power


def without_stationary_noise(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract what sounds all the time with a smooth spectrum: hiss, hum of a room, traffic.

    Wrong for clean music, whose sustained sounds suffer; worth trying where a clean search finds nothing.

    References
    ----------
    S. Boll, Suppression of acoustic noise in speech using spectral subtraction, IEEE TASSP 1979.

    """
    if not len(power):
        return power
    floor = median_filter(np.quantile(power, _NOISE_QUANTILE, axis=0), _NOISE_SMOOTHING_BINS)
    cleaned: NDArray[np.float64] = np.maximum(power - _NOISE_EXCESS * floor, 0.0)
    return cleaned


def chroma_image(power: NDArray[np.float64], *, band: Band = FULL_BAND) -> NDArray[np.float64]:
    """Fold power spectra into pitch classes, smooth them over five frames and normalise each.

    Parameters
    ----------
    power
        NDArray[np.float64] [shape=(n_frames, n_bins)], of `power_spectra`.
    band
        Frequencies to fold.

    Returns
    -------
    NDArray[np.float64] [shape=(n_frames - 4, 12)]
        Rows of Euclidean norm 1, or of zeros in silence.

    References
    ----------
    L. Lalinský, How does Chromaprint work?, 2011. D. Ellis, G. Poliner, Identifying cover songs with chroma features
    and dynamic programming beat tracking, ICASSP 2007.

    """
    n_columns = max(0, len(power) - SMOOTHED_FRAMES + 1)
    first, last = _bins_of(band)
    chroma = _folded(power, first, last)
    smooth = np.zeros((n_columns, PITCH_CLASSES))
    for at, weight in enumerate(_SMOOTHING):
        smooth += weight * chroma[at : at + n_columns]
    norm = np.linalg.norm(smooth, axis=1, keepdims=True)
    image: NDArray[np.float64] = np.where(norm < _SILENCE_NORM, 0.0, smooth / np.maximum(norm, _SILENCE_NORM))
    return image


def _quick_length(n: int) -> int:
    """Return the nearest length that a transform is quick for; one of a large prime takes up to 20 times as long."""
    nearest_first = sorted(range(n - _LENGTH_SLACK_SAMPLES, n + _LENGTH_SLACK_SAMPLES + 1), key=lambda m: abs(m - n))
    return next((m for m in nearest_first if _largest_prime_factor(m) <= _QUICK_FACTOR), n)


def _largest_prime_factor(n: int) -> int:
    factor, largest = 2, 1
    while factor * factor <= n:
        if n % factor:
            factor += 1
        else:
            n, largest = n // factor, factor
    return max(n, largest)


def _bins_of(band: Band) -> tuple[int, int]:
    bin_hz = ANALYSIS_RATE_HZ / FRAME_SAMPLES
    return max(1, int(band.min_hz / bin_hz + 0.5)), int(band.max_hz / bin_hz + 0.5)


def _folded(power: NDArray[np.float64], first: int, last: int) -> NDArray[np.float64]:
    """Add each of these bins to its pitch class; return [shape=(n_frames, 12)].

    Not a product of matrices: NumPy's would start threads for it, which on a busy machine cost ten times as much.
    """
    octaves = np.log2(np.arange(first, last) * ANALYSIS_RATE_HZ / FRAME_SAMPLES / _TUNING_HZ)
    semitones = np.floor(PITCH_CLASSES * octaves).astype(np.int64)
    starts = np.flatnonzero(np.diff(semitones, prepend=semitones[0] - 1))
    by_semitone = np.add.reduceat(power[:, first:last], starts, axis=1)
    pitch_classes = semitones[starts] % PITCH_CLASSES
    folded = np.zeros((len(power), PITCH_CLASSES))
    for pitch_class in range(PITCH_CLASSES):
        folded[:, pitch_class] = by_semitone[:, pitch_classes == pitch_class].sum(axis=1)
    return folded
