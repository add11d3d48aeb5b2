"""Making tracks, on SQLite and on PostgreSQL."""

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from musicfp.catalog import acceptance, derivations, relations
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import (
    DerivationRow,
    FingerprintRow,
    FingerprintTermRow,
    SubmissionRow,
    TrackRow,
    TrackTagRow,
    VerdictRow,
)
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import terms_of
from tests.support.accepted import accept_track, accept_within, received, verdict_of
from tests.support.seeds import music, seed_id


def test_accepting_makes_everything_at_once(database: Database) -> None:
    """Track, tags in file order, fingerprint, relation, verdict, work queue and status."""
    with database.write() as session:
        derivations.bring_up_to_date(session, {"transcode_x": "1", "feature_y": "2"})
    other = accept_track(database, 1)
    track_id = accept_track(database, 2, related_to=other)
    with database.read() as session:
        assert [row.value for row in relations.tags(session, [track_id])[track_id]] == ["Title", "A", "B"]
        assert relations.fingerprints(session, [track_id])[track_id].n_items == 480
        assert relations.related(session, [track_id])[track_id][0].other_track_id == other
        assert relations.verdicts(session, [track_id])[track_id].evidence == {"correlation": 0.9}
        submission = session.get_one(SubmissionRow, track_id)
        queued = derivations.states(session, [track_id], ["transcode_x", "feature_y"])
    assert submission.status == "ACCEPTED"
    assert {asset: (row.status, row.version) for (_, asset), row in queued.items()} == {
        "transcode_x": ("PENDING", "1"),
        "feature_y": ("PENDING", "2"),
    }


def test_a_track_is_found_by_its_terms_within_the_transaction_that_accepts_it(database: Database) -> None:
    """The next decision in the same batch must see it."""
    submission_id = received(database, 1)
    with database.exclusive() as session:
        accept_within(session, session.get_one(SubmissionRow, submission_id), source="x")
        catalogue = DatabaseCatalogue(session)
        ordinal = acceptance.newest_ordinal(session)
        found = catalogue.lookup(terms_of(music(1).sub_fingerprints[40:80]), kind=FingerprintKind.FULL)
        assert set(zip(found.track, found.position_items - found.probe, strict=True)) == {(ordinal, 40)}
        assert found.probe.size == 10
        (stored,) = catalogue.fingerprints([ordinal], kind=FingerprintKind.FULL).values()
        assert stored.track_id == submission_id


def test_a_failure_in_the_middle_leaves_nothing(database: Database) -> None:
    """An exception after all rows were added undoes all of them: the submission waits as before."""
    submission_id = received(database, 1)
    with pytest.raises(RuntimeError), database.exclusive() as session:  # noqa: PT012 - the whole block is undone
        accept_within(session, session.get_one(SubmissionRow, submission_id), source="x")
        session.flush()
        raise RuntimeError
    with database.read() as session:
        for table in (TrackRow, TrackTagRow, FingerprintRow, FingerprintTermRow, VerdictRow, DerivationRow):
            assert session.exec(select(table)).all() == []
        assert session.get_one(SubmissionRow, submission_id).status == "RECEIVED"


def test_the_same_file_cannot_be_two_tracks(database: Database) -> None:
    """The database refuses it, even if whoever decides did not look."""
    accept_track(database, 1, source="same")
    with pytest.raises(IntegrityError):
        accept_track(database, 2, source="same")
    with database.read() as session:
        assert acceptance.existing_ids(session) == {seed_id(1)}
        assert session.get_one(SubmissionRow, seed_id(2)).status == "RECEIVED"


def test_a_track_is_found_by_the_hash_of_its_file(database: Database) -> None:
    """And only by exactly that hash."""
    track_id = accept_track(database, 1)
    with database.read() as session:
        sha256 = relations.tracks(session, [track_id])[track_id].source_sha256
        found = acceptance.track_with_source(session, sha256)
        assert found is not None
        assert found.id == track_id
        assert acceptance.track_with_source(session, "0" * 64) is None


def test_an_ordinal_is_never_given_twice(database: Database) -> None:
    """Readers follow the catalogue by ordinals: a new track under the ordinal of a deleted one would be overlooked."""
    for number in (1, 2, 3):
        accept_track(database, number)
    with database.read() as session:
        highest = acceptance.newest_ordinal(session)
    with database.write() as session:
        session.exec(delete(TrackRow).where(col(TrackRow.id).in_([seed_id(2), seed_id(3)])))
    accept_track(database, 4)
    with database.read() as session:
        assert acceptance.newest_ordinal(session) == highest + 1


def test_a_deleted_track_takes_its_parts_with_it(database: Database) -> None:
    """Its tags, fingerprint and queue go; verdicts of others that named it stay, without the reference."""
    track_id = accept_track(database, 1)
    duplicate = received(database, 2)
    with database.write() as session:
        row = session.get_one(SubmissionRow, duplicate)
        acceptance.conclude(session, row, "DUPLICATE", verdict_of(duplicate, "DUPLICATE", matched_track_id=track_id))
    with database.write() as session:
        session.exec(delete(TrackRow).where(col(TrackRow.id) == track_id))
    with database.read() as session:
        assert session.exec(select(TrackTagRow)).all() == []
        assert session.exec(select(FingerprintRow)).all() == []
        verdict = relations.verdicts(session, [duplicate])[duplicate]
    assert (verdict.outcome, verdict.matched_track_id) == ("DUPLICATE", None)


def test_a_submission_with_a_track_cannot_be_deleted(database: Database) -> None:
    """A track without the submission that brought it would have no history."""
    track_id = accept_track(database, 1)
    with pytest.raises(IntegrityError), database.write() as session:
        session.exec(delete(SubmissionRow).where(col(SubmissionRow.id) == track_id))


def test_a_repeated_conclusion_replaces_the_verdict(database: Database) -> None:
    """Deciding again after a crash leaves one verdict."""
    submission_id = received(database, 1)
    for status in ("NEEDS_REVIEW", "DUPLICATE"):
        with database.write() as session:
            row = session.get_one(SubmissionRow, submission_id)
            acceptance.conclude(session, row, status, verdict_of(submission_id, status))
    with database.read() as session:
        assert [row.outcome for row in session.exec(select(VerdictRow)).all()] == ["DUPLICATE"]


def test_titles_are_those_of_the_tracks_asked_for(database: Database) -> None:
    """Unknown ids are left out."""
    track_id = accept_track(database, 1)
    with database.read() as session:
        assert acceptance.titles(session, [track_id, seed_id(404)]) == {track_id: ("Title", "Artist")}
        assert acceptance.newest_ordinal(session) > 0
