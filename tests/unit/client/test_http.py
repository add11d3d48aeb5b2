"""What the client makes of refusals and failures."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from musicfp.client import documents
from musicfp.client.api import get_track, identify_file, open_api, request_upload
from musicfp.client.http import CHUNK_BYTES, Service, read_chunks
from musicfp.errors import InvalidRequest, MusicfpError, NotFound, RequestFailed, ServiceUnreachable


def answering(status: int, text: str) -> Service:
    return open_api(
        "http://api.test", transport=httpx.MockTransport(lambda _request: httpx.Response(status, text=text))
    )


@pytest.mark.parametrize(
    ("status", "text", "error", "says"),
    [
        (500, "Traceback", ServiceUnreachable, "failed with status 500: Traceback"),
        (503, "", ServiceUnreachable, "musicfp up"),
        (200, "<html>router</html>", RequestFailed, "not JSON: <html>router</html>.*right address"),
        (200, "[1]", RequestFailed, "not JSON"),
        (200, "{}", RequestFailed, "without data"),
        (200, '{"errors": [{"message": "Unknown field x"}]}', RequestFailed, "Unknown field x"),
        (400, '{"errors": [{"message": "Too deep"}]}', RequestFailed, "Too deep"),
        (
            403,
            '{"code": "LOOPBACK_ONLY", "message": "This machine only."}',
            RequestFailed,
            r"\(403\): This machine only.",
        ),
        (404, "Not Found", RequestFailed, r"\(404\): Not Found"),
        (200, '{"errors": [{"message": "\\u001b[2J"}], "data": null}', RequestFailed, "refused"),
    ],
)
def test_each_bad_answer_becomes_an_error_that_says_what_came(
    status: int, text: str, error: type[MusicfpError], says: str
) -> None:
    with answering(status, text) as api, pytest.raises(error, match=says):
        api.graphql(documents.FEATURE_DEFINITIONS)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
def test_each_failure_to_connect_says_where_and_how_to_start_it(failure: httpx.HTTPError) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise failure

    with (
        open_api("http://api.test/", transport=httpx.MockTransport(fail)) as api,
        pytest.raises(ServiceUnreachable, match=r"http://api\.test .*musicfp up"),
    ):
        api.graphql("query Q { x }")


def test_a_track_that_is_not_there_is_named() -> None:
    with answering(200, '{"data": {"track": null}}') as api, pytest.raises(NotFound, match="01k0"):
        get_track(api, "01k0")


def test_a_file_larger_than_the_api_can_say_is_refused_before_asking() -> None:
    with answering(500, "") as api, pytest.raises(InvalidRequest, match="2 GiB"):
        request_upload(api, filename="day.wav", size_bytes=2**31)


def test_identify_refuses_an_answer_without_matches(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"x")
    with answering(200, '{"hello": 1}') as api, pytest.raises(RequestFailed, match="right address"):
        identify_file(api, tmp_path / "a.mp3", limit=3)


@pytest.mark.parametrize(("start", "size"), [(0, None), (0, 10), (CHUNK_BYTES - 3, 7), (CHUNK_BYTES + 5, None)])
def test_stretches_of_a_file_are_read_whole(tmp_path: Path, start: int, size: int | None) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 128)
    path = tmp_path / "data"
    path.write_bytes(data)
    chunks = list(read_chunks(path, start=start, size_bytes=size))
    assert b"".join(chunks) == data[start : None if size is None else start + size]
    assert max(map(len, chunks)) <= CHUNK_BYTES


def test_the_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    used: list[Callable[..., object]] = []
    with Service("http://127.0.0.1:9", name="It", hint="") as service:
        used = [transport for transport in service._http._mounts.values() if transport]
    assert not used
