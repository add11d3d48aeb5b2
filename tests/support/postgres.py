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
_POLL_S = 0.2
_OPTIONS = "-c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"


class PostgresServer:
    """A server with a cluster in a directory of its own, which it keeps when it is killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._binaries = _binaries()
        self._data, self._port = directory / "data", free_port()
        self._user = _server_user(directory)
        self._process: subprocess.Popen[bytes] | None = None
        options = ["-D", str(self._data), "-U", "musicfp", "-A", "trust", "-E", "UTF8"]
        _run([str(self._binaries / "initdb"), *options], self._user)

    @property
    def url_prefix(self) -> str:
        """The URL to which a database name is added."""
        return f"postgresql+psycopg://musicfp@127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int:
        """The process id of the server, whose children are its connections and helpers."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it, also over what a killed one left, and return when it answers."""
        argv = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        argv += ["-k", str(self._directory), *_OPTIONS.split()]
        deadline = time.monotonic() + _START_WITHIN_S
        while not self._is_up():
            if self._process is None or self._process.poll() is not None:  # the killed one's children are ending yet
                with (self._directory / "postgres.log").open("ab") as log:
                    self._process = subprocess.Popen(argv, user=self._user, stdout=subprocess.DEVNULL, stderr=log)
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._directory / 'postgres.log').read_text()}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts its clients off, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            psycopg.connect(f"postgresql://musicfp@127.0.0.1:{self._port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server with data of its own."""
    # Not in pytest's directory: pytest closes that to other users, and the server does not run as root.
    with tempfile.TemporaryDirectory(prefix="musicfp-postgres-", ignore_cleanup_errors=True) as name:
        server = PostgresServer(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop()


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
