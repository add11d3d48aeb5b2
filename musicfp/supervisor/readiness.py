"""Small questions to local servers: do they answer, and what.

The standard library's client in a thread, so that the supervisor stays small; proxies of the environment are ignored.
"""

import asyncio
import http.client
import json
import socket
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from musicfp.supervisor.ports import LOOPBACK

_TIMEOUT_S = 5.0
Answer = TypeVar("Answer")


async def http_status(port: int, path: str) -> int | None:
    """Return the status of an unsigned GET, None when nothing answers."""
    answer = await asyncio.to_thread(request, port, path)
    return answer[0] if answer is not None else None


async def graphql(port: int, query: str) -> dict[str, Any] | None:
    """Return `data` of a GraphQL query without errors, None otherwise."""
    answer = await asyncio.to_thread(request, port, "/graphql", {"query": query})
    if answer is None or answer[0] != 200:
        return None
    data = json.loads(answer[1])
    return data["data"] if isinstance(data, dict) and not data.get("errors") else None


def run_now(question: Coroutine[Any, Any, Answer]) -> Answer:
    """Ask one of these questions where there is no event loop."""
    return asyncio.run(question)


async def socket_accepts(path: Path) -> bool:
    """Whether a server accepts connections on a Unix socket."""
    return await asyncio.to_thread(_connects, path)


def request(port: int, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes] | None:
    """GET, or POST `body` as JSON; return status and content, None when nothing answers."""
    if body is None:
        return exchange(port, "GET", path)
    return exchange(port, "POST", path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def exchange(
    port: int, method: str, path: str, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes] | None:
    """Send any request; return status and content, None when nothing answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body=content, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
