"""Taking a track out of the catalogue in one transaction, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import func
from sqlmodel import Session, SQLModel, select

from musicfp.catalog import deletions, derivations, fingerprints, index_upkeep, pages, relations, revisions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import (
    DeletionRow,
    DerivationRow,
    FeatureRow,
    FingerprintRow,
    FingerprintTermRow,
    MaterializationRow,
    RelatedTrackRow,
    SubmissionRow,
    TrackRow,
    TrackTagRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.fingerprint.postings import FingerprintKind
from tests.support.crashes import Killed, kill
from tests.support.seeds import SeedTrack, music, relate, seed_duplicate, seed_id, seed_track

OF_A_TRACK: tuple[type[SQLModel], ...] = (
    TrackRow,
    TrackTagRow,
    FingerprintRow,
    FingerprintTermRow,
    TranscodeRow,
    FeatureRow,
    DerivationRow,
    RelatedTrackRow,
    MaterializationRow,
)


def full_track(database: Database, number: int) -> str:
    """Store a track that has everything: both fingerprints and work to be done too."""
    track_id = seed_track(database, number, SeedTrack(title=f"T{number}"))
    with database.exclusive() as session:
        track = relations.tracks(session, [track_id])[track_id]
        fingerprints.store(session, track, music(100 + number), kind=FingerprintKind.BAND, version="1")
        derivations.mark_done(session, {track_id: {"source_audio": "1"}})
    return track_id


def delete(database: Database, track_id: str, *, reason: str | None = None) -> DeletionRow:
    with database.exclusive() as session:
        return deletions.delete_track(session, relations.tracks(session, [track_id])[track_id], reason=reason)


def counts(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {table.__name__: session.exec(select(func.count()).select_from(table)).one() for table in OF_A_TRACK}


def test_nothing_of_a_track_stays_and_others_lose_nothing(database: Database) -> None:
    """Every row and posting goes and is counted; what is there of other tracks is as before, relations apart."""
    kept = full_track(database, 1)
    before = counts(database)
    gone = full_track(database, 2)
    relate(database, gone, kept)
    relate(database, kept, gone)
    duplicate = seed_duplicate(database, 3, gone)
    n_postings = counts(database)["FingerprintTermRow"] - before["FingerprintTermRow"]
    deletion = delete(database, gone, reason="asked for")
    assert counts(database) == before
    assert deletion.rows == {
        "track": 1,
        "tags": 2,
        "fingerprints": 2,
        "transcodes": 2,
        "features": 2,
        "derivations": 1,
        "relations": 2,
        "lineage": 1,
        "postings": n_postings,
        "verdict_references": 1,
    }
    with database.snapshot() as session:
        assert index_upkeep.verify(session).differences == ()
        assert pages.count_tracks(session) == 1
        assert relations.related_either_way(session, kept) == []
        submission = session.get_one(SubmissionRow, duplicate)
        verdict = relations.verdicts(session, [duplicate])[duplicate]
        assert session.get_one(SubmissionRow, gone).status == "ACCEPTED"
    assert (submission.status, verdict.outcome, verdict.relation) == ("DUPLICATE", "DUPLICATE", "EXCERPT")
    assert (verdict.matched_track_id, verdict.deleted_track_id) == (None, gone)


def test_a_deletion_is_written_down_until_it_is_finished(database: Database) -> None:
    """With its place among the changes of fingerprints, its reason and the key that nobody may use again."""
    track_id = full_track(database, 1)
    with database.read() as session:
        revision = revisions.newest_revision(session)
        key = relations.tracks(session, [track_id])[track_id].source_key
        assert (deletions.newest_revision(session), deletions.is_spent(session, key)) == (0, False)
        assert deletions.track_remains(session, track_id)
    delete(database, track_id, reason="a wish")
    with database.read() as session:
        row = deletions.get(session, track_id)
        assert row is not None
        assert (row.reason, row.revision, row.finished_at) == ("a wish", revision + 1, None)
        assert revisions.newest_revision(session) == deletions.newest_revision(session) == revision + 1
        assert deletions.is_spent(session, key)
        assert not deletions.track_remains(session, track_id)
        assert deletions.removed_ordinals(session, up_to=revision + 1).tolist() == [row.ordinal]
        assert deletions.removed_ordinals(session, up_to=revision).tolist() == []
        assert deletions.removed_ordinals(session, after=revision + 1, up_to=revision + 9).tolist() == []
        assert [each.track_id for each in deletions.unfinished(session, limit=9)] == [track_id]
    with database.write() as session:
        first = deletions.finish(session, track_id).finished_at
    with database.write() as session:
        assert deletions.finish(session, track_id).finished_at == first is not None
        assert deletions.unfinished(session, limit=9) == []
        assert session.get_one(SubmissionRow, track_id).object_gone_at is not None


@pytest.mark.parametrize(
    "interrupt",
    [
        lambda patch: patch.setattr(deletions, "_remove_postings", kill),
        lambda patch: patch.setattr(deletions, "_remove_parts", kill),
        lambda patch: patch.setattr(deletions.revisions, "next_revision", kill),
        lambda patch: patch.setattr(Session, "flush", kill),
    ],
    ids=["postings", "parts", "revision", "deletion row"],
)
def test_a_deletion_that_is_killed_before_its_commit_never_was(
    database: Database, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """The track is there as a whole."""
    track_id = full_track(database, 1)
    before = counts(database)
    with monkeypatch.context() as patch:
        interrupt(patch)
        with pytest.raises(Killed):
            delete(database, track_id)
    assert counts(database) == before
    with database.snapshot() as session:
        assert deletions.get(session, track_id) is None
        assert index_upkeep.verify(session).differences == ()


def test_the_index_can_be_mended_after_deletions(database: Database) -> None:
    """No posting of a deleted track is due, and none is missed."""
    for number in (1, 2, 3):
        full_track(database, number)
    delete(database, seed_id(2))
    report = index_upkeep.rebuild(database, progress=lambda _done, _all: None)
    assert (report.n_fingerprints, report.differences) == (4, ())


def test_verdicts_of_the_submission_itself_stay(database: Database) -> None:
    """What was decided about it and why is history, not the track."""
    track_id = full_track(database, 1)
    with database.write() as session:
        session.add(
            VerdictRow(
                submission_id=track_id,
                outcome="ACCEPTED",
                reason="It was new.",
                policy_version="1",
                decided_at=session.get_one(SubmissionRow, track_id).created_at,
            )
        )
    delete(database, track_id)
    with database.read() as session:
        verdict = relations.verdicts(session, [track_id])[track_id]
    assert (verdict.reason, verdict.deleted_track_id) == ("It was new.", None)
