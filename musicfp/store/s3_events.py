"""What S3's notifications say. The form is Amazon's, which other stores send too.

What belongs here: understanding one message. What does not: where messages come from (`notifications`) and what is done
about them (`musicfp.pipeline.notified`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

_TEST_EVENT = "s3:TestEvent"  # sent once, when a bucket is told to notify a queue
_CREATED = "ObjectCreated:"


@dataclass(frozen=True)
class Arrival:
    """An object that was put, copied, posted or joined from parts. It may be gone or replaced by now."""

    key: str
    etag: str | None


@dataclass(frozen=True)
class Notification:
    """What one message says: what arrived, how many events were of no interest, and what could not be understood."""

    arrivals: tuple[Arrival, ...] = ()
    n_ignored: int = 0
    problem: str | None = None


def read_notification(body: str, *, bucket: str) -> Notification:
    """Return what a message says about this bucket. Never raises: what cannot be understood is its `problem`."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return Notification(problem="it is not JSON")
    if not isinstance(told, dict):
        return Notification(problem="it is no notification of S3")
    if told.get("Event") == _TEST_EVENT:
        return Notification(n_ignored=1)
    records = told.get("Records")
    if not isinstance(records, list) or not records:
        return Notification(problem="it is no notification of S3")
    read = [_read_record(each, bucket) for each in records]
    return Notification(
        arrivals=tuple(each for each in read if isinstance(each, Arrival)),
        n_ignored=read.count(None),
        problem=next((each for each in read if isinstance(each, str)), None),
    )


def _read_record(record: object, bucket: str) -> Arrival | str | None:
    """Return an arrival, None for an event of no interest, or what is wrong with the record."""
    name = _text(record, "eventName")
    found_bucket = _text(record, "s3", "bucket", "name")
    key = _text(record, "s3", "object", "key")
    if not name or not found_bucket or not key:
        return "it is no notification of S3"
    if found_bucket != bucket:
        return f"it is about the bucket {found_bucket[:64]!r}, not {bucket!r}"
    if not name.removeprefix("s3:").startswith(_CREATED):
        return None
    key = unquote_plus(key)  # encoded as in a form: a space is +
    try:
        key.encode()
    except UnicodeEncodeError:
        return "its key is not Unicode"
    etag = _text(record, "s3", "object", "eTag")
    return Arrival(key, etag.strip('"') if etag else None)


def _text(record: object, *path: str) -> str | None:
    found: Any = record
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else None
