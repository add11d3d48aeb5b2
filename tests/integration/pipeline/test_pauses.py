"""When nothing is begun, and that what breaks for everybody is held against nobody. Real store, both databases."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import event, make_url
from sqlalchemy.exc import OperationalError

from musicfp.catalog import derivations
from musicfp.catalog.engine import Database
from musicfp.errors import DatabaseUnavailable, PermanentError, StoreUnavailable
from musicfp.pipeline import pauses
from musicfp.pipeline.blame import blamed_on_the_file
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.pauses import Pauses, StoreCheck, database_problem, disk_problem
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import transcode_versions
from tests.support.accepted import accept_track
from tests.support.ingesting import ingest_all, submission_of, upload_and_discover
from tests.support.songs import SongFolder

HUGE = 1 << 60


def test_nothing_is_in_the_way_of_work(stage: StageContext) -> None:
    """The usual answer, and one that is not asked for twice within seconds."""
    found = Pauses(stage.settings, stage.database)
    assert found.current() is None
    stage.database.close()
    assert found.current() is None


def test_a_store_that_does_not_answer_is_named(stage: StageContext) -> None:
    """At port 9 there is nothing."""
    dead = replace(stage.settings, s3_endpoint_url="http://127.0.0.1:9")
    pause = Pauses(dead, stage.database).current()
    assert pause is not None
    assert pause.part == "objectStore"
    assert "127.0.0.1:9" in pause.message


def test_a_store_that_only_reads_is_noticed(stage: StageContext) -> None:
    """As one does whose disk is full: written every minute, and each time while it fails."""
    check = StoreCheck(stage.settings)
    assert check.problem() is None
    client = check._client
    assert client is not None
    answers: list[ClientError | None] = []

    def answer(**_: object) -> None:
        answers.append(full if is_full else None)
        if is_full:
            raise full

    full, is_full = ClientError({"ResponseMetadata": {"HTTPStatusCode": 500}}, "PutObject"), True  # type: ignore[typeddict-item]
    client.meta.events.register("before-call.s3.PutObject", answer)
    assert check.problem() is None
    assert answers == []
    check._write_at_s = 0.0  # as a minute later
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="500"):
            check.problem()
    is_full = False
    assert [check.problem() for _ in range(2)] == [None, None]
    assert answers == [full, full, None]
    client.close()


@pytest.mark.parametrize("where", ["home", "database"])
def test_a_disk_without_room_is_named(
    stage: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """That of the home, and that of an SQLite database somewhere else."""
    assert disk_problem(stage.settings) is None
    monkeypatch.setattr(pauses, "MIN_FREE_BYTES", HUGE)
    settings = replace(stage.settings, home=tmp_path / "not" / "made yet")
    if where == "database":
        settings = replace(settings, database_url=f"sqlite:///{tmp_path}/elsewhere/c.sqlite")
    assert str(tmp_path) in (disk_problem(settings) or "")
    pause = Pauses(settings, stage.database).current()
    assert pause is not None
    assert pause.part == "disk"


def test_a_database_that_can_only_be_read_is_named(database: Database) -> None:
    """Hosted PostgreSQL is made so when its disk is full; it is fit again by itself."""
    assert database_problem(database) is None
    if database.is_sqlite:
        return  # has no such state: a full disk is the disk's check
    server = make_url(database.url).set(drivername="postgresql", database="postgres")
    name = make_url(database.url).database
    with psycopg.connect(server.render_as_string(), autocommit=True) as administration:
        for value, expected in (("on", True), ("off", False)):
            administration.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
            database.close()  # holds for new connections
            assert ("read only" in (database_problem(database) or "")) is expected


def test_a_database_that_does_not_answer_is_named() -> None:
    """Without the statement that could not be sent."""
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/none")
    assert "connection" in (database_problem(away) or "")
    assert "SELECT" not in (database_problem(away) or "")
    away.close()


@contextmanager
def _full(database: Database) -> Iterator[None]:
    """Make SQLite find its disk full, or PostgreSQL lose its connection, at each commit of a change."""

    def limit(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")

    def cut(connection: Any) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    name, listener = ("connect", limit) if database.is_sqlite else ("commit", cut)
    if database.is_sqlite:
        with closing(sqlite3.connect(make_url(database.url).database or "")) as connection:
            connection.execute("VACUUM")  # or there may be room within its pages
    database.close()
    event.listen(database.engine, name, listener)
    try:
        yield
    finally:
        event.remove(database.engine, name, listener)
        database.close()


def test_a_batch_that_the_database_does_not_take_comes_again(stage: StageContext, songs: SongFolder) -> None:
    """Nothing is counted, nothing is lost; when there is room again, all of it is decided."""
    for number in range(20):  # so that pages are full, and what comes needs new ones
        accept_track(stage.database, number)
    submission_ids = upload_and_discover(stage, songs.song(1), songs.file("t.mp3", b"text" * 99))
    with _full(stage.database), pytest.raises((OperationalError, DatabaseUnavailable)):
        list(ingest_batch(stage, submission_ids))
    for each in submission_ids:
        row = submission_of(stage, each)
        assert (row.status, row.attempts, row.next_attempt_at) == ("RECEIVED", 0, None)
    assert [each.submission.status for each in ingest_batch(stage, submission_ids)] == ["ACCEPTED", "REJECTED"]


def test_transcodes_that_the_database_does_not_take_count_no_attempt(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The track stays pending; a restart of PostgreSQL in the middle of a batch is not its fault."""
    versions = {"source_audio": transcode_versions(stage.settings)["source_audio"]}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)
    (outcome,) = ingest_all(stage, songs.song(1))
    track_id = outcome.submission.id
    real = derivations.mark_done

    def lose(session: Any, *arguments: Any) -> None:
        real(session, *arguments)
        raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    with monkeypatch.context() as patched:
        patched.setattr(derivations, "mark_done", lose)
        with pytest.raises(DatabaseUnavailable, match="server closed the connection"):
            list(transcode_batch(stage, [track_id], versions))
    with stage.database.read() as session:
        row = derivations.states(session, [track_id], list(versions))[(track_id, "source_audio")]
    assert (row.status, row.attempts) == ("PENDING", 0)
    assert [each.failure for each in transcode_batch(stage, [track_id], versions)] == [None]


def test_only_what_befalls_everybody_ends_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A track's own failure is the track's, unless the disk is full: then nobody knows."""
    with pytest.raises(StoreUnavailable):
        blamed_on_the_file(StoreUnavailable("away"), tmp_path)
    assert str(blamed_on_the_file(PermanentError("damaged"), tmp_path)) == "damaged"
    unforeseen = blamed_on_the_file(KeyError("key"), tmp_path)
    assert (unforeseen.code, str(unforeseen)) == ("unexpected", "KeyError: 'key'")
    monkeypatch.setattr("musicfp.pipeline.blame._NEARLY_FULL_BYTES", HUGE)
    with pytest.raises(StoreUnavailable, match="make room"):
        blamed_on_the_file(PermanentError("ffmpeg died"), tmp_path)
