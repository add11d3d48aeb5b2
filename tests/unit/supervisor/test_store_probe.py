"""When the embedded store counts as ready, with a front that answers before there are volumes."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from musicfp.identity import PROBE_KEY
from musicfp.settings import Settings
from musicfp.supervisor import weed
from musicfp.supervisor.store_keys import ensure_keys

PROBE = PROBE_KEY.encode()


class Front(ThreadingHTTPServer):
    """Answers unsigned requests with `unsigned`, signed ones with what `signed` holds for their method."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.unsigned = 403
        self.signed: dict[str, tuple[int, bytes]] = {"PUT": (200, b""), "GET": (200, PROBE)}


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_signed = self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 ")
        status, content = self.server.signed[self.command] if is_signed else (self.server.unsigned, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@pytest.fixture
def front() -> Iterator[Front]:
    server = Front()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("unsigned", "put", "get", "ready"),
    [
        (403, (200, b""), (200, PROBE), True),
        (403, (404, b"NoSuchBucket"), (404, b"NoSuchBucket"), True),
        (200, (200, b""), (200, PROBE), False),
        (403, (500, b"InternalError"), (200, PROBE), False),
        (403, (200, b""), (500, b"InternalError"), False),
        (403, (200, b""), (200, b"other bytes"), False),
        (403, (403, b"AccessDenied"), (200, PROBE), False),
    ],
)
def test_the_store_is_ready_when_an_object_comes_back_and_strangers_are_refused(
    front: Front,
    tmp_path: Path,
    unsigned: int,
    put: tuple[int, bytes],
    get: tuple[int, bytes],
    ready: bool,
) -> None:
    """Or, as far as objects go, when it is too new to have a bucket."""
    front.unsigned, front.signed = unsigned, {"PUT": put, "GET": get}
    settings = Settings.from_env({"MUSICFP_HOME": str(tmp_path), "MUSICFP_S3_PORT": str(front.server_address[1])})
    keys = ensure_keys(settings.store_credentials_path)

    async def ask() -> bool:
        return await weed.weed_spec(settings, keys, lock_descriptor=2).is_ready(0.0)

    assert asyncio.run(ask()) is ready
