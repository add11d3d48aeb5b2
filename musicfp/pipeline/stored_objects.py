"""What is in the source and the transcode bucket, and whether a row names it.

What belongs here: one pass over the buckets, page by page, with a few queries for each page. What does not: what to do
about an object that nobody names (`reconcile` deletes it, `deep_check` tells of it).

No order of the listing is relied upon: S3's is that of bytes, SeaweedFS's that of a tree, a directory bucket has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from musicfp.catalog import object_names
from musicfp.catalog.engine import Database
from musicfp.catalog.object_names import ObjectKind
from musicfp.identity import (
    INDEX_SEGMENT_PREFIX,
    PROBE_KEY,
    source_sha256_of_key,
    track_id_of_transcode_key,
)
from musicfp.settings import Settings
from musicfp.store.objects import ObjectInfo, ObjectStore

_PAGE_OBJECTS = 1000


@dataclass(frozen=True)
class StoredObject:
    """An object of the catalogue's buckets. `kind` None: not one of ours, by the form of its key.

    `used_at` is when it was last written or, of a transcode that was replaced, no earlier than in use.
    """

    bucket: str
    info: ObjectInfo
    kind: ObjectKind | None
    is_named: bool
    used_at: datetime


def stored_objects(database: Database, store: ObjectStore, settings: Settings) -> Iterator[StoredObject]:
    """Yield what is in the source and the transcode bucket, but for the probes, with what the rows say just now."""
    for bucket in dict.fromkeys((settings.source_bucket, settings.transcode_bucket)):
        listing = store.list_after(bucket)
        while page := list(islice(listing, _PAGE_OBJECTS)):
            yield from _judged(database, settings, bucket, [each for each in page if each.key != PROBE_KEY])


def _judged(database: Database, settings: Settings, bucket: str, page: list[ObjectInfo]) -> Iterator[StoredObject]:
    kinds = {each.key: _kind(settings, bucket, each.key) for each in page}
    keys = [key for key, kind in kinds.items() if kind in {ObjectKind.SOURCE, ObjectKind.TRANSCODE}]
    with database.read() as session:
        named = object_names.named_among(session, keys)
        unnamed = [key for key in keys if key not in named]
        replaced_at = object_names.replaced_at(session, unnamed) if unnamed else {}
        if ObjectKind.INDEX_FILE in kinds.values():
            named |= {each.key for each in object_names.named_by_builds(session)}
    for each in page:
        used_at = max(each.last_modified, replaced_at.get(each.key, each.last_modified))
        yield StoredObject(bucket, each, kinds[each.key], each.key in named, used_at)


def _kind(settings: Settings, bucket: str, key: str) -> ObjectKind | None:
    if bucket == settings.source_bucket and source_sha256_of_key(key):
        return ObjectKind.SOURCE
    if bucket == settings.transcode_bucket and track_id_of_transcode_key(key):
        return ObjectKind.TRANSCODE
    if bucket == settings.transcode_bucket and key.startswith(INDEX_SEGMENT_PREFIX):
        return ObjectKind.INDEX_FILE
    return None
