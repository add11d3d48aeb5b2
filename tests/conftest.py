"""Fixtures that any test may use. Servers start once per session, on free loopback ports, and are stopped at its end."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from tests.support.postgres import fresh_database, running_postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url_prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running PostgreSQL server."""
    with running_postgres(tmp_path_factory.mktemp("postgres") / "server") as url_prefix:
        yield url_prefix


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: each test that uses it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
        return
    url_prefix: str = request.getfixturevalue("postgres_url_prefix")
    with fresh_database(url_prefix, f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database at the newest schema."""
    opened = Database(database_url)
    migrate.upgrade(opened)
    yield opened
    opened.close()
