"""Holding the index of terms against the fingerprints, on SQLite and on PostgreSQL."""

import numpy as np
import pytest
from sqlalchemy import delete
from sqlmodel import col, select

from musicfp.catalog import fingerprints, index_upkeep, revisions, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.index_upkeep import Difference, IndexReport, SpotCheck
from musicfp.catalog.tables import FingerprintRow, FingerprintTermRow, TrackRow
from musicfp.fingerprint.postings import FingerprintKind
from tests.support.seeds import music, seed_id, seed_track

FULL, BAND = FingerprintKind.FULL, FingerprintKind.BAND
N_TRACKS, N_EACH = 5, 120


@pytest.fixture
def ordinals(database: Database) -> dict[int, int]:
    """Five indexed tracks; their ordinals by number."""
    for number in range(1, N_TRACKS + 1):
        seed_track(database, number)
    with database.read() as session:
        found = dict(session.exec(select(TrackRow.id, TrackRow.ordinal)).all())
    return {number: found[seed_id(number)] or 0 for number in range(1, N_TRACKS + 1)}


@pytest.mark.usefixtures("ordinals")
def test_an_index_that_was_written_with_its_tracks_has_no_differences(database: Database) -> None:
    """All postings are counted, and a spot check finds them."""
    assert _verified(database) == IndexReport(N_TRACKS, N_TRACKS * N_EACH, ())
    with database.read() as session:
        assert index_upkeep.spot_check(session) == SpotCheck(N_TRACKS, 0)


def test_an_empty_catalogue_is_right(database: Database) -> None:
    """Verifying and rebuilding nothing works."""
    assert _verified(database) == IndexReport(0, 0, ())
    assert _rebuilt(database) == []
    with database.read() as session:
        assert index_upkeep.spot_check(session) == SpotCheck(0, 0)


def test_every_kind_of_damage_is_found_and_mended(database: Database, ordinals: dict[int, int]) -> None:
    """Missing, surplus and moved postings, and those of tracks that are gone or were never there."""
    with database.write() as session:
        terms.remove(session, ordinals[1], music(1).sub_fingerprints, kind=FULL)
        terms.discard(session, terms.rows_of(ordinals[2], music(2).sub_fingerprints, kind=FULL)[:3])
        moved = terms.rows_of(ordinals[3], music(3).sub_fingerprints, kind=FULL)[-2:]
        terms.discard(session, moved)
        terms.insert(session, moved + np.array([0, 1]))
        terms.add(session, ordinals[4], music(4).sub_fingerprints, kind=BAND)
        terms.insert(session, np.array([[(1 << 26) + 5, ordinals[2] << 12]]))
        session.exec(delete(TrackRow).where(col(TrackRow.id) == seed_id(5)))
    assert set(_verified(database).differences) == {
        Difference(ordinals[1], 0, seed_id(1), N_EACH, 0),
        Difference(ordinals[2], 0, seed_id(2), N_EACH, N_EACH - 3),
        Difference(ordinals[3], 0, seed_id(3), N_EACH, N_EACH),
        Difference(ordinals[4], 1, None, 0, N_EACH),
        Difference(ordinals[5], 0, None, 0, N_EACH),
        Difference(ordinals[2], 4, None, 0, 1),
    }
    with database.read() as session:
        assert index_upkeep.spot_check(session) == SpotCheck(4, 3)
    assert _rebuilt(database)[-1] == (6, 6)
    assert _verified(database) == IndexReport(4, 4 * N_EACH, ())
    assert _rebuilt(database) == []


def test_an_index_is_built_from_nothing_and_an_interrupted_rebuild_goes_on(
    database: Database, ordinals: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds of fingerprint; the transactions before the interruption stay."""
    monkeypatch.setattr(index_upkeep, "_MENDED_ROWS", 100)
    with database.write() as session:
        session.exec(delete(FingerprintTermRow))
        session.add(_band_of(seed_id(3), music(33).to_bytes(), revision=revisions.next_revision(session)))

    def interrupt(n_done: int, _n_all: int) -> None:
        if n_done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_upkeep.rebuild(database, progress=interrupt)
    left = _verified(database)
    assert 0 < left.n_postings < (N_TRACKS + 1) * N_EACH
    told = _rebuilt(database)
    assert told == sorted(told)
    assert told[-1] == (len(left.differences), len(left.differences))
    assert _verified(database) == IndexReport(N_TRACKS + 1, (N_TRACKS + 1) * N_EACH, ())
    with database.read() as session:
        stored = session.exec(select(FingerprintTermRow.term, FingerprintTermRow.loc)).all()
    assert sorted(stored) == sorted(
        tuple(row)
        for ordinal, number, kind in [(ordinals[n], n, FULL) for n in ordinals] + [(ordinals[3], 33, BAND)]
        for row in terms.rows_of(ordinal, music(number).sub_fingerprints, kind=kind).tolist()
    )


def test_a_fingerprint_stored_anew_during_a_rebuild_keeps_its_own_postings(
    database: Database, ordinals: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its earlier postings were added before that or were still to come."""
    monkeypatch.setattr(index_upkeep, "_MENDED_ROWS", 100)
    with database.write() as session:
        session.exec(delete(FingerprintTermRow))
    replaced: list[int] = []

    def replace_one(n_done: int, _n_all: int) -> None:
        number = n_done + 1
        if number in ordinals and number not in replaced:
            replaced.append(number)
            fingerprint = music(50 + number)
            with database.exclusive() as session:
                track = session.get_one(TrackRow, ordinals[number])
                fingerprints.store(session, track, fingerprint, kind=FULL, version="9")

    index_upkeep.rebuild(database, progress=replace_one)
    assert len(replaced) > 1
    assert _verified(database) == IndexReport(N_TRACKS, N_TRACKS * N_EACH, ())


@pytest.mark.parametrize("rows_at_once", [1, 7, 119, 120, 599, 600, 601])
@pytest.mark.usefixtures("ordinals")
def test_the_index_is_read_in_parts_of_any_size(
    database: Database, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    """No posting is read twice or passed over between two parts."""
    monkeypatch.setattr(index_upkeep, "_SCANNED_ROWS", rows_at_once)
    assert _verified(database) == IndexReport(N_TRACKS, N_TRACKS * N_EACH, ())


def test_a_track_accepted_while_the_index_is_compared_is_no_difference(database: Database) -> None:
    """A snapshot sees neither its fingerprint nor its postings."""
    seed_track(database, 1)
    with database.snapshot() as session:
        assert session.exec(select(TrackRow.id)).all() == [seed_id(1)]
        seed_track(database, 2)
        assert index_upkeep.verify(session) == IndexReport(1, N_EACH, ())
    assert _verified(database) == IndexReport(2, 2 * N_EACH, ())


def _verified(database: Database) -> IndexReport:
    with database.snapshot() as session:
        return index_upkeep.verify(session)


def _rebuilt(database: Database) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    index_upkeep.rebuild(database, progress=lambda n_done, n_all: told.append((n_done, n_all)))
    return told


def _band_of(track_id: str, data: bytes, *, revision: int) -> FingerprintRow:
    return FingerprintRow(
        track_id=track_id,
        kind=BAND,
        version="1",
        algorithm=1,
        item_duration_s=0.1,
        audio_duration_s=60.0,
        n_items=len(data) // 4,
        sub_fingerprints=data,
        revision=revision,
    )
