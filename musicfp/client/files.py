"""Which files a submission is about.

What belongs here: walking folders and recognising audio by its extension. What does not: looking into files; the
server decides what is music.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from musicfp.client.http import read_chunks

# What people keep music in; a file with another extension is still sent when it is named on the command line.
AUDIO_EXTENSIONS = frozenset(
    {
        ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".ape", ".au", ".caf", ".dff", ".dsf", ".flac", ".m4a", ".m4b",
        ".mka", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".spx", ".tak", ".tta", ".wav", ".webm",
        ".weba", ".wma", ".wv",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Files to send, in a stable order, and how many in folders were left out: not audio, or links to elsewhere."""

    files: tuple[Path, ...]
    n_skipped: int
    n_links: int


@dataclass(frozen=True)
class FileFacts:
    """A file as it was when it was read: if size or time differ later, it has been changed since."""

    size_bytes: int
    mtime_ns: int
    sha256: str


def select_files(paths: Iterable[Path]) -> Selection:
    """Return files that are named and audio files in folders that are named; links inside folders are not followed."""
    found: dict[Path, None] = {}
    n_skipped = n_links = 0
    for path in paths:
        if not path.is_dir():
            found[path.absolute()] = None
            continue
        for file in _walk(path.absolute()):
            if file.is_symlink() or not file.is_file():
                n_links += file.is_symlink()
            elif _looks_like_audio(file):
                found[file] = None
            else:
                n_skipped += 1
    return Selection(tuple(found), n_skipped, n_links)


def read_facts(path: Path) -> FileFacts:
    """Read a file once for its sha256. Raises OSError."""
    status = path.stat()
    digest = hashlib.sha256()
    for chunk in read_chunks(path):
        digest.update(chunk)
    return FileFacts(status.st_size, status.st_mtime_ns, digest.hexdigest())


def is_unchanged(path: Path, facts: FileFacts) -> bool:
    """Whether size and time of change are still what they were. Raises OSError."""
    status = path.stat()
    return (status.st_size, status.st_mtime_ns) == (facts.size_bytes, facts.mtime_ns)


def _walk(folder: Path) -> Iterator[Path]:
    for directory, subdirectories, names in os.walk(folder, followlinks=False):
        subdirectories.sort()
        yield from (Path(directory, name) for name in sorted(names))


def _looks_like_audio(path: Path) -> bool:
    # macOS writes resource forks as "._song.mp3" to disks of others.
    return path.suffix.lower() in AUDIO_EXTENSIONS and not path.name.startswith("._")
