"""The product that is being broken: a real `musicfp up`, a real database, and what of it can be killed.

What belongs here: starting, killing and starting again. What does not: what it is given to do (`workload`) and whether
it did it (`invariants`).
"""

import contextlib
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from musicfp.settings import Settings
from tests.chaos.failpoints import Arsenal
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.stack import Stack, free_ports, running_stack

PARTS = ("store", "code-server", "webserver", "daemon", "api")
POWER = "power"
# `musicfp up` gives a part up that crashes more than four times in a minute; that is tested elsewhere.
_MAX_CRASHES_PER_MINUTE = 3
# Starting all anew takes long; a database takes every part with it.
_COSTLY = ("supervisor", POWER, "database", "database connection")
_READY_WITHIN_S = 300.0


@dataclass
class Product:
    """A running product and its history."""

    home: Path
    arsenal: Arsenal
    postgres: PostgresServer | None
    environment: dict[str, str]
    kills: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    _stack: Stack | None = None
    _running: ExitStack = field(default_factory=ExitStack)
    _crashes: dict[str, deque[float]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """With which settings it runs."""
        return self.stack.settings

    @property
    def stack(self) -> Stack:
        """The `musicfp up` that runs now."""
        if self._stack is None:
            raise RuntimeError("The product was not started.")
        return self._stack

    def start(self) -> None:
        """Start `musicfp up` and wait until it is ready."""
        opened = running_stack(self.home, ready_within_s=_READY_WITHIN_S, **self.environment)
        self._stack = self._running.enter_context(opened)

    def stop(self) -> None:
        """Stop it in order, as Ctrl-C does."""
        self._running.close()

    def mend(self, reason: str = "gave up") -> None:
        """Start what does not run any more and has nobody else who would: the database and `musicfp up` itself."""
        if self.postgres is not None:
            self.postgres.start()
        while self.stack.process.poll() is not None:
            self.restarts[reason] += 1
            self._running.close()
            with contextlib.suppress(AssertionError):  # it did not become ready: once more
                self.start()

    def victims(self) -> dict[str, list[int]]:
        """Return the processes that may be killed now, by kind."""
        found: dict[str, list[int]] = {}
        for pid in self.stack.pids():
            kind = _kind(pid, self.stack.process.pid)
            if kind is not None and self._may_crash(kind):
                found.setdefault(kind, []).append(pid)
        if self._may_crash("supervisor"):
            found["supervisor"] = [self.stack.process.pid]
        if self._may_crash(POWER):
            found[POWER] = [0]  # no one process
        if self.postgres is not None and self._may_crash("database"):
            found["database"] = [self.postgres.pid]
            found["database connection"] = _connections(self.postgres)
        return {kind: pids for kind, pids in found.items() if pids}

    def strangers(self) -> list[int]:
        """Return processes that should have ended with those that started them."""
        kinds = {pid: _kind(pid, self.stack.process.pid) for pid in self.stack.pids()}
        return [pid for pid, kind in kinds.items() if kind is not None and kind not in PARTS]

    def kill(self, kind: str, pid: int) -> None:
        """End a process as kill -9 does, and start what nobody else would."""
        self.kills[kind] += 1
        self._crashes.setdefault(kind, deque()).append(time.monotonic())
        if kind == POWER:
            self._pull_the_plug()
        elif kind == "database" and self.postgres is not None:
            self.postgres.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind in {"supervisor", POWER}:
            self.stack.process.wait()
        self.mend("was killed" if kind in {"supervisor", POWER} else "gave up")

    def _pull_the_plug(self) -> None:
        """End every process, the database's too. Stopped first, none of them sees another one die."""
        pids = [self.stack.process.pid, *self.stack.pids()]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        if self.postgres is not None:
            self.postgres.kill()

    def _may_crash(self, kind: str) -> bool:
        crashes = self._crashes.setdefault(kind, deque())
        while crashes and crashes[0] < time.monotonic() - 60:
            crashes.popleft()
        allowed = dict.fromkeys(_COSTLY, 1).get(kind, _MAX_CRASHES_PER_MINUTE)
        return kind not in {*PARTS, *_COSTLY} or len(crashes) < allowed


@contextmanager
def running_product(home: Path, *, database: str, **settings: str) -> Iterator[Product]:
    """Start a product on SQLite or PostgreSQL (the catalogue and Dagster's storage); stop it at the end."""
    arsenal = Arsenal(home.parent / "arsenal")
    with ExitStack() as servers:
        environment = {**arsenal.environment(), **free_ports(), **settings}
        postgres = None
        if database == "postgres":
            postgres = servers.enter_context(postgres_server())
            environment |= _databases(postgres)
        product = Product(home, arsenal, postgres, environment)
        product.start()
        try:
            yield product
        finally:
            product.stop()


def _databases(postgres: PostgresServer) -> dict[str, str]:
    administration = postgres.url_prefix.replace("+psycopg", "")
    with psycopg.connect(administration + "postgres", autocommit=True) as connection:
        for name in ("musicfp", "dagster"):
            connection.execute(f'CREATE DATABASE "{name}"')
    return {
        "MUSICFP_DATABASE_URL": postgres.url_prefix + "musicfp",
        "MUSICFP_DAGSTER_DATABASE_URL": administration + "dagster",
    }


def _connections(postgres: PostgresServer) -> list[int]:
    """Return the server's processes that serve somebody; killing one makes the server start all anew."""
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children")
    with contextlib.suppress(OSError):
        return [int(pid) for pid in children.read_text().split() if "musicfp" in _words(int(pid))]
    return []


def _kind(pid: int, supervisor: int) -> str | None:
    """Return what a process of the stack is; None for helpers that do nothing, and for those who have just ended."""
    words, parent = _words(pid), _parent(pid)
    program = Path(words.split(" ")[0]).name
    if program in {"ffmpeg", "ffprobe"}:
        return "ffmpeg"
    if parent == supervisor:
        return _part(words)
    if "--multiprocessing-fork" not in words:
        return None
    if "dagster api grpc" in _words(parent):
        return "run worker"
    return "worker of analysis" if "essentia" in _maps(pid) else "worker of inspection"


def _part(words: str) -> str | None:
    marks = {
        "weed": "store",
        "dagster api grpc": "code-server",
        "dagster_webserver": "webserver",
        "dagster._daemon": "daemon",
        "graphql_api": "api",
    }
    return next((part for mark, part in marks.items() if mark in words), None)


def _words(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
    return ""


def _maps(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/maps").read_text()
    return ""


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
