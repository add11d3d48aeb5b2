"""POST /upload: `requestUpload` as plain JSON."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphql_api.errors import BAD_REQUEST, INVALID_ARGUMENT
from graphql_api.routes.problems import failed, problem, refused
from graphql_api.services import Services
from musicfp.errors import InvalidRequest
from musicfp.pipeline.uploads import UploadTicket

_OPERATION = "POST /upload"


async def post_upload(request: Request) -> Response:
    """Return 201 with a ticket, 400 for a body that is none, 422 for one that cannot be granted."""
    services: Services = request.app.state.services
    with services.metrics.timed(_OPERATION):
        # Anything else could be sent by a page of another site without the browser asking us first.
        if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            answer = problem(415, BAD_REQUEST, "Send the body as application/json.")
            return refused(services, answer, code=BAD_REQUEST, operation=_OPERATION)
        asked = _parse(await request.body())
        if isinstance(asked, JSONResponse):
            return refused(services, asked, code=INVALID_ARGUMENT, operation=_OPERATION)
        return await _grant(services, *asked)


async def _grant(services: Services, filename: str, size_bytes: int, submitter: str | None) -> Response:
    try:
        ticket = await services.request_upload(filename=filename, size_bytes=size_bytes, submitter=submitter)
    except InvalidRequest as error:
        answer = problem(422, error.code, error.message, field=error.field)
        return refused(services, answer, code=INVALID_ARGUMENT, operation=_OPERATION)
    except Exception as error:
        return failed(services, error, operation=_OPERATION)
    return JSONResponse(_ticket_json(ticket), status_code=201)


def _parse(body: bytes) -> tuple[str, int, str | None] | JSONResponse:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return problem(400, BAD_REQUEST, "The body is not JSON.")
    if not isinstance(asked, dict):
        return problem(400, BAD_REQUEST, 'The body must be an object: {"filename": "...", "sizeBytes": n}.')
    filename, size_bytes, submitter = asked.get("filename"), asked.get("sizeBytes"), asked.get("submitter")
    if not isinstance(filename, str):
        return problem(400, INVALID_ARGUMENT, "`filename` must be a text.", field="filename")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool):
        return problem(400, INVALID_ARGUMENT, "`sizeBytes` must be a whole number.", field="sizeBytes")
    if submitter is not None and not isinstance(submitter, str):
        return problem(400, INVALID_ARGUMENT, "`submitter` must be a text.", field="submitter")
    return filename, size_bytes, submitter


def _ticket_json(ticket: UploadTicket) -> dict[str, Any]:
    """Return a ticket with the field names of GraphQL's UploadTicket."""
    parts = ticket.parts and [
        {"partNumber": part.part_number, "url": part.url, "sizeBytes": part.size_bytes} for part in ticket.parts
    ]
    return {
        "submissionId": ticket.submission_id,
        "url": ticket.url,
        "method": ticket.method,
        "headers": [{"name": name, "value": value} for name, value in ticket.headers],
        "expiresAt": ticket.expires_at.isoformat(),
        "parts": parts,
    }
