"""The error envelope, masking, limits on documents and bodies, transport rules, and who may connect."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from graphql import get_introspection_query

from graphql_api.app import create_app
from graphql_api.loaders import Loaders
from graphql_api.schema import schema
from tests.graphql.conftest import Api


def test_a_bug_is_masked_and_found_in_the_log_by_its_id(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("musicfp.catalog.pages.tracks_page", broken)
    error = api.error("{ tracks { totalCount } }")
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret detail" not in json.dumps(error)
    assert error["path"] == ["tracks"]
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert error["extensions"]["correlationId"] in record.getMessage()
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ tracks(first: 0) { totalCount } }", "INVALID_ARGUMENT"),
        ("{ nothing }", "INVALID_OPERATION"),
        ("{ tracks(", "SYNTAX_ERROR"),
        ("{ tracks(first: 3000000000) { totalCount } }", "INVALID_OPERATION"),
        ("{" * 1400, "SYNTAX_ERROR"),
        ("{a" * 600 + "}" * 600, "SYNTAX_ERROR"),
        ("{ " + "tracks { edges { node { related { track " * 3 + "{ id }" + " } } } }" * 3 + "}", "INVALID_OPERATION"),
        ("{ " + " ".join(f"a{n}: tracks {{ totalCount }}" for n in range(21)) + " }", "INVALID_OPERATION"),
        ("{ " + "__typename " * 2000 + "}", "SYNTAX_ERROR"),
    ],
)
def test_a_clients_mistake_has_a_code_and_is_one_warning_line(
    api: Api, caplog: pytest.LogCaptureFixture, query: str, code: str
) -> None:
    errors = api.graphql(query)["errors"]
    assert {error["extensions"]["code"] for error in errors} == {code}
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert lines[0].levelno == logging.WARNING
    assert len(lines[0].getMessage()) < 400


def test_a_document_nested_beyond_the_parser_is_the_clients_mistake(api: Api) -> None:
    error = api.error("{ tracks(filter: " + "[" * 700 + "]" * 700 + ") { totalCount } }")
    assert error["extensions"]["code"] == "SYNTAX_ERROR"
    assert "nested too deeply" in error["message"]


def test_depth_hidden_in_fragments_is_counted(api: Api) -> None:
    query = """query { tracks { edges { node { ...A } } } }
      fragment A on Track { related { track { ...B } } }
      fragment B on Track { related { track { related { track { related { track { id } } } } } } }"""
    assert "depth" in api.error(query)["message"]


def test_an_ide_can_ask_for_the_whole_schema(api: Api) -> None:
    assert api.data(get_introspection_query())["__schema"]["queryType"]["name"] == "Query"


def test_extensions_are_made_anew_for_each_request() -> None:
    first, second = schema.get_extensions(), schema.get_extensions()
    assert [type(each) for each in first] == [type(each) for each in second]
    assert not {id(each) for each in first} & {id(each) for each in second}


def test_every_request_has_loaders_of_its_own(api: Api) -> None:
    assert Loaders(api.services).track is not Loaders(api.services).track


MUTATION = 'mutation { retrySubmission(id: "x") { __typename } }'


@pytest.mark.parametrize(
    ("method", "options", "status"),
    [
        ("GET", {"params": {"query": MUTATION}}, 400),
        ("GET", {"params": {"query": "{ __typename }"}}, 200),
        ("GET", {}, 400),
        ("POST", {"content": MUTATION, "headers": {"Content-Type": "text/plain"}}, 400),
        ("POST", {"data": {"query": MUTATION}}, 400),
        ("POST", {"files": {"operations": (None, json.dumps({"query": MUTATION})), "map": (None, "{}")}}, 400),
        ("POST", {"json": [{"query": "{ __typename }"}]}, 400),
        ("POST", {"json": {"query": 5}}, 400),
        ("POST", {"json": "x"}, 400),
        ("POST", {"json": {}}, 400),
        ("POST", {"json": {"query": "{ __typename }", "variables": [1]}}, 400),
        ("POST", {"content": b"\xff\xfe", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400),
        ("PUT", {"json": {"query": "{ __typename }"}}, 405),
        ("POST", {"content": b"x" * ((2 << 20) + 1), "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
def test_transport_rules(api: Api, method: str, options: dict[str, Any], status: int) -> None:
    answer = api.request(method, "/graphql", **options)
    assert answer.status_code == status, answer.text
    if status >= 400:
        body = answer.json()
        assert body.get("code") or body["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize("path", ["/graphql", "/upload", "/identify"])
def test_a_body_without_a_declared_length_is_cut_off_at_the_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("graphql_api.app.BODY_LIMITS", {path: 100_000})
    api.app = create_app(services=api.services)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 10_000
            yield b"x" * 10_000

    answer = api.request("POST", path, content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "BODY_TOO_LARGE"


@pytest.mark.parametrize("path", ["/graphql", "/upload"])
def test_a_body_that_trickles_in_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr("graphql_api.limits.BODY_TIMEOUT_S", 0.1)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    answer = api.request("POST", path, content=trickle(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 408
    assert "did not arrive" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/graphql", b'{"query": "{ __typename }", "variables": {"a": 1' + b"0" * 5000 + b"}}"),
        ("/graphql", b'{"query": "{ __typename }", "operationName": ["x"]}'),
        ("/graphql", b'{"query": "\\ud800"}'),
        ("/graphql", b'{"query": "{ tracks(first: 1' + b"0" * 5000 + b') { totalCount } }"}'),
        ("/graphql", b'\xef\xbb\xbf{"query": "{ __typename }"}'),
        ("/upload", b'{"filename": "\\ud800\\u0000.mp3", "sizeBytes": -1}'),
        ("/upload", b'{"filename": "x.mp3", "sizeBytes": 1' + b"0" * 5000 + b"}"),
        ("/upload", b'{"filename": "x.mp3", "sizeBytes": 1e999}'),
        ("/upload", b'{"filename": "x.mp3", "sizeBytes": NaN}'),
        ("/upload", b"\xff\xfe\x00"),
        ("/upload", b"[" * 16_000),
    ],
)
def test_odd_json_is_never_our_fault(api: Api, path: str, content: bytes) -> None:
    answer = api.request("POST", path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400, 422}, answer.text
    assert "correlationId" not in answer.text


@pytest.mark.parametrize(
    ("base_url", "status"),
    [
        ("http://127.0.0.1:8000", 200),
        ("http://[::1]:8000", 200),
        ("http://192.168.1.5:8000", 403),
        ("http://evil.example:8000", 403),
    ],
)
def test_only_this_machine_is_served(api: Api, base_url: str, status: int) -> None:
    async def ask(client: httpx.AsyncClient) -> int:
        return (await client.get("/healthz")).status_code

    assert api.run(ask, base_url=base_url) == status


def test_a_foreign_name_that_points_here_is_refused(api: Api) -> None:
    answer = api.request("GET", "/healthz", headers={"Host": "evil.example:8000"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "LOOPBACK_ONLY"
    assert api.request("GET", "/healthz", headers={"Host": "localhost:8000"}).status_code == 200


def test_a_client_on_another_machine_is_refused(api: Api) -> None:
    async def ask(_client: httpx.AsyncClient) -> int:
        transport = httpx.ASGITransport(api.app, client=("10.0.0.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as other:
            return (await other.get("/healthz")).status_code

    assert api.run(ask) == 403


def test_no_other_origin_is_let_in(api: Api) -> None:
    answer = api.request(
        "OPTIONS", "/graphql", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in answer.headers
