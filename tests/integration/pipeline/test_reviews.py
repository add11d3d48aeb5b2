"""What people decide about submissions, and what time decides, with real audio, the real store and both databases."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from musicfp.catalog import relations
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest
from musicfp.fingerprint.verdict import VerdictPolicy
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.expiry import expire_old_submissions
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.recheck import recheck
from musicfp.pipeline.reviews import retry_submission, review_submission
from tests.support.ingesting import (
    discover_all,
    drop,
    ingest_all,
    keys_in,
    problem_codes,
    submission_of,
    upload_and_discover,
    verdict_of,
)
from tests.support.songs import SongFolder


@pytest.fixture
def reviewing(stage: StageContext) -> StageContext:
    """A stage where related uploads wait for review."""
    return replace(stage, settings=replace(stage.settings, review_related=True))


def _waiting_medley(stage: StageContext, songs: SongFolder) -> tuple[str, str]:
    first, medley = ingest_all(stage, songs.song(1), songs.medley(1, 2))
    assert medley.submission.status == "NEEDS_REVIEW"
    return first.submission.id, medley.submission.id


def _would_flip(stage: StageContext) -> list[str]:
    """Return the submissions that would be decided otherwise if related uploads did not wait."""
    return [each.submission_id for each in recheck(stage.database, VerdictPolicy()) if each.would_change]


def test_related_uploads_are_accepted_with_the_relation(stage: StageContext, songs: SongFolder) -> None:
    """A medley contains a track: it is new, and says so."""
    first, medley = ingest_all(stage, songs.song(1), songs.medley(1, 2))
    assert medley.submission.status == "ACCEPTED"
    with stage.database.read() as session:
        (related,) = relations.related(session, [medley.submission.id])[medley.submission.id]
    assert (related.relation, related.other_track_id) == ("CONTAINS", first.submission.id)


def test_a_reviewer_lets_a_waiting_upload_in(reviewing: StageContext, songs: SongFolder) -> None:
    """It goes through ingest again and keeps its relation; the same file would still be a duplicate."""
    first, medley = _waiting_medley(reviewing, songs)
    assert _would_flip(reviewing) == [medley]
    review_submission(reviewing.database, submission_id=medley, accept=True, reason="A medley, on purpose")
    (outcome,) = ingest_batch(reviewing, [medley])
    assert outcome.submission.status == "ACCEPTED"
    assert _would_flip(reviewing) == []
    assert verdict_of(reviewing, medley).reason.startswith("Accepted in review.")
    with reviewing.database.read() as session:
        assert [row.other_track_id for row in relations.related(session, [medley])[medley]] == [first]
    with pytest.raises(InvalidRequest) as raised:
        review_submission(reviewing.database, submission_id=medley, accept=True, reason="again")
    assert raised.value.code == "not_in_review"


def test_a_reviewer_keeps_the_relation_that_would_have_made_a_duplicate(
    reviewing: StageContext, songs: SongFolder
) -> None:
    """Let in by a person although a recording of it has come meanwhile: both know of each other."""
    first, medley = _waiting_medley(reviewing, songs)
    review_submission(reviewing.database, submission_id=medley, accept=True, reason="Wanted")
    (twin,) = upload_and_discover(reviewing, songs.medley_in_other_codec(1, 2))
    with reviewing.database.write() as session:
        session.get_one(SubmissionRow, twin).review_accepted = True
    assert [each.submission.status for each in ingest_batch(reviewing, [twin])] == ["ACCEPTED"]
    (outcome,) = ingest_batch(reviewing, [medley])
    assert outcome.submission.status == "ACCEPTED"
    with reviewing.database.read() as session:
        related = relations.related(session, [medley])[medley]
    assert {row.other_track_id: row.relation for row in related} == {twin: "SAME_RECORDING", first: "CONTAINS"}


def test_a_reviewer_refuses_with_a_reason(reviewing: StageContext, songs: SongFolder) -> None:
    """The musician reads it; without a reason nothing is decided."""
    _, medley = _waiting_medley(reviewing, songs)
    with pytest.raises(InvalidRequest) as raised:
        review_submission(reviewing.database, submission_id=medley, accept=False, reason=" \n")
    assert (raised.value.code, raised.value.field) == ("missing_reason", "reason")
    row = review_submission(reviewing.database, submission_id=medley, accept=False, reason="Not ours")
    assert (row.status, row.review_reason) == ("REJECTED", "Not ours")
    assert problem_codes(reviewing, medley) == ["refused_in_review"]
    retry_submission(reviewing.database, submission_id=medley)
    assert [each.submission.status for each in ingest_batch(reviewing, [medley])] == ["NEEDS_REVIEW"]


@pytest.mark.parametrize(
    "act",
    [
        lambda stage, which: retry_submission(stage.database, submission_id=which),
        lambda stage, which: review_submission(stage.database, submission_id=which, accept=True, reason="x"),
    ],
)
@pytest.mark.parametrize("which", ["nonsense", "0" * 26])
def test_deciding_what_does_not_exist(
    stage: StageContext, act: Callable[[StageContext, str], object], which: str
) -> None:
    """Told as such, with the field at fault."""
    with pytest.raises(InvalidRequest) as raised:
        act(stage, which)
    assert (raised.value.code, raised.value.field) == ("not_found", "id")


def test_an_accepted_submission_cannot_be_retried(stage: StageContext, songs: SongFolder) -> None:
    """There is nothing to decide any more."""
    (outcome,) = ingest_all(stage, songs.song(1))
    with pytest.raises(InvalidRequest) as raised:
        retry_submission(stage.database, submission_id=outcome.submission.id)
    assert raised.value.code == "not_retryable"


def test_old_rejects_disappear_and_old_reviews_expire(reviewing: StageContext, songs: SongFolder) -> None:
    """After the limit, not before; and never a file that was put there meanwhile."""
    _, medley = _waiting_medley(reviewing, songs)
    kept = {"old": songs.short(), "replaced": songs.silence(), "young": songs.file("t.mp3", b"text" * 99)}
    rejected = dict(zip(kept, upload_and_discover(reviewing, *kept.values()), strict=True))
    list(ingest_batch(reviewing, list(rejected.values())))
    _age(reviewing, [medley, rejected["old"], rejected["replaced"]])
    drop(reviewing, songs.song(5), submission_of(reviewing, rejected["replaced"]).object_key)
    assert expire_old_submissions(reviewing) == 2
    assert expire_old_submissions(reviewing) == 0
    assert submission_of(reviewing, medley).status == "EXPIRED"
    assert submission_of(reviewing, rejected["old"]).status == "REJECTED"
    keys = keys_in(reviewing, reviewing.settings.submission_bucket)
    assert keys == sorted(submission_of(reviewing, rejected[name]).object_key for name in ("replaced", "young"))
    assert len(discover_all(reviewing).submission_ids) == 1


def _age(stage: StageContext, submission_ids: Sequence[str]) -> None:
    long_ago = utc_now() - timedelta(days=stage.settings.submission_ttl_days, seconds=5)
    with stage.database.write() as session:
        for each in submission_ids:
            session.get_one(SubmissionRow, each).received_at = long_ago
