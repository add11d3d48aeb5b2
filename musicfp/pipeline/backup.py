"""A consistent backup of a SQLite catalogue and its objects, made while everything goes on.

The database is copied first, as it is at one moment; then every object that the copy's rows name. Objects are stored
before rows name them, so each is there; and they never change, so what a backup in this directory has is not copied
again. What is deleted in between (a track by a person, a transcode that was replaced a day ago) shows as a missing
object: then the database is copied anew. The manifest is written last, and names only what is on disk by then.

What belongs here: that order. What does not: the files (`backup_files`), restoring (`restore`).
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import md5
from pathlib import Path

from musicfp import __version__
from musicfp.catalog import migrate, object_names, sqlite_copy
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.object_names import NamedObject, ObjectKind
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest, NotFound, ObjectChanged
from musicfp.identity import new_id
from musicfp.pipeline.backup_files import (
    MANIFEST,
    SOURCE,
    SUBMISSION,
    TRANSCODE,
    Manifest,
    ObjectRecord,
    record_of,
    sha256_of,
    sync_directory,
    write_manifest,
)
from musicfp.pipeline.index_files import PART_SUFFIX, keep
from musicfp.pipeline.parallel import map_in_order
from musicfp.settings import Settings
from musicfp.store.objects import Downloaded, ObjectStore

_LOCK = "musicfp-backup.lock"
_ROUNDS = 5
_THREADS = 4
_TRACKS_AT_ONCE = 500
_UPLOADS_AT_ONCE = 500


@dataclass
class BackupProgress:
    """How many objects the backup has so far, and how many of them had to be copied."""

    n_objects: int = 0
    objects_bytes: int = 0
    n_copied: int = 0
    copied_bytes: int = 0
    missing: list[str] = field(default_factory=list)


def back_up(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    directory: Path,
    *,
    on_progress: Callable[[BackupProgress], None] = lambda _: None,
) -> tuple[Manifest, BackupProgress]:
    """Make the directory hold the catalogue as it is now; return its manifest.

    Raises InvalidRequest when the database is not SQLite or the directory is something else, StoreUnavailable.
    """
    with _own(directory):
        missing_before: list[str] | None = None
        for _ in range(_ROUNDS):
            name = new_id()
            catalogue, listed = directory / f"catalogue-{name}.sqlite", directory / f"objects-{name}.jsonl"
            sqlite_copy.copy_to(database, catalogue)
            with closing(Database(f"sqlite:///{catalogue}")) as copy:
                progress = _copy_objects(_Copying(copy, store, settings, directory, on_progress), listed)
                schema = migrate.current_revision(copy)
            if not progress.missing or progress.missing == missing_before:
                break
            missing_before = progress.missing
        manifest = Manifest(
            created_at=utc_now().isoformat(),
            musicfp_version=__version__,
            schema=schema,
            database=record_of(directory, catalogue),
            objects=record_of(directory, listed),
            n_objects=progress.n_objects,
            objects_bytes=progress.objects_bytes,
            missing=progress.missing,
        )
        write_manifest(directory, manifest)
        _remove_older(directory, kept={catalogue.name, listed.name})
    return manifest, progress


@contextmanager
def _own(directory: Path) -> Iterator[None]:
    """Hold a directory that is new, empty, or has been a backup before; one backup at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in directory.iterdir()}
    if names and not names & {MANIFEST, _LOCK}:
        raise InvalidRequest("not_a_backup", f"{directory} has other files in it; name a new or an empty directory.")
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidRequest("backup_running", f"Another backup into {directory} is running.") from None
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Copying:
    """What copying works with. `copy` is the copied database."""

    copy: Database
    store: ObjectStore
    settings: Settings
    directory: Path
    on_progress: Callable[[BackupProgress], None]


@dataclass(frozen=True)
class _Copied:
    """What became of one object: its copy, if there is one, and how much of it was copied now; or its missing key."""

    record: ObjectRecord | None = None
    copied_bytes: int | None = None
    missing: str | None = None


def _copy_objects(copying: _Copying, listed: Path) -> BackupProgress:
    progress = BackupProgress()
    copies = map_in_order(
        lambda copy_one: copy_one(copying), _work(copying.copy), threads=_THREADS, look_ahead=4 * _THREADS
    )
    with listed.open("w") as lines:
        for copied in copies:
            if copied.record is not None:
                lines.write(json.dumps(asdict(copied.record)) + "\n")
            _count(progress, copied)
            copying.on_progress(progress)
        lines.flush()
        os.fsync(lines.fileno())
    progress.missing.sort()
    return progress


def _count(progress: BackupProgress, copied: _Copied) -> None:
    if copied.record is not None:
        progress.n_objects += 1
        progress.objects_bytes += copied.record.size_bytes
    if copied.copied_bytes is not None:
        progress.n_copied += 1
        progress.copied_bytes += copied.copied_bytes
    if copied.missing is not None:
        progress.missing.append(copied.missing)


def _work(copy: Database) -> Iterator[Callable[[_Copying], _Copied]]:
    """Yield what is to be copied: uploads first, since the undecided ones go soonest."""
    after_id = ""
    while page := _uploads(copy, after_id):
        after_id = page[-1].id
        yield from (partial(_copy_upload, row) for row in page)
    after = 0
    while True:
        with copy.read() as session:
            found = object_names.named_by_tracks(session, after_ordinal=after, limit_tracks=_TRACKS_AT_ONCE)
        if found is None:
            break
        named, after = found
        yield from (partial(_copy_named, each) for each in named)
    with copy.read() as session:
        index_files = object_names.named_by_builds(session)
    yield from (partial(_copy_named, each) for each in index_files)


def _uploads(copy: Database, after: str) -> list[SubmissionRow]:
    with copy.read() as session:
        return object_names.kept_uploads(session, after=after, limit=_UPLOADS_AT_ONCE)


def _copy_named(named: NamedObject, copying: _Copying) -> _Copied:
    """Copy a source, transcode or index file unless it is there; missing when the store lacks it or has other bytes."""
    of_source = named.kind is ObjectKind.SOURCE
    bucket = copying.settings.source_bucket if of_source else copying.settings.transcode_bucket
    path = copying.directory / "objects" / named.key
    if not path.resolve().is_relative_to(copying.directory.resolve()):
        raise InvalidRequest("unsafe_key", f"The key {named.key!r} leads out of the backup.")
    record = ObjectRecord(
        SOURCE if of_source else TRANSCODE, named.key, f"objects/{named.key}", named.size_bytes, named.sha256
    )
    if path.is_file() and path.stat().st_size == named.size_bytes:
        return _Copied(record)  # it has this name only if its hash was right
    try:
        got = _download(copying, bucket, named.key, path, sha256=named.sha256)
    except NotFound:
        return _Copied(missing=named.key)
    return _Copied(record, got.size_bytes) if got.sha256 == named.sha256 else _Copied(missing=named.key)


def _copy_upload(row: SubmissionRow, copying: _Copying) -> _Copied:
    """Copy an upload unless it is there; nothing when it was decided or replaced meanwhile."""
    # An ETag is the store's own word; hashed, it makes a file name whatever it is.
    name = f"uploads/{row.id}-{md5((row.etag or '').encode(), usedforsecurity=False).hexdigest()[:8]}"
    path, copied_bytes = copying.directory / name, None
    if not path.is_file():
        try:
            got = _download(copying, copying.settings.submission_bucket, row.object_key, path, etag=row.etag)
        except (NotFound, ObjectChanged):
            return _Copied()
        copied_bytes = got.size_bytes
    size_bytes, sha256 = path.stat().st_size, sha256_of(path)
    return _Copied(ObjectRecord(SUBMISSION, row.object_key, name, size_bytes, sha256, row.id), copied_bytes)


def _download(
    copying: _Copying, bucket: str, key: str, path: Path, *, sha256: str | None = None, etag: str | None = None
) -> Downloaded:
    """Write an object to its place in the backup, unless it has another hash than it must."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        got = copying.store.download(bucket, key, part, max_bytes=1 << 62, etag=etag)
        if sha256 in {None, got.sha256}:
            keep(part, path)
            sync_directory(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return got


def _remove_older(directory: Path, *, kept: set[str]) -> None:
    for pattern in ("catalogue-*", "objects-*.jsonl"):
        for path in directory.glob(pattern):
            if path.name not in kept:
                path.unlink(missing_ok=True)
