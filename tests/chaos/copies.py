"""Copies of one recording, and deciding some of them in a process of its own, as one of several run workers.

`python -m tests.chaos.copies ID...` decides these submissions in the environment's musicfp and prints JSON: how
long the exclusive lock was held each time, in seconds and in CPU seconds.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlmodel import Session

from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.ingest import forget_decided_objects, ingest_batch
from musicfp.settings import Settings
from musicfp.store.objects import open_store
from tests.support.audio_samples import encode

# Every one has more than 80 % of the recording of 24 s.
_CODINGS = (
    ("flac", ("-c:a", "flac")),
    ("mp3", ("-c:a", "libmp3lame", "-b:a", "64k")),
    ("ogg", ("-c:a", "libvorbis", "-q:a", "1")),
    ("opus", ("-c:a", "libopus", "-b:a", "48k")),
    ("m4a", ("-c:a", "aac", "-b:a", "96k")),
    ("wav", ("-c:a", "pcm_s16le", "-ac", "1")),
)
_CUTS = ((), ("-ss", "1"), ("-t", "22"), ("-ss", "1.5", "-t", "21"))
_GAINS_DB = (0, -6, -12)


def make_copies(song: Path, folder: Path, *, n_copies: int) -> list[Path]:
    """Make so many files of one recording: the same bytes, other codings, cuts, gains and tags."""
    folder.mkdir(parents=True, exist_ok=True)
    return [song if number % 8 == 0 else _copy(song, folder, number) for number in range(n_copies)]


def _copy(song: Path, folder: Path, number: int) -> Path:
    extension, coding = _CODINGS[number % len(_CODINGS)]
    cut, gain_db = _CUTS[number % len(_CUTS)], _GAINS_DB[number % len(_GAINS_DB)]
    options = (*cut, "-af", f"volume={gain_db}dB", *coding)
    tags = {"title": f"Version {number}", "artist": f"Artist {number % 5}"}
    return encode(song, folder / f"copy-{number}.{extension}", options, tags=tags)


def decide(submission_ids: list[str]) -> dict[str, object]:
    """Decide these submissions and return how long the exclusive lock was held."""
    settings = Settings.from_env()
    database = Database(settings.database_url)
    held_s: list[tuple[float, float]] = []
    database.exclusive = partial(_timed, database.exclusive, held_s)  # type: ignore[method-assign]
    stage = StageContext(settings, database, open_store(settings), Provenance("one of several"))
    began = time.perf_counter()
    statuses = [each.submission.status for each in ingest_batch(stage, submission_ids)]
    forget_decided_objects(stage)
    database.close()
    return {"held_s": held_s, "took_s": time.perf_counter() - began, "statuses": statuses}


@contextmanager
def _timed(exclusive: "partial[object]", held_s: list[tuple[float, float]]) -> Iterator[Session]:
    """Measure from the moment at which the lock is there until it is given back."""
    with exclusive() as session:  # type: ignore[attr-defined]
        began, began_cpu = time.perf_counter(), time.thread_time()
        yield session
    held_s.append((time.perf_counter() - began, time.thread_time() - began_cpu))


if __name__ == "__main__":
    json.dump(decide(sys.argv[1:]), sys.stdout)
