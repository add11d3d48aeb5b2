"""Every change of a submission's status, on SQLite and on PostgreSQL."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from musicfp.catalog import acceptance, relations, submissions
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.submissions import DECIDED, ReceivedObject
from musicfp.catalog.tables import SUBMISSION_STATUSES, SubmissionRow
from musicfp.errors import Problem
from tests.support.accepted import received, verdict_of
from tests.support.seeds import seed_id

TOO_SHORT = Problem("too_short", "It lasts 1 second.", "duration")
UNTAGGED = Problem("missing_tag", "It has no title.", "title")


def _await_upload(database: Database, number: int, *, expires_in_s: float = 60.0) -> str:
    submission_id = seed_id(number)
    row = SubmissionRow(
        id=submission_id,
        status="AWAITING_UPLOAD",
        filename="My Song.mp3",
        object_key=f"submissions/{submission_id}.mp3",
        multipart_upload_id="parts",
        created_at=utc_now(),
        upload_expires_at=utc_now() + timedelta(seconds=expires_in_s),
    )
    with database.write() as session:
        session.add(row)
    return submission_id


def _read(database: Database, submission_id: str) -> SubmissionRow:
    with database.read() as session:
        return session.get_one(SubmissionRow, submission_id)


def _decide(database: Database, submission_id: str, status: str, *problems: Problem) -> None:
    with database.write() as session:
        submissions.decide(session, session.get_one(SubmissionRow, submission_id), status, problems)


def _due(database: Database, *, limit: int = 10) -> list[str]:
    with database.read() as session:
        return submissions.due_for_ingest(session, limit=limit)


def test_every_status_but_two_is_final() -> None:
    """A new status has to be sorted in: waiting or decided."""
    assert set(SUBMISSION_STATUSES) - set(DECIDED) == {"AWAITING_UPLOAD", "RECEIVED"}


def test_an_awaited_upload_that_arrives_keeps_its_name_and_is_received(database: Database) -> None:
    """The name that the musician gave stays; size, etag and time are the object's."""
    submission_id = _await_upload(database, 1)
    arrived_at = datetime(2026, 5, 1, tzinfo=UTC)
    found = ReceivedObject(submission_id, "unused", "unused.mp3", 123, "etag", arrived_at)
    with database.write() as session:
        submissions.record_received(session, found)
    row = _read(database, submission_id)
    assert (row.status, row.filename, row.size_bytes, row.etag) == ("RECEIVED", "My Song.mp3", 123, "etag")
    assert row.object_key == f"submissions/{submission_id}.mp3"
    assert row.received_at == arrived_at
    assert row.multipart_upload_id is None


def test_a_file_that_nobody_announced_becomes_a_submission(database: Database) -> None:
    """A direct drop is received under its own key."""
    submission_id = received(database, 1, key="album/song.mp3")
    assert _read(database, submission_id).object_key == "album/song.mp3"
    assert _due(database) == [submission_id]


def test_the_same_key_cannot_be_open_twice(database: Database) -> None:
    """Two submissions of one object would be ingested twice."""
    received(database, 1, key="song.mp3")
    with pytest.raises(IntegrityError):
        received(database, 2, key="song.mp3")


def test_a_key_is_free_again_when_its_object_is_gone(database: Database) -> None:
    """Another file may come under the same key later, as a submission of its own."""
    first = received(database, 1, key="song.mp3")
    with database.write() as session:
        submissions.mark_object_gone(session, first)
    second = received(database, 2, key="song.mp3")
    with database.read() as session:
        known = submissions.open_by_key(session, ["song.mp3", "other.mp3"])
    assert {key: row.id for key, row in known.items()} == {"song.mp3": second}


def test_the_time_at_which_an_object_was_gone_does_not_move(database: Database) -> None:
    """Noting it again changes nothing."""
    submission_id = received(database, 1)
    with database.write() as session:
        submissions.mark_object_gone(session, submission_id)
    gone_at = _read(database, submission_id).object_gone_at
    with database.write() as session:
        submissions.mark_object_gone(session, submission_id)
    assert gone_at is not None
    assert _read(database, submission_id).object_gone_at == gone_at


def _wait(database: Database, number: int, submitter: str | None) -> str:
    submission_id = received(database, number)
    with database.write() as session:
        session.get_one(SubmissionRow, submission_id).submitter = submitter
    return submission_id


def test_submitters_take_turns(database: Database) -> None:
    """First the oldest of each, then the second of each; those without a name are one of them."""
    heap = [_wait(database, number, "heap") for number in range(1, 6)]
    nobody = [_wait(database, number, None) for number in (6, 7)]
    one = _wait(database, 8, "one")
    assert _due(database) == [heap[0], nobody[0], one, heap[1], nobody[1], *heap[2:]]
    assert _due(database, limit=3) == [heap[0], nobody[0], one]


def test_the_oldest_of_all_comes_first_however_many_submitters_there_are(database: Database) -> None:
    """Those that came later cannot starve it."""
    oldest = _wait(database, 1, "old")
    for number in range(2, 9):
        _wait(database, number, f"newcomer {number}")
    assert _due(database, limit=1) == [oldest]


def test_what_waits_is_chosen_from_an_index_alone(database: Database) -> None:
    """Cheap among a hundred thousand that wait and a million that are decided."""
    for number in range(1, 4):
        received(database, number)
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    _due(database)
    event.remove(database.engine, "before_cursor_execute", note)
    ((statement, parameters),) = [each for each in statements if "row_number" in each[0]]
    with database.engine.connect() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")  # three rows are read quicker without an index
            connection.exec_driver_sql("SET enable_bitmapscan = off")
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        plan = str(connection.exec_driver_sql(explain + statement, parameters).all())
    assert re.search("(COVERING INDEX|Index Only Scan using) ix_submission_waiting", plan), plan


def test_due_are_the_oldest_received_first(database: Database) -> None:
    """In the order of their ids, whatever the order of arrival, and no more than asked for."""
    for number in (3, 1, 2):
        received(database, number)
    _await_upload(database, 4)
    assert _due(database, limit=2) == [seed_id(1), seed_id(2)]


def test_a_postponed_submission_is_due_when_its_time_has_come(database: Database) -> None:
    """Until then it does not come up, and the attempt is counted."""
    later, now = received(database, 1), received(database, 2)
    with database.write() as session:
        for submission_id, seconds in ((later, 60), (now, -1)):
            row = session.get_one(SubmissionRow, submission_id)
            submissions.try_again_later(session, row, due_at=utc_now() + timedelta(seconds=seconds), reason="It broke.")
    assert _due(database) == [now]
    assert _read(database, later).attempts == 1
    assert _read(database, later).status == "RECEIVED"


@pytest.mark.parametrize("status", DECIDED)
def test_a_decision_ends_a_submission(database: Database, status: str) -> None:
    """Whatever it is, the submission is not due any more and has a time."""
    submission_id = received(database, 1)
    _decide(database, submission_id, status, TOO_SHORT, UNTAGGED)
    row = _read(database, submission_id)
    assert (row.status, row.next_attempt_at) == (status, None)
    assert row.decided_at is not None
    assert _due(database) == []


@pytest.mark.parametrize("status", ["AWAITING_UPLOAD", "RECEIVED", "accepted", ""])
def test_what_is_no_final_status_decides_nothing(database: Database, status: str) -> None:
    """A programming error is told, not stored."""
    submission_id = received(database, 1)
    with pytest.raises(ValueError, match="not a final status"):
        _decide(database, submission_id, status)
    assert _read(database, submission_id).status == "RECEIVED"


def test_deciding_again_replaces_the_reasons(database: Database) -> None:
    """Reasons of an earlier attempt do not stand beside those of the last; their order is kept."""
    submission_id = received(database, 1)
    _decide(database, submission_id, "REJECTED", TOO_SHORT, UNTAGGED)
    _decide(database, submission_id, "REJECTED", UNTAGGED)
    _decide(database, submission_id, "REJECTED", UNTAGGED, TOO_SHORT)
    with database.read() as session:
        rows = relations.problems(session, [submission_id])[submission_id]
    assert [(row.code, row.message, row.field) for row in rows] == [
        ("missing_tag", "It has no title.", "title"),
        ("too_short", "It lasts 1 second.", "duration"),
    ]


def test_reopening_forgets_the_decision(database: Database) -> None:
    """Reasons, verdict and attempts are gone, and the submission is due."""
    submission_id = received(database, 1)
    with database.write() as session:
        row = session.get_one(SubmissionRow, submission_id)
        submissions.try_again_later(session, row, due_at=utc_now(), reason="It broke.")
        acceptance.conclude(session, row, "NEEDS_REVIEW", verdict_of(submission_id, "NEEDS_REVIEW"))
    with database.write() as session:
        submissions.reopen(session, session.get_one(SubmissionRow, submission_id))
    row = _read(database, submission_id)
    assert (row.status, row.decided_at, row.attempts) == ("RECEIVED", None, 0)
    with database.read() as session:
        assert relations.verdicts(session, [submission_id]) == {}
    assert _due(database) == [submission_id]


@pytest.mark.parametrize(
    ("etag", "status", "expected"), [("e", None, True), ("other", None, False), ("e", "FAILED", False)]
)
def test_a_submission_that_changed_since_it_was_read_waits_no_more(
    database: Database,
    etag: str,
    status: str | None,
    expected: bool,
) -> None:
    """Deciding on what was read before would lose a replaced file or undo another's decision."""
    submission_id = received(database, 1)
    read_before = _read(database, submission_id)
    received(database, 1, etag=etag)
    if status is not None:
        _decide(database, submission_id, status)
    with database.write() as session:
        assert submissions.still_waits(session, read_before) is expected


def test_leftovers_are_accepted_and_duplicate_objects_only(database: Database) -> None:
    """What was rejected is kept for a week; what is gone is no leftover."""
    for number, status in enumerate(DECIDED):
        _decide(database, received(database, number), status)
    gone = received(database, 20)
    _decide(database, gone, "ACCEPTED")
    with database.write() as session:
        submissions.mark_object_gone(session, gone)
    with database.read() as session:
        assert [row.status for row in submissions.with_leftover_objects(session, limit=10)] == ["ACCEPTED", "DUPLICATE"]


def test_kept_objects_are_found_by_the_age_of_their_arrival(database: Database) -> None:
    """Rejected, failed and waiting for review, older than the limit; younger ones and decided ones are not."""
    for number, status in enumerate(DECIDED):
        _decide(database, received(database, number), status)
    now = utc_now()
    with database.read() as session:
        old = submissions.kept_objects_before(session, before=now + timedelta(seconds=5), limit=10)
        assert [row.status for row in old] == ["NEEDS_REVIEW", "REJECTED", "FAILED"]
        assert submissions.kept_objects_before(session, before=now - timedelta(hours=1), limit=10) == []


def test_the_oldest_awaited_key_is_that_of_the_oldest_open_ticket(database: Database) -> None:
    """Received, decided and expired uploads are not awaited."""
    with database.read() as session:
        assert submissions.oldest_awaited_key(session) is None
    received(database, 1)
    _await_upload(database, 3)
    _await_upload(database, 2)
    with database.read() as session:
        assert submissions.oldest_awaited_key(session) == f"submissions/{seed_id(2)}.mp3"


def test_overdue_are_awaited_uploads_past_their_ticket(database: Database) -> None:
    """An upload that arrived is not overdue, however old its ticket is."""
    overdue = _await_upload(database, 1, expires_in_s=-1)
    _await_upload(database, 2, expires_in_s=60)
    arrived = _await_upload(database, 3, expires_in_s=-1)
    received(database, 3)
    with database.read() as session:
        assert [row.id for row in submissions.overdue_uploads(session, limit=10)] == [overdue]
    assert _due(database) == [arrived]
