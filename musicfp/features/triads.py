"""Major and minor triads over time: the likeliest sequence for the notes that are heard.

Here: the sequence. Not here: what is reported of it (`harmony`), and what key it speaks for (`key_profiles`).
"""

import numpy as np
from numpy.typing import NDArray

from musicfp.features.key_profiles import KEYS, correlations, templates

_MAJOR_TRIAD, _MINOR_TRIAD = (0, 4, 7), (0, 3, 7)
_SMOOTHING_FRAMES = 9
# What a change of chord must gain in correlation, summed over frames: about half a second of a clearly better chord.
_CHANGE_COST = 1.0


def chord_path(notes: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the sequence of triads with the highest sum of correlations less the cost of changes (Viterbi).

    Parameters
    ----------
    notes
        Strength of the notes from C in each frame. [shape=(n_frames, 12)]

    Returns
    -------
    path, fits
        Index into KEYS, and correlation of the smoothed profile with it. [shape=(n_frames,) each]

    """
    sums = np.cumsum(np.pad(notes, ((_SMOOTHING_FRAMES // 2 + 1, _SMOOTHING_FRAMES // 2), (0, 0))), axis=0)
    smooth = sums[_SMOOTHING_FRAMES:] - sums[:-_SMOOTHING_FRAMES]
    triads = [tuple(float(note in triad) for note in range(12)) for triad in (_MAJOR_TRIAD, _MINOR_TRIAD)]
    fits = correlations(smooth, templates(*triads))
    score = fits[0].copy()
    came_from = np.zeros(fits.shape, dtype=np.int64)
    stay = np.arange(len(KEYS))
    for frame in range(1, len(fits)):
        best = int(score.argmax())
        changed = score[best] - _CHANGE_COST > score
        came_from[frame] = np.where(changed, best, stay)
        score = np.where(changed, score[best] - _CHANGE_COST, score) + fits[frame]
    path = np.empty(len(fits), dtype=np.int64)
    path[-1] = score.argmax()
    for frame in range(len(fits) - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path, fits[np.arange(len(fits)), path]
