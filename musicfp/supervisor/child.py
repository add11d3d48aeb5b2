"""One supervised process: how to start it, when it is ready, how to end it. What to do when it crashes is `group`'s."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from musicfp.supervisor import logs, processes
from musicfp.supervisor.ports import PortUse, require_free

_POLL_S = 0.1


@dataclass(frozen=True)
class ChildSpec:
    """What a part is.

    `is_ready` gets the Unix time of the start, so that it can tell signs of life from those of an earlier process.
    `stops_its_children`: ask its direct children to end together with it. Dagster's code server waits for its run
    workers, so they must be asked too, or it would stop only when the last run is over.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    is_ready: Callable[[float], Awaitable[bool]]
    ready_within_s: float
    stop_within_s: float
    ports: tuple[PortUse, ...] = ()
    stale_files: tuple[Path, ...] = ()
    inherited_descriptors: tuple[int, ...] = ()
    stops_its_children: bool = False


class Child:
    """A running instance of a ChildSpec. `start`, `wait_ready`, `wait` and `stop` in this order, then again."""

    def __init__(self, spec: ChildSpec, *, token: str, log: Path) -> None:
        self.spec = spec
        self.log = log
        self._token = token
        self._process: asyncio.subprocess.Process | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, None before the first start."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process in a session of its own, output appended to its log. Raises StackFailed on busy ports."""
        require_free(self.spec.ports)
        for path in self.spec.stale_files:
            path.unlink(missing_ok=True)
        self._started_at = time.time()
        descriptor = logs.open_log(self.log)
        try:
            os.write(descriptor, f"--- {time.strftime('%Y-%m-%d %H:%M:%S %z')} starting {self.spec.name}\n".encode())
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env={**self.spec.environment, **processes.mark(self._token, self.spec.name)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                pass_fds=self.spec.inherited_descriptors,
            )
        finally:
            os.close(descriptor)

    async def wait(self) -> int:
        """Wait for the process to end and return its exit status, negative for a signal."""
        return await self._process.wait() if self._process is not None else 0

    async def wait_ready(self) -> bool:
        """Ask until the part is ready; False when it ended or its time is over."""
        deadline = time.monotonic() + self.spec.ready_within_s
        while self.is_running() and time.monotonic() < deadline:
            if await self.spec.is_ready(self._started_at):
                return True
            await asyncio.sleep(_POLL_S)
        return False

    async def stop(self) -> None:
        """Ask the process to end, wait, then end it and everything that it started."""
        if self._process is not None and self.is_running():
            if self.spec.stops_its_children:
                for pid in processes.children_of(self._process.pid):
                    processes.send(pid, signal.SIGTERM)
            processes.send(self._process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), self.spec.stop_within_s)
            except TimeoutError:
                processes.send_group(self._process.pid, signal.SIGKILL)
                await self._process.wait()
        await self.end_leftovers(grace_s=1.0)

    async def kill(self) -> None:
        """End the process and everything that it started at once."""
        if self._process is not None and self.is_running():
            processes.send_group(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await self.end_leftovers(grace_s=0.0)

    async def end_leftovers(self, *, grace_s: float) -> None:
        """End what the process started and left behind when it ended."""
        if self._process is not None:
            await asyncio.to_thread(
                processes.end, lambda: processes.marked(self._token, self.spec.name), grace_s=grace_s
            )
            if sys.platform != "linux":  # no marks there
                processes.send_group(self._process.pid, signal.SIGKILL)

    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.returncode is None
