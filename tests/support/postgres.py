"""A real PostgreSQL server for the tests: a new cluster in a directory of its own, on a free loopback port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_START_WITHIN_S = 60
_OPTIONS = "-c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server with data of its own; yield the URL prefix to which a database name is added."""
    binaries = _binaries()
    # Not in pytest's directory: pytest closes that to other users, and the server does not run as root.
    with tempfile.TemporaryDirectory(prefix="musicfp-postgres-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        data, port = directory / "data", free_port()
        user = _server_user(directory)
        _run([str(binaries / "initdb"), "-D", str(data), "-U", "musicfp", "-A", "trust", "-E", "UTF8"], user)
        argv = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", name, *_OPTIONS.split()]
        with (directory / "postgres.log").open("wb") as log:
            server = subprocess.Popen(argv, user=user, stdout=subprocess.DEVNULL, stderr=log)
        try:
            _wait_until_it_answers(port, directory)
            yield f"postgresql+psycopg://musicfp@127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(timeout=30)


@contextmanager
def fresh_database(url_prefix: str, name: str) -> Iterator[str]:
    """Create an empty database and drop it afterwards; yield its URL."""
    administration = url_prefix.replace("+psycopg", "") + "postgres"
    with psycopg.connect(administration, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield url_prefix + name
    finally:
        with psycopg.connect(administration, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    on_path = shutil.which("postgres")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise RuntimeError("The tests need a PostgreSQL server: run `make test`, which installs it.")
    return found[-1]


def _server_user(directory: Path) -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    if os.geteuid() != 0:
        return None
    postgres = pwd.getpwnam("postgres")
    os.chown(directory, postgres.pw_uid, postgres.pw_gid)
    return "postgres"


def _run(argv: list[str], user: str | None) -> None:
    subprocess.run(argv, user=user, check=True, capture_output=True)


def _wait_until_it_answers(port: int, directory: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while True:
        try:
            psycopg.connect(f"postgresql://musicfp@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(directory / 'postgres.log').read_text()}") from None
        else:
            return
