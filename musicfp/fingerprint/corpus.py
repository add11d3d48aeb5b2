"""The catalogue's fingerprints in memory: one array of items, and an inverted index of their leading bits.

What belongs here: adding, removing and looking up. What does not: deciding what matches (`search`).

The index is a handful of sorted segments that are merged when they have grown alike, so adding is amortised
O(log n) a track and a search sees every track added before it. 16 bytes of memory for each item: 26 KB for 200 s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.model import Fingerprint

# Chromaprint's first ten classifiers. Of 28, 24 and 20 leading bits, 20 found most noisy clips (0.56 exact at 0 dB).
TERM_BITS = 20
T = TypeVar("T", bound=np.generic)
_POSITION_BITS = 32
# A code that this many items share is silence or a drone; looking it up costs much and says nothing.
_MIN_POSTINGS_CAP = 512
_POSTINGS_CAP_SHARE = 1 / 2000


@dataclass(frozen=True)
class CorpusView:
    """An unchanging view of a corpus: what one search works on while others add and remove."""

    ids: tuple[str, ...]
    items: NDArray[np.uint32]
    starts: NDArray[np.int64]
    alive: NDArray[np.bool_]
    row_of_item: NDArray[np.uint32]
    segments: tuple[NDArray[np.uint64], ...]

    def lookup(self, terms: NDArray[np.uint32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield, for each segment, which term was found and at which positions of `items`; frequent terms skipped."""
        cap = max(_MIN_POSTINGS_CAP, int(self.items.size * _POSTINGS_CAP_SHARE))
        order = np.argsort(terms)
        keys = terms[order].astype(np.uint64) << np.uint64(_POSITION_BITS)
        for segment in self.segments:
            first = np.searchsorted(segment, keys)
            count = np.searchsorted(segment, keys + np.uint64(1 << _POSITION_BITS)) - first
            count[count > cap] = 0
            n_before = np.cumsum(count) - count
            index = np.repeat(first - n_before, count) + np.arange(int(count.sum()))
            yield np.repeat(order, count), (segment[index] & np.uint64(0xFFFFFFFF)).astype(np.int64)


class FingerprintCorpus:
    """A growing set of fingerprints by track id. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reset()

    def __len__(self) -> int:
        return len(self._row_of_id)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._row_of_id

    def add(self, track_id: str, fingerprint: Fingerprint) -> None:
        """Add a track; raise ValueError if the id is there already."""
        with self._lock:
            if track_id in self._row_of_id:
                raise ValueError(f"track {track_id} is in the corpus already")
            self._append(track_id, fingerprint.sub_fingerprints)

    def remove(self, track_id: str) -> None:
        """Forget a track; raise KeyError if it is not there."""
        with self._lock:
            row = self._row_of_id.pop(track_id)
            self._alive[row] = False
            self._dead_items += int(self._starts[row + 1] - self._starts[row])
            if self._dead_items * 2 > self._starts[len(self._ids)]:
                self._compact()

    def view(self) -> CorpusView:
        """Return what is in the corpus now; cheap unless tracks were added since the last call."""
        with self._lock:
            n_rows, n_items = len(self._ids), int(self._starts[len(self._ids)])
            self._index_up_to(n_items)
            return CorpusView(
                ids=tuple(self._ids),
                items=self._items[:n_items],
                starts=self._starts[: n_rows + 1],
                alive=self._alive[:n_rows].copy(),
                row_of_item=self._row_of_item[:n_items],
                segments=tuple(self._segments),
            )

    def _reset(self) -> None:
        self._ids: list[str] = []
        self._row_of_id: dict[str, int] = {}
        self._items = np.zeros(0, dtype=np.uint32)
        self._row_of_item = np.zeros(0, dtype=np.uint32)
        self._starts = np.zeros(1, dtype=np.int64)
        self._alive = np.zeros(0, dtype=np.bool_)
        self._segments: list[NDArray[np.uint64]] = []
        self._dead_items = 0

    def _append(self, track_id: str, items: NDArray[np.uint32]) -> None:
        row = len(self._ids)
        start = int(self._starts[row])
        stop = start + items.size
        if stop >= 1 << _POSITION_BITS:
            raise ValueError("the corpus cannot hold more than 4 billion items")
        self._items = _with_room(self._items, stop)
        self._row_of_item = _with_room(self._row_of_item, stop)
        self._starts = _with_room(self._starts, row + 2)
        self._alive = _with_room(self._alive, row + 1)
        self._items[start:stop] = items
        self._row_of_item[start:stop] = row
        self._starts[row + 1] = stop
        self._alive[row] = True
        self._ids.append(track_id)
        self._row_of_id[track_id] = row

    def _index_up_to(self, n_items: int) -> None:
        indexed = sum(segment.size for segment in self._segments)
        if indexed == n_items:
            return
        n_new = n_items - indexed
        while self._segments and self._segments[-1].size <= 2 * n_new:
            n_new += self._segments.pop().size
        first = n_items - n_new
        keys = (self._items[first:n_items] >> np.uint32(32 - TERM_BITS)).astype(np.uint64) << np.uint64(_POSITION_BITS)
        keys |= np.arange(first, n_items, dtype=np.uint64)
        keys.sort()
        self._segments.append(keys)

    def _compact(self) -> None:
        """Rebuild without the removed tracks. Views taken before keep the old arrays."""
        kept = [
            (track_id, self._items[self._starts[row] : self._starts[row + 1]])
            for row, track_id in enumerate(self._ids)
            if self._alive[row]
        ]
        self._reset()
        for track_id, items in kept:
            self._append(track_id, items)


def _with_room(array: NDArray[T], n: int) -> NDArray[T]:
    """Return `array`, or a copy twice as long if `n` values do not fit."""
    if n <= array.size:
        return array
    larger = np.zeros(max(n, 2 * array.size, 1024), dtype=array.dtype)
    larger[: array.size] = array
    return larger
