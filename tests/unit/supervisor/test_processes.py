"""Finding and ending the descendants of a part."""

import os
import secrets
import signal
import subprocess
import sys

from musicfp.supervisor import processes
from tests.support.waiting import eventually

GRANDPARENT = """
import subprocess
subprocess.Popen(["sleep", "300"], start_new_session=True)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(300)
"""


def environment(token: str, name: str = "part") -> dict[str, str]:
    return {**os.environ, **processes.mark(token, name)}


def test_a_grandchild_in_its_own_session_is_found_after_its_parent_has_ended() -> None:
    token = secrets.token_hex(8)
    subprocess.run([sys.executable, "-c", GRANDPARENT], env=environment(token), check=True)
    (pid,) = eventually(lambda: processes.marked(token, "part"))
    assert pid not in processes.marked(token, "par")
    assert processes.marked(token, "other") == []
    processes.end(lambda: processes.marked(token), grace_s=5)
    assert processes.marked(token) == []


def test_a_process_that_ignores_the_request_is_killed() -> None:
    token = secrets.token_hex(8)
    argv = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(argv, env=environment(token), stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        processes.end(lambda: processes.marked(token), grace_s=0.2)
        assert stubborn.wait() == -9


def test_other_groups_are_left_alone() -> None:
    ours, theirs = secrets.token_hex(8), secrets.token_hex(8)
    with subprocess.Popen(["sleep", "300"], env=environment(theirs)) as bystander:
        processes.end(lambda: processes.marked(ours), grace_s=0)
        assert bystander.poll() is None
        bystander.kill()


def test_direct_children_are_listed() -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        assert child.pid in processes.children_of(os.getpid())
        child.kill()


def test_signalling_a_process_that_has_ended_is_harmless() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    processes.send(child.pid, signal.SIGTERM)
    processes.send_group(child.pid, signal.SIGTERM)
