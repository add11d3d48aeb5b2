"""Whether the process lives, whether the product is ready, its metrics and its schema."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from graphql_api.schema import sdl
from graphql_api.services import Services
from musicfp.catalog import pages
from musicfp.catalog.tables import SUBMISSION_STATUSES
from musicfp.pipeline.shared_index import IndexStatus

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
    services.metrics.catalogue_tracks.set(n_tracks)
    for status in SUBMISSION_STATUSES:
        services.metrics.submissions.labels(status).set(by_status.get(status, 0))
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def get_schema(request: Request) -> Response:  # noqa: ARG001
    """Answer the schema as text."""
    return PlainTextResponse(_SDL)
