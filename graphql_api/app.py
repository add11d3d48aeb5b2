"""The ASGI application: routes, middleware, and what lives as long as the process.

Start it with `python -m graphql_api`, or `uvicorn graphql_api.app:create_app --factory`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from graphql_api.limits import BODY_LIMITS, BodyLimit, LoopbackOnly
from graphql_api.notifications import QueueWatch
from graphql_api.readiness import Readiness
from graphql_api.routes.graphql import STATIC_PATH, GraphQLRoute
from graphql_api.routes.health import get_healthz, get_metrics, get_readyz, get_schema
from graphql_api.routes.identify import post_identify
from graphql_api.routes.problems import failed, on_http_exception
from graphql_api.routes.uploads import post_upload
from graphql_api.services import Services
from musicfp.settings import Settings


def create_app(settings: Settings | None = None, *, services: Services | None = None) -> Starlette:
    """Return the application; without `services` it opens what the settings name."""
    services = services or Services(settings or Settings.from_env())
    readiness = Readiness(services)
    app = Starlette(
        routes=[
            Route("/", _to_ide),
            # Not Mount: that would answer /graphql with a redirect.
            Route("/graphql", GraphQLRoute(services, readiness)),
            Route("/upload", post_upload, methods=["POST"]),
            Route("/identify", post_identify, methods=["POST"]),
            Route("/healthz", get_healthz),
            Route("/readyz", get_readyz),
            Route("/metrics", get_metrics),
            Route("/schema.graphql", get_schema),
            Mount("/static", StaticFiles(directory=STATIC_PATH)),
        ],
        middleware=[Middleware(LoopbackOnly), Middleware(BodyLimit, max_bytes_by_path=BODY_LIMITS)],
        exception_handlers={HTTPException: on_http_exception, Exception: _on_bug},
        lifespan=_lifespan,
    )
    app.state.services = services
    app.state.readiness = readiness
    app.state.queue_watch = QueueWatch(services.settings)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    services: Services = app.state.services
    yield
    app.state.queue_watch.close()
    services.close()


async def _to_ide(request: Request) -> Response:  # noqa: ARG001
    return RedirectResponse("/graphql")


async def _on_bug(request: Request, error: Exception) -> Response:
    return failed(request.app.state.services, error, operation=f"{request.method} {request.url.path[:40]}")
