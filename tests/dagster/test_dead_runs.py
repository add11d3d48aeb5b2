"""Runs whose worker died together with its code server, or while storage failed; real code servers and workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc.client import DagsterGrpcClient

from musicfp_assets.sensors.dead_runs import DEAD_AFTER_S, dead_runs_sensor
from tests.support.waiting import eventually

_LOCATION = "sleepers"
_FAILS_FOR_S = 3.0  # the server looks twice a second
_CODE = """
import os, pathlib, time
import dagster as dg
from musicfp_assets.orphaned_runs import keep_looking

keep_looking()

@dg.op
def sleep():
    pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)

@dg.job(executor_def=dg.in_process_executor)
def sleeper():
    sleep()

defs = dg.Definitions(jobs=[sleeper])
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Storage that other processes see too, and the default launcher."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def test_it_fails_what_no_code_server_works_on_and_nothing_else(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """Not while the worker lives, not at the first look, and not when the server is only away for a moment."""
    code = tmp_path / "code.py"
    code.write_text(_CODE)
    socket = tmp_path / "code.sock"
    with _code_server(code, socket) as server:
        run_id = _launched(instance, socket)
        worker = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), within_s=60))
        assert _look(instance, None) == {}
        for pid in (worker, server.pid):
            os.kill(pid, signal.SIGKILL)
        server.wait()
    away = _look(instance, None)
    assert set(away) == {run_id}
    assert _status(instance, run_id) is dg.DagsterRunStatus.STARTED
    socket.unlink(missing_ok=True)
    with _code_server(code, socket):
        assert _look(instance, away) == away
        assert _status(instance, run_id) is dg.DagsterRunStatus.STARTED
        long_away = {run_id: away[run_id] - DEAD_AFTER_S}
        assert _look(instance, long_away, here="another code location") == {}
        assert _status(instance, run_id) is dg.DagsterRunStatus.STARTED
        assert _look(instance, long_away, here=_LOCATION) == {}
    assert _status(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_died_before_its_server_knew_of_it_is_failed(instance: dg.DagsterInstance) -> None:
    """Long before the start timeout, and whatever the cursor holds."""

    @dg.job
    def job() -> None:
        pass

    starting = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
    waiting = instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    done = instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    with dg.build_sensor_context(instance=instance, cursor="no json") as context:
        seen = dead_runs_sensor(context)
    assert isinstance(seen, dg.SensorResult)
    assert set(json.loads(seen.cursor or "")) == {starting.run_id}
    assert _look(instance, {starting.run_id: time.time() - DEAD_AFTER_S, done.run_id: 0.0}) == {}
    assert _status(instance, starting.run_id) is dg.DagsterRunStatus.FAILURE
    assert _status(instance, waiting.run_id) is dg.DagsterRunStatus.NOT_STARTED
    assert _status(instance, done.run_id) is dg.DagsterRunStatus.SUCCESS


def test_a_worker_that_dies_while_storage_fails_is_told_of_afterwards(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """By its own code server, whose thread would end at the first error."""
    code = tmp_path / "code.py"
    code.write_text(_CODE)
    socket = tmp_path / "code.sock"
    runs, hidden = tmp_path / "dagster" / "history" / "runs.db", tmp_path / "runs.db"
    with _code_server(code, socket):
        run_id = _launched(instance, socket)
        worker = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), within_s=60))
        runs.rename(hidden)
        runs.mkdir()  # what cannot be opened as a database
        os.kill(worker, signal.SIGKILL)
        time.sleep(_FAILS_FOR_S)
        runs.rmdir()
        hidden.rename(runs)
        assert eventually(lambda: _status(instance, run_id) is dg.DagsterRunStatus.FAILURE, within_s=30)


def _look(
    instance: dg.DagsterInstance, cursor: dict[str, float] | None, *, here: str | None = None
) -> dict[str, float]:
    """Tick once, in the code location `here`, and return what the sensor keeps in mind."""
    with dg.SensorEvaluationContext(
        instance_ref=None,
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=json.dumps(cursor) if cursor else None,
        repository_name=None,
        instance=instance,
        code_location_origin=RegisteredCodeLocationOrigin(here) if here else None,
    ) as context:
        result = dead_runs_sensor(context)
    assert isinstance(result, dg.SensorResult)
    kept: dict[str, float] = json.loads(result.cursor or "{}")
    return kept


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def _launched(instance: dg.DagsterInstance, socket: Path) -> str:
    target = GrpcServerTarget(host="localhost", port=None, socket=str(socket), location_name=_LOCATION)
    with WorkspaceProcessContext(instance, target) as process:
        workspace = process.create_request_context()
        (repository,) = workspace.get_code_location(_LOCATION).get_repositories().values()
        job = repository.get_full_job("sleeper")
        namespace: dict[str, dg.Definitions] = {}
        exec(_CODE, namespace)  # noqa: S102
        run = instance.create_run_for_job(
            namespace["defs"].resolve_job_def("sleeper"),
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
        )
        instance.launch_run(run.run_id, workspace)
    return run.run_id


@contextmanager
def _code_server(code: Path, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "dagster", "api", "grpc", "-f", str(code), "-s", str(socket)]
    server = subprocess.Popen([*argv, "--location-name", _LOCATION], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _answers(socket), within_s=60)
        yield server
    finally:
        server.kill()
        server.wait()


def _answers(socket: Path) -> bool:
    with suppress(dg.DagsterError):
        return bool(DagsterGrpcClient(socket=str(socket)).get_current_runs())
    return False
