"""How much a piece of music resembles itself a moment later: what repeats itself agrees with strangers more by chance.

What belongs here: the measure. What does not: what follows from it for a match (`calibration`).

Two unrelated sequences correlate by chance with a variance that grows with the product of their autocorrelations (M. S.
Bartlett, 1946): a rhythm that returns every second has fewer independent moments than its length says. The tracks that
come nearest repeat themselves in the way the query does, so the query's own autocorrelation stands for both.
"""

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.correlation import informative_items
from musicfp.fingerprint.model import bit_rows

# 7.5 s: rhythms and bars, not the form of the piece.
_MAX_LAG_ITEMS = 60
# Two minutes of a longer query would take longer to measure and say the same.
_MAX_ITEMS = 480
# Autocorrelation energy of ordinary music, without what chance adds to it in a short clip (195 clips of 65 tracks).
_TYPICAL_ENERGY = 1.5
# Of 0.5, 0.75 and 1 the one at which strangers' tails of all lengths fall alike (`python -m eval.calibration`).
_EXPONENT = 0.75
# What noise makes of music resembles itself less than any music; that is no evidence for a track.
_LEAST = 0.85


def repetitiveness(items: NDArray[np.uint32]) -> float:
    """Return by what factor the correlation of a query with strangers exceeds what is usual for its length; 1 is usual.

    Parameters
    ----------
    items
        NDArray[np.uint32] [shape=(n_items,)].

    Returns
    -------
    float
        0.85 to about 1.1 for most music, 1.5 for loops and drones.

    """
    # A held tone is all repetition, but takes no part in a match; what is around it does.
    telling = items[informative_items(items)]
    start = max(0, (telling.size - _MAX_ITEMS) // 2)
    rows = bit_rows(telling[start : start + _MAX_ITEMS]).astype(np.float32)
    n_items = len(rows)
    if n_items < 2:
        return 1.0
    rows -= rows.mean(axis=0)
    variance = float(np.square(rows).sum()) / n_items
    if not variance:
        return 1.0
    lags = range(min(_MAX_LAG_ITEMS, n_items - 1))
    energies = [float(np.square(rows[: n_items - lag].T @ rows[lag:]).sum()) for lag in lags]
    energy = (2 * sum(energies) - energies[0]) / (n_items * variance) ** 2
    by_chance = 2 * sum(1 - lag / n_items for lag in lags) / n_items
    factor: float = (energy / (_TYPICAL_ENERGY + by_chance)) ** (_EXPONENT / 2)
    return max(_LEAST, factor)
