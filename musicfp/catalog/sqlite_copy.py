"""Copying a SQLite catalogue while it is written to, and putting a copy in its place.

What belongs here: SQLite's online backup, both ways, and making a copy fit the store that it is restored beside.
PostgreSQL has `pg_dump`; what else belongs to a backup is in `musicfp.pipeline.backup`.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlmodel import func, select

from musicfp.catalog import migrate, object_names, submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest, Problem

_UPLOADS_AT_ONCE = 500
_LOST = Problem(
    "not_in_backup", "The catalogue was restored from a backup that has no copy of this file. Upload it again."
)


def copy_to(database: Database, path: Path) -> None:
    """Copy the database as it is at one moment into a new file. Others go on reading and writing meanwhile.

    Raises InvalidRequest when this is PostgreSQL, or when SQLite finds the copy damaged.
    """
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(_path_of(database))) as live, closing(sqlite3.connect(path)) as copy:
        live.backup(copy)  # all pages in one step: one that writers restart again and again might never end
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, whoever opens it
        found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise InvalidRequest("database_damaged", f"Copied the database and found it damaged: {found}.")


def replace_with(database: Database, path: Path) -> None:
    """Put what is in a copy in the place of all that is in the database, in one transaction."""
    with closing(sqlite3.connect(path)) as copy, closing(sqlite3.connect(_path_of(database))) as live:
        copy.backup(live)


def is_empty(database: Database) -> bool:
    """Whether nothing has been submitted yet, or there are not even tables."""
    if migrate.current_revision(database) is None:
        return True
    with database.read() as session:
        return session.exec(select(func.count()).select_from(SubmissionRow)).one() == 0


def fit_uploads(database: Database, etags: Mapping[str, str]) -> int:
    """Tell the submissions whose uploads are in the store under which ETag, by submission id; others have lost theirs.

    Who lost an upload that was still undecided is told to send it again. Returns how many were undecided.
    """
    n_lost, after = 0, ""
    while True:
        with database.write() as session:
            page = object_names.kept_uploads(session, after=after, limit=_UPLOADS_AT_ONCE)
            if not page:
                break
            after = page[-1].id
            for row in page:
                if row.id in etags:
                    row.etag = etags[row.id]
                    session.add(row)
                    continue
                if row.status == "RECEIVED":
                    submissions.decide(session, row, "FAILED", [_LOST])
                    n_lost += 1
                session.flush()
                submissions.mark_object_gone(session, row.id)
    return n_lost


_LOST = Problem(
    "not_in_backup", "The catalogue was restored from a backup that has no copy of this file. Upload it again."
)


def _path_of(database: Database) -> str:
    path = database.engine.url.database
    if not database.is_sqlite or not path:
        raise InvalidRequest(
            "not_sqlite",
            "A PostgreSQL catalogue is backed up by pg_dump and a copy of the buckets, in the order that "
            "docs/operations.md gives.",
        )
    return path
