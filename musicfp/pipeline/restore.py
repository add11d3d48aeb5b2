"""Putting a backup back: objects first, then the database, which makes them true all at once.

Interrupted, there are objects that no row names, and the same command goes on. Nothing may work on the catalogue
meanwhile but the object store: a sensor would take restored uploads for new ones.

What belongs here: that order. What does not: making backups (`backup`) and their files (`backup_files`).
"""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from musicfp.audio.sniff import mime_of_extension
from musicfp.catalog import migrate, sqlite_copy
from musicfp.catalog.engine import Database
from musicfp.errors import InvalidRequest, StoreUnavailable
from musicfp.identity import file_extension
from musicfp.pipeline.backup_files import (
    SOURCE,
    SUBMISSION,
    Manifest,
    ObjectRecord,
    read_manifest,
    read_objects,
    verify,
)
from musicfp.pipeline.parallel import map_in_order
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets
from musicfp.store.objects import ObjectStore

_THREADS = 4


@dataclass(frozen=True)
class Restored:
    """What was restored. `n_lost_uploads` submissions were undecided, and their uploads are not in the backup."""

    manifest: Manifest
    n_objects: int
    n_lost_uploads: int


def restore(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    directory: Path,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Restored:
    """Make store and catalogue hold what the backup holds. Safe to repeat.

    Raises InvalidRequest when the backup is damaged or newer than this version, when the catalogue is not empty and
    `overwrite` is not set, and StoreUnavailable.
    """
    manifest = read_manifest(directory)
    if not overwrite and not sqlite_copy.is_empty(database):
        raise InvalidRequest(
            "not_empty", "The catalogue is not empty. Restore into a fresh MUSICFP_HOME, or allow it to be replaced."
        )
    if manifest.schema is not None and not migrate.is_known(manifest.schema):
        raise InvalidRequest(
            "newer_schema", f"The backup has the schema {manifest.schema}, which this version does not know. Update."
        )
    prepare_buckets(settings)
    etags, n_objects = {}, 0
    stored = map_in_order(
        lambda record: _store(store, settings, directory, record),
        read_objects(directory, manifest),
        threads=_THREADS,
        look_ahead=4 * _THREADS,
    )
    for record, etag in stored:
        n_objects += 1
        on_progress(n_objects, manifest.n_objects)
        if record.submission_id is not None:
            etags[record.submission_id] = etag
    return Restored(manifest, n_objects, _put_in_force(database, settings, directory / manifest.database.file, etags))


def _store(store: ObjectStore, settings: Settings, directory: Path, record: ObjectRecord) -> tuple[ObjectRecord, str]:
    bucket = {SUBMISSION: settings.submission_bucket, SOURCE: settings.source_bucket}.get(
        record.bucket, settings.transcode_bucket
    )
    path = verify(directory, record)
    mime = mime_of_extension(file_extension(record.key))
    store.put_file(bucket, record.key, path, mime=mime, sha256=record.sha256)
    found = store.stat(bucket, record.key)
    if found is None or found.size_bytes != record.size_bytes:
        raise StoreUnavailable(f"Stored {bucket}/{record.key}, and the store does not have it. Try again.")
    return record, found.etag


def _put_in_force(database: Database, settings: Settings, backup: Path, etags: dict[str, str]) -> int:
    """Fit a copy of the database to this version and store, then put it in the place of what is there."""
    settings.scratch_path.mkdir(parents=True, exist_ok=True)
    fitted = settings.scratch_path / "restored.sqlite"
    shutil.copyfile(backup, fitted)
    try:
        with closing(Database(f"sqlite:///{fitted}")) as copy:
            migrate.upgrade(copy)
            n_lost = sqlite_copy.fit_uploads(copy, etags)
        sqlite_copy.replace_with(database, fitted)
    finally:
        for path in settings.scratch_path.glob(f"{fitted.name}*"):
            path.unlink(missing_ok=True)
    return n_lost
