"""Our own column types, on SQLite and on PostgreSQL."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.exc import StatementError
from sqlmodel import col, select

from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import SubmissionRow
from tests.support.seeds import seed_id


def _with_time(created_at: datetime) -> SubmissionRow:
    return SubmissionRow(id=seed_id(1), status="RECEIVED", filename="a.mp3", object_key="a.mp3", created_at=created_at)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    """It would silently mean another moment on another machine."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    with pytest.raises(StatementError, match="no time zone"), database.write() as session:
        session.add(_with_time(naive))


def test_a_time_in_another_zone_comes_back_as_the_same_moment_in_utc(database: Database) -> None:
    """What was given in India's time is stored and returned in UTC."""
    given = datetime(2026, 1, 1, 3, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with database.write() as session:
        session.add(_with_time(given))
    with database.read() as session:
        row = session.get_one(SubmissionRow, seed_id(1))
        stored = session.connection().execute(text("SELECT CAST(created_at AS VARCHAR) FROM submission")).scalar_one()
    assert row.created_at == given
    assert row.created_at.utcoffset() == timedelta(0)
    assert row.received_at is None
    if database.is_sqlite:
        assert stored == "2025-12-31 21:30:00.123456"


def test_times_compare_with_the_present_inside_the_database(database: Database) -> None:
    """A comparison with `utc_now()` is right to the second, whatever the zone of the machine."""
    with database.write() as session:
        session.add(_with_time(datetime.now(UTC) - timedelta(seconds=2)))
    with database.read() as session:
        column = col(SubmissionRow.created_at)
        assert len(session.exec(select(SubmissionRow).where(column < utc_now())).all()) == 1
        assert session.exec(select(SubmissionRow).where(column > utc_now())).all() == []
