"""Dagster's three processes: one code server, shared by the webserver and the daemon, on a Unix socket.

Given a Python module, webserver and daemon would each load the code into a server of their own. `musicfp up` therefore
writes a workspace that points both at one server. `dagster dev` keeps using `workspace.yaml` of the project root; the
code location has the same name in both, so sensors, runs and assets are the same ones.
"""

import hashlib
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import musicfp
from musicfp.errors import SettingsError
from musicfp.settings import Settings
from musicfp.supervisor.child import ChildSpec
from musicfp.supervisor.environment import dagster_home
from musicfp.supervisor.ports import LOOPBACK, PortUse
from musicfp.supervisor.readiness import graphql, http_status, socket_accepts

CODE_LOCATION = "musicfp_assets.definitions"
_MAX_SOCKET_PATH_BYTES = 100  # the kernel allows 108 on Linux, 104 on macOS
_LOCATIONS_QUERY = """{ workspaceOrError { ... on Workspace { locationEntries {
  loadStatus locationOrLoadError { __typename } } } } }"""
_DAEMONS_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"


def prepare_dagster_home(settings: Settings) -> None:
    """Write `dagster.yaml` and `workspace.yaml` into DAGSTER_HOME, at every start, from the project's."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    source = project_root() / "dagster.yaml"
    copied = f"# Copied from {source} at every start of `musicfp up`; edit that one.\n{source.read_text()}"
    (home / "dagster.yaml").write_text(copied)
    server = {"socket": str(code_socket(settings)), "location_name": CODE_LOCATION}
    workspace = json.dumps({"load_from": [{"grpc_server": server}]}, indent=2)  # JSON is YAML too
    (home / "workspace.yaml").write_text(f"# Made at every start of `musicfp up`.\n{workspace}\n")


def storage_is_current(settings: Settings) -> bool:
    """Whether Dagster's storage was made or migrated by this version of Dagster."""
    record = _storage_record(settings)
    return record.is_file() and record.read_text() == _storage_version(settings)


def record_storage(settings: Settings) -> None:
    """Remember that Dagster's storage is of this version."""
    record = _storage_record(settings)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(_storage_version(settings))


def code_server_spec(settings: Settings, environment: dict[str, str]) -> ChildSpec:
    """Describe the server that holds the asset definitions and starts run workers.

    `dagster api grpc` rather than `dagster code-server start`: the latter adds a process only to reload code.
    """
    path = code_socket(settings)

    async def is_ready(_started_at: float) -> bool:
        return await socket_accepts(path)

    python = (sys.executable, "-m", "dagster", "api", "grpc")
    return ChildSpec(
        name="code-server",
        argv=(
            *python,
            "-m",
            CODE_LOCATION,
            "-d",
            str(project_root()),
            "--location-name",
            CODE_LOCATION,
            "-s",
            str(path),
        ),
        environment=environment,
        is_ready=is_ready,
        ready_within_s=120.0,
        stop_within_s=15.0,
        stale_files=(path,),
        stops_its_children=True,
    )


def webserver_spec(settings: Settings, environment: dict[str, str]) -> ChildSpec:
    """Describe the Dagster UI. It is ready when it has loaded the code location without an error."""
    port = settings.dagster_port
    workspace = str(dagster_home(settings) / "workspace.yaml")

    async def is_ready(_started_at: float) -> bool:
        return await http_status(port, "/server_info") == 200 and await has_loaded_code(port)

    return ChildSpec(
        name="webserver",
        argv=(sys.executable, "-m", "dagster_webserver", "-h", LOOPBACK, "-p", str(port), "-w", workspace),
        environment=environment,
        is_ready=is_ready,
        ready_within_s=120.0,
        stop_within_s=8.0,
        ports=(PortUse(port, "Dagster UI", "MUSICFP_DAGSTER_PORT"),),
    )


def daemon_spec(settings: Settings, environment: dict[str, str]) -> ChildSpec:
    """Describe the daemon that runs sensors, schedules and the run queue. Ready when all its parts have a heartbeat."""
    port = settings.dagster_port

    async def is_ready(started_at: float) -> bool:
        # Heartbeats outlive the daemon that made them, so only those of this one count.
        return await silent_daemons(port, since=started_at) == ()

    return ChildSpec(
        name="daemon",
        argv=(
            *(sys.executable, "-m", "dagster._daemon", "run"),
            *("-w", str(dagster_home(settings) / "workspace.yaml")),
        ),
        environment=environment,
        is_ready=is_ready,
        ready_within_s=120.0,
        stop_within_s=12.0,
    )


async def has_loaded_code(port: int) -> bool:
    """Whether the webserver at `port` has loaded every code location without an error."""
    data = await graphql(port, _LOCATIONS_QUERY)
    entries = ((data or {}).get("workspaceOrError") or {}).get("locationEntries") or []
    loaded = [(entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation" for entry in entries]
    return bool(loaded) and all(loaded)


async def silent_daemons(port: int, *, since: float) -> tuple[str, ...] | None:
    """Return the parts of the daemon without a heartbeat since a Unix time, None when the webserver does not answer."""
    data = await graphql(port, _DAEMONS_QUERY)
    if data is None:
        return None
    statuses = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    return tuple(
        status["daemonType"]
        for status in statuses
        if status["required"] and (status["lastHeartbeatTime"] or 0.0) < since
    )


def code_socket(settings: Settings) -> Path:
    """Return the code server's socket: in DAGSTER_HOME, or in a private temporary folder if that path is too long."""
    path = dagster_home(settings) / "code.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"musicfp-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SettingsError(
            f"{folder} belongs to somebody else. Set MUSICFP_HOME to a shorter path than {path.parent}."
        )
    return folder / "code.sock"


def project_root() -> Path:
    """Return the folder with `dagster.yaml`: the working directory, or the checkout that this package is in."""
    for folder in (Path.cwd(), Path(musicfp.__file__).parents[1]):
        if (folder / "dagster.yaml").is_file():
            return folder
    raise SettingsError(
        f"Looked for dagster.yaml in {Path.cwd()} and in {Path(musicfp.__file__).parents[1]} and found none. Run "
        "musicfp in the project's root directory."
    )


def _storage_record(settings: Settings) -> Path:
    return dagster_home(settings) / "storage" / "version"


def _storage_version(settings: Settings) -> str:
    url = settings.dagster_database_url or "sqlite"
    return f"dagster {version('dagster')} {hashlib.sha256(url.encode()).hexdigest()[:16]}\n"
