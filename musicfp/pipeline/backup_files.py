"""What a backup is on disk: copies of the database and of objects, a list of them, and a manifest that is written last.

    manifest.json               which of the files below are the newest whole backup, with their SHA-256
    catalogue-<id>.sqlite       the database at one moment
    objects-<id>.jsonl          one line for each object that its rows name
    objects/<key>               sources, transcodes, files of the search index, under their content-addressed keys
    uploads/<submission>-<n>    what was in the submission bucket

What belongs here: names, reading, writing, verifying. What does not: copying (`backup`) and restoring (`restore`).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from musicfp.errors import InvalidRequest
from musicfp.pipeline.index_files import keep

MANIFEST = "manifest.json"
FORMAT = 1
SUBMISSION, SOURCE, TRANSCODE = "submission", "source", "transcode"


@dataclass(frozen=True)
class FileRecord:
    """A file of the backup."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ObjectRecord:
    """A copy of an object: in which bucket it was, under which key, and whose upload it is if it is one."""

    bucket: str
    key: str
    file: str
    size_bytes: int
    sha256: str
    submission_id: str | None = None


@dataclass(frozen=True)
class Manifest:
    """A whole backup. `missing` are keys that rows name and the store did not have: it was damaged before."""

    created_at: str
    musicfp_version: str
    schema: str | None
    database: FileRecord
    objects: FileRecord
    n_objects: int
    objects_bytes: int
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of a whole backup, whose database and list are what they were.

    Raises InvalidRequest when there is none, or when a file is not what was written.
    """
    try:
        stored: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
        database, objects = (FileRecord(**stored.pop(name)) for name in ("database", "objects"))
        manifest = Manifest(**stored, database=database, objects=objects)
    except FileNotFoundError:
        raise InvalidRequest(
            "no_backup", f"There is no {MANIFEST} in {directory}: no backup, or one that was interrupted."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest("no_backup", f"{directory / MANIFEST} cannot be read ({error}).") from error
    if manifest.format != FORMAT:
        raise InvalidRequest("no_backup", f"The backup in {directory} has format {manifest.format}, not {FORMAT}.")
    for record in (manifest.database, manifest.objects):
        verify(directory, record)
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Put a backup in force: until this has happened, the one before it is the newest."""
    part = directory / f"{MANIFEST}.part"
    part.write_text(json.dumps(asdict(manifest), indent=2))
    keep(part, directory / MANIFEST)
    sync_directory(directory)


def read_objects(directory: Path, manifest: Manifest) -> Iterator[ObjectRecord]:
    """Yield the objects of a backup."""
    with (directory / manifest.objects.file).open() as lines:
        for line in lines:
            yield ObjectRecord(**json.loads(line))


def record_of(directory: Path, path: Path) -> FileRecord:
    """Return a file's size and hash."""
    return FileRecord(path.relative_to(directory).as_posix(), path.stat().st_size, sha256_of(path))


def verify(directory: Path, record: FileRecord | ObjectRecord) -> Path:
    """Return the path of a file that is what was written. Raises InvalidRequest when it is not, or outside."""
    path = directory / record.file
    if not path.resolve().is_relative_to(directory.resolve()):
        raise InvalidRequest("backup_damaged", f"{record.file} is outside of the backup {directory}.")
    if not path.is_file() or path.stat().st_size != record.size_bytes or sha256_of(path) != record.sha256:
        raise InvalidRequest(
            "backup_damaged", f"{path} is missing or not what was backed up. Nothing of the database was restored."
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
