"""Dagster's storage as `dagster.yaml` names it, on SQLite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import Pool, event

PROJECT = Path(__file__).parents[2]
PARTITIONS = dg.DynamicPartitionsDefinition(name="keys")


@dg.asset(partitions_def=PARTITIONS)
def made() -> None:
    """An asset of these tests."""


@pytest.fixture
def ref(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstanceRef:
    """What the daemon hands to the code server and to run workers, which make an instance of it."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    return InstanceRef.from_dir(str(tmp_path / "dagster"), config_dir=str(PROJECT))


def test_dagsters_own_storage_reads_what_ours_wrote(ref: InstanceRef, tmp_path: Path) -> None:
    """Runs, events and partitions: the files are Dagster's, whichever class wrote them."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        run_id = _make(instance, "a")
    own = DagsterSqliteStorage(str(tmp_path / "dagster" / "storage"))
    assert [run.run_id for run in own.run_storage.get_runs()] == [run_id]
    assert own.event_log_storage.get_dynamic_partitions("keys") == ["a"]
    assert own.event_log_storage.get_materialized_partitions(made.key) == {"a"}
    own.dispose()


def test_another_instance_opens_no_file_again(ref: InstanceRef) -> None:
    """The code server makes an instance at every sensor tick."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        run_id = _make(instance, "a")
        assert _what_a_tick_reads(instance) == ([run_id], ["a"], [])
    with _connections_opened() as opened, dg.DagsterInstance.from_ref(ref) as instance:
        assert _what_a_tick_reads(instance) == ([run_id], ["a"], [])
    assert opened == []


def test_instances_in_several_threads_lose_nothing(ref: InstanceRef) -> None:
    """Sensors tick in threads of one process and share its files."""

    def work(key: str) -> str:
        with dg.DagsterInstance.from_ref(ref) as instance:
            return _make(instance, key)

    keys = [f"key {number}" for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        run_ids = list(threads.map(work, keys))
    with dg.DagsterInstance.from_ref(ref) as instance:
        assert {run.run_id for run in instance.get_runs()} == set(run_ids)
        assert set(instance.get_dynamic_partitions("keys")) == set(keys)
        assert instance.get_materialized_partitions(made.key) == set(keys)


def test_after_a_wipe_everything_works_again(ref: InstanceRef) -> None:
    """A wipe deletes files that are open."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        _make(instance, "a")
        instance.wipe()
        assert instance.get_runs() == []
        run_id = _make(instance, "b")
        assert [run.run_id for run in instance.get_runs()] == [run_id]
        assert instance.get_materialized_partitions(made.key) == {"b"}


def _make(instance: dg.DagsterInstance, key: str) -> str:
    instance.add_dynamic_partitions("keys", [key])
    run = instance.create_run_for_job(
        dg.Definitions(assets=[made], jobs=[dg.define_asset_job("made", [made])]).resolve_job_def("made"),
        tags={"dagster/partition": key},
    )
    instance.report_runless_asset_event(dg.AssetMaterialization(made.key, partition=key))
    return run.run_id


def _what_a_tick_reads(instance: dg.DagsterInstance) -> tuple[list[str], list[str], list[object]]:
    records = instance.get_run_records(dg.RunsFilter(job_name="made"), limit=1)
    return (
        [record.dagster_run.run_id for record in records],
        list(instance.get_dynamic_partitions("keys")),
        list(instance.all_instigator_state()),
    )


@contextmanager
def _connections_opened() -> Iterator[list[object]]:
    opened: list[object] = []

    def note(connection: object, _record: object) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", note)
    try:
        yield opened
    finally:
        event.remove(Pool, "connect", note)
