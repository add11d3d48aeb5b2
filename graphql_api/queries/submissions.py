"""Reading submissions."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import resolved
from graphql_api.types.connections import Connection, bad_cursor, connection_of, decode_cursor, encode_cursor, page_size
from graphql_api.types.enums import SubmissionStatus
from graphql_api.types.submissions import Submission
from musicfp.catalog import pages
from musicfp.catalog import submissions as catalogued
from musicfp.catalog.engine import Database
from musicfp.catalog.pages import Page
from musicfp.catalog.tables import SubmissionRow
from musicfp.identity import is_id

_CURSOR = "submission"


@resolved("One submission; null if there is none with this id.")
async def submission(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the submission.")],  # noqa: A002
) -> Submission | None:
    """Load one submission."""
    services = info.context.services
    row = await services.workers.database.run(_one, services.database, str(id)) if is_id(id) else None
    return None if row is None else Submission.of_row(row)


@resolved("All submissions, newest first.")
async def submissions(
    info: Info,
    first: Annotated[int, strawberry.argument(description="How many, at most 100.")] = 50,
    after: Annotated[str | None, strawberry.argument(description="Cursor to continue behind.")] = None,
    status: Annotated[SubmissionStatus | None, strawberry.argument(description="Only those with this status.")] = None,
) -> Connection[Submission]:
    """Load one page of submissions."""
    services, limit = info.context.services, page_size(first)
    only = None if status is None else str(status.value)
    page = await services.workers.database.run(_page, services.database, _after(after), limit=limit, status=only)
    return connection_of(
        [Submission.of_row(row) for row in page.rows],
        [encode_cursor(_CURSOR, row.id) for row in page.rows],
        has_next=page.has_next,
        after=after,
        count=lambda session: pages.count_submissions(session, status=only),
    )


def _after(cursor: str | None) -> str | None:
    key = decode_cursor(_CURSOR, cursor)
    if key is not None and not is_id(key):
        raise bad_cursor()
    return key


def _one(database: Database, submission_id: str) -> SubmissionRow | None:
    with database.read() as session:
        return catalogued.get(session, submission_id)


def _page(database: Database, after_id: str | None, *, limit: int, status: str | None) -> Page[SubmissionRow]:
    with database.read() as session:
        return pages.submissions_page(session, after_id=after_id, limit=limit, status=status)
