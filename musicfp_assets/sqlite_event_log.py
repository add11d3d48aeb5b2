"""Dagster's SQLite event log with its connections kept open.

The original makes a new engine for every statement, which compiles the statement anew, opens the file and closes it: 10
ms of CPU for each of the two events per asset and track, most of what orchestration costs here (docs/decisions/0002).
Tables, statements and files are the original's; only how they are reached differs.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

# The index shard, the run that is being written, and those that somebody looks at in the UI.
_MAX_OPEN_SHARDS = 8
_BUSY_TIMEOUT_S = 60


class KeptOpenSqliteEventLog(SqliteEventLogStorage):
    """An event log that reaches each of its SQLite files through one engine."""

    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir)

    def dispose(self) -> None:
        """Close all files."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Open a transaction on a shard, as the original does, one at a time in this process."""
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.get(shard)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                pool_size=1,
                connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
            )
            event.listen(engine, "connect", _prepare_connection)
            self._engines[shard] = engine
        self._engines.move_to_end(shard)
        while len(self._engines) > _MAX_OPEN_SHARDS:
            self._engines.popitem(last=False)[1].dispose()
        return engine


def _prepare_connection(connection: Any, _record: Any) -> None:
    # In WAL mode NORMAL loses the last events at most when the power fails, never when a process dies; what a catalogue
    # must remember of its lineage is in its own database.
    connection.execute("PRAGMA synchronous = NORMAL")
