"""The three kinds of transaction, on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import ProblemRow, SubmissionRow
from tests.support.seeds import seed_id, seed_submission

THREADS = 8
WAIT_S = 60


def test_now_is_in_utc() -> None:
    """The time that everything is stored with has its zone."""
    assert str(utc_now().tzinfo) == "UTC"


def test_a_write_is_kept_whole_or_not_at_all(database: Database) -> None:
    """What was added before an exception is gone after it."""
    with pytest.raises(RuntimeError), database.write() as session:  # noqa: PT012 - the whole block is undone
        session.add(SubmissionRow(id=seed_id(1), status="RECEIVED", filename="a", object_key="a", created_at=utc_now()))
        session.flush()
        raise RuntimeError
    with database.read() as session:
        assert session.get(SubmissionRow, seed_id(1)) is None


def test_references_to_what_does_not_exist_are_refused(database: Database) -> None:
    """Foreign keys are enforced by SQLite too, where they are off by default."""
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(ProblemRow(submission_id=seed_id(404), position=0, code="x", message="x"))


def test_parts_disappear_with_the_submission(database: Database) -> None:
    """Deleting a submission deletes its problems."""
    seed_submission(database, 1, "REJECTED")
    with database.write() as session:
        session.add(ProblemRow(submission_id=seed_id(1), position=7, code="x", message="x"))
    with database.write() as session:
        session.connection().execute(text("DELETE FROM submission"))
    with database.read() as session:
        assert session.exec(select(ProblemRow)).all() == []


def test_unknown_statuses_are_refused_by_the_database(database: Database) -> None:
    """A misspelt status cannot be stored."""
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(SubmissionRow(id=seed_id(1), status="DONE", filename="a", object_key="a", created_at=utc_now()))


def _insert_if_absent(database: Database, number: int, started: threading.Barrier) -> bool:
    started.wait(timeout=WAIT_S)
    with database.exclusive() as session:
        if session.exec(select(SubmissionRow)).first() is not None:
            return False
        session.add(
            SubmissionRow(
                id=seed_id(number), status="RECEIVED", filename="a", object_key=f"{number}", created_at=utc_now()
            )
        )
        return True


def test_search_and_insert_by_many_lets_exactly_one_in(database: Database) -> None:
    """Eight threads look for a recording at once and insert it if they find none: one insertion."""
    others = [Database(database.url) for _ in range(2)]  # as other processes would
    engines = [database, *others]
    started = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as executor:
        inserted = list(
            executor.map(lambda n: _insert_if_absent(engines[n % 3], n, started), range(THREADS), timeout=WAIT_S)
        )
    for each in others:
        each.close()
    with database.read() as session:
        assert len(session.exec(select(SubmissionRow)).all()) == 1
    assert inserted.count(True) == 1


def test_an_exclusive_block_waits_until_the_one_before_is_over(database: Database) -> None:
    """The second block begins only after the first has committed."""
    inside, order = threading.Event(), []

    def second() -> None:
        assert inside.wait(WAIT_S)
        with database.exclusive():
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with database.exclusive():
        inside.set()
        thread.join(timeout=0.3)  # time enough for it to come in, were it let
        assert thread.is_alive()
        order.append("first")
    thread.join(WAIT_S)
    assert order == ["first", "second"]


def test_readers_are_not_held_up_by_a_writer(database: Database) -> None:
    """A query answers while another transaction writes, with what was committed before."""
    with database.exclusive() as writing:
        writing.add(SubmissionRow(id=seed_id(1), status="RECEIVED", filename="a", object_key="a", created_at=utc_now()))
        writing.flush()
        with database.read() as reading:
            assert reading.exec(select(SubmissionRow)).all() == []


def test_sqlite_survives_a_power_cut_by_its_settings(tmp_path: Path) -> None:
    """WAL with a sync at every commit, and patience with other writers."""
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'er' / 'catalogue.sqlite'}")
    with database.read() as session:
        read = session.connection().exec_driver_sql
        assert read("PRAGMA journal_mode").scalar_one() == "wal"
        assert read("PRAGMA synchronous").scalar_one() == 2
        assert read("PRAGMA busy_timeout").scalar_one() >= 30_000
    database.close()


def test_what_is_in_use_when_the_database_is_closed_is_closed_when_it_is_given_back(database: Database) -> None:
    """A thread may be in the midst of a query; nobody would close its connection afterwards."""
    opened: list[object] = []
    event.listen(database.engine, "close", lambda connection, _record: opened.remove(connection))
    event.listen(database.engine, "checkout", lambda connection, _record, _proxy: opened.append(connection))
    with database.read() as session:
        session.connection().exec_driver_sql("SELECT 1")
        database.close()
        assert len(opened) == 1
        assert session.connection().exec_driver_sql("SELECT 1").scalar_one() == 1
    assert opened == []
