"""The inverted index of terms as rows of `fingerprint_term`: which postings a fingerprint has, and storing them.

What belongs here: the layout of a row, adding and removing. What does not: looking terms up (`searchable`) and holding
the whole index against the fingerprints (`index_upkeep`).

Layout, for the fewest bytes in SQLite, which gives an integer as many as it needs. `term` is the 24 bits of the term
less half their range, so that three signed bytes hold it; each further kind of fingerprint lies one range higher.
`loc` is, from the top, a page, the track's ordinal and the position in the page. A page has 4096 indexed items (34
minutes), so four bytes do for the first page of the first 524,288 tracks, and no recording is too long.
"""

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from musicfp.catalog import bulk
from musicfp.catalog.tables import Table
from musicfp.fingerprint.correlation import informative_items
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import N_TERMS, TERM_BITS, TERM_STRIDE_ITEMS, indexed_terms

# A loop may come back often; what a track has more often still is a held sound, and says little about where it is.
MAX_POSTINGS_OF_A_TERM = 8
KIND_NUMBERS = {FingerprintKind.FULL: 0, FingerprintKind.BAND: 1}
TERM_TABLE = Table.metadata.tables["fingerprint_term"]
_POSITION_BITS = 12
_ORDINAL_BITS = 32
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_ORDINAL_MASK = (1 << _ORDINAL_BITS) - 1

Int64s = NDArray[np.int64]
Items = NDArray[np.uint32]


def add(session: Session, ordinal: int, items: Items, *, kind: FingerprintKind) -> None:
    """Index the fingerprint [shape=(n_items,)] of the track with this ordinal; what is indexed already stays."""
    insert(session, rows_of(ordinal, items, kind=kind))


def remove(session: Session, ordinal: int, items: Items, *, kind: FingerprintKind) -> None:
    """Delete exactly the rows that `add` makes of this fingerprint."""
    discard(session, rows_of(ordinal, items, kind=kind))


def rows_of(ordinal: int, items: Items, *, kind: FingerprintKind) -> Int64s:
    """Return the postings of a fingerprint as rows (term, loc) [shape=(n_postings, 2)], in the order of the key.

    Stretches of one unchanging code are left out, and of a term that the track has very often all but some, evenly
    spread: such lists would be endless and say nothing.
    """
    strides = np.flatnonzero(informative_items(items)[::TERM_STRIDE_ITEMS])
    keys = term_keys(indexed_terms(items)[strides], kind=kind)
    order = np.argsort(keys, kind="stable")
    keys, strides = keys[order], strides[order]
    kept = _spread(keys)
    return np.column_stack((keys[kept], locations(ordinal, strides[kept])))


def insert(session: Session, rows: Int64s) -> None:
    """Store rows (term, loc) [shape=(n, 2)] unless they are there."""
    bulk.insert_missing(session, TERM_TABLE, rows)


def discard(session: Session, rows: Int64s) -> None:
    """Delete rows (term, loc) [shape=(n, 2)] if they are there."""
    bulk.delete_rows(session, TERM_TABLE, rows)


def term_keys(terms: NDArray[np.uint32], *, kind: FingerprintKind) -> Int64s:
    """Return what the column `term` has for these terms."""
    return terms.astype(np.int64) + ((KIND_NUMBERS[kind] << TERM_BITS) - N_TERMS // 2)


def kind_numbers_of(keys: Int64s) -> Int64s:
    """Return the numbers of the kinds of fingerprint in a column `term`."""
    return (keys + N_TERMS // 2) >> TERM_BITS


def locations(ordinal: int, strides: Int64s) -> Int64s:
    """Return what the column `loc` has for the indexed items of a track with these numbers."""
    pages = strides >> _POSITION_BITS << (_POSITION_BITS + _ORDINAL_BITS)
    return pages | ordinal << _POSITION_BITS | strides & _POSITION_MASK


def ordinals_of(locs: Int64s) -> Int64s:
    """Return the ordinals of the tracks in a column `loc`."""
    return locs >> _POSITION_BITS & _ORDINAL_MASK


def positions_items_of(locs: Int64s) -> Int64s:
    """Return the items of the tracks that a column `loc` points to."""
    pages = locs >> (_POSITION_BITS + _ORDINAL_BITS)
    return (pages << _POSITION_BITS | locs & _POSITION_MASK) * TERM_STRIDE_ITEMS


def _spread(keys: Int64s) -> NDArray[np.bool_]:
    """Mark which of sorted keys to keep: of each run of one key at most MAX_POSTINGS_OF_A_TERM, evenly spread."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    lengths = np.diff(starts, append=keys.size)
    length = np.repeat(lengths, lengths)
    rank = np.arange(keys.size) - np.repeat(starts, lengths)
    share = np.minimum(length, MAX_POSTINGS_OF_A_TERM)
    kept: NDArray[np.bool_] = (rank + 1) * share // np.maximum(length, 1) > rank * share // np.maximum(length, 1)
    return kept
