"""`lost_events_sensor`: has recorded again what a killed run had done and could not tell Dagster.

Rows and events are not written in one transaction: a run that is killed in between leaves partitions red of what the
catalogue has. Running its range again makes nothing that is there, and records all of it. That is asked for once,
when nothing of the range is to be done any more.

What belongs here: finding such runs. What does not: what a run records of what is there (the stages).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial

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
# So many are kept in mind; those that ended later wait in Dagster's storage until there is room.
_MAX_RUNS = 100
_ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_Pair = tuple[str, str]


@dataclass(frozen=True)
class Cursor:
    """The end of the last run that was noticed, and runs that ended badly and are yet to be looked at."""

    after: str = ""
    run_ids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read a stored cursor; one that cannot be read starts over, which costs some looks and loses nothing."""
        try:
            stored = json.loads(text or "{}")
            return cls(str(stored.get("after", "")), tuple(map(str, stored.get("run_ids", ()))))
        except (TypeError, ValueError, AttributeError):
            return cls()


@dataclass(frozen=True)
class _Range:
    """What a run was about: neighbouring partitions, and assets of them."""

    keys: Sequence[str]
    assets: Sequence[dg.AssetKey]
    partitions: dg.DynamicPartitionsDefinition

    @property
    def names(self) -> list[str]:
        return [each.to_user_string() for each in self.assets]


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
        instance, database = context.instance, musicfp.database()
        cursor = _noticed(instance, Cursor.parse(context.cursor), set(assets_of))
        left: list[str] = []
        requests: list[dg.RunRequest] = []
        keys_of = cache(partial(_all_keys, instance))  # read once in a tick: there may be 100,000
        for run in instance.get_runs(dg.RunsFilter(run_ids=list(cursor.run_ids))) if cursor.run_ids else []:
            if requests or must_wait(instance, run.job_name):
                left.append(run.run_id)
                continue
            what = _range_of(run, assets_of[run.job_name], keys_of)
            if _is_unfinished(database, what):
                left.append(run.run_id)
            else:
                requests += _requests(instance, database, run.job_name, what)
        stored = Cursor(cursor.after, tuple(left))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(asdict(stored)))

    return lost_events_sensor


def _noticed(instance: dg.DagsterInstance, cursor: Cursor, jobs: set[str]) -> Cursor:
    """Return the cursor with the runs that have ended badly meanwhile; of those over the same range, the last."""
    after = datetime.fromisoformat(cursor.after) if cursor.after else datetime.fromtimestamp(0, UTC)
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED_BADLY, updated_after=after),
        limit=max(0, _MAX_RUNS - len(cursor.run_ids)),
        order_by="update_timestamp",
        ascending=True,
    )
    if not records:
        return cursor
    ours = [each.dagster_run for each in records if each.dagster_run.job_name in jobs]
    known = instance.get_runs(dg.RunsFilter(run_ids=list(cursor.run_ids))) if cursor.run_ids else []
    by_range: Mapping[object, str] = {_same(run): run.run_id for run in [*known, *ours]}
    return Cursor(records[-1].update_timestamp.isoformat(), tuple(by_range.values()))


def _same(run: dg.DagsterRun) -> tuple[object, ...]:
    ends = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    return (run.job_name, run.asset_selection, *ends)


def _range_of(run: dg.DagsterRun, assets: Sequence[str], keys_of: Callable[[str], Sequence[str]]) -> _Range:
    """Return what a run was about, without partitions if its range is not there any more."""
    partitions = SUBMISSIONS if set(assets) <= set(INGEST_ASSET_VERSIONS) else TRACKS
    ordered = keys_of(partitions.name or "")
    first, last = (run.tags.get(tag, "") for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    keys = ordered[ordered.index(first) : ordered.index(last) + 1] if {first, last} <= set(ordered) else []
    return _Range(keys, sorted(run.asset_selection or map(dg.AssetKey, assets)), partitions)


def _all_keys(instance: dg.DagsterInstance, partitions_name: str) -> Sequence[str]:
    return instance.get_dynamic_partitions(partitions_name)


def _is_unfinished(database: Database, what: _Range) -> bool:
    """Whether another run will be about some of it anyway."""
    with database.read() as session:
        if what.partitions is SUBMISSIONS:
            rows = submissions.get_many(session, what.keys).values()
            return any(row.decided_at is None for row in rows)
        states = derivations.states(session, what.keys, what.names).values()
    return any(row.status == "PENDING" or row.next_attempt_at is not None for row in states)


def _requests(instance: dg.DagsterInstance, database: Database, job: str, what: _Range) -> list[dg.RunRequest]:
    """Return the request for a run over the same range if the catalogue has something that is red of it."""
    red = set(_red(instance, what))
    if red and what.partitions is SUBMISSIONS:
        # Of a rejected file there is no fingerprint to record. Dagster remembers that it failed once, for ever; asked
        # anew, it looks at the newest run that was to make it.
        instance.wipe_asset_cached_status(list(what.assets))
        red = set(_red(instance, what))
    if not red & _made(database, what):
        return []
    tags = dict(range_request(what.keys, tags={ONLY_MISSING_TAG: "true"}).tags)
    return [dg.RunRequest(job_name=job, asset_selection=list(what.assets), tags=tags)]


def _red(instance: dg.DagsterInstance, what: _Range) -> Iterator[_Pair]:
    for asset in what.assets:
        statuses = instance.get_status_by_partition(asset, what.keys, what.partitions) or {}
        failed = [key for key, status in statuses.items() if status is AssetPartitionStatus.FAILED]
        yield from ((key, asset.to_user_string()) for key in failed)


def _made(database: Database, what: _Range) -> set[_Pair]:
    """Return what needs nothing but a record, also the record that there is nothing."""
    with database.read() as session:
        if what.partitions is SUBMISSIONS:
            return {(key, asset) for key in submissions.get_many(session, what.keys) for asset in what.names}
        states = derivations.states(session, what.keys, what.names)
    return {pair for pair, row in states.items() if row.status == "DONE"}
