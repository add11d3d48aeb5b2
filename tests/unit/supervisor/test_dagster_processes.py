"""Dagster's home, and reading the webserver's answers."""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from musicfp.errors import SettingsError
from musicfp.settings import Settings
from musicfp.supervisor import dagster_processes


class Webserver:
    """Answers every GraphQL query with `data`."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        webserver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"data": webserver.data}).encode())

            def log_message(self, *_arguments: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    fake = Webserver()
    thread = Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


def settings_of(home: Path, **more: str) -> Settings:
    return Settings.from_env({"MUSICFP_HOME": str(home), **more})


def test_dagster_home_gets_the_projects_instance_and_one_shared_code_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.chdir(tmp_path)
    settings = settings_of(tmp_path / "home")
    dagster_processes.prepare_dagster_home(settings)
    assert "enabled: false" in (tmp_path / "home" / "dagster" / "dagster.yaml").read_text()
    workspace = (tmp_path / "home" / "dagster" / "workspace.yaml").read_text()
    server = json.loads(workspace.partition("\n")[2])["load_from"][0]["grpc_server"]
    assert server["socket"] == str(dagster_processes.code_socket(settings))
    assert server["location_name"] == "musicfp_assets.definitions"


def test_without_a_project_the_folders_that_were_searched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("musicfp.__file__", str(tmp_path / "lib" / "musicfp" / "__init__.py"))
    with pytest.raises(SettingsError, match=str(tmp_path)):
        dagster_processes.project_root()


def test_a_home_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """The kernel refuses socket paths above about 100 bytes."""
    settings = settings_of(tmp_path / ("deep" * 30))
    path = dagster_processes.code_socket(settings)
    assert len(str(path)) < 100
    assert path == dagster_processes.code_socket(settings)
    assert path.parent.stat().st_mode & 0o077 == 0
    path.parent.rmdir()


def test_storage_is_prepared_once_for_each_version_and_database(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert not dagster_processes.storage_is_current(settings)
    dagster_processes.record_storage(settings)
    assert dagster_processes.storage_is_current(settings)
    moved = settings_of(tmp_path, MUSICFP_DAGSTER_DATABASE_URL="postgresql://elsewhere/dagster")
    assert not dagster_processes.storage_is_current(moved)


def test_a_heartbeat_from_before_the_start_does_not_count(webserver: Webserver) -> None:
    statuses = [
        {"daemonType": "SENSOR", "required": True, "lastHeartbeatTime": 100.0},
        {"daemonType": "BACKFILL", "required": True, "lastHeartbeatTime": 300.0},
        {"daemonType": "ASSET", "required": False, "lastHeartbeatTime": None},
        {"daemonType": "SCHEDULER", "required": True, "lastHeartbeatTime": None},
    ]
    webserver.data = {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}}
    silent = asyncio.run(dagster_processes.silent_daemons(webserver.port, since=200.0))
    assert silent == ("SENSOR", "SCHEDULER")


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"locationOrLoadError": {"__typename": "RepositoryLocation"}}], True),
        ([{"locationOrLoadError": {"__typename": "PythonError"}}], False),
        ([{"locationOrLoadError": None}], False),
        ([], False),
    ],
)
def test_code_counts_as_loaded_only_without_an_error(webserver: Webserver, entries: list[Any], expected: bool) -> None:
    webserver.data = {"workspaceOrError": {"locationEntries": entries}}
    assert asyncio.run(dagster_processes.has_loaded_code(webserver.port)) is expected


def test_no_webserver_is_told_from_a_silent_daemon() -> None:
    assert asyncio.run(dagster_processes.silent_daemons(1, since=0.0)) is None
