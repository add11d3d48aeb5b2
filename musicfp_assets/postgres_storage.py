"""Dagster's PostgreSQL storage with its connections kept open.

The original connects anew for every statement, twice and more for an event, and looks for its tables whenever a storage
is made, which is at every sensor tick in the code server (docs/decisions/0002). Here a process keeps some connections
for all storages of a server, and what a run intends to make is written at once. Tables and statements are the
original's.
"""

import threading
from collections.abc import Sequence
from functools import cache

from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine
from sqlalchemy import Engine

from musicfp_assets.planned_events import are_planned, newest_of_each_asset

# Sensors tick in four threads; a server lets in a hundred connections by default, and a handful of processes ask it.
_MIN_CONNECTIONS = 2
_MORE_CONNECTIONS = 10
_CONNECT_TIMEOUT_S = 10
_MAKING_TABLES = threading.Lock()  # the original fails when another thread makes the same tables


class KeptOpenPostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules on a server. Cheap to make again: all storages of a process share its connections."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None) -> None:
        with _MAKING_TABLES:
            _make_tables(url)
        super().__init__(url, should_autocreate_tables=False, inst_data=inst_data)
        self._event_log_storage = _EventLogStorage(url)
        self._run_storage = _RunStorage(url)
        self._schedule_storage = _ScheduleStorage(url)


class _RunStorage(PostgresRunStorage):
    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)


class _ScheduleStorage(PostgresScheduleStorage):
    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)


class _EventLogStorage(PostgresEventLogStorage):
    def __init__(self, url: str) -> None:
        super().__init__(url, should_autocreate_tables=False)
        self._engine = _engine(url)
        self._seen_tables: set[str] = set()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store what a run intends to make with one statement, and one more for each asset."""
        if not are_planned(events):
            super().store_event_batch(events)
            return
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), [self._event_to_row(each) for each in events])
            for newest in newest_of_each_asset(events):
                self._store_asset_event(connection, newest, event_id=0)  # only materializations are kept by their id

    def has_table(self, table_name: str) -> bool:
        # Asked for each event; a table that is there stays.
        if table_name not in self._seen_tables and super().has_table(table_name):
            self._seen_tables.add(table_name)
        return table_name in self._seen_tables


@cache
def _make_tables(url: str) -> None:
    """Let the original make its tables, or find them, once in a process."""
    DagsterPostgresStorage(url, should_autocreate_tables=True)


# Nothing here forks: run workers and the children of stages are spawned, so no connection is used in two processes.
@cache
def _engine(url: str) -> Engine:
    return create_pg_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=_MIN_CONNECTIONS,
        max_overflow=_MORE_CONNECTIONS,
        pool_pre_ping=True,  # a server that was restarted is found out before a statement is lost
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
    )
