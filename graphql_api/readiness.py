"""Whether every part that the product needs answers. Asked by `/readyz`, `/metrics` and for submissions that wait."""

import time
from collections.abc import Awaitable, Callable

import anyio
import httpx
import numpy as np

from graphql_api.services import Services
from musicfp.catalog.migrate import schema_is_current
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.pipeline.pauses import StoreCheck, database_problem, disk_problem
from musicfp.pipeline.shared_index import IndexStatus

# A part that takes longer than this to answer is not ready.
CHECK_TIMEOUT_S = 3.0
# Whoever asks in a loop must not load the parts by it; bad news is kept shorter, since somebody waits for good news.
_KEEP_GOOD_S = 2.0
_KEEP_BAD_S = 0.5
_DAEMONS_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
_ANY_TERM = np.zeros(1, dtype=np.uint32)
# The parts without which nothing new is decided or derived; searches need less.
PARTS_OF_WORK = ("database", "disk", "objectStore", "dagsterDaemon")
PARTS = (*PARTS_OF_WORK, "searchIndex")


class Readiness:
    """Asks every part that the product needs, at most once in two seconds. A problem is a sentence, None is ready."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asking = anyio.Lock()
        self._kept: dict[str, str | None] = {}
        self.search_index: IndexStatus | None = None
        self._keep_until_s = 0.0
        self._store = StoreCheck(services.settings)

    async def check(self) -> dict[str, str | None]:
        """Return the problem of each part."""
        async with self._asking:
            if time.monotonic() >= self._keep_until_s:
                self._kept = await self._ask_all()
                is_good = not any(self._kept.values())
                self._keep_until_s = time.monotonic() + (_KEEP_GOOD_S if is_good else _KEEP_BAD_S)
            return self._kept

    async def _ask_all(self) -> dict[str, str | None]:
        parts: dict[str, Callable[[], Awaitable[str | None]]] = {
            "objectStore": self._object_store,
            "database": self._database,
            "disk": self._disk,
            "searchIndex": self._search_index,
            "dagsterDaemon": self._dagster_daemon,
        }
        found: dict[str, str | None] = dict.fromkeys(parts)

        async def ask(name: str) -> None:
            try:
                with anyio.fail_after(CHECK_TIMEOUT_S):
                    found[name] = await parts[name]()
            except TimeoutError:
                found[name] = f"did not answer within {CHECK_TIMEOUT_S:.0f} s"
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"

        async with anyio.create_task_group() as group:
            for name in parts:
                group.start_soon(ask, name)
        return found

    async def _object_store(self) -> str | None:
        return await anyio.to_thread.run_sync(self._store.problem, abandon_on_cancel=True)

    async def _database(self) -> str | None:
        def ask() -> str | None:
            problem = database_problem(self._services.database)
            if problem is None and not schema_is_current(self._services.database):
                return "migrations are missing: run `musicfp db upgrade`"
            return problem

        return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)

    async def _disk(self) -> str | None:
        return await anyio.to_thread.run_sync(disk_problem, self._services.settings, abandon_on_cancel=True)

    async def _search_index(self) -> str | None:
        """Ask the terms in the database, which always can answer; the accelerator is told of, and may be missing."""

        def ask() -> IndexStatus:
            with self._services.database.read() as session:
                DatabaseCatalogue(session).lookup(_ANY_TERM, kind=FingerprintKind.FULL)
                return self._services.search_index.status(session)

        self.search_index = None
        self.search_index = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)
        return None

    async def _dagster_daemon(self) -> str | None:
        url = f"http://127.0.0.1:{self._services.settings.dagster_port}/graphql"
        async with httpx.AsyncClient(timeout=CHECK_TIMEOUT_S, trust_env=False) as client:
            answer = await client.post(url, json={"query": _DAEMONS_QUERY})
        answer.raise_for_status()
        statuses = answer.json()["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        needed = [status for status in statuses if status["required"]]
        silent = [status["daemonType"] for status in needed if not status["healthy"]]
        if not needed:
            return "no daemon is configured"
        return f"no heartbeat from {', '.join(silent)}" if silent else None
