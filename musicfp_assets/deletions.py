"""The job and the sensor that remove what is left of deleted tracks.

What belongs here: when a deletion may be carried out, and what its run shows. What does not: removing
(`musicfp.pipeline.deletion`) and what Dagster keeps of a track (`track_records`).

A deletion waits for the runs that may know its track. A batch under way would otherwise store files that nobody looks
for any more, and one whose range ends with the track's partition could not begin. Nobody sees the track meanwhile.
"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from musicfp.catalog import deletions
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import DeletionRow
from musicfp.errors import StoreUnavailable
from musicfp.pipeline.deletion import remove_remains, removed_items
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import UNFINISHED, must_wait
from musicfp_assets.track_records import DagsterRecords

DELETION_JOB = "deletion_job"
DELETED_TAG = "musicfp.deleted_tracks"
TICK_INTERVAL_S = 5
MAX_BATCH_TRACKS = 100
# A tick of another sensor that has read the catalogue before ends within it; and deletions come together in one run.
SETTLE_S = 5
_PARTITION_TAGS = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG, PARTITION_NAME_TAG)
_ACTIVE_BACKFILLS = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


@dg.op(description="Remove objects, partitions and events of tracks that were deleted from the catalogue.")
def remove_deleted_tracks(context: dg.OpExecutionContext, musicfp: MusicfpResource) -> dg.Output[None]:
    """Finish every deletion that need not wait, and tell what was removed."""
    stage = musicfp.stage(context.run_id)
    records = DagsterRecords(context.instance)
    finished: list[DeletionRow] = []
    failures: dict[str, str] = {}
    for each in ready_deletions(stage.database, context.instance):
        try:
            finished.append(remove_remains(stage, each, records))
        except StoreUnavailable:
            raise
        except Exception as error:  # what nobody foresaw in one track must not keep the others
            context.log.exception("track %s could not be removed", each.track_id)
            failures[each.track_id] = f"{type(error).__name__}: {error}"
    context.instance.add_run_tags(context.run_id, {DELETED_TAG: str(len(finished))})
    if failures:
        listed = "\n".join(f"- `{track_id}`: {message}" for track_id, message in failures.items())
        raise dg.Failure(
            description=f"{len(failures)} of {len(failures) + len(finished)} deleted tracks could not be removed yet.",
            metadata={"failed_tracks": dg.MetadataValue.md(listed), **_metadata(finished)},
            allow_retries=False,
        )
    return dg.Output(None, metadata=_metadata(finished))


@dg.job(
    name=DELETION_JOB,
    description="Removes what is left of tracks that were deleted from the catalogue.",
    executor_def=dg.in_process_executor,
)
def deletion_job() -> None:
    """Run the removal as one step."""
    remove_deleted_tracks()


@dg.sensor(
    name="deletion_sensor",
    job_name=DELETION_JOB,
    minimum_interval_seconds=TICK_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the catalogue which tracks were deleted, and removes their files and Dagster's records of them.",
)
def deletion_sensor(context: dg.SensorEvaluationContext, musicfp: MusicfpResource) -> dg.RunRequest | dg.SkipReason:
    """Request a run when there is a deletion that need not wait."""
    with musicfp.database().read() as session:
        n_waiting = len(deletions.unfinished(session, limit=MAX_BATCH_TRACKS))
    if not n_waiting:
        return dg.SkipReason("nothing is to be deleted")
    if must_wait(context.instance, DELETION_JOB):
        return dg.SkipReason("a deletion runs, or has just failed")
    if not ready_deletions(musicfp.database(), context.instance):
        return dg.SkipReason(f"{n_waiting} deletions wait for runs that may still know their tracks")
    return dg.RunRequest()


def ready_deletions(database: Database, instance: dg.DagsterInstance) -> list[DeletionRow]:
    """Return the deletions, oldest first, whose tracks no run or backfill under way can know of."""
    with database.read() as session:
        waiting = deletions.unfinished(session, limit=MAX_BATCH_TRACKS)
    if not waiting or instance.get_backfills(filters=BulkActionsFilter(statuses=_ACTIVE_BACKFILLS), limit=1):
        return []
    runs = instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
    settled_before = utc_now() - timedelta(seconds=SETTLE_S)
    return [
        each for each in waiting if each.requested_at < settled_before and not any(_may_know(run, each) for run in runs)
    ]


def _may_know(run: RunRecord, deletion: DeletionRow) -> bool:
    """Whether a run began before the track was deleted, or names its partition all the same."""
    named = [run.dagster_run.tags[tag] for tag in _PARTITION_TAGS if tag in run.dagster_run.tags]
    return bool(named) and (run.create_timestamp <= deletion.requested_at or deletion.track_id in named)


def _metadata(finished: Sequence[DeletionRow]) -> dict[str, dg.MetadataValue]:
    """Return totals of each kind, and one line for each track."""
    totals: dict[str, int] = {}
    table = []
    for deletion in finished:
        items = removed_items(deletion)
        for each in items:
            totals[each.kind] = totals.get(each.kind, 0) + each.count
            if each.size_bytes is not None:
                totals[f"{each.kind}_bytes"] = totals.get(f"{each.kind}_bytes", 0) + each.size_bytes
        line: dict[str, str | int | float | bool] = {
            "track": deletion.track_id,
            "reason": deletion.reason or "",
            "requested": f"{deletion.requested_at:%Y-%m-%d %H:%M:%S}",
            "objects": sum(each.count for each in items if each.size_bytes is not None),
            "bytes": sum(each.size_bytes or 0 for each in items),
            "postings": deletion.rows.get("postings", 0),
        }
        table.append(dg.TableRecord(line))
    metadata: dict[str, dg.MetadataValue] = {"tracks": dg.MetadataValue.int(len(finished))}
    metadata |= {kind: dg.MetadataValue.int(count) for kind, count in totals.items() if kind != "track"}
    return metadata | ({"deleted": dg.MetadataValue.table(records=table)} if table else {})
