"""`lost_events_sensor`: has recorded again what a killed run had done and could not tell Dagster.

Rows and events are not written in one transaction: a run that is killed in between leaves partitions red of what the
catalogue has. Running its range again makes nothing that is there, and records all of it.

What belongs here: finding such runs. What does not: what a run records of what is there (the stages).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from musicfp.catalog import derivations, submissions
from musicfp.catalog.engine import Database
from musicfp.pipeline.versions import INGEST_ASSET_VERSIONS
from musicfp_assets.partitions import SUBMISSIONS, TRACKS
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import ONLY_MISSING_TAG, must_wait, range_request

TICK_INTERVAL_S = 15
# So many runs that ended badly are looked at in one tick; the others wait for the next.
_MAX_RUNS = 10
_ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def build_lost_events_sensor(
    stages: Sequence[tuple[UnresolvedAssetJobDefinition, Sequence[str]]],
) -> dg.SensorDefinition:
    """Return the sensor. `stages` are the jobs that record partitions, each with its assets."""
    assets_of = {job.name: list(assets) for job, assets in stages}

    @dg.sensor(
        name="lost_events_sensor",
        jobs=[job for job, _ in stages],
        minimum_interval_seconds=TICK_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at runs that were killed, and has recorded what they did and could not tell.",
    )
    def lost_events_sensor(context: dg.SensorEvaluationContext, musicfp: MusicfpResource) -> dg.SensorResult:
        seen, requests = context.cursor, []
        for record in _ended_badly(context.instance, since=seen):
            run = record.dagster_run
            if run.job_name in assets_of:
                if must_wait(context.instance, run.job_name):
                    break
                requests += _again(context.instance, musicfp.database(), run, assets_of[run.job_name])
            seen = record.update_timestamp.isoformat()
            if requests:
                break
        return dg.SensorResult(run_requests=requests, cursor=seen)

    return lost_events_sensor


def _ended_badly(instance: dg.DagsterInstance, *, since: str | None) -> Sequence[dg.RunRecord]:
    after = datetime.fromisoformat(since) if since else datetime.fromtimestamp(0, UTC)
    filters = dg.RunsFilter(statuses=_ENDED_BADLY, updated_after=after)
    return instance.get_run_records(filters, limit=_MAX_RUNS, order_by="update_timestamp", ascending=True)


def _again(
    instance: dg.DagsterInstance, database: Database, run: dg.DagsterRun, assets: Sequence[str]
) -> list[dg.RunRequest]:
    """Return the request for a run over the same range if the catalogue has what is red of it."""
    partitions = SUBMISSIONS if set(assets) <= set(INGEST_ASSET_VERSIONS) else TRACKS
    keys = _keys(instance, run, partitions)
    selection = sorted(run.asset_selection or map(dg.AssetKey, assets))
    red = set(_red(instance, keys, selection, partitions))
    if not red or not red & _made(database, keys, [each.to_user_string() for each in selection], partitions):
        return []
    tags = dict(range_request(keys, tags={ONLY_MISSING_TAG: "true"}).tags)
    return [dg.RunRequest(job_name=run.job_name, asset_selection=selection, tags=tags)]


def _made(
    database: Database, keys: Sequence[str], assets: Sequence[str], partitions: dg.DynamicPartitionsDefinition
) -> set[tuple[str, str]]:
    """Return the pairs of partition and asset that need nothing but a record."""
    with database.read() as session:
        if partitions is SUBMISSIONS:
            decided = [row.id for row in submissions.get_many(session, keys).values() if row.decided_at is not None]
            # A rejected file has no fingerprint; that is recorded by a run that does not make it and succeeds.
            return {(key, asset) for key in decided for asset in assets}
        states = derivations.states(session, keys, assets)
    return {pair for pair, row in states.items() if row.status == "DONE"}


def _red(
    instance: dg.DagsterInstance,
    keys: Sequence[str],
    assets: Sequence[dg.AssetKey],
    partitions: dg.DynamicPartitionsDefinition,
) -> Iterator[tuple[str, str]]:
    for asset in assets:
        statuses = instance.get_status_by_partition(asset, keys, partitions) or {}
        yield from (
            (key, asset.to_user_string()) for key, status in statuses.items() if status is AssetPartitionStatus.FAILED
        )


def _keys(
    instance: dg.DagsterInstance, run: dg.DagsterRun, partitions: dg.DynamicPartitionsDefinition
) -> Sequence[str]:
    """Return the partitions of a run's range that are still there."""
    ordered = list(partitions.get_partition_keys(dynamic_partitions_store=instance))
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if first not in ordered or last not in ordered:
        return []
    return ordered[ordered.index(first) : ordered.index(last) + 1]
