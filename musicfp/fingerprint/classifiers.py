"""Chromaprint's sixteen classifiers: what each measures in the image, and how sure its two bits are.

What belongs here: filters, quantizers, items from values, probabilities of values. What does not: the image
(`chroma_image`) and what is looked up with the probabilities (`probes`).

Each classifier compares sums over rectangles of the image and quantizes the logarithm of their ratio to one of four
levels, written as two bits of a Gray code. Classifier 0 makes the two highest bits of an item. The numbers are those of
Chromaprint's default algorithm (TEST2), learned by its author from music.

References
----------
L. Lalinský, Chromaprint, src/fingerprinter_configuration.cpp. Y. Ke, D. Hoiem, R. Sukthankar, Computer Vision for Music
Identification, CVPR 2005.

"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from musicfp.fingerprint.chroma_image import PITCH_CLASSES

N_CLASSIFIERS = 16
N_LEVELS = 4
# The image columns that one item sees.
WIDTH_COLUMNS = 16
_GRAY = np.array([0, 1, 3, 2], dtype=np.uint32)
# Deviation of a value in pink noise at 0 dB from its clean value, as a share of half the distance of its outer
# thresholds: 1.48 times the median over 60 tracks. Narrower filters suffer more.
_NOISE_DEVIATION = np.array(
    [0.90, 0.74, 0.64, 0.98, 0.59, 0.64, 0.64, 1.06, 0.83, 1.18, 0.64, 0.77, 0.74, 0.91, 0.79, 0.94]
)
# No level is impossible: noise is not quite Gaussian.
_MIN_PROBABILITY = 1e-5


@dataclass(frozen=True)
class _Classifier:
    """A filter on columns 0..width, pitch classes first..first + height, and the thresholds of its quantizer."""

    shape: int
    first: int
    height: int
    width: int
    thresholds: tuple[float, float, float]


_CLASSIFIERS = (
    _Classifier(0, 4, 3, 15, (1.98215, 2.35817, 2.63523)),
    _Classifier(4, 4, 6, 15, (-1.03809, -0.651211, -0.282167)),
    _Classifier(1, 0, 4, 16, (-0.298702, 0.119262, 0.558497)),
    _Classifier(3, 8, 2, 12, (-0.105439, 0.0153946, 0.135898)),
    _Classifier(3, 4, 4, 8, (-0.142891, 0.0258736, 0.200632)),
    _Classifier(4, 0, 3, 5, (-0.826319, -0.590612, -0.368214)),
    _Classifier(1, 2, 2, 9, (-0.557409, -0.233035, 0.0534525)),
    _Classifier(2, 7, 3, 4, (-0.0646826, 0.00620476, 0.0784847)),
    _Classifier(2, 6, 2, 16, (-0.192387, -0.029699, 0.215855)),
    _Classifier(2, 1, 3, 2, (-0.0397818, -0.00568076, 0.0292026)),
    _Classifier(5, 10, 1, 15, (-0.53823, -0.369934, -0.190235)),
    _Classifier(3, 6, 2, 10, (-0.124877, 0.0296483, 0.139239)),
    _Classifier(2, 1, 1, 14, (-0.101475, 0.0225617, 0.231971)),
    _Classifier(3, 5, 6, 4, (-0.0799915, -0.00729616, 0.063262)),
    _Classifier(1, 9, 2, 12, (-0.272556, 0.019424, 0.302559)),
    _Classifier(3, 4, 2, 14, (-0.164292, -0.0321188, 0.0846339)),
)
_THRESHOLDS = np.array([each.thresholds for each in _CLASSIFIERS])
_DEVIATION = _NOISE_DEVIATION * (_THRESHOLDS[:, 2] - _THRESHOLDS[:, 0]) / 2


def classifier_values(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each classifier measures at each place of the image.

    Parameters
    ----------
    image
        NDArray[np.float64] [shape=(n_columns, 12)], of `chroma_image`.

    Returns
    -------
    NDArray[np.float64] [shape=(max(0, n_columns - 15), 16)]
        Logarithms of ratios of sums, before quantization.
    """
    n_items = max(0, len(image) - WIDTH_COLUMNS + 1)
    sums = np.zeros((len(image) + 1, PITCH_CLASSES + 1))
    sums[1:, 1:] = image.cumsum(axis=0).cumsum(axis=1)
    values = np.empty((n_items, N_CLASSIFIERS))
    for at, classifier in enumerate(_CLASSIFIERS):
        plus, minus = _rectangles(classifier)
        added = sum((_area(sums, each, n_items) for each in plus), start=np.zeros(n_items))
        taken = sum((_area(sums, each, n_items) for each in minus), start=np.zeros(n_items))
        values[:, at] = np.log((1 + added) / (1 + taken))
    return values


def items_of(values: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Quantize values [shape=(n_items, 16)] to sub-fingerprints [shape=(n_items,)]."""
    levels = (values[:, :, None] >= _THRESHOLDS).sum(axis=2)
    shifts = np.arange(2 * N_CLASSIFIERS - 2, -1, -2, dtype=np.uint32)
    items: NDArray[np.uint32] = np.bitwise_or.reduce(_GRAY[levels] << shifts, axis=1)
    return items


def code_log_probabilities(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely each two-bit code is the one that the clean audio would have given.

    Parameters
    ----------
    values
        NDArray[np.float64] [shape=(n_items, 16)], of `classifier_values`.

    Returns
    -------
    NDArray[np.float64] [shape=(n_items, 16, 4)]
        Natural logarithms, by the two bits as they stand in the item (not by level), for noise as loud as the music.
    """
    below = ndtr((_THRESHOLDS - values[:, :, None]) / _DEVIATION[:, None])
    edges = np.concatenate([np.zeros((*values.shape, 1)), below, np.ones((*values.shape, 1))], axis=2)
    by_level = np.log(np.maximum(np.diff(edges, axis=2), _MIN_PROBABILITY))
    # The Gray code of four levels is its own inverse.
    return by_level[:, :, _GRAY]


_Rectangle = tuple[int, int, int, int]


def _rectangles(classifier: _Classifier) -> tuple[list[_Rectangle], list[_Rectangle]]:
    """Return what is added and what is subtracted, each as first column, first class, last column, last class."""
    low, high, width = classifier.first, classifier.first + classifier.height, classifier.width
    middle, half = low + classifier.height // 2, width // 2
    class_third, third = classifier.height // 3, width // 3
    match classifier.shape:
        case 0:  # everything
            return [(0, low, width, high)], []
        case 1:  # high against low
            return [(0, middle, width, high)], [(0, low, width, middle)]
        case 2:  # late against early
            return [(half, low, width, high)], [(0, low, half, high)]
        case 3:  # one diagonal against the other
            return (
                [(0, middle, half, high), (half, low, width, middle)],
                [(0, low, half, middle), (half, middle, width, high)],
            )
        case 4:  # the middle pitch classes against those around them
            low_end, high_start = low + class_third, low + 2 * class_third
            return [(0, low_end, width, high_start)], [(0, low, width, low_end), (0, high_start, width, high)]
        case _:  # the middle columns against those around them
            return [(third, low, 2 * third, high)], [(0, low, third, high), (2 * third, low, width, high)]


def _area(sums: NDArray[np.float64], rectangle: _Rectangle, n_items: int) -> NDArray[np.float64]:
    first, low, last, high = rectangle
    start, stop = sums[first : first + n_items], sums[last : last + n_items]
    area: NDArray[np.float64] = stop[:, high] - start[:, high] - stop[:, low] + start[:, low]
    return area
