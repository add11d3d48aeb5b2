"""Deletions in Dagster: when they are carried out, what their run shows, and that nothing of a track stays."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.instance.ref import InstanceRef
from dagster._core.test_utils import create_run_for_test

from musicfp.catalog import deletions, relations
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import DeletionRow
from musicfp.pipeline import deletion as removing
from musicfp.pipeline.deletion import find_deletion, request_deletion
from musicfp.store.objects import ObjectStore
from musicfp_assets import deletions as orchestrated
from musicfp_assets.definitions import TRANSCODE_JOB
from musicfp_assets.deletions import DELETED_TAG, DELETION_JOB, ready_deletions
from musicfp_assets.partitions import SUBMISSIONS, TRACKS
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import range_request
from musicfp_assets.track_records import DagsterRecords
from tests.dagster.conftest import Orchestra
from tests.support.crashes import Killed, kill
from tests.support.postgres import fresh_database
from tests.support.seeds import seed_id, seed_track

PROJECT = Path(__file__).parents[2]
_numbers = itertools.count()
KEYS = [seed_id(number) for number in (1, 2, 3)]


@dg.multi_asset(
    specs=[dg.AssetSpec(name, partitions_def=TRACKS, skippable=True) for name in ("one", "two")],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def made(context: dg.AssetExecutionContext) -> Iterator[dg.AssetMaterialization]:
    """Two assets of these tests, recorded as stages do it."""
    for key in context.partition_keys:
        for asset in ("one", "two"):
            yield dg.AssetMaterialization(asset, partition=key, metadata={"title": f"of {key}"}, tags={"x": key})


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage as `dagster.yaml` names it, of either kind."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    ref = InstanceRef.from_dir(str(tmp_path / "dagster"), config_dir=str(PROJECT))
    if request.param == "sqlite":
        with dg.DagsterInstance.from_ref(ref) as instance:
            yield instance
        return
    # A process makes Dagster's tables once, so no test takes the database of another.
    with fresh_database(request.getfixturevalue("postgres_url_prefix"), f"dagster_deletions_{next(_numbers)}") as url:
        monkeypatch.setenv("MUSICFP_DAGSTER_DATABASE_URL", url)
        with dg.DagsterInstance.from_ref(ref) as instance:
            yield instance


def make_records(instance: dg.DagsterInstance) -> str:
    """Let one run record three partitions and a sensor another event of each; return the run's id."""
    instance.add_dynamic_partitions(TRACKS.name, KEYS)
    instance.add_dynamic_partitions(SUBMISSIONS.name, KEYS)
    for key in KEYS:
        instance.report_runless_asset_event(dg.AssetMaterialization("arrived", partition=key))
    job = dg.Definitions(assets=[made], jobs=[dg.define_asset_job("making", selection="*")]).resolve_job_def("making")
    return job.execute_in_process(instance=instance, tags=dict(range_request(KEYS).tags)).run_id


def partitions_named(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    """Return the partitions that the events of a run name."""
    events = [each.dagster_event for each in instance.all_logs(run_id) if each.dagster_event is not None]
    return {each.partition for each in events if each.partition is not None}


@pytest.mark.parametrize("moment", ["whole", "runs' copies gone", "events gone"])
def test_dagster_forgets_one_partition_and_no_other(
    stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its events, planned ones too, and its key in both sets; killed in between, the next run goes on."""
    run_id = make_records(stored_instance)
    first, gone, last = KEYS
    records = DagsterRecords(stored_instance)
    assert records.count(gone) == {"dagster_partitions": 2, "dagster_events": 5}
    if moment != "whole":
        with monkeypatch.context() as patch:
            if moment == "events gone":
                patch.setattr(type(stored_instance), "delete_dynamic_partition", kill)
            else:
                patch.setattr(DagsterRecords, "_forget_indexed", kill)
            with pytest.raises(Killed):
                records.forget(gone)
        assert records.count(gone)["dagster_partitions"] == 2
    records.forget(gone)
    assert records.count(gone) == {"dagster_partitions": 0, "dagster_events": 0}
    for name in (TRACKS.name, SUBMISSIONS.name):
        assert stored_instance.get_dynamic_partitions(name) == [first, last]
    for asset in ("arrived", "one", "two"):
        key = dg.AssetKey(asset)
        assert stored_instance.get_materialized_partitions(key) == {first, last}
        assert [each.partition_key for each in stored_instance.fetch_materializations(key, limit=9).records] == [
            last,
            first,
        ]
    assert partitions_named(stored_instance, run_id) == {first, last}
    records.forget(last)
    newest = stored_instance.get_latest_materialization_event(dg.AssetKey("one"))
    assert newest is not None
    assert newest.asset_materialization is not None
    assert newest.asset_materialization.partition == first
    statuses = stored_instance.get_status_by_partition(dg.AssetKey("two"), [first], TRACKS)
    assert {key: status.value for key, status in (statuses or {}).items() if status} == {first: "MATERIALIZED"}


def stored_track(orchestra: Orchestra, number: int) -> str:
    """Store a track with a source object, and what Dagster would have of it."""
    track_id = seed_track(orchestra.stage.database, number)
    with orchestra.stage.database.read() as session:
        key = relations.tracks(session, [track_id])[track_id].source_key
    orchestra.stage.store.client.put_object(Bucket=orchestra.stage.settings.source_bucket, Key=key, Body=b"source")
    for name in (SUBMISSIONS.name, TRACKS.name):
        orchestra.instance.add_dynamic_partitions(name, [track_id])
    orchestra.instance.report_runless_asset_event(dg.AssetMaterialization("source_audio", partition=track_id))
    return track_id


def asked(orchestra: Orchestra, track_id: str, *, ago_s: float = 60) -> DeletionRow:
    """Delete a track from the catalogue, some time ago; asked again, only the time changes."""
    request_deletion(orchestra.stage.database, track_id=track_id, reason="a test")
    with orchestra.stage.database.write() as session:
        row = session.get_one(DeletionRow, track_id)
        row.requested_at = utc_now() - timedelta(seconds=ago_s)
        session.add(row)
    return row


def ready(orchestra: Orchestra) -> list[str]:
    return [each.track_id for each in ready_deletions(orchestra.stage.database, orchestra.instance)]


def tick(orchestra: Orchestra) -> object:
    """Evaluate the sensor; return its request or its reason for none."""
    sensor = next(each for each in orchestra.definitions.sensors or () if each.name == "deletion_sensor")
    with dg.build_sensor_context(instance=orchestra.instance, resources={"musicfp": MusicfpResource()}) as context:
        return sensor(context)


def run(orchestra: Orchestra) -> dg.ExecuteInProcessResult:
    job = orchestra.definitions.resolve_job_def(DELETION_JOB)
    return job.execute_in_process(instance=orchestra.instance, raise_on_error=False)


def test_a_deletion_is_carried_out_and_told(orchestra: Orchestra) -> None:
    """One run for all that wait; it shows what was removed, and nothing is asked for twice."""
    first, second, kept = (stored_track(orchestra, number) for number in (1, 2, 3))
    assert isinstance(tick(orchestra), dg.SkipReason)
    for track_id in (first, second):
        asked(orchestra, track_id)
    assert isinstance(tick(orchestra), dg.RunRequest)
    result = run(orchestra)
    assert result.success
    (output,) = [event for event in result.all_node_events if event.is_successful_output]
    metadata = output.step_output_data.metadata
    shown = {name: metadata[name].value for name in ("tracks", "source_object", "source_object_bytes", "tags")}
    assert shown == {"tracks": 2, "source_object": 2, "source_object_bytes": 12, "tags": 4}
    assert (metadata["dagster_partitions"].value, metadata["dagster_events"].value) == (4, 2)
    assert [record.data["track"] for record in metadata["deleted"].records] == [first, second]
    finished_run = orchestra.instance.get_run_by_id(result.run_id)
    assert finished_run is not None
    assert finished_run.tags[DELETED_TAG] == "2"
    for name in (SUBMISSIONS.name, TRACKS.name):
        assert orchestra.instance.get_dynamic_partitions(name) == [kept]
    assert set(orchestra.events("source_audio")) == {kept}
    ended = find_deletion(orchestra.stage.database, first)
    assert ended is not None
    assert ended.finished_at is not None
    assert ended.run_id == result.run_id
    assert isinstance(tick(orchestra), dg.SkipReason)


def test_a_deletion_waits_for_whoever_may_know_the_track(orchestra: Orchestra) -> None:
    """Batches that were there before it, later ones that name its partition, and backfills; for nothing else."""
    track_id = stored_track(orchestra, 1)
    tags = dict(range_request(["a", "b"]).tags)
    before = create_run_for_test(
        orchestra.instance, job_name=TRANSCODE_JOB, status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    other = create_run_for_test(orchestra.instance, job_name="expiry_job", status=dg.DagsterRunStatus.STARTED)
    asked(orchestra, track_id, ago_s=-60)
    assert ready(orchestra) == []  # others may be reading the catalogue of a moment ago
    row = asked(orchestra, track_id, ago_s=3600)
    assert ready(orchestra) == [track_id]  # the batch began after it
    by_hand = create_run_for_test(
        orchestra.instance,
        job_name=TRANSCODE_JOB,
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=dict(range_request(["a", track_id]).tags),
    )
    assert ready(orchestra) == []
    assert isinstance(tick(orchestra), dg.SkipReason)
    orchestra.instance.report_run_canceled(by_hand)
    assert ready(orchestra) == [track_id]
    backfill = PartitionBackfill(
        backfill_id="b", status=BulkActionStatus.REQUESTED, from_failure=False, tags={}, backfill_timestamp=0.0
    )
    orchestra.instance.add_backfill(backfill)
    assert ready(orchestra) == []
    orchestra.instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELED))
    assert ready(orchestra) == [track_id]
    row.requested_at = utc_now()
    runs = {each.dagster_run.run_id: each for each in orchestra.instance.get_run_records()}
    assert [orchestrated._may_know(runs[each.run_id], row) for each in (before, other)] == [True, False]


def test_one_deletion_that_fails_does_not_keep_the_others(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is red and names it; the next one finishes it, also when that was interrupted."""
    bad, good = stored_track(orchestra, 1), stored_track(orchestra, 2)
    for track_id in (bad, good):
        asked(orchestra, track_id)
    listed = removing._objects

    def break_one(context: object, row: DeletionRow) -> object:
        if row.track_id == bad:
            raise ZeroDivisionError("nobody thought of this")
        return listed(context, row)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(removing, "_objects", break_one)
        result = run(orchestra)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    shown = failure.step_failure_data.user_failure_data
    assert shown is not None
    assert bad in str(shown.metadata["failed_tracks"].value)
    with orchestra.stage.database.read() as session:
        assert [each.track_id for each in deletions.unfinished(session, limit=9)] == [bad]
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "delete", kill)
        assert not run(orchestra).success
    assert run(orchestra).success
    with orchestra.stage.database.read() as session:
        assert deletions.unfinished(session, limit=9) == []
