"""The inverted index of terms as rows of `fingerprint_term`: laying postings out as rows, and storing them.

What belongs here: the layout of a row, adding and removing. What does not: which postings a fingerprint has
(`musicfp.fingerprint.indexing`), looking terms up (`searchable`) and holding the whole index against the fingerprints
(`index_upkeep`).

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
from musicfp.fingerprint.indexing import indexed_items
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import N_TERMS, TERM_BITS, TERM_STRIDE_ITEMS

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
    """Return the postings of a fingerprint as rows (term, loc) [shape=(n_postings, 2)], in the order of the key."""
    indexed = indexed_items([items])
    return np.column_stack((term_keys(indexed.term, kind=kind), locations(ordinal, indexed.stride)))


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
