"""CPU seconds and memory of process trees, from /proc (Linux)."""

import os
import threading
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_INTERVAL_S = 0.5


def tree(root_pid: int) -> list[int]:
    """Return a process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root_pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_s(root_pid: int) -> float:
    """Return the CPU seconds of a process, its living descendants, and of all that they have waited for."""
    total = 0
    for pid in tree(root_pid):
        fields = _stat(pid)
        if fields is not None:
            total += sum(int(ticks) for ticks in fields[11:15])
    return total / _TICKS_PER_S


class PeakMemory:
    """Samples the memory of a process tree in the background. Shared pages count in each process that maps them."""

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_INTERVAL_S):
            pages = (_stat(pid) for pid in tree(self._root_pid))
            self.peak_bytes = max(self.peak_bytes, sum(int(each[21]) for each in pages if each) * _PAGE_BYTES)


def idle_rate(root_pids: list[int], *, over_s: float) -> float:
    """Return the CPU seconds per second that process trees use while nothing is asked of them."""
    before = sum(map(cpu_s, root_pids))
    time.sleep(over_s)
    return (sum(map(cpu_s, root_pids)) - before) / over_s


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
