"""`submission_sensor`: from objects in the submission bucket to partitions and ingest runs."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog import submissions, work_in_hand
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow
from musicfp.catalog.work_in_hand import Stage
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.discovery import Discovery, discover
from musicfp.pipeline.uploads import expire_overdue_uploads
from musicfp_assets.assets.ingest import SUBMISSION
from musicfp_assets.metadata import seconds
from musicfp_assets.partitions import SUBMISSIONS
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import Neighbours, as_neighbours, must_wait, range_request
from musicfp_assets.sensors.notifications import (
    RECONCILE_INTERVAL_S,
    WATCH_INTERVAL_S,
    Heard,
    evaluation,
    finding,
    hear,
    queue_status,
)
from musicfp_assets.sensors.pausing import Tick, unless_paused

TICK_INTERVAL_S = 3
# While uploads keep coming in, a run waits this long for more of them: starting one costs 2 CPU seconds.
GATHER_S = 8


@dataclass(frozen=True)
class Cursor:
    """Where the next listings start; when the whole bucket is to be listed, and since when uploads keep coming.

    With a queue of notifications also when it is to be counted, and what was found wrong with it the last time.
    Times are seconds since 1970; 0 in `gathering_since` means that nothing new came at the last tick.
    """

    after: str = ""
    complete_after: str = ""
    complete_due_at: float = 0.0
    gathering_since: float = 0.0
    watch_due_at: float = 0.0
    watched: str | None = None

    def is_gathering(self, now: float) -> bool:
        """Whether uploads came in just now and a run had better wait for the next tick."""
        return self.gathering_since > 0 and now - self.gathering_since < GATHER_S

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read a stored cursor; one that cannot be read starts over, which costs a listing and loses nothing."""
        try:
            stored = json.loads(text or "{}")
            watched = stored.get("watched")
            cursor = cls(
                after=str(stored.get("after", "")),
                complete_after=str(stored.get("complete_after", "")),
                complete_due_at=float(stored.get("complete_due_at", 0.0)),
                gathering_since=float(stored.get("gathering_since", 0.0)),
                watch_due_at=float(stored.get("watch_due_at", 0.0)),
                watched=watched if isinstance(watched, str) else None,
            )
            times = (cursor.complete_due_at, cursor.gathering_since, cursor.watch_due_at)
            return cursor if all(map(math.isfinite, times)) else cls()  # no time ever comes after others
        except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            return cls()


def build_submission_sensor(ingest_job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that requests runs of `ingest_job`."""

    @dg.sensor(
        name="submission_sensor",
        job=ingest_job,
        minimum_interval_seconds=TICK_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds uploads in the submission bucket, by its notifications or by listing it, adds a partition "
        "for each, and ingests them in batches.",
    )
    def submission_sensor(context: dg.SensorEvaluationContext, musicfp: MusicfpResource) -> Tick:
        return unless_paused(musicfp, lambda: _tick(context, musicfp, ingest_job.name))

    return submission_sensor


def _tick(context: dg.SensorEvaluationContext, musicfp: MusicfpResource, job_name: str) -> dg.SensorResult:
    stage = musicfp.stage("")
    heard = hear(musicfp, stage)
    if heard and heard.is_news:
        context.log.info(heard.summary)
    cursor = _discover(stage, Cursor.parse(context.cursor), heard)
    cursor, evaluations = _watch(context, musicfp, cursor, heard)
    batch = _next_batch(context.instance, stage, job_name, is_gathering=cursor.is_gathering(time.time()))
    arrived = [key for key in batch.added if key not in set(batch.moved)]
    return dg.SensorResult(
        run_requests=[range_request(batch.keys)] if batch.keys else [],
        dynamic_partitions_requests=_partition_requests(batch),
        asset_events=[*_arrivals(stage.database, arrived), *evaluations],
        cursor=json.dumps(asdict(cursor)),
        skip_reason=heard.summary if heard and not batch.keys else None,
    )


def _discover(stage: StageContext, cursor: Cursor, heard: Heard | None) -> Cursor:
    """List what came after the last listing, now and then everything; with notifications heard, seldom everything."""
    now = time.time()
    listens = heard is not None and heard.problem is None
    # A complete pass that was too long goes on at its own pace.
    complete = now >= cursor.complete_due_at + (RECONCILE_INTERVAL_S if listens and not cursor.complete_after else 0)
    found = Discovery((), cursor.after)
    if complete or not listens:
        found = discover(
            stage.database,
            stage.store,
            stage.settings,
            after=cursor.after,
            complete=complete,
            complete_after=cursor.complete_after,
        )
    if complete or listens:
        expire_overdue_uploads(stage.database, stage.store, stage.settings)
    is_new = bool(found.submission_ids or (heard and heard.submission_ids))
    return replace(
        cursor,
        after=found.after,
        complete_after=found.complete_after if complete else cursor.complete_after,
        complete_due_at=now + found.complete_again_in_s if complete else cursor.complete_due_at,
        gathering_since=(cursor.gathering_since or now) if is_new else 0.0,
    )


def _watch(
    context: dg.SensorEvaluationContext, musicfp: MusicfpResource, cursor: Cursor, heard: Heard | None
) -> tuple[Cursor, list[dg.AssetCheckEvaluation]]:
    """Count the queue's messages now and then; say what changed in the tick's log and as an outcome of the check.

    Dagster keeps a file for each tick that logs anything, so one without news logs nothing.
    """
    now = time.time()
    if heard is None or now < cursor.watch_due_at:
        return cursor, []
    status = queue_status(musicfp)
    found = finding(status) or ""
    changed = [evaluation(status)] if found != cursor.watched else []
    if changed and found:
        context.log.warning(found)
    return replace(cursor, watch_due_at=now + WATCH_INTERVAL_S, watched=found), changed


def _next_batch(instance: dg.DagsterInstance, stage: StageContext, job_name: str, *, is_gathering: bool) -> Neighbours:
    """Return the submissions whose turn it is, at most as many as a batch has; none while another batch is at work.

    Only now do they become partitions: so their order is that of their turns, whatever the order of their arrival.
    """
    nothing = Neighbours([], [], [])
    if must_wait(instance, job_name):
        return nothing
    limit = stage.settings.ingest_batch_tracks
    with stage.database.read() as session:
        due = submissions.due_for_ingest(session, limit=limit)
        batch = work_in_hand.without_suspects(session, Stage.INGEST, due)
    if not due or (len(due) < limit and is_gathering):
        return nothing
    return as_neighbours(batch, SUBMISSIONS.get_partition_keys(dynamic_partitions_store=instance))


def _partition_requests(
    batch: Neighbours,
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    # In this order. Killed in between, the daemon leaves keys that are no partition: they are added at the next tick.
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if batch.moved:
        requests.append(SUBMISSIONS.build_delete_request(batch.moved))
    if batch.added:
        requests.append(SUBMISSIONS.build_add_request(batch.added))
    return requests


def _arrivals(database: Database, keys: Sequence[str]) -> list[dg.AssetMaterialization]:
    """Return the events that record the uploads themselves as an asset, where the lineage of everything begins."""
    with database.read() as session:
        rows = submissions.get_many(session, keys)
    return [_arrival(rows[key]) for key in keys]


def _arrival(row: SubmissionRow) -> dg.AssetMaterialization:
    waited_s = (row.received_at - row.created_at).total_seconds() if row.received_at else 0.0
    return dg.AssetMaterialization(
        SUBMISSION,
        partition=row.id,
        metadata={
            "filename": row.filename,
            "object_key": row.object_key,
            "size_bytes": row.size_bytes or 0,
            "etag": row.etag or "",
            "upload_took_s": seconds(max(0.0, waited_s)),
        },
        tags={DATA_VERSION_TAG: row.etag} if row.etag else None,
    )
