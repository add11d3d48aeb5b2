"""Cleaning up after a killed supervisor."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from musicfp.supervisor import processes
from musicfp.supervisor.guard import Guard
from tests.support.waiting import eventually

SUPERVISOR = """
import os, subprocess, sys
from musicfp.supervisor import processes
from musicfp.supervisor.guard import Guard
token = sys.argv[1]
with Guard(token, lock_descriptor=2) as guard:
    child = subprocess.Popen(
        ["sleep", "300"], env={**os.environ, **processes.mark(token, "part")}, start_new_session=True
    )
    guard.watch(child.pid)
    print(guard.pid, flush=True)
    sys.stdin.readline()
"""


def test_children_end_when_the_supervisor_is_killed() -> None:
    token = secrets.token_hex(8)
    argv = [sys.executable, "-c", SUPERVISOR, token]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        guard_pid = int(supervisor.stdout.readline())
        assert processes.marked(token, "part")
        supervisor.kill()
    eventually(lambda: not processes.marked(token))
    eventually(lambda: not is_running(guard_pid))


def test_the_guard_ends_with_a_farewell_and_touches_nothing() -> None:
    token = secrets.token_hex(8)
    with subprocess.Popen(["sleep", "300"], env={**os.environ, **processes.mark(token, "part")}) as part:
        with Guard(token, lock_descriptor=2) as guard:
            assert is_running(guard.pid)
        assert part.poll() is None
        part.kill()


def test_a_killed_guard_does_not_disturb_the_supervisor() -> None:
    with Guard(secrets.token_hex(8), lock_descriptor=2) as guard:
        os.kill(guard.pid, signal.SIGKILL)
        eventually(lambda: not is_running(guard.pid))
        guard.watch(1)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
