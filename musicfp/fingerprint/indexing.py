"""Which items of a track go into an inverted index, and under which terms, however the index is stored.

What belongs here: the rule, for many tracks at once. What does not: rows of a table (`musicfp.catalog.terms`) and files
(`index_segment`), which must hold the same postings, or they would answer differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.correlation import informative_items
from musicfp.fingerprint.postings import spans
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS, terms_of

# A loop may come back often; what a track has more often still is a held sound, and says little about where it is.
MAX_POSTINGS_OF_A_TERM = 8

Items = NDArray[np.uint32]
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class IndexedItems:
    """Postings of some tracks, sorted by term, then track, then position.

    `term` [dtype=uint32, shape=(n,)]; `stride` [dtype=int64, shape=(n,)] counts every fourth item of the first track,
    then those of the second, and so on; `first_stride` [shape=(n_tracks + 1,)] is where each track begins.
    """

    term: NDArray[np.uint32]
    stride: Int64s
    first_stride: Int64s


def indexed_items(tracks: Sequence[Items]) -> IndexedItems:
    """Return the postings of fingerprints.

    Every fourth item is indexed. Stretches of one unchanging code are left out, and of a term that a track has very
    often all but `MAX_POSTINGS_OF_A_TERM`, evenly spread: such lists would be endless and say nothing.

    Parameters
    ----------
    tracks
        Arrays of sub-fingerprints [shape=(n_items,)], each of another track; none may be empty.

    Returns
    -------
    IndexedItems
        The same for each track as if it were alone.

    """
    lengths = np.array([items.size for items in tracks], dtype=np.int64)
    n_strides = -(-lengths // TERM_STRIDE_ITEMS)
    first_stride = np.concatenate(([0], np.cumsum(n_strides)))
    if not first_stride[-1]:
        return IndexedItems(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.int64), first_stride)
    items = np.concatenate(tracks)
    track = np.repeat(np.arange(len(tracks)), n_strides)
    first_item = np.cumsum(lengths) - lengths
    at = np.arange(first_stride[-1]) * TERM_STRIDE_ITEMS + (first_item - TERM_STRIDE_ITEMS * first_stride[:-1])[track]
    stride = np.flatnonzero(_informative(items, first_item, tracks)[at])
    # One sort brings equal terms together, in the order of tracks and positions.
    keys = np.sort(terms_of(items)[at[stride]].astype(np.uint64) << np.uint64(32) | stride.astype(np.uint64))
    stride = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    term = (keys >> np.uint64(32)).astype(np.uint32)
    kept = _spread(term, track[stride])
    return IndexedItems(term[kept], stride[kept], first_stride)


def _informative(items: Items, first_item: Int64s, tracks: Sequence[Items]) -> NDArray[np.bool_]:
    """Mark informative items of all tracks at once, and anew where the last code of one is the first of the next."""
    informative = informative_items(items)
    alike = np.flatnonzero(items[first_item[1:] - 1] == items[first_item[1:]])
    for number in np.union1d(alike, alike + 1).tolist():
        first = int(first_item[number])
        informative[first : first + tracks[number].size] = informative_items(tracks[number])
    return informative


def _spread(term: NDArray[np.uint32], track: Int64s) -> NDArray[np.bool_]:
    """Mark which postings to keep: of each run of one term and track at most so many, evenly spread."""
    is_first = np.ones(term.size, dtype=np.bool_)
    is_first[1:] = (term[1:] != term[:-1]) | (track[1:] != track[:-1])
    starts = np.flatnonzero(is_first)
    lengths = np.diff(starts, append=term.size)
    too_long = lengths > MAX_POSTINGS_OF_A_TERM
    starts, lengths = starts[too_long], lengths[too_long]
    at = spans(starts, lengths)
    rank, length = at - np.repeat(starts, lengths), np.repeat(lengths, lengths)
    kept = np.ones(term.size, dtype=np.bool_)
    kept[at] = (rank + 1) * MAX_POSTINGS_OF_A_TERM // length > rank * MAX_POSTINGS_OF_A_TERM // length
    return kept
