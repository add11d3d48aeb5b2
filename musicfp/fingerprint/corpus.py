"""A catalogue of fingerprints in memory, for comparing a few files and for measuring.

What belongs here: adding, removing and looking up without a database. What does not: deciding what matches (`search`)
and the catalogue that is kept (`musicfp.catalog.searchable`), which answers the same questions.
"""

from collections.abc import Iterable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, Postings, StoredFingerprint, postings_cap, spans
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS, indexed_terms

_LOW_BITS = np.uint64(32)
_LOW_MASK = np.uint64(0xFFFFFFFF)


class FingerprintCorpus:
    """A growing set of fingerprints by track id; ordinals count up as they are added. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: list[str] = []
        self._ordinals: dict[str, int] = {}
        self._stored = {kind: dict[int, StoredFingerprint]() for kind in FingerprintKind}
        self._indexes = {kind: _TermIndex() for kind in FingerprintKind}

    def __len__(self) -> int:
        return len(self._ordinals)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._ordinals

    def add(self, track_id: str, fingerprint: Fingerprint, *, kind: FingerprintKind = FingerprintKind.FULL) -> None:
        """Add a fingerprint of a track; raise ValueError if it has one of this kind already."""
        with self._lock:
            ordinal = self._ordinals.get(track_id, len(self._ids))
            if ordinal in self._stored[kind]:
                raise ValueError(f"track {track_id} is in the corpus already")
            if ordinal == len(self._ids):
                self._ids.append(track_id)
                self._ordinals[track_id] = ordinal
            self._stored[kind][ordinal] = StoredFingerprint(track_id, fingerprint.sub_fingerprints)
            self._indexes[kind].add(ordinal, indexed_terms(fingerprint.sub_fingerprints))

    def remove(self, track_id: str) -> None:
        """Forget a track; raise KeyError if it is not there. Its terms stay and lead to nothing."""
        with self._lock:
            ordinal = self._ordinals.pop(track_id)
            for stored in self._stored.values():
                stored.pop(ordinal, None)

    def n_postings(self, kind: FingerprintKind) -> int:
        """See `SearchableCatalogue`."""
        return self._indexes[kind].n_postings

    def lookup(self, terms: NDArray[np.uint32], *, kind: FingerprintKind) -> Postings:
        """See `SearchableCatalogue`."""
        with self._lock:
            postings = self._indexes[kind].lookup(terms)
            alive = np.zeros(len(self._ids), dtype=np.bool_)
            alive[list(self._stored[kind])] = True
        kept = alive[postings.track]
        return Postings(postings.probe[kept], postings.track[kept], postings.position_items[kept])

    def fingerprints(self, ordinals: Iterable[int], *, kind: FingerprintKind) -> dict[int, StoredFingerprint]:
        """See `SearchableCatalogue`."""
        stored = self._stored[kind]
        return {ordinal: stored[ordinal] for ordinal in ordinals if ordinal in stored}

    def all_ordinals(self, *, at_most: int) -> list[int]:
        """See `SearchableCatalogue`."""
        return sorted(self._ordinals.values()) if len(self) <= at_most else []


class _TermIndex:
    """Sorted segments of (term, posting number), merged when they have grown alike: adding is amortised O(log n)."""

    def __init__(self) -> None:
        self.n_postings = 0
        self._segments: list[NDArray[np.uint64]] = []
        self._new: list[NDArray[np.uint64]] = []
        self._starts: list[int] = []
        self._ordinals: list[int] = []

    def add(self, ordinal: int, terms: NDArray[np.uint32]) -> None:
        numbers = np.arange(self.n_postings, self.n_postings + terms.size, dtype=np.uint64)
        self._new.append((terms.astype(np.uint64) << _LOW_BITS) | numbers)
        self._starts.append(self.n_postings)
        self._ordinals.append(ordinal)
        self.n_postings += terms.size

    def lookup(self, terms: NDArray[np.uint32]) -> Postings:
        self._merge_new()
        order = np.argsort(terms)
        keys = terms[order].astype(np.uint64) << _LOW_BITS
        cap = postings_cap(self.n_postings)
        probes, numbers = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for segment in self._segments:
            first = np.searchsorted(segment, keys)
            count = np.searchsorted(segment, keys + (_LOW_MASK + np.uint64(1))) - first
            count[count > cap] = 0
            index = spans(first, count)
            probes.append(np.repeat(order, count))
            numbers.append((segment[index] & _LOW_MASK).astype(np.int64))
        number = np.concatenate(numbers)
        starts = np.array(self._starts, dtype=np.int64)
        row = np.searchsorted(starts, number, side="right") - 1
        track = np.array(self._ordinals, dtype=np.int64)[row]
        position = (number - starts[row]) * TERM_STRIDE_ITEMS if number.size else number
        return Postings(np.concatenate(probes), track, position)

    def _merge_new(self) -> None:
        if not self._new:
            return
        merged = np.concatenate(self._new)
        while self._segments and self._segments[-1].size <= 2 * merged.size:
            merged = np.concatenate([self._segments.pop(), merged])
        merged.sort()
        self._segments.append(merged)
        self._new = []
