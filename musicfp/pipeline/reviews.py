"""What a person decides about submissions: accepting or refusing one that waits for review, or trying one again."""

from musicfp.catalog import submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest, Problem
from musicfp.identity import is_id
from musicfp.text import clean_line

_MAX_REASON_CHARACTERS = 500
_RETRYABLE = ("REJECTED", "FAILED", "NEEDS_REVIEW")


def review_submission(database: Database, *, submission_id: str, accept: bool, reason: str) -> SubmissionRow:
    """Decide a submission that waits for review. Accepting sends it through ingest again, which then lets it in."""
    words = clean_line(reason, max_characters=_MAX_REASON_CHARACTERS)
    if not words:
        raise InvalidRequest("missing_reason", "Say why, so that others understand the decision later.", "reason")
    with database.write() as session:
        row = _existing(session.get(SubmissionRow, submission_id) if is_id(submission_id) else None, submission_id)
        if row.status != "NEEDS_REVIEW":
            raise InvalidRequest("not_in_review", f"Submission {row.id} is {row.status}, not NEEDS_REVIEW.", "id")
        row.review_accepted = accept
        row.review_reason = words
        if accept:
            submissions.reopen(session, row)
        else:
            problem = Problem("refused_in_review", f"A reviewer refused it: {words}")
            submissions.decide(session, row, "REJECTED", [problem])
    return row


def retry_submission(database: Database, *, submission_id: str) -> SubmissionRow:
    """Let ingest look again at a submission whose object is still in the bucket."""
    with database.write() as session:
        row = _existing(session.get(SubmissionRow, submission_id) if is_id(submission_id) else None, submission_id)
        if row.status not in _RETRYABLE:
            allowed = ", ".join(_RETRYABLE)
            raise InvalidRequest(
                "not_retryable", f"Submission {row.id} is {row.status}; only {allowed} can retry.", "id"
            )
        if row.object_gone_at is not None:
            raise InvalidRequest("object_gone", "The uploaded file is no longer kept; upload it again.", "id")
        submissions.reopen(session, row)
    return row


def _existing(row: SubmissionRow | None, submission_id: str) -> SubmissionRow:
    if row is None:
        raise InvalidRequest("not_found", f"There is no submission {submission_id[:40]!r}.", "id")
    return row
