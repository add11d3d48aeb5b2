"""Children as one group: a crashed one is restarted with growing pauses; when that does not help, all stop.

What belongs here: order, watching, restarting. What does not: what the children are (`stack`) and how one process is
started and ended (`child`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicfp.errors import StackFailed
from musicfp.supervisor import logs
from musicfp.supervisor.child import Child, ChildSpec

_TAIL_LINES = 20
_ROTATE_EVERY_S = 30.0


@dataclass(frozen=True)
class RestartPolicy:
    """A child that crashes more than `max_crashes` times within `window_s` stops the group."""

    max_crashes: int = 4
    window_s: float = 60.0
    first_pause_s: float = 0.5
    max_pause_s: float = 8.0


class Group:
    """Start children stage by stage, `watch` them, and `stop` them in reverse order."""

    def __init__(
        self,
        *,
        token: str,
        logs_path: Path,
        say: Callable[[str], None],
        on_start: Callable[[int], None],
        policy: RestartPolicy | None = None,
    ) -> None:
        self._token = token
        self._logs_path = logs_path
        self._say = say
        self._on_start = on_start
        self._policy = policy or RestartPolicy()
        self._stages: list[list[Child]] = []
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def children(self) -> tuple[Child, ...]:
        """All children, in the order of their start."""
        return tuple(child for stage in self._stages for child in stage)

    async def start(self, specs: Sequence[ChildSpec]) -> None:
        """Start these children together and return when all are ready. Raises StackFailed when one is not."""
        stage = [Child(spec, token=self._token, log=self._logs_path / f"{spec.name}.log") for spec in specs]
        self._stages.append(stage)
        ready = [asyncio.Event() for _ in stage]
        self._keepers += [
            asyncio.create_task(self._keep(child, event)) for child, event in zip(stage, ready, strict=True)
        ]
        all_ready = asyncio.create_task(_all_set(ready))
        await asyncio.wait({all_ready, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
        if not all_ready.done():
            all_ready.cancel()
            self._raise_failure()

    async def watch(self) -> None:
        """Return never; raise StackFailed when a child cannot be kept running."""
        rotator = asyncio.create_task(self._bound_logs())
        try:
            await asyncio.wait({rotator, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rotator.cancel()
        self._raise_failure()

    async def stop(self) -> None:
        """Stop all children, the last stage first; those of one stage together."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for stage in reversed(self._stages):
            await asyncio.gather(*(child.stop() for child in stage))

    async def kill(self) -> None:
        """End everything at once; for whoever does not want to wait for `stop`."""
        await asyncio.gather(*(child.kill() for child in self.children))

    async def _keep(self, child: Child, ready: asyncio.Event) -> None:
        crashes: deque[float] = deque()
        while True:
            began = time.monotonic()
            problem = await self._run_once(child, ready, began)
            if not ready.is_set():
                raise StackFailed(f"{child.spec.name} did not start: it {problem}.{_evidence(child)}")
            now = time.monotonic()
            crashes.append(now)
            while crashes[0] < now - self._policy.window_s:
                crashes.popleft()
            if len(crashes) > self._policy.max_crashes:
                raise StackFailed(
                    f"{child.spec.name} {problem}, for the {len(crashes)}th time within {self._policy.window_s:.0f} s; "
                    f"giving up and stopping everything.{_evidence(child)}"
                )
            pause_s = min(self._policy.first_pause_s * 2 ** (len(crashes) - 1), self._policy.max_pause_s)
            self._say(f"{child.spec.name} {problem}; starting it again in {pause_s:.1f} s (log: {child.log})")
            await asyncio.sleep(pause_s)

    async def _run_once(self, child: Child, ready: asyncio.Event, began: float) -> str:
        """Run the child until it ends; return what happened to it, in words."""
        try:
            await child.start()
        except StackFailed as error:  # a busy port: at first start that is the answer, later it may become free
            if not ready.is_set():
                raise
            return f"could not be started again: {error}"
        if child.pid is not None:
            self._on_start(child.pid)
        if await child.wait_ready():
            took_s = time.monotonic() - began
            self._say(f"{child.spec.name} {'is ready again' if ready.is_set() else 'is ready'} after {took_s:.1f} s")
            ready.set()
            status = await child.wait()
            await child.end_leftovers(grace_s=2.0)
            return _ending(status)
        if child.is_running():
            await child.kill()
            return f"was not ready within {child.spec.ready_within_s:.0f} s"
        await child.end_leftovers(grace_s=2.0)
        return _ending(await child.wait())

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_EVERY_S)
            for child in self.children:
                await asyncio.to_thread(logs.rotate, child.log)

    def _raise_failure(self) -> None:
        for keeper in self._keepers:
            if keeper.done():
                keeper.result()


async def _all_set(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


def _ending(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"


def _evidence(child: Child) -> str:
    last = logs.tail(child.log, lines=_TAIL_LINES)
    return f" The end of {child.log}:\n{last}" if last else f" Its log {child.log} is empty."
