"""The API as a process of its own: started both ways, refusing strangers, stopping cleanly on a signal."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database

ROOT = Path(__file__).parents[2]


@contextmanager
def running(argv: list[str], home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the API until the block ends."""
    environment = os.environ | {"MUSICFP_HOME": str(home), "MUSICFP_API_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", *argv], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, "the API ended instead of starting"
            assert time.monotonic() < deadline, "the API did not start"
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    migrate.upgrade(database)
    database.close()
    return tmp_path


def test_it_serves_loopback_only_and_ends_cleanly_on_sigterm(home: Path, port: int) -> None:
    with running(["graphql_api"], home, port) as process:
        answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": "{ tracks { totalCount } }"})
        assert answer.json() == {"data": {"tracks": {"totalCount": 0}}}
        # 127.0.0.2 is this machine too, but nothing listens there: the server is bound to one address.
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.2:{port}/healthz")
        readiness = httpx.get(f"http://127.0.0.1:{port}/readyz").json()
        assert readiness["parts"]["database"] == "ready"
        assert "objectStore" in readiness["failing"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in {0, -signal.SIGTERM}


def test_started_by_uvicorn_on_all_addresses_it_still_serves_this_machine_only(home: Path, port: int) -> None:
    argv = ["uvicorn", "graphql_api.app:create_app", "--factory", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    with running(argv, home, port):
        foreign = httpx.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "10.1.2.3"})
        assert foreign.json()["code"] == "LOOPBACK_ONLY"
        own_address = _address_of_this_machine()
        if own_address is not None:  # a machine without a network has no other address to ask at
            assert httpx.get(f"http://{own_address}:{port}/healthz").status_code == 403


def _address_of_this_machine() -> str | None:
    """Return the address by which this machine reaches others; a datagram socket sends nothing to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])
