"""Errors of plain HTTP routes: JSON with `code`, `message` and, where there is one, `field`."""

import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphql_api.errors import BAD_REQUEST, BODY_TOO_LARGE, INTERNAL, OVERLOADED, publish
from graphql_api.services import Services

LOGGER = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: BODY_TOO_LARGE, 503: OVERLOADED}


def problem(status: int, code: str, message: str, *, field: str | None = None) -> JSONResponse:
    """Return an error as JSON."""
    return JSONResponse({"code": code, "message": message, "field": field}, status_code=status)


def refused(services: Services, response: JSONResponse, *, code: str, operation: str) -> JSONResponse:
    """Count and log a caller's mistake, and return its answer."""
    services.metrics.errors.labels(code).inc()
    LOGGER.warning("request refused: operation=%s code=%s status=%d", operation, code, response.status_code)
    return response


def failed(services: Services, error: Exception, *, operation: str) -> JSONResponse:
    """Return the answer to an exception that the route does not expect."""
    public = publish(error, services.metrics, operation=operation)
    body = {"code": public.code, "message": public.message, "field": None}
    if public.correlation_id:
        body["correlationId"] = public.correlation_id
    headers = {} if public.code == INTERNAL else {"Retry-After": "5"}
    return JSONResponse(body, status_code=500 if public.code == INTERNAL else 503, headers=headers)


async def on_http_exception(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Answer Starlette's own refusals in the same form."""
    if not isinstance(error, HTTPException):
        raise error
    code = _CODES.get(error.status_code, BAD_REQUEST)
    return problem(error.status_code, code, error.detail)
