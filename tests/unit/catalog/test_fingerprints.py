"""A track's second fingerprint and its part of the index."""

import pytest

from musicfp.catalog import fingerprints, relations, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import TrackRow
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import indexed_terms
from tests.support.accepted import accept_track
from tests.support.seeds import music


def _store(database: Database, track_id: str, fingerprint: Fingerprint, *, version: str) -> None:
    with database.exclusive() as session:
        track = relations.tracks(session, [track_id])[track_id]
        fingerprints.store(session, track, fingerprint, kind=FingerprintKind.BAND, version=version)


def _n_hits(database: Database, track_id: str, fingerprint: Fingerprint, *, kind: FingerprintKind) -> int:
    with database.read() as session:
        ordinal = relations.tracks(session, [track_id])[track_id].ordinal
        found = DatabaseCatalogue(session).lookup(indexed_terms(fingerprint.sub_fingerprints), kind=kind)
    return int((found.track == ordinal).sum())


def test_a_stored_fingerprint_is_found_by_its_terms(database: Database) -> None:
    """In its own kind and for its own track; the ordinary fingerprint beside it stays as it is."""
    track_id, other_id = (accept_track(database, number) for number in range(2))
    with database.read() as session:
        ordinary = relations.fingerprints(session, [track_id])[track_id]
    second = music(2)
    _store(database, track_id, second, version="1")
    with database.read() as session:
        stored = relations.fingerprints(session, [track_id, other_id], kind=FingerprintKind.BAND)
        assert relations.fingerprints(session, [track_id])[track_id] == ordinary
    assert stored.keys() == {track_id}
    assert stored[track_id].sub_fingerprints == second.to_bytes()
    assert (stored[track_id].version, stored[track_id].n_items) == ("1", second.n_items)
    assert _n_hits(database, track_id, second, kind=FingerprintKind.BAND) > 10
    assert _n_hits(database, other_id, second, kind=FingerprintKind.BAND) == 0
    assert _n_hits(database, track_id, second, kind=FingerprintKind.FULL) == 0


def test_a_recomputed_fingerprint_replaces_row_and_terms(database: Database) -> None:
    """Nothing of the old one is found any more; the same again changes nothing."""
    track_id = accept_track(database, 1)
    old, new = music(2), music(3)
    _store(database, track_id, old, version="1")
    for _ in range(2):
        _store(database, track_id, new, version="2")
    with database.read() as session:
        row = relations.fingerprints(session, [track_id], kind=FingerprintKind.BAND)[track_id]
    assert (row.version, row.sub_fingerprints) == ("2", new.to_bytes())
    assert _n_hits(database, track_id, old, kind=FingerprintKind.BAND) == 0
    once = _n_hits(database, track_id, new, kind=FingerprintKind.BAND)
    _store(database, track_id, new, version="2")
    assert _n_hits(database, track_id, new, kind=FingerprintKind.BAND) == once > 10


def test_what_is_not_stored_together_is_not_stored_at_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row and terms are of one transaction."""
    track_id = accept_track(database, 1)
    monkeypatch.setattr(terms, "add", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _store(database, track_id, music(2), version="1")
    with database.read() as session:
        assert relations.fingerprints(session, [track_id], kind=FingerprintKind.BAND) == {}
    assert _n_hits(database, track_id, music(2), kind=FingerprintKind.BAND) == 0


def test_a_track_that_was_never_stored_is_refused(database: Database) -> None:
    """It has no ordinal by which the index could name it."""
    with pytest.raises(ValueError, match="never stored"), database.write() as session:
        fingerprints.store(session, TrackRow(id="x"), music(2), kind=FingerprintKind.BAND, version="1")
