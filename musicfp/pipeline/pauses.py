"""Whether it makes sense to begin work now: the database answers, the disk has room, the store keeps objects.

Sensors ask before they request a run, and the API tells the same in `/readyz` and of each submission that waits. What
is found wrong here passes without anybody's help once its cause is gone. What does not belong here: failures of single
files.
"""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from musicfp.catalog.engine import Database
from musicfp.errors import MusicfpError, StoreUnavailable
from musicfp.settings import Settings
from musicfp.store.buckets import missing_buckets
from musicfp.store.probe import make_probe_client, require_objects

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# A batch in the middle of its work needs some for scratch files, and so do the databases and the embedded store beside
# it. SQLite and SeaweedFS end in errors at zero; this keeps them away from there.
MIN_FREE_BYTES = 512 << 20
# Asked before every request of a run: asking in a loop must not load the parts.
_KEEP_GOOD_S = 10.0
_KEEP_BAD_S = 2.0
# Each write costs money at some stores and a few bytes until the next compaction at others.
_WRITE_EVERY_S = 60.0


@dataclass(frozen=True)
class Pause:
    """Why nothing is begun now: the part at fault, by its name in `/readyz`, and what was found."""

    part: str
    message: str


class Pauses:
    """Asks the parts that work needs, and keeps the answer for some seconds. Safe to share between threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._store = StoreCheck(settings)
        self._asking = threading.Lock()
        self._kept: Pause | None = None
        self._keep_until_s = 0.0

    def current(self) -> Pause | None:
        """Return why no work should be begun now, None if it may be."""
        with self._asking:
            if time.monotonic() >= self._keep_until_s:
                self._kept = self._ask()
                self._keep_until_s = time.monotonic() + (_KEEP_GOOD_S if self._kept is None else _KEEP_BAD_S)
            return self._kept

    def _ask(self) -> Pause | None:
        checks: tuple[tuple[str, Callable[[], str | None]], ...] = (
            ("database", lambda: database_problem(self._database)),
            ("disk", lambda: disk_problem(self._settings)),
            ("objectStore", self._store.problem),
        )
        for part, problem in checks:
            try:
                found = problem()
            except MusicfpError as error:
                found = str(error)
            if found is not None:
                return Pause(part, found)
        return None


class StoreCheck:
    """Asks the store for its buckets and for an object in each bucket of the catalogue, with a short limit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: S3Client | None = None
        self._write_at_s = 0.0

    def problem(self) -> str | None:
        """Return what is wrong with the store, None if it keeps objects. May raise StoreUnavailable instead.

        Reads each time, writes every minute, and after a failure each time until a write succeeds.
        """
        # Kept, because making a client costs more than asking with it; not made earlier, because it needs credentials.
        client = self._client = self._client or make_probe_client(self._settings)
        missing = missing_buckets(self._settings, client=client)
        if missing:
            return f"buckets are missing: {', '.join(missing)}"
        write_at_s, self._write_at_s = self._write_at_s, 0.0
        is_time_to_write = time.monotonic() >= write_at_s
        require_objects(client, self._settings, anew=is_time_to_write)
        self._write_at_s = time.monotonic() + _WRITE_EVERY_S if is_time_to_write else write_at_s
        return None


def database_problem(database: Database) -> str | None:
    """Return why the catalogue cannot be changed, None if it can."""
    try:
        is_read_only = database.is_read_only()
    except OperationalError as error:
        return f"The database does not answer: {first_line(error)}"
    # Hosted databases are made read-only when their disk is full, and so is a server that stands in for another.
    return "The database can be read only. Is its disk full, or is it a standby?" if is_read_only else None


def disk_problem(settings: Settings) -> str | None:
    """Return which disk of ours has too little room to begin anything, None if all have enough."""
    for folder in dict.fromkeys((settings.home, *_database_folder(settings))):
        free = free_bytes(folder)
        if free < MIN_FREE_BYTES:
            return f"Only {free >> 20} MiB are free at {folder}; nothing is begun below {MIN_FREE_BYTES >> 20} MiB."
    return None


def free_bytes(folder: Path) -> int:
    """Return the room on the disk that a folder is on, or will be."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free


def require_room(directory: Path, needed_bytes: int) -> None:
    """Raise StoreUnavailable, which is held against no file, if a directory for scratch files has less room."""
    free = free_bytes(directory)
    if free < needed_bytes:
        raise StoreUnavailable(f"Only {free} bytes are free for scratch files in {directory}; make room.")


def first_line(error: DBAPIError) -> str:
    """Return what the driver said, without the statement and its parameters."""
    return str(error.orig or error).strip().splitlines()[0]


def _database_folder(settings: Settings) -> tuple[Path, ...]:
    url = make_url(settings.database_url)
    return (Path(url.database).absolute().parent,) if url.get_backend_name() == "sqlite" and url.database else ()
