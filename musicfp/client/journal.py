"""What this machine has uploaded already, so that an interrupted submission continues where it stopped.

What belongs here: one SQLite file, readable by its owner only because unexpired tickets are in it. What does not: the
decision what to do with an entry (`submit`).

An upload is known by the API's address, the file's absolute path and the sha256 of its content. Its time of change is
left out on purpose: a file that was only touched is the same file.
"""

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from musicfp.client.api import Ticket

JOURNAL_NAME = "submissions.sqlite3"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS upload (
    api_url TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
    submission_id TEXT NOT NULL, ticket TEXT,
    PRIMARY KEY (api_url, path, sha256)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part (
    submission_id TEXT NOT NULL, part_number INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (submission_id, part_number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class UploadKey:
    """What makes two uploads the same."""

    api_url: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Entry:
    """An upload that was begun: with a `ticket` if it may still be under way, without one when it is done."""

    submission_id: str
    ticket: Ticket | None


class Journal:
    """The journal file; may be used from several threads and by several processes at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def find(self, key: UploadKey) -> Entry | None:
        """Return what is known about an upload."""
        rows = self._run(
            "SELECT submission_id, ticket FROM upload WHERE api_url = ? AND path = ? AND sha256 = ?",
            (key.api_url, key.path, key.sha256),
        )
        if not rows:
            return None
        submission_id, ticket = rows[0]
        return Entry(submission_id, Ticket.from_json(json.loads(ticket)) if ticket else None)

    def begin(self, key: UploadKey, ticket: Ticket) -> None:
        """Remember a ticket before its upload starts; an older one for the same upload is forgotten."""
        self._run(
            "INSERT OR REPLACE INTO upload (api_url, path, sha256, submission_id, ticket) VALUES (?, ?, ?, ?, ?)",
            (key.api_url, key.path, key.sha256, ticket.submission_id, json.dumps(ticket.answer)),
        )

    def keep_part(self, submission_id: str, part_number: int, etag: str) -> None:
        """Remember that one part was uploaded."""
        self._run("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", (submission_id, part_number, etag))

    def parts(self, submission_id: str) -> dict[int, str]:
        """Return the ETags of the parts that were uploaded, by part number."""
        return dict(self._run("SELECT part_number, etag FROM part WHERE submission_id = ?", (submission_id,)))

    def finish(self, key: UploadKey, submission_id: str) -> None:
        """Remember that the whole file was uploaded, and forget its ticket."""
        self._run(
            "UPDATE upload SET ticket = NULL WHERE api_url = ? AND path = ? AND sha256 = ?",
            (key.api_url, key.path, key.sha256),
        )
        self._run("DELETE FROM part WHERE submission_id = ?", (submission_id,))

    def _run(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()
