"""The API in-process over a real database, with a store that signs but is not there: nothing here reads an object."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sqlalchemy import event
from starlette.applications import Starlette

from graphql_api.app import create_app
from graphql_api.services import Services
from musicfp.catalog.engine import Database
from musicfp.settings import Settings
from musicfp.store.connection import StoreConnection, StoreCredentials, make_client
from musicfp.store.objects import ObjectStore

BASE_URL = "http://127.0.0.1:8000"
# Port 9 (discard) is closed on any machine: what asks the store for more than a signature fails at once.
DEAD_STORE_URL = "http://127.0.0.1:9"


class Api:
    """Requests to an application in this process, each in an event loop of its own."""

    def __init__(self, app: Starlette, services: Services) -> None:
        self.app = app
        self.services = services

    def run(self, ask: Callable[[httpx.AsyncClient], Awaitable[Any]], *, base_url: str = BASE_URL) -> Any:
        """Run `ask` with a client."""

        async def with_client() -> Any:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
                return await ask(client)

        return anyio.run(with_client)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request."""

        async def ask(client: httpx.AsyncClient) -> httpx.Response:
            return await client.request(method, path, **options)

        response: httpx.Response = self.run(ask)
        return response

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """Run one operation and return the whole answer."""
        # The standard library's encoder can also write what no well-behaved client sends, such as half characters.
        body = json.dumps({"query": query, "variables": variables})
        headers = {"Content-Type": "application/json"}
        answer: dict[str, Any] = self.request("POST", "/graphql", content=body, headers=headers).json()
        return answer

    def data(self, query: str, **variables: object) -> dict[str, Any]:
        """Run one operation that must succeed and return its data."""
        answer = self.graphql(query, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def error(self, query: str, **variables: object) -> Mapping[str, Any]:
        """Run one operation that must fail with exactly one error and return it."""
        errors = self.graphql(query, **variables)["errors"]
        assert len(errors) == 1, errors
        error: Mapping[str, Any] = errors[0]
        return error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env(
        {
            "MUSICFP_HOME": str(tmp_path),
            "MUSICFP_DAGSTER_PORT": "3999",
            "MUSICFP_S3_ENDPOINT_URL": DEAD_STORE_URL,
            "MUSICFP_MAX_UPLOAD_BYTES": str(200 << 20),
        }
    )


@pytest.fixture(scope="session")
def signing_store() -> ObjectStore:
    credentials = StoreCredentials("test-access-key", "test-secret-key")
    return ObjectStore(make_client(StoreConnection(DEAD_STORE_URL, credentials, "us-east-1")))


@pytest.fixture
def api(settings: Settings, database: Database, signing_store: ObjectStore) -> Api:
    services = Services(settings, database=database, store=signing_store)
    return Api(create_app(services=services), services)


@pytest.fixture
def counted_statements(database: Database) -> Callable[[], Any]:
    """Return a context manager that yields the list of SELECT statements sent within it."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        statements: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.lstrip().upper().startswith("SELECT"):
                statements.append(statement)

        event.listen(database.engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            event.remove(database.engine, "before_cursor_execute", note)

    return counting
