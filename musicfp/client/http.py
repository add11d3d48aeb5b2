"""Asking one HTTP service and understanding its refusals.

What belongs here: connections, time limits, GraphQL envelopes and error messages. What does not: which questions are
asked (`api`, `dagster`).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from musicfp.errors import RequestFailed, ServiceUnreachable

CHUNK_BYTES = 1 << 18
# Upload workers, one waiter and the caller; more would only queue.
_MAX_CONNECTIONS = 8
_EXCERPT_CHARACTERS = 300

Json = dict[str, Any]


class Service:
    """One HTTP service at a base address; safe to use from several threads. Close it, or use it in a `with` block.

    `name` and `hint` go into messages: what did not answer, and how to start it.
    """

    def __init__(
        self, url: str, *, name: str, hint: str, transport: httpx.BaseTransport | None = None, timeout_s: float = 60.0
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self.hint = hint
        limits = httpx.Limits(max_connections=_MAX_CONNECTIONS)
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0))
        # Proxies of the environment are meant for the internet; ours may be on this machine.
        self._http = httpx.Client(
            limits=limits, timeout=timeout, transport=transport, trust_env=not _is_loopback(self.url)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def graphql(self, query: str, variables: Mapping[str, object] | None = None) -> Json:
        """Run one operation and return its `data`. Raises RequestFailed with the messages of the service."""
        answer = self.post_json("/graphql", {"query": query, "variables": dict(variables or {})})
        if answer.get("errors"):
            messages = "; ".join(str(error.get("message", error)) for error in answer["errors"])
            raise RequestFailed(f"{self.name} at {self.url} refused the request: {messages}")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise RequestFailed(f"{self.name} at {self.url} answered without data. Is this the right address?")
        return data

    def post_json(self, route: str, body: Json) -> Json:
        """POST a JSON body and return the JSON answer."""
        return self._send(
            "POST", route, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )

    def post_file(self, route: str, path: Path, *, content_type: str, params: Mapping[str, str] | None = None) -> Json:
        """POST a file as it is, streamed, and return the JSON answer."""
        headers = {"Content-Type": content_type, "Content-Length": str(path.stat().st_size)}
        return self._send("POST", route, content=read_chunks(path), headers=headers, params=params)

    def _send(
        self,
        method: str,
        route: str,
        *,
        content: bytes | Iterator[bytes],
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
    ) -> Json:
        try:
            response = self._http.request(
                method, self.url + route, content=content, headers=dict(headers), params=dict(params or {})
            )
        except httpx.TimeoutException as error:
            raise ServiceUnreachable(f"{self.name} at {self.url} did not answer in time. {self.hint}") from error
        except httpx.InvalidURL as error:
            raise RequestFailed(f"{self.url} is not an address of {self.name}: {error}.") from error
        except httpx.HTTPError as error:
            raise ServiceUnreachable(
                f"{self.name} at {self.url} could not be reached ({error}). {self.hint}"
            ) from error
        return self._understand(response)

    def _understand(self, response: httpx.Response) -> Json:
        if response.status_code >= 500:
            raise ServiceUnreachable(
                f"{self.name} at {self.url} failed with status {response.status_code}: {_excerpt(response)}. "
                f"Its own log says why. {self.hint}"
            )
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code >= 400 and not (isinstance(answer, dict) and answer.get("errors")):
            said = answer["message"] if isinstance(answer, dict) and "message" in answer else _excerpt(response)
            raise RequestFailed(f"{self.name} at {self.url} refused the request ({response.status_code}): {said}")
        if not isinstance(answer, dict):
            raise RequestFailed(
                f"{self.name} at {self.url} answered something that is not JSON: {_excerpt(response)}. "
                "Is this the right address?"
            )
        return answer


def read_chunks(path: Path, *, start: int = 0, size_bytes: int | None = None) -> Iterator[bytes]:
    """Yield a stretch of a file in pieces of `CHUNK_BYTES`, so that memory does not grow with the file."""
    with path.open("rb") as file:
        file.seek(start)
        left = path.stat().st_size - start if size_bytes is None else size_bytes
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def _is_loopback(url: str) -> bool:
    return httpx.URL(url).host in {"127.0.0.1", "localhost", "::1"}


def _excerpt(response: httpx.Response) -> str:
    text = " ".join(response.text.split())
    printable = "".join(character for character in text if character.isprintable())
    return printable[:_EXCERPT_CHARACTERS] or "(empty answer)"
