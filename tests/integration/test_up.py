"""The real `musicfp up`: the embedded store alone (quick), and the whole product (slow)."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from musicfp.identity import PROBE_KEY
from musicfp.supervisor.ports import process_sockets
from tests.support.stack import Stack, free_ports, running_stack
from tests.support.waiting import eventually

STORE_ONLY = ("--without", "dagster", "--without", "api")
LOOPBACK_LITTLE_ENDIAN = "0100007F"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests that leave it running."""
    with running_stack(tmp_path_factory.mktemp("up") / "home", options=STORE_ONLY) as stack:
        yield stack


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[Stack]:
    """Start a stack for a test that ends it."""
    with running_stack(tmp_path / "home", options=STORE_ONLY) as stack:
        yield stack


def test_ready_means_the_store_serves_us_and_nobody_else(store: Stack) -> None:
    """Buckets exist and keep objects for the holder of the generated keys; an unsigned request is refused."""
    assert store.s3_url is not None
    assert httpx.get(store.s3_url).status_code == 403
    buckets = {bucket["Name"] for bucket in s3_client(store).list_buckets()["Buckets"]}
    assert {"musicfp-submissions", "musicfp-sources", "musicfp-transcodes"} <= buckets
    for bucket in ("musicfp-sources", "musicfp-transcodes"):
        assert s3_client(store).get_object(Bucket=bucket, Key=PROBE_KEY)["Body"].read() == PROBE_KEY.encode()
    assert stat.S_IMODE(store.settings.store_credentials_path.stat().st_mode) == 0o600


def test_the_stores_internal_ports_give_nothing_away(store: Stack) -> None:
    """The filer beside the S3 port demands a signature too, for reading and for writing."""
    filer = json.loads((store.settings.home / "store" / "ports.json").read_text())["filer"]
    s3_client(store).put_object(Bucket="musicfp-submissions", Key="secret", Body=b"x")
    address = f"http://127.0.0.1:{filer}/buckets/musicfp-submissions/secret"
    assert httpx.get(address).status_code == 401
    assert httpx.put(address, content=b"y").status_code == 401


def test_listens_on_loopback_only(store: Stack) -> None:
    assert_loopback_only(store)


def test_a_killed_store_comes_back_with_its_objects(store: Stack) -> None:
    s3_client(store).put_object(Bucket="musicfp-sources", Key="kept", Body=b"music")
    before = store.pid_of("store")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: "store is ready again" in store.messages)
    assert store.pid_of("store") != before
    assert s3_client(store).get_object(Bucket="musicfp-sources", Key="kept")["Body"].read() == b"music"


def test_data_survives_a_restart_on_other_ports(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_stack(home, options=STORE_ONLY) as first:
        s3_client(first).put_object(Bucket="musicfp-sources", Key="kept", Body=b"music")
        assert first.stop() == 0
    (home / "store" / "ports.json").unlink()
    with running_stack(home, options=STORE_ONLY) as second:
        assert s3_client(second).get_object(Bucket="musicfp-sources", Key="kept")["Body"].read() == b"music"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything(own_store: Stack, number: signal.Signals) -> None:
    assert own_store.stop(number) == 0
    assert own_store.pids() == {}


def test_nothing_is_left_when_the_supervisor_itself_is_killed(own_store: Stack) -> None:
    """The guard ends the group, and the lock is free again for the next start."""
    own_store.process.kill()
    eventually(lambda: not own_store.pids())
    with running_stack(own_store.settings.home, options=STORE_ONLY) as again:
        assert "store" in again.pids().values()


def test_a_second_start_from_the_same_home_is_refused(store: Stack) -> None:
    refused = start_and_fail(store.settings.home, free_ports())
    assert f"process {store.process.pid} holds its lock" in refused
    assert "MUSICFP_HOME" in refused


def test_a_busy_port_is_named_with_its_owner_and_variable(store: Stack, tmp_path: Path) -> None:
    port = str(store.settings.s3_port)
    refused = start_and_fail(tmp_path / "other", {**free_ports(), "MUSICFP_S3_PORT": port})
    assert f"Port {port} (object store) is in use by process {store.pid_of('store')}" in refused
    assert "set MUSICFP_S3_PORT to a free port" in refused


def test_two_homes_run_side_by_side(store: Stack, tmp_path: Path) -> None:
    """Changing only the MUSICFP_*_PORT variables is enough: internal ports never meet."""
    with running_stack(tmp_path / "other", options=STORE_ONLY) as other:
        assert set(listening_ports(store)).isdisjoint(listening_ports(other))


def test_a_store_that_never_stays_up_stops_the_group_with_its_last_words(own_store: Stack) -> None:
    """Killed again and again, the store is given up, and the message shows the end of its log."""
    killed: set[int] = set()

    def kill_store_until_the_group_ends() -> bool:
        for pid, name in own_store.pids().items():
            if name == "store" and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return own_store.process.poll() is not None

    eventually(kill_store_until_the_group_ends, within_s=40)
    assert own_store.process.returncode == 1
    assert "giving up" in own_store.messages
    assert "store.log" in own_store.messages
    assert own_store.pids() == {}


@pytest.mark.slow
def test_the_whole_product(tmp_path: Path) -> None:
    """Ready means ready, loopback only, a killed part comes back, Ctrl-C leaves nothing behind."""
    left_by_a_killed_run = tmp_path / "home" / "scratch" / "ingest-x" / "song"
    left_by_a_killed_run.parent.mkdir(parents=True)
    left_by_a_killed_run.touch()
    with running_stack(tmp_path / "home") as stack:
        assert httpx.get(f"{stack.api_url}/readyz").status_code == 200
        assert httpx.get(f"{stack.dagster_url}/server_info").status_code == 200
        assert_loopback_only(stack)
        assert not left_by_a_killed_run.exists()
        for part in ("api", "code-server"):
            os.kill(stack.pid_of(part), signal.SIGKILL)
            eventually(lambda part=part: f"{part} is ready again" in stack.messages, within_s=60)  # type: ignore[misc]
        eventually(lambda: httpx.get(f"{stack.api_url}/readyz").status_code == 200, within_s=60)
        doctor = run_cli(stack, "doctor", "--json")
        assert {check["state"] for check in json.loads(doctor.stdout)} == {"ok"}, doctor.stdout
        assert stack.stop() == 0
        assert stack.pids() == {}


def s3_client(stack: Stack):  # type: ignore[no-untyped-def]
    keys = json.loads(stack.settings.store_credentials_path.read_text())
    return boto3.client(
        "s3",
        endpoint_url=stack.s3_url,
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
        region_name="us-east-1",
    )


def start_and_fail(home: Path, settings: dict[str, str]) -> str:
    """Start `musicfp up`, expect exit status 1, and return what it said."""
    environment = {**os.environ, "MUSICFP_HOME": str(home), **settings}
    done = subprocess.run(
        [sys.executable, "-m", "musicfp.cli.main", "up", *STORE_ONLY],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def run_cli(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "musicfp.cli.main", *arguments]
    return subprocess.run(argv, env=stack.env, capture_output=True, text=True, timeout=120, check=False)


def assert_loopback_only(stack: Stack) -> None:
    """Fail when any process of the stack listens on an address other than 127.0.0.1."""
    addresses = {address for address, _ in listeners(stack)}
    assert addresses == {LOOPBACK_LITTLE_ENDIAN}


def listening_ports(stack: Stack) -> list[int]:
    return [port for _, port in listeners(stack)]


def listeners(stack: Stack) -> list[tuple[str, int]]:
    """Return address (as the kernel writes it) and port of each listening TCP socket of the stack."""
    ours = {name for pid in stack.pids() for name in process_sockets(Path(f"/proc/{pid}"))}
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in ours:
                address, _, port = fields[1].partition(":")
                found.append((address, int(port, 16)))
    return found
