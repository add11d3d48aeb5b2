"""Whether a copy still sounds like its source, by their fingerprints laid start on start.

What belongs here: comparing two files that are meant to be the same, aligned recording. What does not: looking for an
alignment (`correlation`) or for a track (`search`).
"""

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.correlation import bit_error_rate

FIDELITY_WINDOW_ITEMS = 80
# A codec's delay moves the copy by less than one item; one item of slack covers rounding.
_SLACK_ITEMS = 1


def typical_bit_error_rate(source: NDArray[np.uint32], copy: NDArray[np.uint32]) -> float:
    """Return the median over windows of 10 s of the share of bits in which a copy differs from its source.

    The median, because in silence Chromaprint's bits are those of a codec's noise and say nothing about the music.

    Parameters
    ----------
    source, copy
        NDArray[np.uint32] [shape=(n_items,)], both from the start of the recording.

    Returns
    -------
    float
        0 for the same, about 0.4 and more for unrelated music; 0 when both are too short to have items.
    """
    if not source.size or not copy.size:
        return 0.0 if source.size == copy.size else 1.0
    return min(_median_over_windows(source, copy, shift) for shift in range(-_SLACK_ITEMS, _SLACK_ITEMS + 1))


def _median_over_windows(source: NDArray[np.uint32], copy: NDArray[np.uint32], shift_items: int) -> float:
    source, copy = source[max(0, -shift_items) :], copy[max(0, shift_items) :]
    n_items = min(source.size, copy.size)
    if not n_items:
        return 1.0
    n_windows = max(1, n_items // FIDELITY_WINDOW_ITEMS)
    windows = zip(np.array_split(source[:n_items], n_windows), np.array_split(copy[:n_items], n_windows), strict=True)
    return float(np.median([bit_error_rate(ours, theirs) for ours, theirs in windows]))
