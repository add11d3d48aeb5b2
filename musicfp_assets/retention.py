"""Forgetting old runs of Dagster, and keeping what its pages say about every asset.

Deleting a run as Dagster does takes the events of its assets along: all that it made would be shown as missing, without
its pictures and facts. So what is taken is the record of the run, its log, its planned events and its output; what
stays is the newest materialization of each partition, on which status and metadata rest. `lineage` in the API rests on
rows of our own and loses nothing.
"""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import Connection, and_, delete, exists, func, select
from sqlalchemy.orm import aliased

from musicfp.settings import Settings
from musicfp_assets.sqlite_storage import remove_run_log

# What the pages of an asset show of a partition: the newest of each kind.
_SHOWN = (
    dg.DagsterEventType.ASSET_MATERIALIZATION.value,
    dg.DagsterEventType.ASSET_OBSERVATION.value,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
)
_PAGE_RUNS = 100
# Whatever is left after this waits for the next day: housekeeping is not to be in the way of work for longer.
MAX_RUNS = 20_000
MAX_DURATION_S = 1200.0


@dg.op(description="Forget runs that ended longer ago than MUSICFP_DAGSTER_RETENTION_DAYS.")
def forget_runs(context: dg.OpExecutionContext) -> None:
    """Do the housekeeping of Dagster's own storage."""
    days = Settings.from_env().dagster_retention_days
    n_forgotten = forget_old_runs(context.instance, ended_before=datetime.now(UTC) - timedelta(days=days))
    context.log.info("forgot %d runs that ended more than %d days ago", n_forgotten, days)


@dg.job(name="retention_job", description="Housekeeping of Dagster's storage.", executor_def=dg.in_process_executor)
def retention_job() -> None:
    """Run the housekeeping as one step."""
    forget_runs()


retention_schedule = dg.ScheduleDefinition(
    name="retention_schedule",
    job=retention_job,
    cron_schedule="47 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Nightly housekeeping of Dagster's storage.",
)


def forget_old_runs(
    instance: dg.DagsterInstance,
    *,
    ended_before: datetime,
    max_runs: int = MAX_RUNS,
    max_duration_s: float = MAX_DURATION_S,
) -> int:
    """Forget finished runs that have not changed since then, the oldest first; return how many. Idempotent.

    The record of a run goes last: killed before that, the next call finds the run again and repeats what was done.
    """
    filters = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=ended_before)
    deadline_s = time.monotonic() + max_duration_s
    n_forgotten = 0
    while n_forgotten < max_runs and time.monotonic() < deadline_s:
        limit = min(_PAGE_RUNS, max_runs - n_forgotten)
        old = instance.get_run_records(filters, limit=limit, order_by="update_timestamp", ascending=True)
        for record in old:
            _forget(instance, record.dagster_run.run_id)
        n_forgotten += len(old)
        if len(old) < limit:
            break
    return n_forgotten


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"Events are kept in {type(storage).__name__}, which has no tables to remove them from.")
    with storage.index_connection() as connection:
        _delete_what_nobody_shows(connection, run_id)
    remove_run_log(storage, run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.run_storage.delete_run(run_id)


def _delete_what_nobody_shows(connection: Connection, run_id: str) -> None:
    events = SqlEventLogStorageTable.c
    newer = aliased(SqlEventLogStorageTable)
    is_superseded = exists(
        select(newer.c.id).where(
            newer.c.asset_key == events.asset_key,
            newer.c.dagster_event_type == events.dagster_event_type,
            newer.c.partition.is_not_distinct_from(events.partition),
            newer.c.id > events.id,
        )
    )
    is_shown = and_(events.dagster_event_type.in_(_SHOWN), ~is_superseded)
    # SQLite would give the number of the newest event a second time, and what Dagster remembers of an asset's status
    # goes up to a number: an event that comes under it is never seen.
    is_newest = events.id == select(func.max(events.id)).scalar_subquery()
    gone = connection.scalars(
        select(events.id).where(events.run_id == run_id, ~is_newest, events.dagster_event_type.is_(None) | ~is_shown)
    ).all()
    for start in range(0, len(gone), 500):
        ids = gone[start : start + 500]
        connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(ids)))
        connection.execute(delete(SqlEventLogStorageTable).where(events.id.in_(ids)))
