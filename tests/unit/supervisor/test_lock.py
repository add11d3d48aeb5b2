"""One `musicfp up` per home."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicfp.errors import StackFailed
from musicfp.supervisor.lock import holder_of, home_lock

HOLD = """
import subprocess, sys
from pathlib import Path
from musicfp.supervisor.lock import home_lock
with home_lock(Path(sys.argv[1])) as descriptor:
    heir = subprocess.Popen(["cat"], stdin=sys.stdin, stdout=subprocess.DEVNULL, pass_fds=(descriptor,))
    print("held", flush=True)
    heir.wait()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock and has given it to a child, which lives as long as our pipe."""
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_second_holder_is_refused_with_the_first_ones_process_id(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StackFailed, match=f"process {holder.pid} holds its lock"), home_lock(tmp_path):
        pass
    assert holder_of(tmp_path) == holder.pid


def test_waits_for_the_children_of_a_dead_holder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """While a killed supervisor's children still end, the home is not free; afterwards it is."""
    holder.kill()
    holder.wait()
    with pytest.raises(StackFailed), home_lock(tmp_path, patience_s=0.2):
        pass
    assert holder.stdin is not None
    holder.stdin.close()
    with home_lock(tmp_path):
        assert holder_of(tmp_path) == os.getpid()


def test_the_lock_is_free_after_use(tmp_path: Path) -> None:
    with home_lock(tmp_path):
        pass
    assert holder_of(tmp_path) is None


def test_an_unused_home_has_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "absent") is None
