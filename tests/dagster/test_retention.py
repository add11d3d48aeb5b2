"""Forgetting old runs of Dagster, on its SQLite and PostgreSQL storage as `dagster.yaml` names them."""

import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.test_utils import create_run_for_test

from musicfp_assets.retention import forget_old_runs, forget_runs, retention_job
from tests.support.postgres import fresh_database

PROJECT = Path(__file__).parents[2]
PARTITIONS = dg.DynamicPartitionsDefinition(name="keys")
_numbers = itertools.count()


@dg.asset(partitions_def=PARTITIONS)
def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """An asset of these tests; the partition called "bad" fails."""
    sys.stdout.write("what the run prints\n")
    if context.partition_key == "bad":
        raise dg.Failure(f"{context.partition_key} is bad")
    return dg.MaterializeResult(metadata={"fact": context.run.run_id})


@dg.asset
def whole() -> dg.MaterializeResult[None]:
    """An asset without partitions."""
    return dg.MaterializeResult(metadata={"fact": 1})


DEFINITIONS = dg.Definitions(assets=[made, whole], jobs=[retention_job])


@pytest.fixture(params=["sqlite", "postgresql"])
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """An instance with a storage of this test's own."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    if request.param == "sqlite":
        yield from _opened(tmp_path)
        return
    prefix: str = request.getfixturevalue("postgres_url_prefix")
    with fresh_database(prefix, f"retention_{next(_numbers)}") as url:
        monkeypatch.setenv("MUSICFP_DAGSTER_DATABASE_URL", url)
        yield from _opened(tmp_path)


def _opened(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home / "dagster"), config_dir=str(PROJECT))) as opened:
        yield opened


def _run(instance: dg.DagsterInstance, key: str) -> str:
    instance.add_dynamic_partitions("keys", [key])
    result = dg.materialize([made], partition_key=key, instance=instance, raise_on_error=False)
    return result.run_id


def _statuses(instance: dg.DagsterInstance) -> dict[str, str]:
    keys = instance.get_dynamic_partitions("keys")
    found = instance.get_status_by_partition(made.key, keys, PARTITIONS) or {}
    return {key: status.value for key, status in found.items() if status is not None}


def _facts(instance: dg.DagsterInstance) -> list[tuple[str | None, object]]:
    records = instance.fetch_materializations(made.key, limit=100, ascending=True).records
    events = [record.asset_materialization for record in records]
    return [(event.partition, event.metadata["fact"].value) for event in events if event is not None]


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_what_was_made_is_still_shown_when_its_run_is_forgotten(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Status and facts of the newest of each partition, also when Dagster counts anew; run, log and output go."""
    first, again, other = _run(instance, "a"), _run(instance, "a"), _run(instance, "b")
    assert dg.materialize([whole], instance=instance).success
    assert forget_old_runs(instance, ended_before=_in(60)) == 4
    assert instance.get_runs() == []
    assert _facts(instance) == [("a", again), ("b", other)]
    assert _statuses(instance) == {"a": "MATERIALIZED", "b": "MATERIALIZED"}
    instance.event_log_storage.wipe_asset_cached_status(made.key)
    assert _statuses(instance) == {"a": "MATERIALIZED", "b": "MATERIALIZED"}
    assert len(instance.get_event_tags_for_asset(made.key)) == 2
    assert instance.get_latest_materialization_event(whole.key) is not None
    for run_id in (first, again, other):
        assert not list(tmp_path.rglob(f"{run_id}*"))
        logged = instance.all_logs(run_id)
        assert {entry.dagster_event_type for entry in logged} <= {dg.DagsterEventType.ASSET_MATERIALIZATION}


def test_young_and_unfinished_runs_stay(instance: dg.DagsterInstance) -> None:
    """However old a run that waits or works is."""
    done = _run(instance, "a")
    unfinished = [
        create_run_for_test(instance, job_name="made", status=status).run_id
        for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
    ]
    assert forget_old_runs(instance, ended_before=_in(-60)) == 0
    assert len(instance.all_logs(done)) > 3
    assert forget_old_runs(instance, ended_before=_in(60)) == 1
    assert {run.run_id for run in instance.get_runs()} == set(unfinished)


def test_it_is_bounded_and_goes_on_where_it_ended(instance: dg.DagsterInstance) -> None:
    """The oldest first; repeating it changes nothing."""
    runs = [_run(instance, key) for key in "abc"]
    assert forget_old_runs(instance, ended_before=_in(60), max_runs=2) == 2
    assert [run.run_id for run in instance.get_runs()] == [runs[2]]
    assert forget_old_runs(instance, ended_before=_in(60), max_duration_s=0) == 0
    assert [forget_old_runs(instance, ended_before=_in(60)) for _ in range(2)] == [1, 0]
    assert _statuses(instance) == dict.fromkeys("abc", "MATERIALIZED")


def test_killed_before_the_record_is_gone_it_repeats_itself(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record goes last."""
    run_id = _run(instance, "a")

    def kill(_run_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(instance.run_storage, "delete_run", kill)
        with pytest.raises(KeyboardInterrupt):
            forget_old_runs(instance, ended_before=_in(60))
    assert [run.run_id for run in instance.get_runs()] == [run_id]
    assert forget_old_runs(instance, ended_before=_in(60)) == 1
    assert _facts(instance) == [("a", run_id)]


def test_a_partition_that_failed_is_made_again_without_its_run(instance: dg.DagsterInstance) -> None:
    """Nothing of the old failure is in the way."""
    _run(instance, "bad")
    assert _statuses(instance) == {"bad": "FAILED"}
    assert forget_old_runs(instance, ended_before=_in(60)) == 1
    instance.report_runless_asset_event(dg.AssetMaterialization(made.key, partition="bad"))
    assert _statuses(instance) == {"bad": "MATERIALIZED"}


def test_the_job_keeps_as_many_days_as_settings_say(instance: dg.DagsterInstance) -> None:
    """Runs of today are not old."""
    assert forget_runs.name in {node.name for node in retention_job.nodes}
    run_id = _run(instance, "a")
    assert retention_job.execute_in_process(instance=instance).success
    assert instance.get_run_by_id(run_id) is not None
