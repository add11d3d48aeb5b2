"""Numbers by the ten thousand into and out of one statement, on SQLite and PostgreSQL alike.

What belongs here: what the two do differently, and the ways round a Python object for each number. What does not: what
the numbers mean.
"""

import json
from collections.abc import Sequence
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    TEXT,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Table,
    TableValuedAlias,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session

_ROWS_AT_ONCE = 50_000

Int64s = NDArray[np.int64]


def is_sqlite(session: Session) -> bool:
    """Whether the session's database is SQLite rather than PostgreSQL."""
    return session.get_bind().dialect.name == "sqlite"


def listed(session: Session, values: Int64s) -> TableValuedAlias:
    """Return a table with one row for each of `values` [shape=(n,)], in its column `value`: one parameter for all."""
    value = column("value", BigInteger)
    if is_sqlite(session):
        return func.json_each(_json(values)).table_valued(value)
    return func.unnest(_array(values)).table_valued(value).render_derived()


def listed_rows(session: Session, rows: Int64s, names: Sequence[str]) -> FromClause:
    """Return a table with these rows [shape=(n, n_names)] and names of columns."""
    if is_sqlite(session):
        row = func.json_each(_json(rows)).table_valued(column("value"))
        return select(
            *(func.json_extract(row.c.value, f"$[{number}]").label(name) for number, name in enumerate(names))
        ).subquery()
    columns = [column(name, BigInteger) for name in names]
    return func.unnest(*(_array(each) for each in rows.T)).table_valued(*columns).render_derived()


def integers(session: Session, query: Select[*tuple[Any, ...]]) -> Int64s:
    """Return the rows of a query for whole numbers that are never NULL [shape=(n_rows, n_columns)], in any order."""
    n_columns = len(query.selected_columns)
    connection = session.connection()
    if is_sqlite(session):
        # The driver's own tuples: rows of SQLAlchemy's cost several times as much.
        rows = connection.execute(query).cursor.fetchall()
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * n_columns)
        return flat.reshape(-1, n_columns)
    # One value that has all the bytes: the driver would make an object of each number.
    numbers = [func.int8send(cast(each, BigInteger)) for each in query.subquery().c]
    packed: ColumnElement[Any] = reduce(lambda left, right: left.op("||")(right), numbers[1:], numbers[0])
    data = connection.execute(select(func.string_agg(packed, literal_column("''::bytea"))))
    return np.frombuffer(data.scalar_one() or b"", dtype=">i8").astype(np.int64).reshape(-1, n_columns)


def insert_missing(session: Session, table: Table, rows: Int64s) -> None:
    """Insert rows [shape=(n, n_columns)] that are not in the table; the columns are those of its primary key."""
    names = table.primary_key.columns.keys()
    insert = sqlite.insert if is_sqlite(session) else postgresql.insert
    for part in _parts(rows):
        wanted = listed_rows(session, part, names)
        # SQLite cannot tell ON CONFLICT from a join's ON unless there is a WHERE.
        query = select(*wanted.c).where(literal_column("true"))
        session.connection().execute(insert(table).from_select(names, query).on_conflict_do_nothing())


def delete_rows(session: Session, table: Table, rows: Int64s) -> None:
    """Delete the rows with these primary keys [shape=(n, n_columns)]."""
    key = table.primary_key.columns
    for part in _parts(rows):
        wanted = listed_rows(session, part, key.keys())
        session.connection().execute(delete(table).where(tuple_(*key).in_(select(*wanted.c))))


def _parts(rows: Int64s) -> list[Int64s]:
    return [rows[first : first + _ROWS_AT_ONCE] for first in range(0, len(rows), _ROWS_AT_ONCE)]


def _json(values: Int64s) -> Any:
    return bindparam(None, json.dumps(values.tolist()), type_=TEXT)


def _array(values: Int64s) -> Any:
    # As text, which the server reads in a moment; the driver takes 10 ms to adapt a list of 20,000 numbers.
    text = "{" + ",".join(map(str, values.tolist())) + "}"
    return cast(bindparam(None, text, type_=TEXT), ARRAY(BigInteger))
