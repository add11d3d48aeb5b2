"""Every pair of tracks compared at every alignment: what the search, which looks at few, is checked against.

What belongs here: the exact best correlation of each pair, and its cache. What does not: verdicts (`dedupe`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.music import CACHE, Track
from musicfp.fingerprint.correlation import informative_items, row_centred_correlation
from musicfp.fingerprint.model import ITEM_DURATION_S, Fingerprint

# 30 s. Less is reached by chance more often, and every track has 45 s.
MIN_OVERLAP_ITEMS = 242
_VERSION = "2"
_COLUMNS = 3


@dataclass(frozen=True)
class BestAlignments:
    """For each pair of tracks `first[i] < second[i]`, the alignment that correlates best; all of shape (n_pairs,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    correlation: NDArray[np.float64]
    overlap_s: NDArray[np.float64]
    offset_s: NDArray[np.float64]


def best_alignments(tracks: Sequence[Track], fingerprints: Sequence[Fingerprint]) -> BestAlignments:
    """Correlate every track with every later one, row-centred, over all alignments that overlap 30 s or more.

    Without the silence at their ends, which is alike in all tracks and makes a step of every end that lies on another.
    Takes 1 to 2 ms a pair; what was computed for a track and those after it is kept.
    """
    first, second = np.triu_indices(len(tracks), k=1)
    measured = [
        _against(tracks[at], fingerprints[at], tracks[at + 1 :], fingerprints[at + 1 :]) for at in range(len(tracks))
    ]
    correlation, overlap, offset = np.concatenate(measured).T
    return BestAlignments(first, second, correlation, overlap * ITEM_DURATION_S, offset * ITEM_DURATION_S)


def _against(
    track: Track, fingerprint: Fingerprint, others: Sequence[Track], of_others: Sequence[Fingerprint]
) -> NDArray[np.float64]:
    """Return correlation, overlap and offset of the best alignment with each other track [shape=(n_others, 3)]."""
    asked = "|".join([_VERSION, track.content, *(other.content for other in others)])
    path = CACHE / "pairs" / f"{hashlib.sha256(asked.encode()).hexdigest()[:24]}.npy"
    if path.exists():
        kept: NDArray[np.float64] = np.load(path)
        return kept
    measured = np.zeros((len(others), _COLUMNS))
    items, skipped = _sounding(fingerprint)
    for row, other in zip(measured, of_others, strict=True):
        other_items, other_skipped = _sounding(other)
        found = row_centred_correlation(items, other_items, min_overlap_items=MIN_OVERLAP_ITEMS)
        if found.correlation.size:
            best = int(found.correlation.argmax())
            offset = found.offset_items[best] + other_skipped - skipped
            row[:] = found.correlation[best], found.overlap_items[best], offset
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp.npy")
    np.save(unfinished, measured)
    unfinished.replace(path)
    return measured


def _sounding(fingerprint: Fingerprint) -> tuple[NDArray[np.uint32], int]:
    """Return the items from the first to the last that is not silence or a tone, and how many were before them."""
    items = fingerprint.sub_fingerprints
    sounding = np.flatnonzero(informative_items(items))
    return (items[sounding[0] : sounding[-1] + 1], int(sounding[0])) if sounding.size else (items[:0], 0)
