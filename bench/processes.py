"""CPU seconds and memory of process trees, from /proc (Linux)."""

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_INTERVAL_S = 0.2
_STARTED_BY = {"code-server": "runs", "runs": "workers"}
_Key = tuple[int, str]


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


def own_cpu_s(pid: int) -> float:
    """Return the CPU seconds of one process, without its children."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def own_bytes(pid: int) -> int:
    """Return the memory of one process, with shared pages divided among those that map them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def resident_bytes() -> int:
    """Return the memory that this process has now, shared pages included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


class Watch:
    """Samples a process tree in the background: its memory, and who in it uses the CPU.

    `parts` names processes that live as long as the tree. What they start has a kind of its own: `runs` are processes
    of the code server, `workers` what runs start, `ffmpeg` every ffmpeg and ffprobe. Other processes count as the one
    that started them. Shared pages count in each process that maps them.
    """

    def __init__(self, root_pid: int, parts: Mapping[int, str]) -> None:
        self._root_pid = root_pid
        self._parts = {root_pid: "supervisor", **parts}
        self._kinds: dict[_Key, str] = {}
        self._ticks: dict[_Key, int] = {}
        self._ticks_before: dict[_Key, int] = {}
        self._waited: dict[_Key, int] = {}
        self._waited_before: dict[_Key, int] = {}
        self._total_before_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self.peak_bytes = 0
        self.total_cpu_s = 0.0

    def __enter__(self) -> "Watch":
        self._total_before_s = cpu_s(self._root_pid)
        self._sample()
        self._ticks_before, self._waited_before = dict(self._ticks), dict(self._waited)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.total_cpu_s = cpu_s(self._root_pid) - self._total_before_s

    def cpu_s_by_kind(self) -> dict[str, float]:
        """Return the CPU seconds of each kind, most first; `unseen` is what processes used after their last sample."""
        ticks: Counter[str] = Counter()
        for key, used in self._ticks.items():
            ticks[self._kinds[key]] += used - self._ticks_before.get(key, 0)
        by_kind = {kind: used / _TICKS_PER_S for kind, used in ticks.most_common() if used}
        return {**by_kind, "unseen": self.total_cpu_s - sum(by_kind.values())}

    def waited_cpu_s(self, kind: str) -> float:
        """Return the CPU seconds of the processes that those of a kind have started and waited for, however short."""
        waited = sum(
            used - self._waited_before.get(key, 0) for key, used in self._waited.items() if self._kinds[key] == kind
        )
        return waited / _TICKS_PER_S

    def n_by_kind(self) -> dict[str, int]:
        """Return how many processes of each kind were seen."""
        return dict(Counter(self._kinds.values()))

    def _repeat(self) -> None:
        while not self._stop.wait(_SAMPLE_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        kinds: dict[int, str] = {}
        n_pages = 0
        for pid in tree(self._root_pid):  # parents come before their children
            fields = _stat(pid)
            if fields is None:
                continue
            key = (pid, fields[19])  # with its start time: ids are used again
            kinds[pid] = self._kinds[key] = self._kind(pid, kinds.get(int(fields[1]), "supervisor"))
            self._ticks[key] = int(fields[11]) + int(fields[12])
            self._waited[key] = int(fields[13]) + int(fields[14])
            n_pages += int(fields[21])
        self.peak_bytes = max(self.peak_bytes, n_pages * _PAGE_BYTES)

    def _kind(self, pid: int, parent_kind: str) -> str:
        if pid in self._parts:
            return self._parts[pid]
        try:
            program = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            program = ""
        return "ffmpeg" if program in {"ffmpeg", "ffprobe"} else _STARTED_BY.get(parent_kind, parent_kind)


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
