"""Going through many submissions in pages, each read in a transaction of its own."""

from collections.abc import Iterator
from typing import Protocol

from sqlmodel import Session

from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow

_PAGE_ROWS = 500


class PageQuery(Protocol):
    """A query for submissions in the order of their ids, behind a given one."""

    def __call__(self, session: Session, *, limit: int, after_id: str) -> list[SubmissionRow]:
        """Return at most `limit` of them."""


def in_pages(database: Database, query: PageQuery, *, limit: int) -> Iterator[SubmissionRow]:
    """Yield at most `limit` submissions of a query.

    Goes on behind the last one, so those that whoever asks leaves as they are do not come again.
    """
    after_id, left = "", limit
    while left > 0:
        with database.read() as session:
            page = query(session, limit=min(left, _PAGE_ROWS), after_id=after_id)
        yield from page
        if len(page) < min(left, _PAGE_ROWS):
            return
        after_id, left = page[-1].id, left - len(page)
