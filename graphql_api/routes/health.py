"""Whether the process lives, whether the product is ready, its metrics and its schema."""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import httpx
import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from graphql_api.schema import sdl
from graphql_api.services import Services
from musicfp.catalog import pages
from musicfp.catalog.migrate import schema_is_current
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import SUBMISSION_STATUSES
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.pipeline.shared_index import IndexStatus
from musicfp.store.buckets import missing_buckets
from musicfp.store.notifications import QueueStatus
from musicfp.store.probe import make_probe_client, require_objects

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# A part that takes longer than this to answer is not ready.
CHECK_TIMEOUT_S = 3.0
# Whoever asks in a loop must not load the parts by it; bad news is kept shorter, since somebody waits for good news.
_KEEP_GOOD_S = 2.0
_KEEP_BAD_S = 0.5
_DAEMONS_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
_ANY_TERM = np.zeros(1, dtype=np.uint32)
_SDL = sdl()


class Readiness:
    """Asks every part that the product needs, at most once in two seconds. A problem is a sentence, None is ready."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asking = anyio.Lock()
        self._kept: dict[str, str | None] = {}
        self.search_index: IndexStatus | None = None
        self._keep_until_s = 0.0
        self._store_client: S3Client | None = None

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
        return await anyio.to_thread.run_sync(self._store_problem, abandon_on_cancel=True)

    def _store_problem(self) -> str | None:
        settings = self._services.settings
        # Kept, because making a client costs more than asking with it; not made earlier, because it needs credentials.
        client = self._store_client = self._store_client or make_probe_client(settings)
        missing = missing_buckets(settings, client=client)
        if missing:
            return f"buckets are missing: {', '.join(missing)}"
        require_objects(client, settings)
        return None

    async def _database(self) -> str | None:
        is_current = await anyio.to_thread.run_sync(schema_is_current, self._services.database, abandon_on_cancel=True)
        return None if is_current else "migrations are missing: run `musicfp db upgrade`"

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


async def get_healthz(request: Request) -> Response:  # noqa: ARG001
    """Answer without asking anything: the process lives and its event loop turns."""
    return JSONResponse({"status": "ok"})


async def get_readyz(request: Request) -> Response:
    """Answer 200 when every part is ready, else 503 naming those that are not."""
    problems = await request.app.state.readiness.check()
    is_ready = not any(problems.values())
    body = {
        "ready": is_ready,
        "parts": {name: "ready" if found is None else found for name, found in problems.items()},
        "failing": [name for name, found in problems.items() if found is not None],
        "searchIndex": _accelerator(request.app.state.readiness.search_index),
        "notificationQueue": _queue(await request.app.state.queue_watch.status()),
    }
    return JSONResponse(body, status_code=200 if is_ready else 503)


def _accelerator(status: IndexStatus | None) -> dict[str, object] | None:
    if status is None:
        return None
    return {
        "build": status.build_id,
        "watermark": status.watermark,
        "lagFingerprints": status.lag_fingerprints,
        "openBuild": status.open_build_id,
        "problem": status.problem,
    }


def _queue(status: QueueStatus | None) -> dict[str, object] | None:
    if status is None:
        return None
    return {
        "waiting": status.n_waiting,
        "inFlight": status.n_in_flight,
        "deadLetters": status.n_dead_letters,
        "problem": status.problem,
    }


async def get_metrics(request: Request) -> Response:
    """Answer all metrics in Prometheus' text form."""
    services: Services = request.app.state.services

    def count() -> tuple[int, dict[str, int], IndexStatus]:
        with services.database.read() as session:
            return (
                pages.count_tracks(session),
                pages.count_submissions_by_status(session),
                services.search_index.status(session),
            )

    n_tracks, by_status, index = await services.workers.database.run(count)
    services.metrics.indexed(index)
    services.metrics.queued(await request.app.state.queue_watch.status())
    services.metrics.catalogue_tracks.set(n_tracks)
    for status in SUBMISSION_STATUSES:
        services.metrics.submissions.labels(status).set(by_status.get(status, 0))
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def get_schema(request: Request) -> Response:  # noqa: ARG001
    """Answer the schema as text."""
    return PlainTextResponse(_SDL)
