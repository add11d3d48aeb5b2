"""Dagster's SQLite storage with its files kept open.

The original makes a new engine for every statement, which compiles the statement anew, opens the file and closes it,
and reads all its migrations each time that a storage is made, which is at every sensor tick in the code server. That
was most of what orchestration costs, busy or idle (docs/decisions/0002). Here a process opens each file once, whichever
storage asks for it. Tables, statements and files are the original's; only how they are reached differs.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.base import EventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import SqliteRunStorage
from dagster._core.storage.schedules.sqlite import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import QueuePool

from musicfp_assets.planned_events import are_planned, newest_of_each_asset

# Runs, schedules, the index of events, and the events of single runs: the one at work and those people look at.
_MAX_OPEN_FILES = 12
_BUSY_TIMEOUT_S = 60
_MAKING_FILES = threading.Lock()  # the original fails when another thread makes the same tables


class KeptOpenSqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules in a folder. Cheap to make again: all storages of a process share the open files."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None) -> None:
        with _MAKING_FILES:
            _make_files(base_dir)
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]  # its own would check all files again
        history, schedules = Path(base_dir) / "history", Path(base_dir) / "schedules"
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = _RunStorage(create_db_conn_string(str(history), "runs"))
        self._event_log_storage = _EventLogStorage(str(history / "runs"))
        self._schedule_storage = _ScheduleStorage(create_db_conn_string(str(schedules), "schedules"))


def remove_run_log(storage: EventLogStorage, run_id: str) -> None:
    """Delete the file with the log of a finished run, if this is a storage that has one; the assets' index stays."""
    if not isinstance(storage, _EventLogStorage):
        return
    path = Path(storage.path_for_shard(run_id))
    _open_file(storage.conn_string_for_shard(run_id)).forget()
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        file.unlink(missing_ok=True)


class _RunStorage(SqliteRunStorage):
    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with _open_file(self._conn_string).transaction() as connection:
            yield connection

    def has_built_index(self, migration_name: str) -> bool:
        ask = super().has_built_index
        return _open_file(self._conn_string).knows(f"index {migration_name}", lambda: ask(migration_name))

    def has_run_stats_index_cols(self) -> bool:
        return _open_file(self._conn_string).knows("run stats columns", super().has_run_stats_index_cols)


class _ScheduleStorage(SqliteScheduleStorage):
    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with _open_file(self._conn_string).transaction() as connection:
            yield connection

    def has_built_index(self, migration_name: str) -> bool:
        ask = super().has_built_index
        return _open_file(self._conn_string).knows(f"index {migration_name}", lambda: ask(migration_name))

    def has_instigators_table(self) -> bool:
        return _open_file(self._conn_string).knows("instigators", super().has_instigators_table)

    def _has_instigators_table(self, conn: Connection) -> bool:
        ask = super()._has_instigators_table
        return _open_file(self._conn_string).knows("instigators", lambda: ask(conn))


class _EventLogStorage(SqliteEventLogStorage):
    def wipe(self) -> None:
        super().wipe()
        _open_file.cache_clear()  # the original deletes the files

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store what a run intends to make with one statement for the run's file and one for the index.

        The original makes two transactions for each event.
        """
        if not are_planned(events):
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(each) for each in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            for newest in newest_of_each_asset(events):
                self._store_asset_event(connection, newest, event_id=0)  # only materializations are kept by their id

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return _open_file(self.conn_string_for_shard(INDEX_SHARD_NAME)).knows(
            f"column {column_name}", lambda: ask(conn, column_name)
        )

    def has_table(self, table_name: str) -> bool:
        ask = super().has_table
        return _open_file(self.conn_string_for_shard(INDEX_SHARD_NAME)).knows(
            f"table {table_name}", lambda: ask(table_name)
        )

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Open a transaction on a shard, as the original does, one at a time in this storage."""
        with self._db_lock:
            file = _open_file(self.conn_string_for_shard(shard))
            if not Path(self.path_for_shard(shard)).exists():  # not made yet, or removed by another process
                file.forget()
            file.knows("tables", lambda: self._make_tables(file))
            with file.transaction() as connection:
                yield connection

    def _make_tables(self, file: "_OpenFile") -> bool:
        self._initdb(file.engine)
        return True


class _OpenFile:
    """The engine that reaches an SQLite file, and what was found out about its tables."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(
            url, poolclass=QueuePool, pool_size=2, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
        )
        event.listen(self.engine, "connect", _prepare_connection)
        self._facts: set[str] = set()

    def forget(self) -> None:
        """Close the connections and what was found out: the file is gone, or will be."""
        self.engine.dispose()
        self._facts.clear()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def knows(self, fact: str, ask: Callable[[], bool]) -> bool:
        """Return whether this is so. Once true it is not asked again, since tables and indexes are only ever added."""
        if fact not in self._facts and ask():
            self._facts.add(fact)
        return fact in self._facts


# Nothing here forks: run workers and the children of stages are spawned, so no connection is used in two processes.
@lru_cache(_MAX_OPEN_FILES)
def _open_file(url: str) -> _OpenFile:
    return _OpenFile(url)


@cache
def _make_files(base_dir: str) -> None:
    """Let the original make its files and tables, or check them, once in a process."""
    DagsterSqliteStorage(base_dir).dispose()


def _prepare_connection(connection: Any, _record: Any) -> None:
    # In WAL mode NORMAL loses the last events at most when the power fails, never when a process dies; what a catalogue
    # must remember of its lineage is in its own database.
    connection.execute("PRAGMA synchronous = NORMAL")
