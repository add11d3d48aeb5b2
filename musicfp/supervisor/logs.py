"""The log file of each part: appended, bounded, and its end shown when the part fails."""

import os
import shutil
from pathlib import Path

MAX_LOG_BYTES = 10 << 20
_TAIL_READ_BYTES = 64 << 10


def open_log(path: Path) -> int:
    """Rotate the log if it is big, and return a descriptor to append to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rotate(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path, *, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Move the content of a log above `max_bytes` to `<name>.1`, replacing what was there.

    The file is emptied rather than renamed: a running process keeps appending to the same file. What it writes between
    copy and truncation is lost, which a bound on disk space is worth.
    """
    if not path.exists() or path.stat().st_size <= max_bytes:
        return
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)


def tail(path: Path, *, lines: int = 20) -> str:
    """Return the last lines of a log, empty when there are none."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - _TAIL_READ_BYTES))
        return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
