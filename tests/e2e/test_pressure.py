"""The whole product while its store stands still and its database is restarted: it pauses, says so, and goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.postgres import PostgresServer, postgres_server
from tests.support.songs import SongFolder
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

WAITING = """query($id: ID!) { submission(id: $id) { status submitter waiting { code message } } }"""
TICKS = """{ sensorsOrError(repositorySelector: {repositoryName: "__repository__",
    repositoryLocationName: "musicfp_assets.definitions"}) {
  ... on Sensors { results { name sensorState { ticks(limit: 60) { status skipReason } } } } } }"""
SLOW_S = 240.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """The catalogue's database server."""
    with postgres_server() as started:
        with psycopg.connect(started.url_prefix.replace("+psycopg", "") + "postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE catalogue")
        yield started


@pytest.fixture(scope="module")
def stack(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product on that server, with Dagster on SQLite."""
    home = tmp_path_factory.mktemp("pressure") / "home"
    database_url = f"{server.url_prefix}catalogue"
    with running_stack(home, MUSICFP_DATABASE_URL=database_url, MUSICFP_TRANSCODE_PROFILES="opus_96") as started:
        yield started


def submit(stack: Stack, path: Path) -> str:
    """Upload a file by the command and return the submission's id."""
    argv = [sys.executable, "-m", "musicfp.cli.main", "submit", "--json", "--submitter", "the choir", str(path)]
    done = subprocess.run(argv, env=stack.env, capture_output=True, text=True, timeout=120, check=True)
    return str(json.loads(done.stdout)[0]["submissionId"])


def ask(url: str, query: str, **variables: object) -> Any:
    """Return the whole answer of a GraphQL service."""
    body = {"query": query, "variables": variables}
    return httpx.post(f"{url}/graphql", json=body, timeout=60, trust_env=False).json()


def submission(stack: Stack, submission_id: str) -> dict[str, Any]:
    """Return a submission; empty while the database does not answer."""
    found: dict[str, Any] = (ask(stack.api_url, WAITING, id=submission_id)["data"] or {}).get("submission") or {}
    return found


def failing(stack: Stack) -> list[str]:
    """Return the parts that /readyz names."""
    answer = httpx.get(f"{stack.api_url}/readyz", timeout=60, trust_env=False)
    named: list[str] = answer.json()["failing"]
    assert (answer.status_code == 200) is (named == [])
    return named


def ticks(stack: Stack, sensor: str) -> list[tuple[str, str]]:
    """Return status and reason of the last ticks of a sensor, the newest first."""
    results = ask(stack.dagster_url, TICKS)["data"]["sensorsOrError"]["results"]
    (state,) = (each["sensorState"] for each in results if each["name"] == sensor)
    return [(tick["status"], tick["skipReason"] or "") for tick in state["ticks"]]


def pauses(stack: Stack, sensor: str, part: str) -> bool:
    """Whether the newest tick that ended was skipped because of this part."""
    ended = [tick for tick in ticks(stack, sensor) if tick[0] != "STARTED"]
    return bool(ended) and ended[0][0] == "SKIPPED" and ended[0][1].startswith(f"paused, {part}: ")


def all_made(server: PostgresServer) -> bool:
    """Whether nothing is left to be made, and whether nothing was ever counted as an attempt that failed."""
    with psycopg.connect(server.url_prefix.replace("+psycopg", "") + "catalogue") as connection:
        rows = connection.execute("SELECT status, attempts, error_message FROM derivation").fetchall()
        attempts = connection.execute("SELECT sum(attempts) FROM submission").fetchone()
    assert [row for row in rows if row[1]] == []
    assert attempts == (0,)
    return bool(rows) and {row[0] for row in rows} == {"DONE"}


def test_a_store_that_stands_still_pauses_everything(stack: Stack, server: PostgresServer, songs: SongFolder) -> None:
    """It answers nothing and is not dead. No tick fails, no run is asked for in vain."""
    submission_id = submit(stack, songs.song(1))
    eventually(lambda: submission(stack, submission_id)["status"] == "RECEIVED", within_s=SLOW_S)
    assert submission(stack, submission_id)["submitter"] == "the choir"
    assert submission(stack, submission_id)["waiting"]["code"] == "QUEUED"
    store = stack.pid_of("store")
    os.kill(store, signal.SIGSTOP)
    try:
        eventually(lambda: failing(stack) == ["objectStore"], within_s=SLOW_S)
        waiting = submission(stack, submission_id)["waiting"]
        assert waiting["code"] == "PAUSED"
        assert "objectStore" in waiting["message"]
        eventually(lambda: pauses(stack, "submission_sensor", "objectStore"), within_s=SLOW_S)
    finally:
        os.kill(store, signal.SIGCONT)
    eventually(lambda: submission(stack, submission_id)["status"] == "ACCEPTED", within_s=SLOW_S)
    eventually(lambda: all_made(server), within_s=SLOW_S)
    assert failing(stack) == []
    assert submission(stack, submission_id)["waiting"] is None


def test_a_database_that_is_restarted_pauses_everything(
    stack: Stack, server: PostgresServer, songs: SongFolder
) -> None:
    """It is away, comes back, and crashes in the middle of the work: nothing is lost or held against anybody."""
    submission_id = submit(stack, songs.song(2))
    eventually(lambda: submission(stack, submission_id)["status"] == "RECEIVED", within_s=SLOW_S)
    server.stop(signal.SIGINT)
    try:
        eventually(lambda: "database" in failing(stack), within_s=SLOW_S)
        for sensor in ("submission_sensor", "transcode_sensor"):
            eventually(lambda sensor=sensor: pauses(stack, sensor, "database"), within_s=SLOW_S)  # type: ignore[misc]
        answer = ask(stack.api_url, WAITING, id=submission_id)
        assert answer["errors"][0]["extensions"]["code"] == "DATABASE_UNAVAILABLE"
    finally:
        server.start()
    eventually(lambda: submission(stack, submission_id).get("status") == "ACCEPTED", within_s=SLOW_S)
    server.stop(signal.SIGQUIT)
    server.start()
    eventually(lambda: all_made(server), within_s=SLOW_S)
    eventually(lambda: failing(stack) == [], within_s=SLOW_S)
