"""Which postings a fingerprint has, and storing them, on SQLite and on PostgreSQL."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlmodel import select

from musicfp.catalog import terms
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import FingerprintTermRow
from musicfp.fingerprint import indexing
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS, indexed_terms
from tests.support.seeds import music

FULL, BAND = FingerprintKind.FULL, FingerprintKind.BAND
LAST_ORDINAL = (1 << 31) - 1


def test_every_fourth_item_is_posted_with_its_place() -> None:
    """The rows say which track and which item has which term."""
    items = music(1).sub_fingerprints
    rows = terms.rows_of(7, items, kind=FULL)
    assert len(rows) == len(items) // TERM_STRIDE_ITEMS
    assert set(terms.ordinals_of(rows[:, 1])) == {7}
    positions = terms.positions_items_of(rows[:, 1])
    assert sorted(positions) == list(range(0, len(items), TERM_STRIDE_ITEMS))
    assert rows[:, 0].tolist() == terms.term_keys(items[positions] >> 8, kind=FULL).tolist()


@pytest.mark.parametrize("ordinal", [1, 524_287, LAST_ORDINAL])
@pytest.mark.parametrize("n_strides", [1, 4096, 4097, 200_000])
def test_a_place_is_read_as_it_was_written(ordinal: int, n_strides: int) -> None:
    """Whatever the track's number and however long it is: 200,000 strides are 27 hours."""
    strides = np.arange(n_strides)
    locs = terms.locations(ordinal, strides)
    assert np.unique(locs).size == n_strides
    assert locs.min() >= 0
    assert set(terms.ordinals_of(locs)) == {ordinal}
    assert (terms.positions_items_of(locs) == strides * TERM_STRIDE_ITEMS).all()


def test_a_row_needs_few_bytes() -> None:
    """Any term fits three signed bytes, and the place four up to the 524,287th track: SQLite then stores no more."""
    keys = terms.term_keys(np.array([0, (1 << 24) - 1], dtype=np.uint32), kind=FULL)
    assert keys.tolist() == [-(1 << 23), (1 << 23) - 1]
    assert terms.locations(524_287, np.array([4095])).tolist() == [(1 << 31) - 1]


def test_kinds_do_not_meet() -> None:
    """The highest term of one kind lies below the lowest of the next, and both tell their kind."""
    both = np.array([0, (1 << 24) - 1], dtype=np.uint32)
    keys = np.concatenate([terms.term_keys(both, kind=FULL), terms.term_keys(both, kind=BAND)])
    assert (np.diff(keys) > 0).all()
    assert terms.kind_numbers_of(keys).tolist() == [0, 0, 1, 1]


def test_silence_is_not_posted() -> None:
    """Two seconds and more of one code between music leave no rows; a shorter run does."""
    first, second = music(1, n_items=100).sub_fingerprints, music(2, n_items=100).sub_fingerprints
    silent = np.full(400, 0x256DF977, dtype=np.uint32)
    rows = terms.rows_of(1, np.concatenate([first, silent, second]), kind=FULL)
    positions = terms.positions_items_of(rows[:, 1])
    assert sorted(positions) == [*range(0, 100, 4), *range(500, 600, 4)]
    assert len(terms.rows_of(1, np.concatenate([first, silent[:8], second]), kind=FULL)) == 52


def test_a_term_that_keeps_coming_back_is_posted_eight_times_all_over_the_track() -> None:
    """A loop of 20 codes, 50 times: each term keeps places near the beginning, the middle and the end."""
    items = np.tile(music(3, n_items=20).sub_fingerprints, 50)
    rows = terms.rows_of(1, items, kind=FULL)
    keys, counts = np.unique(rows[:, 0], return_counts=True)
    assert keys.size == 5
    assert set(counts) == {indexing.MAX_POSTINGS_OF_A_TERM}
    for key in keys:
        positions = terms.positions_items_of(rows[rows[:, 0] == key, 1])
        assert np.diff(positions).max() <= 2 * items.size / indexing.MAX_POSTINGS_OF_A_TERM
        assert positions.max() > 0.8 * items.size


@pytest.mark.parametrize("items", [np.zeros(0, np.uint32), np.zeros(40, np.uint32)], ids=["empty", "silent"])
def test_nothing_to_post_is_no_error(database: Database, items: NDArray[np.uint32]) -> None:
    """An empty or silent fingerprint has no rows, and adding and removing it does nothing."""
    assert terms.rows_of(1, items, kind=FULL).shape == (0, 2)
    with database.write() as session:
        terms.add(session, 1, items, kind=FULL)
        terms.remove(session, 1, items, kind=FULL)
    assert _stored(database) == []


def test_what_is_added_is_stored_once(database: Database) -> None:
    """Adding again changes nothing; the other kind and another track have rows of their own."""
    for ordinal, kind in ((1, FULL), (1, FULL), (1, BAND), (2, FULL)):
        with database.write() as session:
            terms.add(session, ordinal, music(1).sub_fingerprints, kind=kind)
    rows = [
        terms.rows_of(ordinal, music(1).sub_fingerprints, kind=kind)
        for ordinal, kind in ((1, FULL), (1, BAND), (2, FULL))
    ]
    assert _stored(database) == sorted(map(tuple, np.concatenate(rows).tolist()))


def test_removing_takes_exactly_what_adding_brought(database: Database) -> None:
    """Neither the same audio as another kind nor the same audio of another track."""
    loop = Fingerprint.of_items(np.tile(music(3, n_items=20).sub_fingerprints, 50)).sub_fingerprints
    for ordinal, kind in ((1, FULL), (1, BAND), (2, FULL)):
        with database.write() as session:
            terms.add(session, ordinal, loop, kind=kind)
    with database.write() as session:
        terms.remove(session, 1, loop, kind=FULL)
    rows = [terms.rows_of(ordinal, loop, kind=kind) for ordinal, kind in ((1, BAND), (2, FULL))]
    assert _stored(database) == sorted(map(tuple, np.concatenate(rows).tolist()))


def test_the_rows_of_a_long_recording_come_in_several_statements(database: Database) -> None:
    """Eight hours are more than one statement takes."""
    items = music(5, n_items=240_000).sub_fingerprints
    with database.write() as session:
        terms.add(session, 3, items, kind=FULL)
    assert len(_stored(database)) == len(terms.rows_of(3, items, kind=FULL)) > 50_000
    with database.write() as session:
        terms.remove(session, 3, items, kind=FULL)
    assert _stored(database) == []


def test_terms_are_those_that_searches_ask_for() -> None:
    """The index and the search cut the same term out of an item."""
    items = music(1).sub_fingerprints
    rows = terms.rows_of(1, items, kind=FULL)
    assert sorted(rows[:, 0]) == sorted(terms.term_keys(indexed_terms(items), kind=FULL))


def _stored(database: Database) -> list[tuple[int, int]]:
    with database.read() as session:
        return sorted(session.exec(select(FingerprintTermRow.term, FingerprintTermRow.loc)).all())
