"""Which tracks, at which offsets, most of a query's terms point to.

What belongs here: weighing and counting what was found in the index. What does not: what is looked up (`probes`), and
whether a candidate is right (`verification`).

A found term is worth ln(P(guess is right) / P(any item has this term)): a rare term that is surely right says much, a
frequent one that was guessed says little. Worths of the same window, track and offset add up, as the logarithm of a
likelihood ratio does for independent observations.
"""

from collections.abc import Sequence
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
# Diagonals kept while votes are counted, for each candidate wanted: neighbours and repetitions take most of them.
_KEPT_PER_CANDIDATE = 20
_FOUND_PER_CANDIDATE = 200
# 8 MB: a larger table would find fewer strangers in a bucket, but every find would wait for memory.
_MAX_BUCKET_BITS = 20
# 2^64 divided by the golden ratio (D. E. Knuth, The Art of Computer Programming 3, section 6.4).
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Of several ways to hear a query each has a third of the candidates to itself.
_SHARE_OF_ONE_WAY = 3


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


@dataclass(frozen=True)
class Votes:
    """The most promising diagonals of one way to hear a query, both of shape (n,), and what each is worth in nats.

    `diagonal` numbers a window, a track and an offset, and ascends.
    """

    diagonal: NDArray[np.int64]
    worth: NDArray[np.float64]

    def at(self, index: NDArray[np.int64]) -> "Votes":
        """Return some of them; the index must ascend."""
        return Votes(self.diagonal[index], self.worth[index])


def vote(
    probes: Probes, found: Postings, *, window_of_item: NDArray[np.int64], n_postings: int, per_window: int
) -> Votes:
    """Add up what the terms found are worth for each window, track and offset.

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
        About how many candidates will be wanted for each window: many times as many diagonals are kept.

    """
    occurrences = np.bincount(found.probe, minlength=probes.term.size)
    worth = probes.log_probability - np.log(np.maximum(occurrences, 1) / max(1, n_postings))
    item = probes.item[found.probe]
    key = window_of_item[item] * _TRACK_SPAN + found.track
    key = key * _OFFSET_SPAN + (found.position_items - item + _OFFSET_SPAN // 2)
    worth_of_found = np.maximum(worth, _MIN_WORTH_NATS)[found.probe]
    promising = _not_alone(key, worth_of_found, n=_FOUND_PER_CANDIDATE * per_window)
    votes = Votes(*_sum_sorted(key[promising], worth_of_found[promising]))
    return votes.at(_roughly_best_per_window(votes, _KEPT_PER_CANDIDATE * per_window))


def shortlist(ways: Sequence[Votes], *, per_window: int) -> Candidates:
    """Return the windows laid over tracks that are worth most, by what one or several ways to hear a query found.

    What several ways point to adds up, as they hear different things; what one of them hears alone is not forgotten.

    Parameters
    ----------
    ways
        At least one; they hear the same windows.
    per_window
        Most candidates for each window; of several ways together up to half as many again.

    Returns
    -------
    Candidates
        In no order; `worth` is in nats, all ways together. Few offsets of any one track.

    """
    together = ways[0] if len(ways) == 1 else _added_up(ways)
    if len(ways) == 1:
        best = _best(together, per_window)
    else:
        of_each = [each.diagonal[_best(each, per_window // _SHARE_OF_ONE_WAY)] for each in ways]
        of_all = together.diagonal[_best(together, per_window // 2)]
        best = np.searchsorted(together.diagonal, np.unique(np.concatenate([of_all, *of_each])))
    chosen = together.at(best)
    window, track, offset = _parts_of(chosen.diagonal)
    return Candidates(window, track, offset, chosen.worth)


def joined_candidates(found: Sequence[Candidates]) -> Candidates:
    """Return the candidates of several scans of the same windows, each once."""
    place = np.concatenate([np.stack((each.window, each.track, each.offset_items)) for each in found], axis=1)
    _, first = np.unique(place, axis=1, return_index=True)
    window, track, offset_items = place[:, first]
    return Candidates(window, track, offset_items, np.concatenate([each.worth for each in found])[first])


def _added_up(ways: Sequence[Votes]) -> Votes:
    diagonal, at = np.unique(np.concatenate([each.diagonal for each in ways]), return_inverse=True)
    worth = np.zeros(diagonal.size)
    np.add.at(worth, at, np.concatenate([each.worth for each in ways]))
    return Votes(diagonal, worth)


def _parts_of(diagonal: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return window, track and offset of diagonals."""
    window_and_track, offset = np.divmod(diagonal, _OFFSET_SPAN)
    window, track = np.divmod(window_and_track, _TRACK_SPAN)
    return window, track, offset - _OFFSET_SPAN // 2


def _not_alone(keys: NDArray[np.int64], worth: NDArray[np.float64], *, n: int) -> NDArray[np.int64]:
    """Return the indices of about `n` finds around whose place most is found: sorting all takes most of a search.

    Places, four offsets wide, fall into buckets by a hash. What shares a bucket by chance is told apart later.
    """
    if keys.size <= 2 * n:
        return np.arange(keys.size)
    n_bits = min(_MAX_BUCKET_BITS, int(keys.size).bit_length() + 2)
    bucket = ((keys >> 2).astype(np.uint64) * _HASH_MULTIPLIER) >> np.uint64(64 - n_bits)
    around = np.bincount(bucket.astype(np.int64), worth, 1 << n_bits)[bucket]
    return np.flatnonzero(around >= np.partition(around, keys.size - n)[keys.size - n])


def _sum_sorted(keys: NDArray[np.int64], worth: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the distinct keys, and what each and its direct neighbours (an offset off by one) are worth together."""
    order = np.argsort(keys)
    keys, worth = keys[order], worth[order]
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else np.zeros(0, np.int64)
    distinct = keys[first]
    alone = np.add.reduceat(worth, first) if keys.size else np.zeros(0)
    total = alone.copy()
    adjacent = np.flatnonzero(distinct[1:] == distinct[:-1] + 1)
    total[adjacent] += alone[adjacent + 1]
    total[adjacent + 1] += alone[adjacent]
    return distinct, total


def _best(votes: Votes, per_window: int) -> NDArray[np.int64]:
    """Return the indices of the best of each window, few of any one track; of equals the earlier ones."""
    promising = _roughly_best_per_window(votes, _KEPT_PER_CANDIDATE * per_window)
    window_and_track = votes.diagonal[promising] // _OFFSET_SPAN
    kept = promising[_best_per_group(window_and_track, votes.worth[promising], _MAX_OFFSETS_PER_TRACK)]
    window = votes.diagonal[kept] // (_OFFSET_SPAN * _TRACK_SPAN)
    return np.sort(kept[_best_per_group(window, votes.worth[kept], per_window)])


def _roughly_best_per_window(votes: Votes, n: int) -> NDArray[np.int64]:
    """Thin out hundreds of thousands before sorting."""
    window = votes.diagonal // (_OFFSET_SPAN * _TRACK_SPAN)
    edges = np.append(np.flatnonzero(np.diff(window, prepend=-1)), window.size)
    kept = [np.zeros(0, dtype=np.int64)]
    for start, stop in pairwise(edges.tolist()):
        worth = votes.worth[start:stop]
        best = np.argpartition(worth, worth.size - n)[-n:] if worth.size > n else np.arange(worth.size)
        kept.append(start + np.sort(best))
    return np.concatenate(kept)


def _best_per_group(group: NDArray[np.int64], worth: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    order = np.lexsort((-worth, group))
    ordered = group[order]
    return order[np.arange(order.size) - np.searchsorted(ordered, ordered) < n]
