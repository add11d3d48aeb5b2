"""Many rows into a table with one statement, past SQLAlchemy's objects, on SQLite and PostgreSQL alike.

What belongs here: ways to insert beside, or in place of, what is there already. What does not: numbers by the ten
thousand, for which even a row is too much (`bulk`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from musicfp.catalog.bulk import is_sqlite

Values = Mapping[str, Any]


def insert_new(session: Session, model: type[SQLModel], rows: Sequence[Values]) -> None:
    """Insert rows, given by the names of their columns; leave out those that break a unique index."""
    if rows:
        session.connection().execute(_insert(session)(model).on_conflict_do_nothing(), rows)


def insert_or_replace(session: Session, model: type[SQLModel], rows: Sequence[Values]) -> None:
    """Insert rows with all their columns; one with the primary key of a row that is there takes its place."""
    if not rows:
        return
    insert = _insert(session)(model)
    key = insert.table.primary_key.columns.keys()
    others = {name: column for name, column in insert.excluded.items() if name not in key}
    session.connection().execute(insert.on_conflict_do_update(index_elements=key, set_=others), rows)


def _insert(session: Session) -> Any:
    return sqlite.insert if is_sqlite(session) else postgresql.insert
