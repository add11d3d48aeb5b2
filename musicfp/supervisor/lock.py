"""One `musicfp up` per MUSICFP_HOME, also while the processes of a killed one are still ending.

The lock is the kernel's (flock), so it never goes stale. It is inherited by the processes that hold the home's data
open; it is free only when all of them are gone.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from musicfp.errors import StackFailed

_PREDECESSOR_ENDS_WITHIN_S = 20.0
_POLL_S = 0.1


@contextmanager
def home_lock(home: Path, *, patience_s: float = _PREDECESSOR_ENDS_WITHIN_S) -> Iterator[int]:
    """Hold the lock of `home`; yields its file descriptor, for children to inherit.

    Raises StackFailed when another `musicfp up` holds it. When that one is dead and only its children still hold the
    lock, they are about to end: wait for them up to `patience_s`.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, home, patience_s=patience_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder_of(home: Path) -> int | None:
    """Return the process id of the `musicfp up` that serves `home`, None when there is none."""
    try:
        descriptor = os.open(home / "up.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _recorded_process(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, home: Path, *, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _recorded_process(descriptor)
            if (pid is not None and _is_alive(pid)) or time.monotonic() > deadline:
                raise StackFailed(_refusal(home, pid)) from None
            time.sleep(_POLL_S)
        else:
            return


def _refusal(home: Path, pid: int | None) -> str:
    owner = f"process {pid}" if pid is not None else "another process"
    stop = f"`kill {pid}`" if pid is not None else "stop it"
    return (
        f"musicfp is already running from {home}: {owner} holds its lock. Use that one, stop it (Ctrl-C there, or "
        f"{stop}), or set MUSICFP_HOME to another directory and the MUSICFP_*_PORT variables to other ports."
    )


def _recorded_process(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
