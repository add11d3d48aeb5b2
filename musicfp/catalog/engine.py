"""Opening the database, and the three kinds of transaction.

`Database.read()` for queries (`Database.snapshot()` for several that must agree), `Database.write()` for changes,
`Database.exclusive()` for search-and-insert, which must see every track that anyone else accepted before it. SQLite and
PostgreSQL behave alike behind these.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

# One arbitrary constant that every musicfp process uses for "I am about to decide whether a recording is new".
_ACCEPTANCE_LOCK = 0x6D757369
_SQLITE_BUSY_TIMEOUT_MS = 60_000
# The driver's own is over two minutes: longer than a sensor may tick, and than anybody waits for an answer.
_POSTGRESQL_CONNECT_TIMEOUT_S = 10


def utc_now() -> datetime:
    """Return the present time in UTC, with its time zone."""
    return datetime.now(UTC)


class Database:
    """One engine and the transactions on it. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _create_engine(url)
        self._is_closed = False
        event.listen(self.engine, "checkin", self._close_returned)
        # Writers take SQLite's lock at BEGIN: a read that becomes a write in mid-transaction can fail or lose updates.
        self._writing_engine = self.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite rather than PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction for queries only."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Like `read`, and every statement sees the database as the first one did."""
        # A transaction of SQLite's is that already.
        level = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with Session(self.engine.execution_options(**level), expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that commits when the block ends and rolls back when it raises. Keep it short."""
        with Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def exclusive(self) -> Iterator[Session]:
        """Like `write`, and no other `exclusive` block in any process runs at the same time."""
        with self.write() as session:
            connection = session.connection()  # begins here, not at the first statement: SQLite's lock is taken
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_ACCEPTANCE_LOCK})"))
            yield session

    def is_read_only(self) -> bool:
        """Ask whether changes are refused, as PostgreSQL does that is a standby, or whose host has made it so."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.execute(text("SELECT 1"))
                return False
            return str(connection.execute(text("SHOW transaction_read_only")).scalar_one()) == "on"

    def close(self) -> None:
        """Close all connections, and those that another thread uses now when it gives them back."""
        self._is_closed = True
        self.engine.dispose()

    def _close_returned(self, _connection: Any, record: ConnectionPoolEntry) -> None:
        if self._is_closed:
            record.invalidate()


def _create_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        patience = {} if "connect_timeout" in parsed.query else {"connect_timeout": _POSTGRESQL_CONNECT_TIMEOUT_S}
        engine = create_engine(parsed, pool_pre_ping=True, connect_args=patience)
        event.listen(engine, "connect", _prepare_postgresql_connection)
        return engine
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed)
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_transaction)
    return engine


def _prepare_postgresql_connection(connection: Any, _record: Any) -> None:
    # Compiling a query takes longer than any of ours: looking up 20,000 terms took 33 instead of 18 ms.
    connection.execute("SET jit = off")
    connection.commit()


def _prepare_sqlite_connection(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling would begin late and hide BEGIN IMMEDIATE; we begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_SQLITE_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "synchronous = FULL",  # an accepted track must survive a power cut
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite_transaction(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))
