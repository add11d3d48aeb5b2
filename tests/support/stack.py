"""Starting the real `musicfp up` for tests, on free ports and in a home of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from musicfp.settings import Settings
from musicfp.supervisor import ports, processes

PROJECT = Path(__file__).parents[2]
STOPS_WITHIN_S = 60.0


@dataclass
class Stack:
    """A running `musicfp up`. `env` is the environment with which a client reaches it."""

    process: subprocess.Popen[str]
    settings: Settings
    env: dict[str, str]
    output: list[str] = field(default_factory=list)

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.settings.api_port}"

    @property
    def dagster_url(self) -> str:
        """Where the Dagster UI is."""
        return f"http://127.0.0.1:{self.settings.dagster_port}"

    @property
    def s3_url(self) -> str | None:
        """Where the object store is."""
        return self.settings.s3_endpoint_url

    @property
    def messages(self) -> str:
        """What it has said on standard error so far."""
        return (self.settings.home / "up.err").read_text()

    def pids(self) -> dict[int, str]:
        """Return id and name of every process that belongs to it, however deep; the supervisor itself not."""
        return pids_of_home(self.settings.home)

    def pid_of(self, part: str) -> int:
        """Return the process id of a part: "store", "code-server", "webserver", "daemon" or "api"."""
        (pid,) = (pid for pid, name in self.pids().items() if name == part and _parent(pid) == self.process.pid)
        return pid

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does and return its exit status. Does nothing when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN_S)


@contextmanager
def running_stack(
    home: Path, *, options: Sequence[str] = (), ready_within_s: float = 180.0, **env: str
) -> Iterator[Stack]:
    """Start `musicfp up` in `home`; yield when it is ready, stop it at the end.

    Ports are free ones unless `env` names them; pass those of an earlier stack to restart it as it was.
    """
    home.mkdir(parents=True, exist_ok=True)
    stack = _start(home, options, {**free_ports(), **env})
    watchdog = threading.Timer(ready_within_s, stack.process.kill)
    watchdog.start()
    drain = threading.Thread(target=lambda: stack.output.extend(stack.process.stdout or ()))
    try:
        for line in stack.process.stdout or ():
            stack.output.append(line)
            if line.startswith("musicfp is ready"):
                break
        else:
            raise AssertionError(f"musicfp up did not become ready; it said:\n{stack.messages}")
        watchdog.cancel()
        drain.start()
        yield stack
    finally:
        watchdog.cancel()
        stack.stop()
        if drain.ident is not None:
            drain.join()
        if stack.process.stdout is not None:
            stack.process.stdout.close()


def free_ports() -> dict[str, str]:
    """Return settings that name three free ports."""
    numbers = ports.pick_pairs(3, seed=f"test {os.getpid()} {os.urandom(4).hex()}")
    return dict(zip(("MUSICFP_API_PORT", "MUSICFP_DAGSTER_PORT", "MUSICFP_S3_PORT"), map(str, numbers), strict=True))


def pids_of_home(home: Path) -> dict[int, str]:
    """Return id and part name of every living process of the stack in `home`, also of one whose supervisor is gone."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        marks = [value for value in variables if value.startswith(f"{processes.MARK_VARIABLE}=")]
        is_here = f"MUSICFP_HOME={home}" in variables or any(str(home) in word for word in _words(entry))
        if marks and is_here:
            found[int(entry.name)] = marks[0].rpartition("/")[2]
    return found


def _start(home: Path, options: Sequence[str], settings: dict[str, str]) -> Stack:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MUSICFP_", "DAGSTER_"))}
    environment = {**inherited, "MUSICFP_HOME": str(home), **settings}
    with (home / "up.err").open("w") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", "musicfp.cli.main", "up", *options],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        )
    return Stack(process=process, settings=Settings.from_env(environment), env=environment)


def _words(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[1])
