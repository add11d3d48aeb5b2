"""Limits on what a request may be, applied before work starts.

What belongs here: sizes and shapes of bodies, documents and pages, and who may connect. What does not: limits on
audio (`musicfp.audio.limits`) and on threads (`workers`).
"""

import ipaddress
import time
from collections.abc import Callable, Mapping

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter, SchemaExtension

from graphql_api.errors import BODY_TOO_LARGE

# A deep and useful question, submissions > edges > node > track > related > track > tags > name, has seven levels.
MAX_DEPTH = 8
MAX_ALIASES = 20
MAX_TOKENS = 1500
MAX_PAGE_ITEMS = 100
MAX_SEARCH_MATCHES = 100
MAX_SIMILAR_TRACKS = 100
# Similar tracks of similar tracks multiply: a hundred of each of a hundred is as much as one request gets.
MAX_SIMILAR_TRACKS_OF_A_REQUEST = 10_000
MAX_TEXT_CHARACTERS = 200
MAX_LIST_ITEMS = 10
# A fingerprint of the longest recording allowed, 4 hours, has about 0.4 MB of text.
MAX_GRAPHQL_BODY_BYTES = 2 << 20
MAX_UPLOAD_REQUEST_BYTES = 16 << 10
# 60 minutes of MP3 at 128 kbit/s, 6 minutes of CD quality WAV.
MAX_IDENTIFY_BYTES = 64 << 20

BODY_LIMITS = {
    "/graphql": MAX_GRAPHQL_BODY_BYTES,
    "/upload": MAX_UPLOAD_REQUEST_BYTES,
    "/identify": MAX_IDENTIFY_BYTES,
}
_OTHER_BODIES_BYTES = 1024
# /identify has a longer limit of its own. A body that trickles in holds a connection and what was read of it.
BODY_TIMEOUT_S = 30.0
_SLOW_BODIES = frozenset({"/identify"})

# Factories, not instances: an instance would be shared by all requests, and with it what it knows of one of them.
DOCUMENT_LIMITS: tuple[Callable[[], SchemaExtension], ...] = (
    lambda: QueryDepthLimiter(max_depth=MAX_DEPTH),
    lambda: MaxAliasesLimiter(max_alias_count=MAX_ALIASES),
    lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
)


class BodyLimit:
    """Answers 413 to a body larger than its route takes, whether its length is declared or found out while reading.

    And 408 to one that has not come whole after BODY_TIMEOUT_S.
    """

    def __init__(self, app: ASGIApp, *, max_bytes_by_path: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes_by_path = max_bytes_by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._max_bytes_by_path.get(scope["path"], _OTHER_BODIES_BYTES)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
            await _too_large(max_bytes)(scope, receive, send)
            return
        received_bytes = 0
        deadline_s = float("inf") if scope["path"] in _SLOW_BODIES else time.monotonic() + BODY_TIMEOUT_S

        async def counting() -> Message:
            nonlocal received_bytes, deadline_s
            try:
                with anyio.fail_after(max(0.0, deadline_s - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
            if not message.get("more_body"):
                deadline_s = float("inf")  # what comes next is the end of the connection, whenever that is
            received_bytes += len(message.get("body", b""))
            if received_bytes > max_bytes:
                raise HTTPException(413, _too_large_message(max_bytes))
            return message

        await self._app(scope, counting, send)


class LoopbackOnly:
    """Refuses whoever is not on this machine, and pages of other sites that made a browser on it ask.

    There are no keys, so everybody who can connect may do everything. The server is told to listen on loopback only;
    this holds even when somebody starts it otherwise. The Host header is checked because a foreign site can let its
    own name point to 127.0.0.1.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from and to this machine."""
        if scope["type"] != "http" or _is_local(scope):
            await self._app(scope, receive, send)
            return
        message = (
            "This API serves its own machine only, because it has no keys. "
            "Ask it at http://127.0.0.1 or http://localhost from the machine that it runs on."
        )
        refusal = JSONResponse({"code": "LOOPBACK_ONLY", "message": message}, status_code=403)
        await refusal(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    ends = [scope.get("client"), scope.get("server")]
    host = Headers(scope=scope).get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return all(end is not None and _is_loopback(end[0]) for end in ends) and (
        name == "localhost" or _is_loopback(name.strip("[]"))
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _too_large_message(max_bytes: int) -> str:
    return f"The request's body is larger than the {max_bytes} bytes accepted here."


def _too_large(max_bytes: int) -> JSONResponse:
    return JSONResponse({"code": BODY_TOO_LARGE, "message": _too_large_message(max_bytes)}, status_code=413)
