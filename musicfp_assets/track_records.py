"""What Dagster keeps of a track: partitions in two sets, and the events of each asset; and removing that.

What belongs here: counting and forgetting, through Dagster's own storage. What does not: when (`deletions`).

Dagster can wipe whole assets only; its open-source storages do not implement wiping partitions. So the events of a
partition are deleted from its tables here, by their index, as Dagster's own wipe does: those of the index of all assets
and, on SQLite, their copies among the events of single runs. Lines of a run's log that name no partition stay.
"""

from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.events import ASSET_EVENTS
from dagster._core.instance import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import AssetEventTagsTable, AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import ColumnElement, delete, func, select, update

from musicfp_assets.partitions import SUBMISSIONS, TRACKS

_SETS = [str(each.name) for each in (SUBMISSIONS, TRACKS)]
_EVENTS = SqlEventLogStorageTable.c


class DagsterRecords:
    """Dagster's records of single tracks; what the pipeline calls `RunRecords`."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def count(self, track_id: str) -> Mapping[str, int]:
        """Return the number of sets that have a partition of this key, and of its events."""
        storage, is_about = self._storage(), self._is_about(track_id)
        with storage.index_connection() as connection:
            counted = select(func.count()).select_from(SqlEventLogStorageTable).where(is_about)
            n_events = connection.execute(counted).scalar_one()
        n_partitions = sum(self._instance.has_dynamic_partition(name, track_id) for name in _SETS)
        return {"dagster_partitions": n_partitions, "dagster_events": n_events}

    def forget(self, track_id: str) -> None:
        """Delete the events of this key, then its partitions, which lead to them."""
        storage, is_about = self._storage(), self._is_about(track_id)
        with storage.index_connection() as connection:
            found = connection.execute(select(_EVENTS.id, _EVENTS.run_id).where(is_about)).all()
        for run_id in dict.fromkeys(run_id for _, run_id in found):
            # Opening the file of a run that was deleted would make it anew.
            if run_id == RUNLESS_RUN_ID or self._instance.has_run(run_id):
                with storage.run_connection(run_id) as connection:
                    connection.execute(delete(SqlEventLogStorageTable).where(is_about))
        self._forget_indexed(storage, track_id, [event_id for event_id, _ in found])
        for name in _SETS:
            self._instance.delete_dynamic_partition(name, track_id)

    def _forget_indexed(self, storage: SqlEventLogStorage, track_id: str, event_ids: Iterable[int]) -> None:
        is_about = self._is_about(track_id)
        with storage.index_connection() as connection:
            of_events = AssetEventTagsTable.c.event_id.in_(list(event_ids))
            connection.execute(delete(AssetEventTagsTable).where(of_events))
            connection.execute(delete(SqlEventLogStorageTable).where(is_about))
            # A copy of the newest event of each asset; without it Dagster looks for the newest that is there.
            newest = AssetKeyTable.c.last_materialization
            connection.execute(update(AssetKeyTable).where(newest.contains(track_id)).values(last_materialization=None))
        for asset_key in self._instance.all_asset_keys():
            storage.wipe_asset_cached_status(asset_key)

    def _is_about(self, track_id: str) -> ColumnElement[bool]:
        """Return the condition on events that the storage's index over asset, type and partition answers.

        Asks the storage, which has one lock: not to be called while one of its connections is open.
        """
        assets = [key.to_string() for key in self._instance.all_asset_keys()]
        types = [each.value for each in ASSET_EVENTS]
        is_about: ColumnElement[bool] = _EVENTS.asset_key.in_(assets) & _EVENTS.dagster_event_type.in_(types)
        return is_about & (_EVENTS.partition == track_id)

    def _storage(self) -> SqlEventLogStorage:
        storage = self._instance.event_log_storage
        if not isinstance(storage, SqlEventLogStorage):
            raise TypeError(f"events of single partitions cannot be deleted from a {type(storage).__name__}")
        return storage
