"""Sending hostile files through the real inspection and watching: outcome, time, memory, and who was asked.

What belongs here: running and measuring. What does not: making the files, and printing (`__main__`).
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from eval.hostile.canary import Canary
from eval.hostile.model import ACCEPTED, HostileFile, Workbench
from musicfp.errors import MusicfpError, SubmissionRejected
from musicfp.pipeline.inspection import InspectionPool, InspectionRules

RULES = InspectionRules(required_tags=("title", "artist"), max_duration_s=4 * 3600.0)
_SAMPLE_S = 0.02


@dataclass(frozen=True)
class Observed:
    """What became of one file. `codes` are those of its problems, or "accepted"; a fault is an answer that is none."""

    file: HostileFile
    size_bytes: int
    codes: tuple[str, ...]
    messages: tuple[str, ...]
    fault: str | None
    cpu_s: float
    wall_s: float
    peak_bytes: int
    server_hits: int
    file_hits: int

    @property
    def is_right(self) -> bool:
        """Whether the answer is clear and one of those that are right, and nobody went elsewhere."""
        is_expected = not self.file.expected or set(self.codes) <= self.file.expected
        return self.fault is None and is_expected and not self.server_hits and not self.file_hits


def observe_all(files: Iterable[HostileFile], folder: Path, *, timeout_s: float) -> Iterator[Observed]:
    """Inspect the files one after the other in one worker and yield what became of each."""
    with Canary(folder) as canary:
        bench = Workbench(folder, canary_url=canary.url, canary_path=canary.path)
        with InspectionPool(RULES, workers=1, timeout_s=timeout_s) as pool:
            _inspect(pool, _warm(bench, folder), "wav")  # starting the worker is nobody's cost
            for file in files:
                yield observe(file, pool, bench, canary)


def observe(file: HostileFile, pool: InspectionPool, bench: Workbench, canary: Canary) -> Observed:
    """Make one file, inspect it and remove it."""
    path = bench.folder / "upload"
    path.write_bytes(file.build(bench))
    size_bytes = path.stat().st_size
    server_before, file_before = canary.server_hits, canary.file_hits
    with _Watch() as watch:
        codes, messages, fault = _inspect(pool, path, file.extension)
    time.sleep(_SAMPLE_S)  # what asks late is counted too
    path.unlink()
    return Observed(
        file=file,
        size_bytes=size_bytes,
        codes=codes,
        messages=messages,
        fault=fault,
        cpu_s=watch.cpu_s,
        wall_s=watch.wall_s,
        peak_bytes=watch.peak_bytes,
        server_hits=canary.server_hits - server_before,
        file_hits=canary.file_hits - file_before,
    )


def _inspect(pool: InspectionPool, path: Path, extension: str) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    try:
        pool.inspect(path, extension)
    except SubmissionRejected as error:
        return tuple(each.code for each in error.problems), tuple(each.message for each in error.problems), None
    except MusicfpError as error:
        return (error.code,), (), f"{type(error).__name__}: {error}"
    return (ACCEPTED,), (), None


def _warm(bench: Workbench, folder: Path) -> Path:
    path = folder / "warm.wav"
    path.write_bytes(bench.encoded("wav"))
    return path


class _Watch:
    """CPU seconds, seconds and peak memory of everything that this process started, while it is entered."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._began_s = 0.0
        self._cpu_before_s = 0.0
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        for pid in _descendants(os.getpid()):
            _forget_peak(pid)
        self._cpu_before_s = self._cpu_now_s()
        self._began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.wall_s = time.monotonic() - self._began_s

    def _repeat(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        self.cpu_s = max(self.cpu_s, self._cpu_now_s() - self._cpu_before_s)
        self.peak_bytes = max(self.peak_bytes, sum(map(_peak_bytes, _descendants(os.getpid()))))

    @staticmethod
    def _cpu_now_s() -> float:
        return sum(map(_used_s, _descendants(os.getpid())))


def _descendants(pid: int) -> list[int]:
    """Return what a process has started, what that has started, and so on."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # processes come and go, and their threads
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found + [later for each in found for later in _descendants(each)]


def _used_s(pid: int) -> float:
    """Return the CPU seconds of a process and of all that it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _forget_peak(pid: int) -> None:
    """Let the kernel measure the peak of a process anew."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
