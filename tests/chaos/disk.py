"""A disk without a free byte. Not here: what is sent meanwhile, and whether it is lost (`__main__`, `invariants`)."""

import errno
import os
import shutil
import time
from pathlib import Path

_LARGEST_BYTES = 8 << 30
_BLOCK_BYTES = 1 << 20
_POLL_S = 0.05


def require_small(folder: Path) -> None:
    """Raise SystemExit where filling the disk would hurt others than the product."""
    total_bytes = shutil.disk_usage(folder).total
    if total_bytes > _LARGEST_BYTES:
        raise SystemExit(
            f"The disk of {folder} has {total_bytes / 1e9:.0f} GB and is not filled: name a folder on one of at most "
            f"{_LARGEST_BYTES / 1e9:.0f} GB, for instance `mount -t tmpfs -o size=2g tmpfs FOLDER`."
        )


def fill(folder: Path, *, for_s: float) -> int:
    """Take every free byte of the disk of `folder`, also what others free, for so long. Returns the most it had."""
    ballast, most_bytes = folder / "ballast", 0
    ends = time.monotonic() + for_s
    try:
        with ballast.open("wb", buffering=0) as file:
            while time.monotonic() < ends:
                most_bytes += _write_all(file.fileno())
                time.sleep(_POLL_S)
    finally:
        ballast.unlink()
    return most_bytes


def _write_all(descriptor: int) -> int:
    """Write zeros until there is no room, in ever smaller blocks. Returns how many."""
    n_written, n_block = 0, _BLOCK_BYTES
    while n_block:
        try:
            n_written += os.write(descriptor, bytes(n_block))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            n_block //= 2
    return n_written
