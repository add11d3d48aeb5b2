"""Which TCP ports are free, and who has the others.

Ports are checked before anything starts: the embedded store does not fail on a busy port, it silently moves to another.
"""

import errno
import socket
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from musicfp.errors import StackFailed

LOOPBACK = "127.0.0.1"
GRPC_OFFSET = 10_000  # where the store's components and their clients expect the gRPC twin of a port
# Both a port from here and its gRPC twin lie below 32768, where Linux starts taking ports for outgoing connections.
_INTERNAL_PORTS = range(12_000, 22_000)
_LISTEN = "0A"


@dataclass(frozen=True)
class PortUse:
    """A port that a part needs; `variable` is the setting that moves it."""

    port: int
    part: str
    variable: str


def require_free(uses: Sequence[PortUse]) -> None:
    """Raise StackFailed naming every busy port, its owner if readable, and the variable to change."""
    numbers = [use.port for use in uses]
    clashes = [use for use in uses if numbers.count(use.port) > 1]
    if clashes:
        names = " and ".join(use.variable for use in clashes)
        raise StackFailed(f"{names} are both {clashes[0].port}. Give each part a port of its own.")
    problems = [problem for use in uses if (problem := _problem_with(use)) is not None]
    if problems:
        raise StackFailed("\n".join(problems))


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    return _bind_error(port) is None


def owner_of(port: int) -> str | None:
    """Return "process PID (command line)" of whoever listens on `port`, None when that cannot be read."""
    sockets = _listening_sockets(port)
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        if process_sockets(process) & sockets:
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            return f"process {process.name} ({' '.join(words).strip()[:80]})"
    return None


def process_sockets(process: Path) -> set[str]:
    """Return the socket names ("socket:[inode]") that `/proc/PID` has open; empty when it may not be read."""
    names = set()
    try:
        for descriptor in (process / "fd").iterdir():
            names.add(str(descriptor.readlink()))
    except OSError:  # it ended, or belongs to somebody else
        return names
    return names


def pick_pairs(count: int, *, seed: str, avoid: frozenset[int] = frozenset()) -> tuple[int, ...]:
    """Return `count` free ports whose gRPC twins are free too.

    The search starts at a place made of `seed`, so that a home gets the same ports every time and different homes
    hardly meet.
    """
    start = zlib.crc32(seed.encode()) % len(_INTERNAL_PORTS)
    picked: list[int] = []
    for step in range(len(_INTERNAL_PORTS)):
        port = _INTERNAL_PORTS[(start + step) % len(_INTERNAL_PORTS)]
        twin = port + GRPC_OFFSET
        if {port, twin}.isdisjoint(avoid) and is_free(port) and is_free(twin):
            picked.append(port)
        if len(picked) == count:
            return tuple(picked)
    raise StackFailed(f"Looked for {count} free ports from {_INTERNAL_PORTS.start} on and found {len(picked)}.")


def _problem_with(use: PortUse) -> str | None:
    error = _bind_error(use.port)
    if error is None:
        return None
    if error == errno.EACCES:
        return f"Port {use.port} ({use.part}) may not be used by this user. Set {use.variable} to a port above 1023."
    owner = owner_of(use.port) or "another process"
    return f"Port {use.port} ({use.part}) is in use by {owner}. Stop it, or set {use.variable} to a free port."


def _bind_error(port: int) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not count
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRINUSE
    return None


def _listening_sockets(port: int) -> set[str]:
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
