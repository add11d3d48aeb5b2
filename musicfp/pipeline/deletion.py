"""Deleting a track: asking for it, and removing what is left of it afterwards.

What belongs here: the order of effects. What does not: rows (`musicfp.catalog.deletions`), and when a run may begin and
what Dagster keeps of a track (`musicfp_assets`), which comes in as `RunRecords`.

Order of effects: one transaction takes all rows away and leaves one that says so; from then on nobody sees the track.
A run then writes down what it finds, removes it, and says last that nothing is left. Killed anywhere, it begins again:
what was found is added to, never forgotten, and removing what is gone changes nothing.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from musicfp.catalog import deletions, relations, submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import DeletionRow
from musicfp.errors import InvalidRequest
from musicfp.identity import is_id, transcodes_prefix
from musicfp.pipeline.context import StageContext
from musicfp.text import clean_line

LOGGER = logging.getLogger(__name__)
SOURCE, TRANSCODE, UPLOAD = "source_object", "transcode_objects", "upload_object"
_OBJECT_KINDS = (SOURCE, TRANSCODE, UPLOAD)
_MAX_REASON_CHARACTERS = 500


class RunRecords(Protocol):
    """What the orchestrator keeps of a track."""

    def count(self, track_id: str) -> Mapping[str, int]:
        """Return how much there is, by kind."""

    def forget(self, track_id: str) -> None:
        """Remove it; what is gone already is no error."""


@dataclass(frozen=True)
class RemovedItems:
    """What was removed of one kind: rows, postings, objects or records. `size_bytes` is for objects only."""

    kind: str
    count: int
    size_bytes: int | None = None


def request_deletion(database: Database, *, track_id: str, reason: str | None = None) -> DeletionRow:
    """Take a track out of the catalogue at once; a run removes what is left of it. Repeating it changes nothing.

    Raises InvalidRequest if there is no such track and never was.
    """
    words = clean_line(reason or "", max_characters=_MAX_REASON_CHARACTERS) or None
    with database.exclusive() as session:
        found = is_id(track_id)
        track = relations.tracks(session, [track_id]).get(track_id) if found else None
        if track is not None:
            return deletions.delete_track(session, track, reason=words)
        earlier = deletions.get(session, track_id) if found else None
    if earlier is None:
        raise InvalidRequest("not_found", f"There is no track {track_id[:40]!r}.", "id")
    return earlier


def find_deletion(database: Database, track_id: str) -> DeletionRow | None:
    """Return the deletion of a track, None if it was not deleted."""
    with database.read() as session:
        return deletions.get(session, track_id) if is_id(track_id) else None


def remove_remains(context: StageContext, deletion: DeletionRow, records: RunRecords) -> DeletionRow:
    """Remove the objects and records of a deleted track, and return the deletion as it ends.

    No run that knew the track may be at work any more: what it stored now would stay. Raises StoreUnavailable.
    """
    track_id = deletion.track_id
    objects, counts = _objects(context, deletion), records.count(track_id)
    with context.database.write() as session:
        noted = deletions.note_found(
            session, track_id, objects=objects, records=counts, run_id=context.provenance.run_id
        )
    for each in noted.objects or []:
        _remove(context, each)
    records.forget(track_id)
    with context.database.write() as session:
        ended = deletions.finish(session, track_id)
    LOGGER.info("nothing is left of track %s: %d bytes were removed", track_id, _sum_bytes(ended.objects or []))
    return ended


def removed_items(deletion: DeletionRow) -> list[RemovedItems]:
    """Return what was removed by kind: rows at once, objects and records when the run has found them."""
    items = [RemovedItems(kind, count) for kind, count in deletion.rows.items()]
    if deletion.objects is not None:
        counts = Counter(each["kind"] for each in deletion.objects)
        items += [
            RemovedItems(kind, counts[kind], _sum_bytes(each for each in deletion.objects if each["kind"] == kind))
            for kind in _OBJECT_KINDS
        ]
    return items + [RemovedItems(kind, count) for kind, count in (deletion.records or {}).items()]


def _objects(context: StageContext, deletion: DeletionRow) -> list[dict[str, Any]]:
    """Return what the store has of a track: its source, all transcodes ever made, and its upload if that was left."""
    settings, store = context.settings, context.store
    source = store.stat(settings.source_bucket, deletion.source_key)
    found = [_object(SOURCE, source.key, source.size_bytes)] if source else []
    listing = store.list_after(settings.transcode_bucket, prefix=transcodes_prefix(deletion.track_id))
    found += [_object(TRANSCODE, each.key, each.size_bytes) for each in listing]
    with context.database.read() as session:
        submission = submissions.get(session, deletion.track_id)
    if submission is not None and submission.object_gone_at is None:
        upload = store.stat(settings.submission_bucket, submission.object_key)
        if upload is not None and upload.etag == submission.etag:
            found.append(_object(UPLOAD, upload.key, upload.size_bytes) | {"etag": upload.etag})
    return found


def _object(kind: str, key: str, size_bytes: int) -> dict[str, Any]:
    return {"kind": kind, "key": key, "size_bytes": size_bytes}


def _remove(context: StageContext, found: Mapping[str, Any]) -> None:
    settings, key = context.settings, found["key"]
    if found["kind"] == UPLOAD:
        context.store.delete_unless_replaced(settings.submission_bucket, key, etag=found["etag"])
        return
    context.store.delete(settings.source_bucket if found["kind"] == SOURCE else settings.transcode_bucket, key)


def _sum_bytes(objects: Iterable[Mapping[str, Any]]) -> int:
    return sum(int(each["size_bytes"]) for each in objects)
