"""Which tracks, at which offsets, most of a query's terms point to.

What belongs here: weighing and counting what was found in the index. What does not: what is looked up (`probes`), and
whether a candidate is right (`verification`).

A found term is worth ln(P(guess is right) / P(any item has this term)): a rare term that is surely right says much, a
frequent one that was guessed says little. Worths of the same window, track and offset add up, as the logarithm of a
likelihood ratio does for independent observations.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.postings import Postings
from musicfp.fingerprint.probes import Probes

# Music that repeats itself matches itself at many offsets; without a limit it would crowd out other tracks.
_MAX_OFFSETS_PER_TRACK = 4
# However improbable a guess, that it was found counts a little.
_MIN_WORTH_NATS = 0.1
# Offsets fit into +-2^20 items, 36 hours; with 2^14 windows and 2^28 tracks in front the key stays below 2^63.
_OFFSET_SPAN = 1 << 21
_TRACK_SPAN = 1 << 28


@dataclass(frozen=True)
class Candidates:
    """Windows of the query laid over tracks, all of shape (n,): window number, track ordinal, offset, how promising.

    `worth` is in nats when voted, and a correlation when verified.
    """

    window: NDArray[np.int64]
    track: NDArray[np.int64]
    offset_items: NDArray[np.int64]
    worth: NDArray[np.float64]

    def at(self, index: NDArray[np.int64]) -> "Candidates":
        """Return some of them."""
        return Candidates(self.window[index], self.track[index], self.offset_items[index], self.worth[index])


def vote(
    probes: Probes, found: Postings, *, window_of_item: NDArray[np.int64], n_postings: int, per_window: int
) -> Candidates:
    """Return the pairs of window and (track, offset) that the terms found are worth most for.

    Parameters
    ----------
    probes
        What was looked up.
    found
        Where it was found; `found.probe` counts in `probes`.
    window_of_item
        NDArray[np.int64] [shape=(n_items,)]. The window to which each item of the query belongs.
    n_postings
        Size of the index.
    per_window
        Most candidates for each window.

    Returns
    -------
    Candidates
        In no order; `worth` is in nats.
    """
    occurrences = np.bincount(found.probe, minlength=probes.term.size)
    worth = probes.log_probability - np.log(np.maximum(occurrences, 1) / max(1, n_postings))
    item = probes.item[found.probe]
    key = window_of_item[item] * _TRACK_SPAN + found.track
    key = key * _OFFSET_SPAN + (found.position_items - item + _OFFSET_SPAN // 2)
    diagonal, total = _sum_sorted(key, np.maximum(worth, _MIN_WORTH_NATS)[found.probe])
    window_and_track, offset = np.divmod(diagonal, _OFFSET_SPAN)
    window, track = np.divmod(window_and_track, _TRACK_SPAN)
    all_of_them = Candidates(window, track, offset - _OFFSET_SPAN // 2, total)
    return all_of_them.at(_shortlist(all_of_them, per_window))


def _sum_sorted(keys: NDArray[np.int64], worth: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct keys, and what each and its direct neighbours (an offset off by one) are worth together."""
    order = np.argsort(keys, kind="stable")
    keys, worth = keys[order], worth[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else np.zeros(0, np.int64)
    distinct = keys[first]
    alone = np.add.reduceat(worth, first) if keys.size else np.zeros(0)
    total = alone.copy()
    adjacent = np.flatnonzero(distinct[1:] == distinct[:-1] + 1)
    total[adjacent] += alone[adjacent + 1]
    total[adjacent + 1] += alone[adjacent]
    return distinct, total


def _shortlist(candidates: Candidates, per_window: int) -> NDArray[np.int64]:
    """Return the indices of the best of each window, few of any one track; of equals the earlier ones."""
    promising = _roughly_best_per_window(candidates, 20 * per_window)
    track = candidates.window[promising] * _TRACK_SPAN + candidates.track[promising]
    kept = promising[_best_per_group(track, candidates.worth[promising], _MAX_OFFSETS_PER_TRACK)]
    return kept[_best_per_group(candidates.window[kept], candidates.worth[kept], per_window)]


def _roughly_best_per_window(candidates: Candidates, n: int) -> NDArray[np.int64]:
    """Thin out hundreds of thousands before sorting. The candidates are sorted by window."""
    edges = np.append(np.flatnonzero(np.diff(candidates.window, prepend=-1)), candidates.window.size)
    kept = [np.zeros(0, dtype=np.int64)]
    for start, stop in pairwise(edges.tolist()):
        worth = candidates.worth[start:stop]
        best = np.argpartition(worth, worth.size - n)[-n:] if worth.size > n else np.arange(worth.size)
        kept.append(start + np.sort(best))
    return np.concatenate(kept)


def _best_per_group(group: NDArray[np.int64], worth: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    order = np.lexsort((-worth, group))
    ordered = group[order]
    return order[np.arange(order.size) - np.searchsorted(ordered, ordered) < n]
