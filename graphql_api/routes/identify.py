"""POST /identify: audio of any supported format, or a Chromaprint fingerprint as text, to matching tracks as JSON."""

import re
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from graphql_api.errors import BAD_REQUEST, INVALID_ARGUMENT
from graphql_api.queries.search import check_search
from graphql_api.routes.problems import failed, problem, refused
from graphql_api.services import Services
from graphql_api.workers import Overloaded
from musicfp.audio.limits import LimitExceeded
from musicfp.catalog import relations
from musicfp.catalog.tables import TrackRow
from musicfp.errors import InvalidFingerprint, SubmissionRejected
from musicfp.fingerprint.verdict import RelatedMatch
from musicfp.pipeline.recognition import Identification

_OPERATION = "POST /identify"
# The slowest line worth waiting for: 64 MiB in 5 minutes are 1.8 Mbit/s.
RECEIVE_TIMEOUT_S = 300.0
_WRITE_BYTES = 1 << 20
# No supported audio file consists of nothing but these characters.
_FINGERPRINT_TEXT = re.compile(rb"\s*[A-Za-z0-9_-]+\s*")
_MAX_FINGERPRINT_BYTES = 4 << 20


async def post_identify(request: Request) -> Response:
    """Return matches. A body that cannot be searched for is answered with 400 or 422 and the reason."""
    services: Services = request.app.state.services
    with services.metrics.timed(_OPERATION):
        try:
            return await _answer(request, services)
        except GraphQLError as error:
            answer = problem(400, INVALID_ARGUMENT, error.message, field=(error.extensions or {}).get("argument"))
        except TimeoutError:
            answer = problem(408, BAD_REQUEST, f"The body did not arrive within {RECEIVE_TIMEOUT_S:.0f} s.")
        except InvalidFingerprint as error:
            answer = problem(422, error.code, str(error), field="fingerprint")
        except SubmissionRejected as error:
            first = error.problems[0]
            answer = problem(422, first.code, " ".join(each.message for each in error.problems), field=first.field)
        except LimitExceeded:
            answer = problem(422, "over_limits", "Decoding this audio takes too long. Send a shorter piece of it.")
    return refused(services, answer, code=INVALID_ARGUMENT, operation=_OPERATION)


async def _answer(request: Request, services: Services) -> Response:
    bounds = _bounds(request)
    try:
        services.workers.received_files.acquire_nowait()
    except anyio.WouldBlock:
        return failed(services, Overloaded(), operation=_OPERATION)
    try:
        found = await _identify(request, services, bounds)
        return JSONResponse(await _identification_json(services, services.counted(found)))
    except (GraphQLError, TimeoutError, InvalidFingerprint, SubmissionRejected, LimitExceeded):
        raise
    except Overloaded as error:
        return failed(services, error, operation=_OPERATION)
    finally:
        services.workers.received_files.release()
