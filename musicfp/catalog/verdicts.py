"""Verdicts with the files that they are about: the newest, and all of them page by page.

What belongs here: reading them. What does not: what they mean (`musicfp.fingerprint.verdict`), replaying them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow, VerdictRow

OUTCOMES = ("ACCEPTED", "DUPLICATE", "NEEDS_REVIEW")
_PAGE_ROWS = 500


@dataclass(frozen=True)
class KeptVerdict:
    """A verdict and the name of the file that it is about."""

    verdict: VerdictRow
    filename: str


def newest(session: Session, *, limit: int, outcome: str | None = None) -> list[KeptVerdict]:
    """Return the verdicts that were decided last, the newest first."""
    latest_first = (col(VerdictRow.decided_at).desc(), col(VerdictRow.submission_id).desc())
    return _kept(session.exec(_selected(outcome).order_by(*latest_first).limit(limit)).all())


def every(database: Database, *, outcome: str | None = None) -> Iterator[KeptVerdict]:
    """Yield all verdicts, those on the newest submissions first, a page of them in memory at a time."""
    query = _selected(outcome).order_by(col(VerdictRow.submission_id).desc()).limit(_PAGE_ROWS)
    page = _page(database, query)
    while page:
        yield from page
        page = _page(database, query.where(col(VerdictRow.submission_id) < page[-1].verdict.submission_id))


def _selected(outcome: str | None) -> Select[VerdictRow, str]:
    query = select(VerdictRow, SubmissionRow.filename).join(
        SubmissionRow, col(SubmissionRow.id) == col(VerdictRow.submission_id)
    )
    return query if outcome is None else query.where(col(VerdictRow.outcome) == outcome)


def _page(database: Database, query: Select[VerdictRow, str]) -> list[KeptVerdict]:
    # A transaction of its own for each page: printing the last one must not hold up anybody.
    with database.read() as session:
        return _kept(session.exec(query).all())


def _kept(rows: Iterable[tuple[VerdictRow, str]]) -> list[KeptVerdict]:
    return [KeptVerdict(verdict, filename) for verdict, filename in rows]
