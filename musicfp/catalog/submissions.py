"""Reading and changing submissions. Each change of status happens here and nowhere else.

AWAITING_UPLOAD -> RECEIVED -> ACCEPTED | DUPLICATE | NEEDS_REVIEW | REJECTED | FAILED, or AWAITING_UPLOAD -> EXPIRED.
Accepting is in `acceptance`, because it makes a track in the same transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, literal, true, update
from sqlmodel import Session, col, select

from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import ProblemRow, SubmissionRow, VerdictRow
from musicfp.errors import Problem

DECIDED = ("ACCEPTED", "DUPLICATE", "NEEDS_REVIEW", "REJECTED", "FAILED", "EXPIRED")
# What stays in the submission bucket after a verdict, until its lifecycle removes it: someone may look or try again.
OBJECT_KEPT = ("NEEDS_REVIEW", "REJECTED", "FAILED")


@dataclass(frozen=True)
class ReceivedObject:
    """An object found in the submission bucket."""

    submission_id: str
    key: str
    filename: str
    size_bytes: int
    etag: str
    received_at: datetime
    submitter: str | None = None


def get(session: Session, submission_id: str) -> SubmissionRow | None:
    """Return one submission."""
    return session.get(SubmissionRow, submission_id)


def get_many(session: Session, submission_ids: Iterable[str]) -> dict[str, SubmissionRow]:
    """Return those of the submissions that exist, by id."""
    rows = session.exec(select(SubmissionRow).where(col(SubmissionRow.id).in_(list(submission_ids))))
    return {row.id: row for row in rows}


def open_by_key(session: Session, keys: Sequence[str]) -> dict[str, SubmissionRow]:
    """Return, by object key, the submissions whose object has not been seen to be gone."""
    rows = session.exec(
        select(SubmissionRow).where(
            col(SubmissionRow.object_key).in_(keys), col(SubmissionRow.object_gone_at).is_(None)
        )
    )
    return {row.object_key: row for row in rows}


def oldest_awaited_key(session: Session) -> str | None:
    """Return the smallest key of an upload that may still arrive: listings must not start after it."""
    return session.exec(
        select(SubmissionRow.object_key)
        .where(SubmissionRow.status == "AWAITING_UPLOAD")
        .order_by(col(SubmissionRow.id))
        .limit(1)
    ).first()


def record_received(session: Session, found: ReceivedObject) -> None:
    """Note that an object has arrived: for an awaited upload, a replaced object, or one that some other tool put."""
    row = session.get(SubmissionRow, found.submission_id)
    if row is None:
        row = SubmissionRow(
            id=found.submission_id,
            status="RECEIVED",
            filename=found.filename,
            submitter=found.submitter,
            object_key=found.key,
            created_at=found.received_at,
        )
    row.status = "RECEIVED"
    row.size_bytes = found.size_bytes
    row.etag = found.etag
    row.received_at = found.received_at
    row.multipart_upload_id = None
    session.add(row)


def mark_object_gone(session: Session, submission_id: str) -> None:
    """Note that the submission's object is no longer in the bucket."""
    session.exec(
        update(SubmissionRow)
        .where(col(SubmissionRow.id) == submission_id, col(SubmissionRow.object_gone_at).is_(None))
        .values(object_gone_at=utc_now())
    )


def due_for_ingest(session: Session, *, limit: int) -> list[str]:
    """Return ids of received submissions that wait for a verdict, in the order in which they are taken.

    Submitters take turns: first the oldest submission of each, then the second of each, and so on. So the oldest of all
    comes first whatever else waits, and somebody's ten thousand files do not keep another's one file waiting.
    """
    turn = func.row_number().over(partition_by=col(SubmissionRow.submitter), order_by=col(SubmissionRow.id))
    waiting = select(col(SubmissionRow.id).label("id"), turn.label("turn")).where(_is_due(utc_now())).subquery()
    # Nobody has more turns in a batch than it has places: so much need not be sorted.
    chosen = select(waiting.c.id).where(waiting.c.turn <= limit).order_by(waiting.c.turn, waiting.c.id).limit(limit)
    return list(session.exec(chosen))


def oldest_waiting_since(session: Session) -> datetime | None:
    """Return when the file of the oldest submission without a verdict arrived, None if nothing waits."""
    return session.exec(
        select(SubmissionRow.received_at).where(_is_received()).order_by(col(SubmissionRow.id)).limit(1)
    ).first()


def with_leftover_objects(session: Session, *, limit: int, after_id: str = "") -> list[SubmissionRow]:
    """Return decided submissions whose object should have been deleted but was not, perhaps because of a crash."""
    return list(
        session.exec(
            select(SubmissionRow)
            .where(
                col(SubmissionRow.status).in_(("ACCEPTED", "DUPLICATE")),
                col(SubmissionRow.object_gone_at).is_(None),
                col(SubmissionRow.id) > after_id,
            )
            .order_by(col(SubmissionRow.id))
            .limit(limit)
        ).all()
    )


def kept_objects_before(session: Session, *, before: datetime, limit: int, after_id: str = "") -> list[SubmissionRow]:
    """Return decided submissions whose object was kept and that were received before this time."""
    return list(
        session.exec(
            select(SubmissionRow)
            .where(
                col(SubmissionRow.status).in_(OBJECT_KEPT),
                col(SubmissionRow.object_gone_at).is_(None),
                col(SubmissionRow.received_at) < before,
                col(SubmissionRow.id) > after_id,
            )
            .order_by(col(SubmissionRow.id))
            .limit(limit)
        ).all()
    )


def still_waits(session: Session, row: SubmissionRow) -> bool:
    """Whether a submission read earlier still is RECEIVED with the same object, now and until this transaction ends.

    Asked before deciding: somebody may have decided it meanwhile, or put another file under its key.
    """
    current = session.exec(
        select(SubmissionRow.status, SubmissionRow.etag).where(col(SubmissionRow.id) == row.id).with_for_update()
    ).one_or_none()
    return current is not None and tuple(current) == ("RECEIVED", row.etag)


def decide(session: Session, row: SubmissionRow, status: str, problems: Sequence[Problem] = ()) -> None:
    """End a submission with a status and its reasons. Repeating it replaces the reasons."""
    if status not in DECIDED:
        raise ValueError(f"{status} is not a final status; use one of {', '.join(DECIDED)}.")
    row.status = status
    row.decided_at = utc_now()
    row.next_attempt_at = None
    row.put_off_because = None
    session.add(row)
    session.exec(delete(ProblemRow).where(col(ProblemRow.submission_id) == row.id))
    session.add_all(
        ProblemRow(submission_id=row.id, position=position, code=each.code, message=each.message, field=each.field)
        for position, each in enumerate(problems)
    )


def try_again_later(session: Session, row: SubmissionRow, *, due_at: datetime, reason: str) -> None:
    """Put a submission back after a retryable failure."""
    row.attempts += 1
    row.next_attempt_at = due_at
    row.put_off_because = reason
    session.add(row)


def reopen(session: Session, row: SubmissionRow) -> None:
    """Let ingest decide again, from the beginning."""
    row.status = "RECEIVED"
    row.decided_at = None
    row.attempts = 0
    row.next_attempt_at = None
    row.put_off_because = None
    session.add(row)
    session.exec(delete(ProblemRow).where(col(ProblemRow.submission_id) == row.id))
    session.exec(delete(VerdictRow).where(col(VerdictRow.submission_id) == row.id))


def overdue_uploads(session: Session, *, limit: int, after_id: str = "") -> list[SubmissionRow]:
    """Return awaited uploads whose signed URL has expired."""
    return list(
        session.exec(
            select(SubmissionRow)
            .where(
                SubmissionRow.status == "AWAITING_UPLOAD",
                col(SubmissionRow.upload_expires_at) < utc_now(),
                col(SubmissionRow.id) > after_id,
            )
            .order_by(col(SubmissionRow.id))
            .limit(limit)
        ).all()
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    next_attempt_at = col(SubmissionRow.next_attempt_at)
    return _is_received() & (next_attempt_at > now).is_not(true())


def _is_received() -> ColumnElement[bool]:
    # Spelt out in the statement: with a parameter, a database may not see that the index of what waits will do.
    return col(SubmissionRow.status) == literal("RECEIVED", literal_execute=True)
