"""Laying a short query over every alignment of every track of a small catalogue.

What belongs here: the scan. What does not: deciding when it pays (`search`).

A term is found only if all its 24 bits are right, or guessed right. In heavy noise none may be. Comparing all bits of
every fourth item needs no term: true alignments stand out by their bit errors.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.candidates import Candidates
from musicfp.fingerprint.correlation import informative_items
from musicfp.fingerprint.model import ITEM_BITS
from musicfp.fingerprint.postings import StoredFingerprint

# Neighbouring items share most of what they see; every fourth is a quarter of the work.
_STRIDE_ITEMS = 4
_MAX_CANDIDATES = 300
_MAX_OFFSETS_PER_TRACK = 2


def scan(items: NDArray[np.uint32], stored: Mapping[int, StoredFingerprint], edges: NDArray[np.int64]) -> Candidates:
    """Return the alignments of each window with the fewest bit errors, at most two of each track.

    Parameters
    ----------
    items
        NDArray[np.uint32] [shape=(n_items,)]. The query.
    stored
        The fingerprints to lay it over; a window lies wholly inside a track.
    edges
        NDArray[np.int64] [shape=(n_windows + 1,)]. Where the windows of the query begin and end.

    Returns
    -------
    Candidates
        `worth` is one minus twice the bit error rate, which for noise-like bits is their correlation.
    """
    windows = [_scan_window(items, stored, window, edges[window : window + 2]) for window in range(edges.size - 1)]
    return Candidates(
        window=np.concatenate([each.window for each in windows]),
        track=np.concatenate([each.track for each in windows]),
        offset_items=np.concatenate([each.offset_items for each in windows]),
        worth=np.concatenate([each.worth for each in windows]),
    )


def _scan_window(
    items: NDArray[np.uint32], stored: Mapping[int, StoredFingerprint], window: int, edge: NDArray[np.int64]
) -> Candidates:
    start, stop = edge.tolist()
    heard = items[start:stop]
    asked = np.flatnonzero(informative_items(heard))[::_STRIDE_ITEMS]
    found = [_best_of_track(heard, asked, track, each.items) for track, each in stored.items() if asked.size]
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return Candidates(empty, empty, empty, np.zeros(0))
    track, position, worth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-worth, kind="stable")[:_MAX_CANDIDATES]
    return Candidates(np.full(best.size, window), track[best], position[best] - start, worth[best])


def _best_of_track(
    items: NDArray[np.uint32], asked: NDArray[np.int64], track: int, track_items: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    n_offsets = max(0, track_items.size - items.size + 1)
    errors = np.zeros(n_offsets, dtype=np.uint16)
    for at in asked.tolist():
        errors += np.bitwise_count(track_items[at : at + n_offsets] ^ items[at])
    n = min(_MAX_OFFSETS_PER_TRACK, n_offsets)
    best = np.argpartition(errors, n - 1)[:n] if n else np.zeros(0, dtype=np.int64)
    worth = 1 - 2 * errors[best] / (ITEM_BITS * asked.size)
    return np.full(n, track, dtype=np.int64), best.astype(np.int64), worth
