"""Dagster's storage as `dagster.yaml` names it, on SQLite and PostgreSQL."""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import Engine, Pool, event

from musicfp_assets.instance_storage import psycopg2_url
from tests.support.postgres import fresh_database, postgres_server

PROJECT = Path(__file__).parents[2]
_numbers = itertools.count()
PARTITIONS = dg.DynamicPartitionsDefinition(name="keys")


@dg.asset(partitions_def=PARTITIONS)
def made() -> None:
    """An asset of these tests."""


@pytest.fixture(params=["sqlite", "postgresql"])
def ref(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstanceRef]:
    """What the daemon hands to the code server and to run workers, which make an instance of it."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    ref = InstanceRef.from_dir(str(tmp_path / "dagster"), config_dir=str(PROJECT))
    if request.param == "sqlite":
        yield ref
        return
    with fresh_database(request.getfixturevalue("postgres_url_prefix"), f"instance_{next(_numbers)}") as url:
        monkeypatch.setenv("MUSICFP_DAGSTER_DATABASE_URL", url)
        yield ref


def test_dagsters_own_storage_reads_what_ours_wrote(ref: InstanceRef, tmp_path: Path) -> None:
    """Runs, events and partitions: the files are Dagster's, whichever class wrote them."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        run_id = _make(instance, "a")
    own: DagsterStorage[Any]
    if url := os.environ.get("MUSICFP_DAGSTER_DATABASE_URL"):
        own = DagsterPostgresStorage(psycopg2_url(url), should_autocreate_tables=False)
    else:
        own = DagsterSqliteStorage(str(tmp_path / "dagster" / "storage"))
    assert [run.run_id for run in own.run_storage.get_runs()] == [run_id]
    assert own.event_log_storage.get_dynamic_partitions("keys") == ["a"]
    assert own.event_log_storage.get_materialized_partitions(made.key) == {"a"}


def test_a_server_that_was_restarted_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that were kept open are found to be gone before a statement is lost."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    ref = InstanceRef.from_dir(str(tmp_path / "dagster"), config_dir=str(PROJECT))
    with postgres_server() as server, fresh_database(server.url_prefix, "restarted") as url:
        monkeypatch.setenv("MUSICFP_DAGSTER_DATABASE_URL", url)
        with dg.DagsterInstance.from_ref(ref) as instance:
            run_ids = [_make(instance, "a")]
            server.kill()
            server.start()
            run_ids.append(_make(instance, "b"))
            assert {run.run_id for run in instance.get_runs()} == set(run_ids)
            assert instance.get_materialized_partitions(made.key) == {"a", "b"}


def test_another_instance_opens_no_file_again(ref: InstanceRef) -> None:
    """The code server makes an instance at every sensor tick."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        run_id = _make(instance, "a")
        assert _what_a_tick_reads(instance) == ([run_id], ["a"], [])
    with _noted(Pool, "connect") as opened, dg.DagsterInstance.from_ref(ref) as instance:
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


def test_what_a_run_intends_to_make_is_written_at_once_and_the_same(
    ref: InstanceRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a few transactions instead of one or two for each partition; what is read of it does not differ."""
    keys = [f"key {number}" for number in range(20)]
    seen, n_commits = [], []
    for batch_size in ("0", "1000"):
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch_size)
        with dg.DagsterInstance.from_ref(ref) as instance:
            instance.add_dynamic_partitions("keys", keys)
            _make(instance, keys[0])  # opens the files
            with _noted(Engine, "commit") as commits:
                run = _create_run(
                    instance, {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}
                )
            n_commits.append(len(commits))
            planned = instance.event_log_storage.get_event_records(
                dg.EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION_PLANNED, asset_key=made.key)
            )
            in_index = [each.partition_key for each in planned if each.run_id == run.run_id]
            in_run = instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
            (record,) = instance.get_asset_records([made.key])
            last_run_id = record.asset_entry.last_run_id
            seen.append((in_index, [each.get_dagster_event().partition for each in in_run], last_run_id == run.run_id))
    assert seen[0] == seen[1]
    assert sorted(seen[1][0]) == sorted(keys)
    assert seen[1][2]
    assert n_commits[0] - n_commits[1] > len(keys) - 2


def test_after_a_wipe_everything_works_again(ref: InstanceRef) -> None:
    """On SQLite a wipe deletes files that are open."""
    with dg.DagsterInstance.from_ref(ref) as instance:
        _make(instance, "a")
        instance.wipe()
        assert instance.get_runs() == []
        run_id = _make(instance, "b")
        assert [run.run_id for run in instance.get_runs()] == [run_id]
        assert instance.get_materialized_partitions(made.key) == {"b"}


def _make(instance: dg.DagsterInstance, key: str) -> str:
    instance.add_dynamic_partitions("keys", [key])
    run = _create_run(instance, {"dagster/partition": key})
    instance.report_runless_asset_event(dg.AssetMaterialization(made.key, partition=key))
    return run.run_id


def _create_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    job = dg.Definitions(assets=[made], jobs=[dg.define_asset_job("made", [made])]).resolve_job_def("made")
    return instance.create_run_for_job(job, tags=tags)


def _what_a_tick_reads(instance: dg.DagsterInstance) -> tuple[list[str], list[str], list[object]]:
    records = instance.get_run_records(dg.RunsFilter(job_name="made"), limit=1)
    return (
        [record.dagster_run.run_id for record in records],
        list(instance.get_dynamic_partitions("keys")),
        list(instance.all_instigator_state()),
    )


@contextmanager
def _noted(target: type, name: str) -> Iterator[list[object]]:
    """Note each event of this name of SQLAlchemy's while the block lasts."""
    seen: list[object] = []

    def note(*arguments: object) -> None:
        seen.append(arguments[0])

    event.listen(target, name, note)
    try:
        yield seen
    finally:
        event.remove(target, name, note)
