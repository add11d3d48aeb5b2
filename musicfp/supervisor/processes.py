"""Finding and ending every process of a group, however deep in the tree and whatever session it moved to.

Each child is started with a mark in its environment, which all its descendants inherit; on Linux `/proc` shows it.
That finds Dagster's run workers (grandchildren of ours) and their ffmpeg and analysis processes also when the process
between has died. Where there is no `/proc`, process groups stand in.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

MARK_VARIABLE = "MUSICFP_SUPERVISED"
_PROC = Path("/proc")
_POLL_S = 0.05


def mark(token: str, name: str) -> dict[str, str]:
    """Return the environment entry that marks the part `name` of the group `token`, and all its descendants."""
    return {MARK_VARIABLE: f"{token}/{name}"}


def marked(token: str, name: str | None = None) -> list[int]:
    """Return the ids of the living processes of a group, or of one part of it."""
    wanted = f"{MARK_VARIABLE}={token}/{name if name is not None else ''}".encode()
    return [int(entry.name) for entry in _PROC.glob("[0-9]*") if _has_mark(entry, wanted, whole=name is not None)]


def children_of(pid: int) -> list[int]:
    """Return the ids of the direct children of `pid`; none where there is no `/proc`."""
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            found += (int(child) for child in task.read_text().split())
        except OSError:  # the thread ended
            continue
    return found


def end(find: Callable[[], Iterable[int]], *, grace_s: float) -> None:
    """Ask all that `find` returns to end (SIGTERM), then end them (SIGKILL) after `grace_s`. Returns when none is left.

    `find` is called again and again, because processes may start others while they are being ended.
    """
    deadline = time.monotonic() + grace_s
    asked: set[int] = set()
    while pids := list(find()):
        is_late = time.monotonic() >= deadline
        for pid in pids:
            if is_late:
                send(pid, signal.SIGKILL)
            elif pid not in asked:
                send(pid, signal.SIGTERM)
                asked.add(pid)
        time.sleep(_POLL_S)


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def send_group(group: int, number: signal.Signals) -> None:
    """Signal a process group that may have ended already."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says PermissionError for a group of zombies
        return


def _has_mark(entry: Path, wanted: bytes, *, whole: bool) -> bool:
    try:
        variables = (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or belongs to somebody else
        return False
    return any(variable == wanted if whole else variable.startswith(wanted) for variable in variables)
