"""Order, readiness, restarts and the end of a group of children."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from musicfp.errors import StackFailed
from musicfp.supervisor import processes
from musicfp.supervisor.child import ChildSpec
from musicfp.supervisor.group import Group, RestartPolicy

SERVE = (
    "import sys, time, pathlib; pathlib.Path(sys.argv[1]).write_text('up'); "
    "print('serving', flush=True); time.sleep(300)"
)
FAIL = "import sys; print('no licence for this', flush=True); sys.exit(3)"
IMPATIENT = RestartPolicy(max_crashes=2, window_s=60, first_pause_s=0.01, max_pause_s=0.02)


class Harness:
    """A group with its messages and started processes recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(8)
        self.said: list[str] = []
        self.started: list[int] = []
        self.group = Group(
            token=self.token,
            logs_path=folder / "logs",
            say=self.said.append,
            on_start=self.started.append,
            policy=IMPATIENT,
        )

    def spec(self, name: str, code: str = SERVE, *, ready_within_s: float = 20.0) -> ChildSpec:
        """Describe a child that runs `code` and is ready when it has made its flag."""
        flag = self.folder / f"{name}.flag"

        async def is_ready(_started_at: float) -> bool:
            return flag.exists()

        return ChildSpec(
            name=name,
            argv=(sys.executable, "-c", code, str(flag)),
            environment=dict(os.environ),
            is_ready=is_ready,
            ready_within_s=ready_within_s,
            stop_within_s=5.0,
            stale_files=(flag,),
        )

    def left(self) -> list[int]:
        """Return the living processes of the group."""
        return processes.marked(self.token)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def run(harness: Harness, story: Callable[[], Awaitable[None]]) -> None:
    async def with_end() -> None:
        try:
            await asyncio.wait_for(story(), 60)
        finally:
            await harness.group.stop()

    asyncio.run(with_end())
    assert harness.left() == []


def test_start_returns_when_all_are_ready(harness: Harness) -> None:
    async def story() -> None:
        await harness.group.start([harness.spec("a"), harness.spec("b")])
        assert (harness.folder / "a.flag").exists()
        assert (harness.folder / "b.flag").exists()
        assert len(harness.started) == 2

    run(harness, story)


def test_a_killed_child_is_started_again_and_is_ready_again(harness: Harness) -> None:
    async def story() -> None:
        await harness.group.start([harness.spec("a")])
        os.kill(harness.started[0], signal.SIGKILL)
        while not any("ready again" in line for line in harness.said):
            await asyncio.wait_for(asyncio.sleep(0.02), 1)
        assert harness.started[0] != harness.started[1]
        assert any("was ended by signal 9; starting it again" in line for line in harness.said)

    run(harness, story)


def test_a_child_that_fails_at_first_start_fails_the_group_with_its_last_words(harness: Harness) -> None:
    async def story() -> None:
        with pytest.raises(StackFailed, match=r"(?s)b did not start: it ended with exit status 3.*no licence for this"):
            await harness.group.start([harness.spec("a"), harness.spec("b", FAIL)])

    run(harness, story)


def test_a_child_that_never_becomes_ready_fails_the_group(harness: Harness) -> None:
    async def story() -> None:
        spec = harness.spec("a", "import time; time.sleep(300)", ready_within_s=0.3)
        with pytest.raises(StackFailed, match="a did not start: it was not ready within"):
            await harness.group.start([spec])

    run(harness, story)


def test_a_child_that_keeps_crashing_is_given_up(harness: Harness) -> None:
    """After the allowed number of crashes within the window, watching raises instead of restarting for ever."""

    async def story() -> None:
        await harness.group.start([harness.spec("a", SERVE.replace("time.sleep(300)", "time.sleep(.3); sys.exit(7)"))])
        with pytest.raises(StackFailed, match=r"(?s)exit status 7, for the 3th time within 60 s; giving up.*serving"):
            await harness.group.watch()
        assert len(harness.started) == 3

    run(harness, story)


def test_children_stop_in_reverse_order_of_their_stages(harness: Harness, tmp_path: Path) -> None:
    """The store, started first, must outlive what uses it."""
    code = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        f"    open({str(tmp_path / 'order')!r}, 'a').write(pathlib.Path(sys.argv[1]).stem + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[1]).write_text('up')\n"
        "time.sleep(300)\n"
    )

    async def story() -> None:
        for name in ("first", "second", "third"):
            await harness.group.start([harness.spec(name, code)])

    run(harness, story)
    assert (tmp_path / "order").read_text().split() == ["third", "second", "first"]


def test_what_a_crashed_child_left_behind_is_ended_before_its_restart(harness: Harness) -> None:
    """A run worker of a dead code server must not work on beside the new one's."""
    code = SERVE.replace(
        "print(", "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True); print("
    )

    async def story() -> None:
        await harness.group.start([harness.spec("a", code)])
        orphans = set(harness.left()) - set(harness.started)
        os.kill(harness.started[0], signal.SIGKILL)
        while not any("ready again" in line for line in harness.said):
            await asyncio.wait_for(asyncio.sleep(0.02), 1)
        assert orphans.isdisjoint(harness.left())

    run(harness, story)
