"""Noticing what has arrived in the submission bucket.

Cheap pass: only keys after a cursor, since the keys we make are ordered by time; it never starts after an upload that
is still awaited. Complete pass: the whole bucket, for files that other tools put under keys of their own and for
anything missed; in a small bucket it costs no more than a cheap one, and may take its place at every tick. Both may be
repeated at will. (S3's times have whole seconds, so they cannot serve as a cursor.)

A third way: somebody says which objects have arrived, and these alone are looked at. What may be said is in `notified`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import PurePosixPath

from sqlmodel import Session

from musicfp.catalog import submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.submissions import ReceivedObject
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest
from musicfp.identity import SUBMISSION_PREFIX, new_id, submission_id_of_key, submitter_of_key
from musicfp.settings import Settings
from musicfp.store.objects import ObjectInfo, ObjectStore
from musicfp.store.s3_events import Arrival
from musicfp.text import clean_line

_PAGE_OBJECTS = 500
# A tick of Dagster's sensor daemon must end within its limit; what is left over waits for the next pass.
_MAX_OBJECTS_PER_PASS = 20_000
# Looking at an object takes 0.08 ms of CPU: at this rate, complete passes take 0.4 % of one core up to 3000 objects.
# Beyond, the longest interval counts: 0.9 % at 4000, some 4 % at the most that one pass looks at.
_LOOKED_AT_PER_S = 50
_MAX_COMPLETE_INTERVAL_S = 60.0
# A look at an object is one short answer of the store, most of it waiting.
_LOOKS_AT_A_TIME = 8


@dataclass(frozen=True)
class Discovery:
    """What a pass found: submissions that are new, and where the next cheap pass starts.

    After a complete pass, also when the next one is worth its cost, and where it goes on if this one was too long.
    """

    submission_ids: tuple[str, ...]
    after: str
    complete_after: str = ""
    complete_again_in_s: float = 0.0


@dataclass(frozen=True)
class Named:
    """What became of objects that somebody named: new submissions, and keys that the store refuses to look at."""

    submission_ids: tuple[str, ...]
    refused: frozenset[str]


def discover(
    database: Database, store: ObjectStore, settings: Settings, *, after: str, complete: bool, complete_after: str = ""
) -> Discovery:
    """Record what has arrived since `after` (or, if `complete`, ever and under any key) and return it.

    A complete pass starts at `complete_after`, which is what the one before returned.
    """
    start = complete_after if complete else _start(database, after)
    prefix = "" if complete else SUBMISSION_PREFIX
    listing = store.list_after(settings.submission_bucket, prefix=prefix, after=start)
    found: list[str] = []
    newest = after
    n_listed, last = 0, ""
    for page in _pages(islice(listing, _MAX_OBJECTS_PER_PASS)):
        files = [each for each in page if _is_file(each.key)]
        list_again = partial(store.list_after, settings.submission_bucket, prefix=prefix, after=last or start)
        found += _record_page(database, files, list_again)
        newest = max([newest, *(each.key for each in files if submission_id_of_key(each.key))])
        n_listed, last = n_listed + len(page), page[-1].key
    if not complete:
        return Discovery(tuple(found), newest)
    return Discovery(
        tuple(found),
        newest,
        complete_after=last if n_listed == _MAX_OBJECTS_PER_PASS else "",
        complete_again_in_s=min(n_listed / _LOOKED_AT_PER_S, _MAX_COMPLETE_INTERVAL_S),
    )


def discover_named(database: Database, store: ObjectStore, settings: Settings, arrivals: Sequence[Arrival]) -> Named:
    """Record those of the objects that are there and not known yet, whatever was said about them, and return them.

    What was said may be late or out of order: unless it is old news, the object itself is asked.
    """
    with database.read() as session:
        known = submissions.open_by_key(session, list({each.key for each in arrivals}))
    doubtful = {
        each.key: None for each in arrivals if _is_file(each.key) and not _is_old_news(known.get(each.key), each.etag)
    }
    with ThreadPoolExecutor(max_workers=_LOOKS_AT_A_TIME) as pool:
        answers = pool.map(lambda key: _look_at(store, settings.submission_bucket, key), doubtful)
        looks = dict(zip(doubtful, answers, strict=True))
    # Compared with what was known before the looks: an object that was decided then may be deleted by now.
    found = [each for each in looks.values() if isinstance(each, ObjectInfo)]
    news = [each for each in found if not _is_old_news(known.get(each.key), each.etag)]
    return Named(
        tuple(_record_news(database, news, news)) if news else (),
        frozenset(key for key, found in looks.items() if isinstance(found, InvalidRequest)),
    )


def _look_at(store: ObjectStore, bucket: str, key: str) -> ObjectInfo | InvalidRequest | None:
    try:
        return store.stat(bucket, key)
    except InvalidRequest as refusal:
        return refusal


def _is_file(key: str) -> bool:
    """Whether a key may be a file's; folders are none, and no database keeps a NUL."""
    return not key.endswith("/") and "\x00" not in key


def _start(database: Database, after: str) -> str:
    with database.read() as session:
        awaited = submissions.oldest_awaited_key(session)
    # StartAfter is exclusive: a key without its last character comes just before it.
    return after if awaited is None else min(after, awaited[:-1])


def _pages(listing: Iterator[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    while page := list(islice(listing, _PAGE_OBJECTS)):
        yield page


def _record_page(
    database: Database, page: list[ObjectInfo], list_again: Callable[[], Iterator[ObjectInfo]]
) -> list[str]:
    """Record the news of one page of the listing; a page without news costs one query."""
    keys = [each.key for each in page]
    with database.read() as session:
        known = submissions.open_by_key(session, keys)
    if all(_is_old_news(known.get(each.key), each.etag) for each in page):
        return []
    # A run deletes what it has decided, and then says so. What it deletes between a listing and the query for what is
    # known looks as if it had just come; a listing after the query does not have it any more.
    unknown = {each for each in page if each.key not in known}
    there = unknown.intersection(islice(list_again(), len(page) + _PAGE_OBJECTS)) if unknown else unknown
    return _record_news(database, page, there)


def _record_news(database: Database, found: Sequence[ObjectInfo], there: Collection[ObjectInfo]) -> list[str]:
    """Record what is new of these objects; one of which nothing is known only if it is still `there`."""
    with database.write() as session:
        known = submissions.open_by_key(session, [each.key for each in found])
        news = [each for each in found if not _is_old_news(known.get(each.key), each.etag)]
        return [_record(session, each, known.get(each.key)) for each in news if each.key in known or each in there]


def _is_old_news(row: SubmissionRow | None, etag: str | None) -> bool:
    return row is not None and row.status != "AWAITING_UPLOAD" and etag is not None and row.etag == etag


def _record(session: Session, found: ObjectInfo, row: SubmissionRow | None) -> str:
    if row is not None and row.status not in {"AWAITING_UPLOAD", "RECEIVED"}:
        # Other bytes under the key of a decided submission are another submission.
        submissions.mark_object_gone(session, row.id)
        session.flush()
        return _receive(session, found, new_id(), filename=row.filename, submitter=row.submitter)
    if row is not None:
        return _receive(session, found, row.id, filename=row.filename, submitter=row.submitter)
    submission_id = submission_id_of_key(found.key)
    if submission_id is None or submissions.get(session, submission_id) is not None:
        submission_id = new_id()
    filename = clean_line(PurePosixPath(found.key).name, max_characters=255) or "unnamed"
    return _receive(session, found, submission_id, filename=filename, submitter=submitter_of_key(found.key))


def _receive(session: Session, found: ObjectInfo, submission_id: str, *, filename: str, submitter: str | None) -> str:
    received = ReceivedObject(
        submission_id, found.key, filename, found.size_bytes, found.etag, found.last_modified, submitter
    )
    submissions.record_received(session, received)
    session.flush()
    return submission_id
