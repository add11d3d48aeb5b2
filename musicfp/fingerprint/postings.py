"""What a search needs of the place where fingerprints are kept, whatever that place is.

What belongs here: the interface between searching and storing, and the rules that every such place follows, so that all
give the same answer. What does not: a database, a file, voting.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# A list longer than both is silence, a drone or a commonplace: slow to read, and it tells little.
_MIN_CAP = 512
_CAP_SHARE = 1 / 50_000

Int64s = NDArray[np.int64]


class FingerprintKind(StrEnum):
    """Which fingerprint of a track, by its name in the database."""

    FULL = "full"
    """Chromaprint as everybody knows it, of all frequencies it hears (28 to 3520 Hz)."""
    BAND = "band_300_3400"
    """The same of what a telephone or a small speaker lets through (300 to 3400 Hz)."""


@dataclass(frozen=True)
class Postings:
    """Where the terms that were asked for occur, all of shape (n,).

    `probe` is the index of the term among those asked; `track` the ordinal of a track; `position_items` the item of
    that track which has the term.
    """

    probe: NDArray[np.int64]
    track: NDArray[np.int64]
    position_items: NDArray[np.int64]


@dataclass(frozen=True)
class StoredFingerprint:
    """A track's items [shape=(n_items,)] and the id it is known by."""

    track_id: str
    items: NDArray[np.uint32]


class SearchableCatalogue(Protocol):
    """Fingerprints with an inverted index of their terms (`musicfp.fingerprint.probes`)."""

    def n_postings(self, kind: FingerprintKind) -> int:
        """Return about how many terms are indexed; it only weighs how telling a rare term is. 0: none of this kind."""
        ...

    def lookup(self, terms: NDArray[np.uint32], *, kind: FingerprintKind) -> Postings:
        """Find terms, NDArray[np.uint32] [shape=(n,)], no order required, repetitions allowed.

        A term that very many tracks share (silence, a drone) may be left out.
        """
        ...

    def fingerprints(self, ordinals: Iterable[int], *, kind: FingerprintKind) -> Mapping[int, StoredFingerprint]:
        """Read whole fingerprints by track ordinal; a track that is gone or has none of this kind is left out."""
        ...

    def all_ordinals(self, *, at_most: int) -> list[int]:
        """Return the ordinals of all tracks, or none if there are more than `at_most`."""
        ...


def postings_cap(n_postings: int) -> int:
    """Return how long a term's list may be in an index of this size; longer ones are left out of every lookup."""
    return max(_MIN_CAP, int(n_postings * _CAP_SHARE))


def spans(starts: Int64s, counts: Int64s) -> Int64s:
    """Return `counts[i]` indexes from `starts[i]` on, one after the other for all i [shape=(sum of counts,)]."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))


def joined(key_of_posting: Int64s, key_of_probe: Int64s, *, n_keys: int) -> tuple[Int64s, Int64s]:
    """Return all pairs of a posting and a probe that have the same key, as indexes of either."""
    probes = np.argsort(key_of_probe, kind="stable")
    n_probes = np.bincount(key_of_probe, minlength=n_keys)
    first_probe = np.cumsum(n_probes) - n_probes
    n_pairs = n_probes[key_of_posting]
    return np.repeat(np.arange(key_of_posting.size), n_pairs), probes[spans(first_probe[key_of_posting], n_pairs)]
