"""What `musicfp up` runs: the parts, their order, when the whole is ready, and how it ends.

What belongs here: the composition. What does not: the parts (`weed`, `dagster_processes`), supervision (`group`,
`child`) and what is printed (`musicfp.cli.up`).
"""

import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from musicfp.errors import StackFailed
from musicfp.settings import Settings
from musicfp.supervisor import logs, processes
from musicfp.supervisor.child import ChildSpec
from musicfp.supervisor.dagster_processes import (
    code_server_spec,
    daemon_spec,
    prepare_dagster_home,
    record_storage,
    storage_is_current,
    webserver_spec,
)
from musicfp.supervisor.environment import child_environment
from musicfp.supervisor.group import Group
from musicfp.supervisor.guard import Guard
from musicfp.supervisor.lock import home_lock
from musicfp.supervisor.ports import LOOPBACK, PortUse, require_free
from musicfp.supervisor.readiness import graphql, http_status
from musicfp.supervisor.store_keys import ensure_keys
from musicfp.supervisor.weed import weed_spec

PARTS = ("store", "dagster", "api")
_PREPARED_WITHIN_S = 120.0
_EMPTY_QUERY = "{ tracks(first: 1) { totalCount } submissions(first: 1) { totalCount } }"


@dataclass(frozen=True)
class Plan:
    """What to run: settings, the parts to leave out, and whether to fill an empty catalogue with the demo."""

    settings: Settings
    without: frozenset[str] = frozenset()
    with_demo: bool = False

    def has(self, part: str) -> bool:
        """Whether this plan runs a part. The store is run only when it is the embedded one."""
        return part not in self.without and (part != "store" or self.settings.s3_managed)


@dataclass(frozen=True)
class Ready:
    """The stack is ready: what answers where, and how long it took."""

    urls: dict[str, str]
    took_s: float


def run_stack(plan: Plan, *, say: Callable[[str], None], on_ready: Callable[[Ready], None]) -> None:
    """Run the stack until SIGINT or SIGTERM.

    Raises StackFailed when something cannot be started or kept running; nothing of it runs any more then.
    """
    with home_lock(plan.settings.home) as lock_descriptor:
        token = secrets.token_hex(16)
        require_free(_public_ports(plan))
        with Guard(token, lock_descriptor=lock_descriptor) as guard:
            stack = _Stack(plan, token=token, lock_descriptor=lock_descriptor, guard=guard, say=say)
            asyncio.run(stack.run(on_ready))


def stack_urls(settings: Settings) -> dict[str, str]:
    """Return the addresses that a person opens, by name."""
    api = f"http://{LOOPBACK}:{settings.api_port}"
    return {
        "API": api,
        "GraphiQL": f"{api}/graphql",
        "Dagster": f"http://{LOOPBACK}:{settings.dagster_port}",
        "S3": settings.s3_endpoint_url or "AWS",
    }


class _Stack:
    """One run of a plan."""

    def __init__(
        self, plan: Plan, *, token: str, lock_descriptor: int, guard: Guard, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._token = token
        self._lock_descriptor = lock_descriptor
        self._say = say
        self._logs_path = plan.settings.home / "logs"
        self._keys = ensure_keys(plan.settings.store_credentials_path) if plan.settings.s3_managed else None
        self._environment = child_environment(plan.settings, self._keys)
        self._group = Group(token=token, logs_path=self._logs_path, say=say, on_start=guard.watch)
        self._stop_requests = 0

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Start, serve until asked to stop, stop."""
        stop_requested, impatience = asyncio.Event(), asyncio.Event()
        self._listen_to_signals(stop_requested, impatience)
        serving = asyncio.create_task(self._serve(on_ready))
        asked = asyncio.create_task(stop_requested.wait())
        try:
            await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            asked.cancel()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await self._stop(impatience)

    async def _serve(self, on_ready: Callable[[Ready], None]) -> None:
        began = time.monotonic()
        await self._start()
        on_ready(Ready(urls=self._urls(), took_s=time.monotonic() - began))
        demo = asyncio.create_task(self._fill_if_empty()) if self._plan.with_demo else None
        try:
            await self._group.watch()
        finally:
            if demo is not None:
                demo.cancel()
                await asyncio.gather(demo, return_exceptions=True)

    async def _start(self) -> None:
        plan, settings, environment = self._plan, self._settings, self._environment
        self._write_environment_file()
        if plan.has("store") and self._keys is not None:
            await self._group.start([weed_spec(settings, self._keys, lock_descriptor=self._lock_descriptor)])
        preparations = [self._prepare_catalogue()]
        users: list[ChildSpec] = []
        if plan.has("dagster"):
            # Of runs that were killed. None runs now: their group has ended, and the home is locked.
            shutil.rmtree(settings.scratch_path, ignore_errors=True)
            preparations.append(self._start_code_server())  # loading the code needs neither our tables nor buckets
            users += [webserver_spec(settings, environment), daemon_spec(settings, environment)]
        if plan.has("api"):
            users.append(api_spec(plan, environment))
        await asyncio.gather(*preparations)
        if users:
            await self._group.start(users)

    async def _prepare_catalogue(self) -> None:
        began = time.monotonic()
        await self._run_once("prepare", [sys.executable, "-m", "musicfp.supervisor.prepare"])
        self._say(f"database and buckets are ready after {time.monotonic() - began:.1f} s")

    async def _start_code_server(self) -> None:
        prepare_dagster_home(self._settings)
        if not storage_is_current(self._settings):
            # Every Dagster process makes or migrates the tables when it first opens a storage; two at once spoil it.
            began = time.monotonic()
            await self._run_once("dagster-storage", [sys.executable, "-m", "dagster", "instance", "migrate"])
            record_storage(self._settings)
            self._say(f"Dagster's storage is ready after {time.monotonic() - began:.1f} s")
        await self._group.start([code_server_spec(self._settings, self._environment)])

    async def _fill_if_empty(self) -> None:
        counts = await graphql(self._settings.api_port, _EMPTY_QUERY)
        if counts is None:
            self._say("could not ask the API whether the catalogue is empty; `musicfp demo` fills it")
        elif counts["tracks"]["totalCount"] == 0:
            status = await self._wait_for("demo", [sys.executable, "-m", "musicfp.cli.main", "demo"], output=None)
            if status != 0:
                self._say(f"the demo ended with exit status {status}; everything goes on running")

    async def _run_once(self, name: str, argv: list[str]) -> None:
        """Run a process of the group to its end, output in its log. Raises StackFailed when it fails or hangs."""
        log = self._logs_path / f"{name}.log"
        log.unlink(missing_ok=True)
        descriptor = logs.open_log(log)
        try:
            status = await asyncio.wait_for(self._wait_for(name, argv, output=descriptor), _PREPARED_WITHIN_S)
        except TimeoutError:
            raise StackFailed(f"{name} did not end within {_PREPARED_WITHIN_S:.0f} s (log: {log}).") from None
        finally:
            os.close(descriptor)
        if status != 0:
            raise StackFailed(f"{name} ended with exit status {status} (log: {log}):\n{logs.tail(log, lines=12)}")

    async def _wait_for(self, name: str, argv: list[str], *, output: int | None) -> int:
        """Run a process of the group and return its exit status; without `output`, it writes to the terminal."""
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env={**self._environment, **processes.mark(self._token, name)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            return await process.wait()
        finally:
            await asyncio.to_thread(processes.end, lambda: processes.marked(self._token, name), grace_s=3.0)

    async def _stop(self, impatience: asyncio.Event) -> None:
        if self._group.children:
            self._say("stopping (once more to stop at once)")
        stopping = asyncio.create_task(self._group.stop())
        impatient = asyncio.create_task(impatience.wait())
        await asyncio.wait({stopping, impatient}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            stopping.result()
        else:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            await self._group.kill()
        impatient.cancel()
        await asyncio.to_thread(processes.end, lambda: processes.marked(self._token), grace_s=1.0)

    def _listen_to_signals(self, stop_requested: asyncio.Event, impatience: asyncio.Event) -> None:
        def request() -> None:
            (impatience if stop_requested.is_set() else stop_requested).set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, request)

    def _urls(self) -> dict[str, str]:
        absent = {
            name
            for name, part in (("API", "api"), ("GraphiQL", "api"), ("Dagster", "dagster"))
            if not self._plan.has(part)
        }
        return {name: url for name, url in stack_urls(self._settings).items() if name not in absent}

    def _write_environment_file(self) -> None:
        """Write what another shell needs to join this stack, for `dagster dev` and the AWS command line."""
        path = self._settings.home / "stack.env"
        names = [name for name in self._environment if name.startswith(("MUSICFP_", "DAGSTER_", "AWS_"))]
        lines = [f"export {name}={shlex.quote(self._environment[name])}\n" for name in sorted(names)]
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(lines)


def api_spec(plan: Plan, environment: dict[str, str]) -> ChildSpec:
    """Describe the API. It is ready when everything behind it is: `/readyz` asks each part."""
    port = plan.settings.api_port
    # Without Dagster here, `/readyz` cannot become 200 before somebody else starts it.
    path = "/readyz" if plan.has("dagster") else "/healthz"

    async def is_ready(_started_at: float) -> bool:
        return await http_status(port, path) == 200

    return ChildSpec(
        name="api",
        argv=(sys.executable, "-m", "graphql_api"),
        environment=environment,
        is_ready=is_ready,
        ready_within_s=120.0,
        stop_within_s=10.0,
        ports=(PortUse(port, "API", "MUSICFP_API_PORT"),),
    )


def _public_ports(plan: Plan) -> list[PortUse]:
    settings = plan.settings
    uses = {
        "store": PortUse(settings.s3_port, "object store", "MUSICFP_S3_PORT"),
        "dagster": PortUse(settings.dagster_port, "Dagster UI", "MUSICFP_DAGSTER_PORT"),
        "api": PortUse(settings.api_port, "API", "MUSICFP_API_PORT"),
    }
    return [use for part, use in uses.items() if plan.has(part)]
