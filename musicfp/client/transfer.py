"""Sending the bytes of one file to the signed addresses of its ticket.

What belongs here: PUT requests, parts, retries of what may pass. What does not: asking for tickets and remembering
them (`submit`).
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from musicfp.client.api import Ticket
from musicfp.client.http import read_chunks
from musicfp.errors import PermanentError, RequestFailed, RetryableError, ServiceUnreachable

_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.5
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)


class TicketExpired(RetryableError):
    """The signed address is not valid any more; a new ticket is needed."""

    code = "ticket_expired"


class Stopped(PermanentError):
    """The upload was given up because the whole submission was."""

    code = "stopped"


@dataclass(frozen=True)
class Sender:
    """What all uploads of one submission share.

    `sent` is told of every number of bytes that went out, and of negative ones when a try failed; setting `stop` ends
    all uploads at the next chunk.
    """

    http: httpx.Client
    sent: Callable[[int], None]
    stop: threading.Event


def open_store_connection(*, max_parallel: int, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Return a client for signed addresses."""
    return httpx.Client(timeout=_TIMEOUT, transport=transport, limits=httpx.Limits(max_connections=max_parallel))


def send_file(sender: Sender, ticket: Ticket, path: Path, *, size_bytes: int) -> None:
    """PUT a whole file. Raises TicketExpired, ServiceUnreachable, RequestFailed, Stopped."""
    _put_with_retries(sender, ticket, ticket.url, path, start=0, size_bytes=size_bytes)


def send_parts(
    sender: Sender, ticket: Ticket, path: Path, *, done: Mapping[int, str], keep: Callable[[int, str], None]
) -> list[tuple[int, str]]:
    """PUT the parts that are not `done`, tell `keep` of each, and return number and ETag of all."""
    etags = dict(done)
    start = 0
    for part in sorted(ticket.parts, key=lambda part: part.part_number):
        if part.part_number in etags:
            sender.sent(part.size_bytes)
        else:
            response = _put_with_retries(sender, ticket, part.url, path, start=start, size_bytes=part.size_bytes)
            etag = response.headers.get("ETag")
            if not etag:
                raise RequestFailed(f"The object store took part {part.part_number} of {path.name} without an ETag.")
            etags[part.part_number] = etag
            keep(part.part_number, etag)
        start += part.size_bytes
    return sorted(etags.items())


def _put_with_retries(
    sender: Sender, ticket: Ticket, url: str, path: Path, *, start: int, size_bytes: int
) -> httpx.Response:
    problem = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            sender.stop.wait(_FIRST_PAUSE_S * 2 ** (attempt - 1))
        if datetime.now(UTC) >= ticket.expires_at:
            raise TicketExpired(f"The time for uploading {path.name} is over.")
        counter = _Counter(sender)
        content = counter.count(read_chunks(path, start=start, size_bytes=size_bytes))
        try:
            response = _put(sender, ticket, url, content, size_bytes=size_bytes)
        except httpx.LocalProtocolError as error:
            raise RequestFailed(f"{path.name} became shorter during the upload. Submit it when it rests.") from error
        except httpx.TransportError as error:
            problem = f"could not be reached ({error})"
        else:
            if response.is_success or response.status_code == httpx.codes.PRECONDITION_FAILED:
                return response
            problem = _judge(response, path)
        counter.take_back()
    raise ServiceUnreachable(
        f"The object store {httpx.URL(url).netloc.decode()} {problem}, tried {_ATTEMPTS} times for {path.name}. "
        "Run the same command again when it does: what is uploaded stays uploaded."
    )


def _put(sender: Sender, ticket: Ticket, url: str, content: Iterator[bytes], *, size_bytes: int) -> httpx.Response:
    # The ticket's headers belong to the whole object; parts are plain bytes.
    headers = {} if ticket.parts else dict(ticket.headers)
    return sender.http.request(
        ticket.method, url, content=content, headers={**headers, "Content-Length": str(size_bytes)}
    )


def _judge(response: httpx.Response, path: Path) -> str:
    """Return what to say about an answer that may pass; raise for those that will not."""
    said = " ".join(response.text.split())[:300]
    if response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return f"answered with status {response.status_code}"
    if "expired" in said.lower() or "NoSuchUpload" in said:
        raise TicketExpired(f"The time for uploading {path.name} is over.")
    raise RequestFailed(f"The object store refused {path.name} with status {response.status_code}: {said}")


class _Counter:
    """Counts what one try has sent, to take it back from the progress when the try fails."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._n_bytes = 0

    def count(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._sender.stop.is_set():
                raise Stopped("The submission was stopped.")
            yield chunk
            self._n_bytes += len(chunk)
            self._sender.sent(len(chunk))

    def take_back(self) -> None:
        self._sender.sent(-self._n_bytes)
