"""Whether the process lives, whether the product is ready, its metrics and its schema."""

from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from graphql_api.observability import CatalogueCounts
from graphql_api.schema import sdl
from graphql_api.services import Services
from graphql_api.workers import Overloaded
from musicfp.catalog import deletions, derivations, pages, submissions
from musicfp.catalog.engine import utc_now
from musicfp.pipeline.pauses import free_bytes
from musicfp.pipeline.shared_index import IndexStatus
from musicfp.store.notifications import QueueStatus

_SDL = sdl()


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
    """Answer all metrics in Prometheus' text form, also when what is counted in the database cannot be."""
    services: Services = request.app.state.services
    metrics = services.metrics
    metrics.found_ready(await request.app.state.readiness.check())
    metrics.disk_free.set(free_bytes(services.settings.home))
    metrics.queued(await request.app.state.queue_watch.status())
    try:
        counts, index = await services.workers.database.run(_count, services)
    except (OperationalError, Overloaded):
        metrics.counted(None)
    else:
        metrics.counted(counts)
        metrics.indexed(index)
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _count(services: Services) -> tuple[CatalogueCounts, IndexStatus]:
    with services.database.read() as session:
        deletion = next(iter(deletions.unfinished(session, limit=1)), None)
        counts = CatalogueCounts(
            n_tracks=pages.count_tracks(session),
            submissions=pages.count_submissions_by_status(session),
            derivations=derivations.counts_not_made(session),
            oldest_waiting_s=_age_s(submissions.oldest_waiting_since(session)),
            oldest_deletion_s=_age_s(deletion.requested_at if deletion else None),
        )
        return counts, services.search_index.status(session)


def _age_s(since: datetime | None) -> float:
    return max(0.0, (utc_now() - since).total_seconds()) if since else 0.0


async def get_schema(request: Request) -> Response:  # noqa: ARG001
    """Answer the schema as text."""
    return PlainTextResponse(_SDL)
