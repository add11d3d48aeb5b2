"""POST /identify: audio of any supported format, or a Chromaprint fingerprint as text, to matching tracks as JSON."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from graphql import GraphQLError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from graphql_api.errors import BAD_REQUEST, INVALID_ARGUMENT, client_error
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
_EXPECTED = (GraphQLError, TimeoutError, InvalidFingerprint, SubmissionRejected, LimitExceeded)


async def post_identify(request: Request) -> Response:
    """Return matches. A body that cannot be searched for is answered with 400, 408 or 422 and the reason."""
    services: Services = request.app.state.services
    with services.metrics.timed(_OPERATION):
        try:
            found = await _identify(request, services)
            return JSONResponse(await _identification_json(services, found))
        except _EXPECTED as error:
            return refused(services, _problem_of(error), code=INVALID_ARGUMENT, operation=_OPERATION)
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            return failed(services, error, operation=_OPERATION)


async def _identify(request: Request, services: Services) -> Identification:
    limit, min_score = _bounds(request)
    with _place_for_a_file(services.workers.received_files), _scratch_file(services.settings.scratch_path) as path:
        with anyio.fail_after(RECEIVE_TIMEOUT_S):
            await _receive(request, path)
        fingerprint = await anyio.to_thread.run_sync(_fingerprint_text, path)
        if fingerprint is not None:
            return await services.search_fingerprint(fingerprint, limit=limit, min_score=min_score)
        return await services.search_audio(path, limit=limit, min_score=min_score)


def _bounds(request: Request) -> tuple[int, float | None]:
    """Return `limit` and `minScore` of the query string."""
    limit_text, score_text = request.query_params.get("limit", "10"), request.query_params.get("minScore")
    try:
        limit, min_score = int(limit_text[:20]), None if score_text is None else float(score_text[:40])
    except ValueError:
        raise client_error(INVALID_ARGUMENT, "`limit` must be a whole number and `minScore` a number.") from None
    check_search(limit=limit, min_score=min_score)
    return limit, min_score


@contextmanager
def _place_for_a_file(places: anyio.CapacityLimiter) -> Iterator[None]:
    """Hold one of the places for received files, so that they cannot fill the disk."""
    holder = object()
    try:
        places.acquire_on_behalf_of_nowait(holder)
    except anyio.WouldBlock:
        raise Overloaded from None
    try:
        yield
    finally:
        places.release_on_behalf_of(holder)


@contextmanager
def _scratch_file(directory: Path) -> Iterator[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"identify-{secrets.token_hex(8)}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _receive(request: Request, path: Path) -> None:
    """Write the body to a file as it comes; its size is bounded by `limits.BodyLimit`."""
    buffer = bytearray()
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in request.stream():
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await file.write(bytes(buffer))
                buffer.clear()
        await file.write(bytes(buffer))


def _fingerprint_text(path: Path) -> str | None:
    """Return the body if it is text made of a fingerprint's characters only, None if it may be audio."""
    if not 0 < path.stat().st_size <= _MAX_FINGERPRINT_BYTES:
        return None
    body = path.read_bytes()
    return body.decode("ascii").strip() if _FINGERPRINT_TEXT.fullmatch(body) else None


def _problem_of(error: Exception) -> JSONResponse:
    match error:
        case GraphQLError():
            return problem(400, INVALID_ARGUMENT, error.message, field=(error.extensions or {}).get("argument"))
        case TimeoutError():
            return problem(408, BAD_REQUEST, f"The body did not arrive within {RECEIVE_TIMEOUT_S:.0f} s.")
        case SubmissionRejected():
            first = error.problems[0]
            return problem(422, first.code, " ".join(each.message for each in error.problems), field=first.field)
        case InvalidFingerprint():
            return problem(422, error.code, str(error), field="fingerprint")
    return problem(422, "over_limits", "Decoding this audio takes too long. Send a shorter piece of it.")


async def _identification_json(services: Services, found: Identification) -> dict[str, Any]:
    ids = [each.match.track_id for each in found.matches]

    def load() -> dict[str, TrackRow]:
        with services.database.read() as session:
            return relations.tracks(session, ids)

    tracks = await services.workers.database.run(load) if ids else {}
    return {
        "matches": [
            _match_json(each, tracks[each.match.track_id]) for each in found.matches if each.match.track_id in tracks
        ],
        "candidatesExamined": found.candidates_examined,
        "tookMs": found.took_ms,
    }


def _match_json(found: RelatedMatch, track: TrackRow) -> dict[str, Any]:
    """Return a match with the field names of GraphQL's Match."""
    return {
        "track": {
            "id": track.id,
            "title": track.title,
            "artist": track.artist,
            "album": track.album,
            "durationSeconds": track.duration_s,
        },
        "score": found.match.score,
        "bitErrorRate": found.match.bit_error_rate,
        "offsetSeconds": found.match.offset_s,
        "overlapSeconds": found.match.overlap_s,
        "relation": str(found.relation),
    }
