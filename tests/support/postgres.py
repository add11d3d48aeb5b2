"""A real PostgreSQL server for the tests: a new cluster in a directory of its own, on a free loopback port."""

import os
import pwd
import shutil
import signal
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


class PostgresServer:
    """A server with data of its own, which can be stopped and started again at the same address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data, self._port = directory / "data", free_port()
        self._user = _server_user(directory)
        self._server: subprocess.Popen[bytes] | None = None
        self._binaries = _binaries()
        initdb = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "musicfp", "-A", "trust", "-E", "UTF8"]
        _run(initdb, self._user)

    @property
    def url_prefix(self) -> str:
        """The URL to which a database name is added."""
        return f"postgresql+psycopg://musicfp@127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = [
            *(str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)),
            *("-k", str(self._directory), *_OPTIONS.split()),
        ]
        with (self._directory / "postgres.log").open("ab") as log:
            self._server = subprocess.Popen(argv, user=self._user, stdout=subprocess.DEVNULL, stderr=log)
        _wait_until_it_answers(self._port, self._directory)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it: SIGTERM waits for its clients, SIGINT cuts them off, SIGQUIT is a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(timeout=30)
            self._server = None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server and stop it at the end."""
    # Not in pytest's directory: pytest closes that to other users, and the server does not run as root.
    with tempfile.TemporaryDirectory(prefix="musicfp-postgres-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGINT)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server with data of its own; yield the URL prefix to which a database name is added."""
    with postgres_server() as server:
        yield server.url_prefix


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
