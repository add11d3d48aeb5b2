"""Looking up terms and fingerprints in the database, on SQLite and on PostgreSQL."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import delete
from sqlmodel import Session, col, select

from musicfp.catalog import revisions, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import FingerprintRow, TrackRow
from musicfp.fingerprint.postings import FingerprintKind, Postings
from musicfp.fingerprint.probes import terms_of
from tests.support.seeds import music, seed_id, seed_track

FULL, BAND = FingerprintKind.FULL, FingerprintKind.BAND
Items = NDArray[np.uint32]
Triples = list[tuple[int, int, int]]


@pytest.mark.parametrize("seed", range(4))
def test_a_lookup_finds_what_a_comparison_with_every_item_finds(database: Database, seed: int) -> None:
    """Few different terms, so that lists are long, tracks share them, and probes repeat and come in any order."""
    rng = np.random.default_rng(seed)
    tracks = {
        int(ordinal): rng.integers(0, 60, rng.integers(0, 300), dtype=np.uint32) << np.uint32(8)
        for ordinal in rng.choice(2_000_000_000, 12, replace=False)
    }
    others = {ordinal: items[::-1] for ordinal, items in tracks.items()}
    with database.write() as session:
        for ordinal, items in tracks.items():
            terms.add(session, ordinal, items, kind=FULL)
            terms.add(session, ordinal, others[ordinal], kind=BAND)
    wanted = rng.integers(0, 80, 200, dtype=np.uint32)
    with database.read() as session:
        catalogue = DatabaseCatalogue(session)
        found = {kind: _triples(catalogue.lookup(wanted, kind=kind)) for kind in (FULL, BAND)}
    assert found[FULL] == _by_brute_force(wanted, tracks)
    assert found[BAND] == _by_brute_force(wanted, others)
    assert len(found[FULL]) > 500


def test_a_query_of_tens_of_thousands_of_terms_is_one_lookup(database: Database) -> None:
    """All of them are found, wherever in the list they stand."""
    items = music(1, n_items=4000).sub_fingerprints
    with database.write() as session:
        terms.add(session, 1, items, kind=FULL)
    noise = np.random.default_rng(1).integers(0, 1 << 24, 100_000, dtype=np.uint32)
    wanted = np.concatenate([noise, terms_of(items[::4])])
    with database.read() as session:
        found = DatabaseCatalogue(session).lookup(wanted, kind=FULL)
    assert found.position_items[found.probe >= noise.size].size >= 1000


def test_no_terms_find_nothing(database: Database) -> None:
    """And an empty catalogue has nothing to find."""
    with database.read() as session:
        catalogue = DatabaseCatalogue(session)
        assert catalogue.n_postings(FULL) == 0
        for wanted in (np.zeros(0, dtype=np.uint32), np.arange(9, dtype=np.uint32)):
            found = catalogue.lookup(wanted, kind=FULL)
            assert (found.probe.size, found.track.size, found.position_items.size) == (0, 0, 0)


def test_a_term_that_very_many_tracks_share_is_left_out(database: Database) -> None:
    """512 postings are read, 513 are not; its neighbours are."""
    rows = [(term, number) for term, n in ((100, 512), (101, 513), (102, 1)) for number in range(n)]
    keys = terms.term_keys(np.array([term for term, _ in rows], dtype=np.uint32), kind=FULL)
    with database.write() as session:
        terms.insert(session, np.column_stack((keys, [terms.locations(1 + n, np.array([0]))[0] for _, n in rows])))
    with database.read() as session:
        found = DatabaseCatalogue(session).lookup(np.array([100, 101, 102], dtype=np.uint32), kind=FULL)
    assert np.bincount(found.probe, minlength=3).tolist() == [512, 0, 1]


def test_fingerprints_come_whole_and_only_where_there_are_any(database: Database) -> None:
    """By ordinal, in one go; a track that is unknown, deleted or lacks this kind is left out."""
    for number in (1, 2, 3):
        seed_track(database, number)
    with database.write() as session:
        session.exec(delete(TrackRow).where(col(TrackRow.id) == seed_id(3)))
        _add_band(session, seed_id(2))
    with database.read() as session:
        ordinals = dict(session.exec(select(TrackRow.id, TrackRow.ordinal)).all())
        catalogue = DatabaseCatalogue(session)
        one, two = ordinals[seed_id(1)] or 0, ordinals[seed_id(2)] or 0
        found = catalogue.fingerprints([one, 3, 77, two], kind=FULL)
        band = catalogue.fingerprints(iter([one, two]), kind=BAND)
        assert catalogue.fingerprints([], kind=FULL) == {}
    assert {ordinal: each.track_id for ordinal, each in found.items()} == {one: seed_id(1), two: seed_id(2)}
    assert (found[two].items == music(2).sub_fingerprints).all()
    assert found[two].items.dtype == np.uint32
    assert {ordinal: each.items.tolist() for ordinal, each in band.items()} == {two: [1, 2, 3, 4, 5, 6, 7, 8]}


def test_the_number_of_postings_is_estimated_from_a_sample(database: Database) -> None:
    """Exact while the sample holds all tracks; kinds and deleted tracks are told apart."""
    for number in range(1, 6):
        seed_track(database, number)
    with database.write() as session:
        session.exec(delete(TrackRow).where(col(TrackRow.id) == seed_id(3)))
        _add_band(session, seed_id(2))
    with database.read() as session:
        catalogue = DatabaseCatalogue(session)
        assert catalogue.n_postings(FULL) == 4 * 120
        assert catalogue.n_postings(BAND) == 2


def _add_band(session: Session, track_id: str) -> None:
    items = np.arange(1, 9, dtype="<u4")
    session.add(
        FingerprintRow(
            track_id=track_id,
            kind=BAND,
            version="1",
            algorithm=1,
            item_duration_s=0.1,
            audio_duration_s=1.0,
            n_items=8,
            sub_fingerprints=items.tobytes(),
            revision=revisions.next_revision(session),
        )
    )


def _triples(found: Postings) -> Triples:
    return sorted(zip(found.probe.tolist(), found.track.tolist(), found.position_items.tolist(), strict=True))


def _by_brute_force(wanted: NDArray[np.uint32], tracks: Mapping[int, Items]) -> Triples:
    """Compare every probe with every posted item; which of a frequent term's items are posted, the index says."""
    found = []
    for ordinal, items in tracks.items():
        posted = terms.positions_items_of(terms.rows_of(ordinal, items, kind=FULL)[:, 1])
        found += [
            (probe, ordinal, int(position))
            for probe, term in enumerate(wanted.tolist())
            for position in posted
            if int(items[position]) >> 8 == term
        ]
    return sorted(found)
