"""Pages of submissions and tracks by keyset, the filters on them and their total counts.

What belongs here: which rows a page holds and in what order. What does not: what hangs on a row (`relations`) and the
opaque text of a cursor, which is the API's.

A page is found by the key of the row before it, never by an offset: rows that are inserted or deleted meanwhile make
no other row appear twice or get lost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from musicfp.catalog.tables import FeatureRow, SubmissionRow, TrackRow, TrackTagRow

Row = TypeVar("Row")
_Contains = Callable[[Any, str], ColumnElement[bool]]


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows in order, and whether more follow the last one."""

    rows: tuple[Row, ...]
    has_next: bool


@dataclass(frozen=True)
class TagCondition:
    """A track must carry this tag; with a value, the tag's text must contain it, whatever the case."""

    name: str
    value: str | None = None


@dataclass(frozen=True)
class FeatureCondition:
    """A track must have a value of this feature, within the bounds (inclusive) and with exactly this text, if given."""

    name: str
    min_value: float | None = None
    max_value: float | None = None
    text: str | None = None


@dataclass(frozen=True)
class TrackConditions:
    """What tracks must fulfil, all of it. Texts are looked for inside the column, whatever the case."""

    title: str | None = None
    artist: str | None = None
    album: str | None = None
    text: str | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    tags: Sequence[TagCondition] = ()
    features: Sequence[FeatureCondition] = ()


EVERY_TRACK = TrackConditions()


def submissions_page(
    session: Session, *, after_id: str | None, limit: int, status: str | None = None
) -> Page[SubmissionRow]:
    """Return submissions, newest first, that come after the one with `after_id`."""
    query = _with_status(select(SubmissionRow), status)
    if after_id is not None:
        query = query.where(col(SubmissionRow.id) < after_id)
    return _page(session, query.order_by(col(SubmissionRow.id).desc()), limit=limit)


def count_submissions(session: Session, *, status: str | None = None) -> int:
    """Return how many submissions there are in all pages together."""
    return session.exec(_with_status(select(func.count()).select_from(SubmissionRow), status)).one()


def count_submissions_by_status(session: Session) -> dict[str, int]:
    """Return how many submissions have each status; statuses without any are left out."""
    return dict(session.exec(select(SubmissionRow.status, func.count()).group_by(col(SubmissionRow.status))).all())


def tracks_page(
    session: Session, *, after_ordinal: int | None, limit: int, conditions: TrackConditions = EVERY_TRACK
) -> Page[TrackRow]:
    """Return tracks in the order of their acceptance that come after the one with `after_ordinal`."""
    query = select(TrackRow).where(*_clauses(session, conditions))
    if after_ordinal is not None:
        query = query.where(col(TrackRow.ordinal) > after_ordinal)
    return _page(session, query.order_by(col(TrackRow.ordinal)), limit=limit)


def count_tracks(session: Session, *, conditions: TrackConditions = EVERY_TRACK) -> int:
    """Return how many tracks there are in all pages together."""
    return session.exec(select(func.count()).select_from(TrackRow).where(*_clauses(session, conditions))).one()


def _page(session: Session, query: SelectOfScalar[Row], *, limit: int) -> Page[Row]:
    # One row more than asked for tells whether there is a next page, without counting.
    rows = session.exec(query.limit(limit + 1)).all()
    return Page(rows=tuple(rows[:limit]), has_next=len(rows) > limit)


def _with_status(query: SelectOfScalar[Row], status: str | None) -> SelectOfScalar[Row]:
    return query if status is None else query.where(col(SubmissionRow.status) == status)


def _clauses(session: Session, conditions: TrackConditions) -> list[ColumnElement[bool]]:
    contains = _text_search(session)
    columns = (
        (TrackRow.title, conditions.title),
        (TrackRow.artist, conditions.artist),
        (TrackRow.album, conditions.album),
    )
    clauses = [contains(col(column), sought) for column, sought in columns if sought]
    if conditions.text:
        clauses.append(_anywhere(contains, conditions.text))
    if conditions.min_duration_s is not None:
        clauses.append(col(TrackRow.duration_s) >= conditions.min_duration_s)
    if conditions.max_duration_s is not None:
        clauses.append(col(TrackRow.duration_s) <= conditions.max_duration_s)
    clauses += [_has_tag(contains, each) for each in conditions.tags]
    clauses += [_has_feature(each) for each in conditions.features]
    return clauses


def _anywhere(contains: _Contains, sought: str) -> ColumnElement[bool]:
    tagged = select(TrackTagRow.track_id).where(
        col(TrackTagRow.track_id) == col(TrackRow.id), contains(TrackTagRow.value, sought)
    )
    return or_(
        contains(TrackRow.title, sought),
        contains(TrackRow.artist, sought),
        contains(TrackRow.album, sought),
        tagged.exists(),
    )


def _has_tag(contains: _Contains, condition: TagCondition) -> ColumnElement[bool]:
    query = select(TrackTagRow.track_id).where(
        col(TrackTagRow.track_id) == col(TrackRow.id), func.lower(TrackTagRow.name) == condition.name.lower()
    )
    return (query if condition.value is None else query.where(contains(TrackTagRow.value, condition.value))).exists()


def _has_feature(condition: FeatureCondition) -> ColumnElement[bool]:
    query = select(FeatureRow.track_id).where(
        col(FeatureRow.track_id) == col(TrackRow.id), FeatureRow.name == condition.name, FeatureRow.status == "OK"
    )
    if condition.min_value is not None:
        query = query.where(col(FeatureRow.value) >= condition.min_value)
    if condition.max_value is not None:
        query = query.where(col(FeatureRow.value) <= condition.max_value)
    if condition.text is not None:
        query = query.where(FeatureRow.text == condition.text)
    return query.exists()


def _text_search(session: Session) -> _Contains:
    """Return the test "column contains this text, whatever the case" of the session's database.

    Not LIKE: its wildcards would need escaping, and SQLite's folds the case of English letters only.
    """
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return lambda column, sought: func.strpos(func.lower(column), func.lower(sought)) > 0
    driver: Any = connection.connection.driver_connection
    driver.create_function("casefold", 1, _casefold, deterministic=True)
    return lambda column, sought: func.instr(func.casefold(column), sought.casefold()) > 0


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()
