"""The files of the search index on this machine: copies of objects, named after their content.

What belongs here: fetching them and removing those that nobody needs. What does not: their content
(`musicfp.fingerprint.index_segment`) and which of them are needed (`musicfp.catalog.search_index`).
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from musicfp.catalog.search_index import SegmentRecord
from musicfp.errors import IndexFileUnusable
from musicfp.fingerprint.index_segment import IndexSegment, open_segment
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore

SEGMENT_SUFFIX = ".segment"
PART_SUFFIX = ".part"
# Whoever writes a file does so all the time; one that nobody has touched for so long is of a process that died.
_LEFT_ALONE_S = 3600.0


def segment_path(settings: Settings, sha256: str) -> Path:
    """Return where the file with this content is kept."""
    return settings.search_index_path / f"{sha256}{SEGMENT_SUFFIX}"


def opened(store: Callable[[], ObjectStore], settings: Settings, segment: SegmentRecord) -> IndexSegment:
    """Return a segment, mapped; fetched before if it is not here. The store is opened only for that.

    Raises as `fetch`. A file that is unusable is removed, so that it is fetched the next time.
    """
    path = segment_path(settings, segment.sha256)
    if not (path.exists() and path.stat().st_size == segment.size_bytes):
        fetch(store(), settings, segment)
    try:
        return open_segment(path)
    except IndexFileUnusable:
        path.unlink(missing_ok=True)
        raise


def fetch(store: ObjectStore, settings: Settings, segment: SegmentRecord) -> Path:
    """Download the file of a segment, compare it with its hash, and return where it is.

    Raises NotFound when a newer build has replaced it, StoreUnavailable, IndexFileUnusable when its bytes are others.
    """
    path = segment_path(settings, segment.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}{PART_SUFFIX}")
    try:
        got = store.download(settings.transcode_bucket, segment.key, part, max_bytes=segment.size_bytes)
        if (got.sha256, got.size_bytes) != (segment.sha256, segment.size_bytes):
            raise IndexFileUnusable(
                f"Tried to fetch {segment.key}; got {got.size_bytes} bytes with the SHA-256 {got.sha256}, which is not "
                "what was stored. Searches ask the database; build the asset search_index again."
            )
        keep(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def keep(part: Path, path: Path) -> None:
    """Give a file that is complete its name; after a power cut it is whole or not there."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def remove_others(settings: Settings, needed: Iterable[SegmentRecord]) -> None:
    """Remove all files that are not among the needed ones. Who has one mapped keeps it until the process closes it."""
    names = {segment_path(settings, each.sha256).name for each in needed}
    before_s = time.time() - _LEFT_ALONE_S
    for path in settings.search_index_path.glob("*"):
        is_left = path.suffix == PART_SUFFIX and _modified_s(path) < before_s
        if is_left or (path.suffix == SEGMENT_SUFFIX and path.name not in names):
            path.unlink(missing_ok=True)


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # renamed meanwhile
        return time.time()
