"""Fixtures that any test may use. Servers start once per session, on free loopback ports, and stop at its end."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.pipeline.context import StageContext
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets
from musicfp.store.objects import ObjectStore, open_store
from tests.support.notifying import TestQueue, aws_environment, make_queue, running_notifying_store
from tests.support.postgres import fresh_database, running_postgres
from tests.support.songs import SongFolder
from tests.support.store import environment_with_own_buckets, remove_buckets, running_store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url_prefix() -> Iterator[str]:
    """A running PostgreSQL server."""
    with running_postgres() as url_prefix:
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


@pytest.fixture(scope="session")
def store_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running object store without buckets."""
    with running_store(tmp_path_factory.mktemp("store")) as settings:
        yield settings


@pytest.fixture(scope="session")
def notifying_store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running S3 that sends notifications to an SQS at the same address."""
    with running_notifying_store(tmp_path_factory.mktemp("notifying") / "server.log") as url:
        yield url


@pytest.fixture
def test_queue(notifying_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestQueue]:
    """A queue of this test's own; AWS's variables lead to its server."""
    for name, value in aws_environment(notifying_store_url).items():
        monkeypatch.setenv(name, value)
    made = make_queue(notifying_store_url)
    yield made
    made.client.close()


@pytest.fixture
def notified_environment(notifying_store_url: str, test_queue: TestQueue, tmp_path: Path) -> dict[str, str]:
    """What `own_environment` is, with the store that sends notifications; tests put it in that one's place."""
    name, home = f"n{next(_numbers)}", tmp_path / "home"
    return {
        "MUSICFP_HOME": str(home),
        "MUSICFP_S3_ENDPOINT_URL": notifying_store_url,
        "MUSICFP_SQS_QUEUE_URL": test_queue.url,
        "MUSICFP_DATABASE_URL": f"sqlite:///{home / 'catalogue.sqlite'}",
        "MUSICFP_SUBMISSION_BUCKET": f"{name}-in",
        "MUSICFP_SOURCE_BUCKET": f"{name}-kept",
        "MUSICFP_TRANSCODE_BUCKET": f"{name}-kept",
        "MUSICFP_WORKERS": "2",
    }


@pytest.fixture
def own_environment(store_settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The environment of a musicfp of this test's own: buckets with fresh names, an empty home, no database yet."""
    home = tmp_path / "home"
    return environment_with_own_buckets(
        store_settings, f"t{next(_numbers)}", home=home, database_url=f"sqlite:///{home / 'catalogue.sqlite'}"
    )


@pytest.fixture
def own_settings(own_environment: dict[str, str]) -> Settings:
    """Settings of a musicfp of this test's own, read from `own_environment`."""
    return Settings.from_env(own_environment)


@pytest.fixture
def object_store(own_settings: Settings) -> Iterator[ObjectStore]:
    """A client of the running store; the buckets of `own_settings` are there."""
    prepare_buckets(own_settings)
    store = open_store(own_settings)
    yield store
    remove_buckets(store, own_settings)
    store.client.close()


@pytest.fixture
def stage(own_settings: Settings, database: Database, object_store: ObjectStore) -> StageContext:
    """What a stage of the pipeline works with: runs on SQLite and on PostgreSQL, with the real store."""
    return StageContext(
        settings=replace(own_settings, database_url=database.url),
        database=database,
        store=object_store,
        provenance=Provenance("run-of-the-test"),
    )


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> SongFolder:
    """Synthesised songs, made when they are asked for."""
    return SongFolder(tmp_path_factory.mktemp("songs"))
