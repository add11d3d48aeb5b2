"""A small HTTP service with the API's answers and an object store's, for tests of its clients.

It is a real server on a real socket. Requests are validated against the real schema, so that a client that asks for
what the API does not have fails here too. Uploaded bytes are counted and hashed; `keep_bytes` keeps them as well.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from graphql import get_operation_ast, parse, validate

from graphql_api.schema import schema
from musicfp.identity import new_id

Json = dict[str, Any]
MATCHED_TRACK = {"id": "01k00000000000000000000000", "title": "Blue Kettle", "artist": "Hattie"}


def match(relation: str = "SAME_RECORDING", **changes: Any) -> Json:
    """Return a `Match` as the API sends it."""
    found = {"track": MATCHED_TRACK, "score": 0.91, "bitErrorRate": 0.02, "offsetSeconds": 2.5, "overlapSeconds": 61.25}
    return {**found, "relation": relation, **changes}


@dataclass
class Stored:
    """What was uploaded for one submission."""

    size_bytes: int = 0
    sha256: str = ""
    content_type: str | None = None
    data: bytes = b""


@dataclass
class FakeService:
    """State and knobs of the service; `url` is where it listens."""

    url: str = ""
    submissions: dict[str, Json] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)
    parts: dict[tuple[str, int], int] = field(default_factory=dict)
    completed: dict[str, list[Json]] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    identified: list[bytes] = field(default_factory=list)
    # Answers of the store to the next uploads, instead of storing: (status, body).
    put_failures: list[tuple[int, str]] = field(default_factory=list)
    api_failures: list[int] = field(default_factory=list)
    refused_names: dict[str, str] = field(default_factory=dict)
    part_bytes: int | None = None
    expires_in_s: float = 3600.0
    keep_bytes: bool = False
    decide: Callable[[Json, Stored], Json] = lambda _submission, _stored: {"status": "ACCEPTED", "track": MATCHED_TRACK}
    matches: list[Json] = field(default_factory=list)
    identify: Callable[[bytes], list[Json]] | None = None
    answers: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def graphql(self, body: Json) -> Json:
        """Validate and answer one operation."""
        document = parse(body["query"])
        errors = validate(schema._schema, document)
        if errors:
            return {"errors": [{"message": error.message} for error in errors]}
        operation = get_operation_ast(document)
        name = operation.name.value if operation and operation.name else ""
        self.asked.append(name)
        variables = body["variables"]
        answers = {
            "RequestUpload": self._request_upload,
            "CompleteUpload": self._complete_upload,
            "OneSubmission": self._submission,
            "Nothing": lambda _variables: {"__typename": "Query"},
        }
        return {"data": answers[name](variables) if name in answers else self.answers[name]}

    def _request_upload(self, variables: Json) -> Json:
        name = variables["filename"]
        if name in self.refused_names:
            refusal = {
                "__typename": "InvalidRequest",
                "code": "empty",
                "message": self.refused_names[name],
                "field": None,
            }
            return {"requestUpload": refusal}
        submission_id = new_id()
        with self.lock:
            self.submissions[submission_id] = {
                "id": submission_id, "status": "AWAITING_UPLOAD", "filename": name, "receivedAt": None, "problems": [],
                "submitter": variables["submitter"], "track": None, "duplicateOf": None,
            }  # fmt: skip
        expires_at = datetime.now(UTC) + timedelta(seconds=self.expires_in_s)
        size, parts = variables["sizeBytes"], None
        if self.part_bytes is not None:
            starts = range(0, size, self.part_bytes)
            parts = [
                {
                    "partNumber": number,
                    "url": f"{self.url}/store/{submission_id}/{number}",
                    "sizeBytes": min(self.part_bytes, size - start),
                }
                for number, start in enumerate(starts, start=1)
            ]
        ticket = {
            "__typename": "UploadTicket", "submissionId": submission_id, "url": f"{self.url}/store/{submission_id}",
            "method": "PUT", "headers": [{"name": "Content-Type", "value": "audio/flac"}],
            "expiresAt": expires_at.isoformat(), "parts": parts,
        }  # fmt: skip
        return {"requestUpload": ticket}

    def _complete_upload(self, variables: Json) -> Json:
        submission_id = variables["submissionId"]
        self.completed[submission_id] = variables["parts"]
        self.stored[submission_id] = Stored(
            sum(size for (owner, _), size in self.parts.items() if owner == submission_id)
        )
        self.submissions[submission_id]["status"] = "RECEIVED"
        return {"completeUpload": {"__typename": "Submission"}}

    def _submission(self, variables: Json) -> Json:
        found = self.submissions.get(variables["id"])
        if found and found["status"] == "RECEIVED":
            found.update(self.decide(found, self.stored[found["id"]]))
        return {"submission": found}

    def put(self, path: str, stored: Stored) -> tuple[int, str]:
        """Store what came, or fail as told; return status and body."""
        with self.lock:
            self.puts.append(path)
            if self.put_failures:
                return self.put_failures.pop(0)
            submission_id, _, part = path.removeprefix("/store/").partition("/")
            if part:
                self.parts[submission_id, int(part)] = stored.size_bytes
            else:
                self.stored[submission_id] = stored
                self.submissions[submission_id]["status"] = "RECEIVED"
            return 200, ""


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A running fake; a conftest that imports this gives it to its tests."""
    fake = FakeService()
    server = start(fake)
    yield fake
    server.shutdown()
    server.server_close()


def start(service: FakeService) -> ThreadingHTTPServer:
    """Serve until `shutdown()` and `server_close()` of the returned server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if service.api_failures:
                self._answer(service.api_failures.pop(0), "broken")
            elif urlsplit(self.path).path == "/identify":
                service.identified.append(body)
                matches = service.identify(body) if service.identify else service.matches
                self._answer(200, json.dumps({"matches": matches, "candidatesExamined": 3, "tookMs": 1.5}))
            else:
                self._answer(200, json.dumps(service.graphql(json.loads(body))))

        def do_PUT(self) -> None:
            stored, digest = Stored(content_type=self.headers["Content-Type"]), hashlib.sha256()
            left = int(self.headers["Content-Length"])
            while left and (chunk := self.rfile.read(min(left, 1 << 16))):
                left -= len(chunk)
                digest.update(chunk)
                stored.size_bytes += len(chunk)
                if service.keep_bytes:
                    stored.data += chunk
            stored.sha256 = digest.hexdigest()
            self._answer(*service.put(self.path, stored))

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.send_header("ETag", f'"{self.path[-1]}"')
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server
