"""Running one child program within limits: time, memory, output, and an account of what it used.

What belongs here: starting, limiting, reading, stopping and reaping a single child process. What does not: knowing
what the program is for (ffmpeg's and ffprobe's arguments are built by the modules that use them).

The child gets no standard input, no secrets (its environment is PATH and a locale) and no core dumps. On Linux its
limits are set with prlimit(2) right after it was started; a preexec function would do it earlier but is unsafe in a
process with threads. Elsewhere only wall time is limited.
"""

import contextlib
import fcntl
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from musicfp.errors import DependencyMissing, PermanentError, WorkerLost

PIPE_BYTES = 1 << 20  # Linux's unprivileged maximum: 16 times fewer switches between ffmpeg and us than the default
MEMORY_SAMPLE_S = 0.1
REAP_POLL_S = 0.002
# strerror(ENOMEM), and what the dynamic loader says when the program's libraries alone do not fit.
_OUT_OF_MEMORY = ("Cannot allocate memory", "failed to map segment from shared object")
# Children that were started and not reaped yet, so that their ids are nobody else's.
_RUNNING: set[int] = set()
_INSTALL_HINT = {
    "ffmpeg": "install it with `apt-get install ffmpeg` (Debian, Ubuntu) or `brew install ffmpeg` (macOS)",
    "ffprobe": "it comes with ffmpeg: `apt-get install ffmpeg` (Debian, Ubuntu) or `brew install ffmpeg` (macOS)",
}


@dataclass(frozen=True)
class ProcessLimits:
    """What one child process may use. Address space counts what is mapped, several times what is resident."""

    wall_s: float
    cpu_s: int
    address_space_bytes: int
    output_file_bytes: int
    stdout_bytes: int
    stderr_bytes: int = 4096


@dataclass(frozen=True)
class Finished:
    """How a child process ended and what it used.

    `peak_rss_bytes` is exact if it is above this process's own peak; else sampled, and a little low for short runs.
    """

    returncode: int
    stdout: bytes
    stderr: str
    cpu_s: float
    peak_rss_bytes: int


class LimitExceeded(PermanentError):
    """A child process was stopped because it used more than it may; `limit` is the field of ProcessLimits."""

    code = "limit_exceeded"

    def __init__(self, program: str, limit: str, allowed: float) -> None:
        super().__init__(f"{program} was stopped: it used more than {limit}={allowed:g}, its limit for one file.")
        self.program = program
        self.limit = limit
        self.allowed = allowed

    def __reduce__(self) -> tuple[type["LimitExceeded"], tuple[str, str, float]]:
        """Survive the trip from a worker process: exceptions are rebuilt from these arguments."""
        return type(self), (self.program, self.limit, self.allowed)


def run_limited(argv: Sequence[str], limits: ProcessLimits) -> Finished:
    """Run a program to its end and keep what it prints.

    Parameters
    ----------
    argv : sequence of str
        The program and its arguments; no shell is involved.
    limits : ProcessLimits
        What the program may use. Printing more than `stdout_bytes` is an error, of stderr the start is kept.

    Returns
    -------
    Finished
        Whatever the return code is: judging it is up to the caller.

    Raises
    ------
    LimitExceeded
        The program used more than it may.
    WorkerLost
        The program was killed from outside, by an administrator or for want of memory.
    DependencyMissing
        The program is not installed.
    """
    stdout = bytearray()
    with LimitedProcess(argv, limits) as process:
        for chunk in process.chunks():
            stdout += chunk
            if len(stdout) > limits.stdout_bytes:
                raise LimitExceeded(argv[0], "stdout_bytes", limits.stdout_bytes)
        return process.finish(bytes(stdout))


class LimitedProcess:
    """A running child process whose standard output is read in chunks.

    Use as a context manager: leaving it, by whatever way, ends the child. `chunks()` must be read to its end before
    `finish()`; to leave early, call `stop()`.
    """

    def __init__(self, argv: Sequence[str], limits: ProcessLimits) -> None:
        self._program = argv[0]
        self._limits = limits
        self._stderr = bytearray()
        self._sampled_rss_bytes = 0
        self._own_peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._next_sample_s = 0.0
        self._usage: resource.struct_rusage | None = None
        self._deadline_s = time.monotonic() + limits.wall_s
        self._process = _spawn(argv)
        _RUNNING.add(self._process.pid)
        _apply_limits(self._process.pid, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def chunks(self, chunk_bytes: int = PIPE_BYTES) -> Iterator[bytes]:
        """Yield standard output as it comes, until the child closes it. Raise LimitExceeded at the wall time limit."""
        stdout, stderr = _pipes(self._process)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(self._patience_s()):
                    data = os.read(key.fd, chunk_bytes)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stdout:
                        yield data
                    elif len(self._stderr) < self._limits.stderr_bytes:
                        self._stderr += data
                self._sample_memory()

    def finish(self, stdout: bytes = b"") -> Finished:
        """Wait for the end of the child, whose output was read to its end.

        Raise LimitExceeded if a limit ended it, WorkerLost if something else killed it.
        """
        self._reap()
        finished = self._account(stdout)
        exceeded = _limit_that_ended(finished, self._limits)
        if exceeded is not None:
            raise LimitExceeded(self._program, exceeded, getattr(self._limits, exceeded))
        if finished.returncode == -signal.SIGKILL:
            raise WorkerLost(f"{self._program} was killed from outside, perhaps because memory ran out. Try again.")
        return finished

    def stop(self) -> Finished:
        """End the child if it still runs and say what it used; never raises LimitExceeded. May be repeated."""
        if self._process.returncode is None:
            # Not reaped yet, so this pid is our child's and nobody else's.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._deadline_s = float("inf")
            self._reap()
        for pipe in _pipes(self._process):
            pipe.close()
        return self._account(b"")

    def _patience_s(self) -> float:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise LimitExceeded(self._program, "wall_s", self._limits.wall_s)
        return min(left_s, MEMORY_SAMPLE_S)

    def _reap(self) -> None:
        while self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid == 0:
                time.sleep(min(REAP_POLL_S, self._patience_s()))
                continue
            _RUNNING.discard(pid)
            self._usage = usage
            self._process.returncode = os.waitstatus_to_exitcode(status)

    def _sample_memory(self) -> None:
        """Keep the child's own high-water mark: wait4 reports ours when ours is higher, as the child began as us."""
        now_s = time.monotonic()
        if sys.platform != "linux" or now_s < self._next_sample_s:
            return
        self._next_sample_s = now_s + MEMORY_SAMPLE_S
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self._sampled_rss_bytes = max(self._sampled_rss_bytes, int(line.split()[1]) * 1024)

    def _account(self, stdout: bytes) -> Finished:
        assert self._usage is not None  # noqa: S101 - reaped before, by both callers
        is_childs_own = self._usage.ru_maxrss > self._own_peak_rss or not self._sampled_rss_bytes
        reported_rss_bytes = self._usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Finished(
            returncode=self._process.returncode,
            stdout=stdout,
            stderr=_readable(bytes(self._stderr[: self._limits.stderr_bytes])),
            cpu_s=self._usage.ru_utime + self._usage.ru_stime,
            peak_rss_bytes=reported_rss_bytes if is_childs_own else self._sampled_rss_bytes,
        )


def end_children() -> None:
    """Kill every child that runs now, for a process that is told to end itself."""
    for pid in tuple(_RUNNING):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _spawn(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
    except (FileNotFoundError, PermissionError) as error:
        hint = _INSTALL_HINT.get(argv[0], "install it or correct PATH")
        raise DependencyMissing(f"Could not start {argv[0]}: {error.strerror}; {hint}.") from error
    if sys.platform == "linux":
        # Refused when this user already holds too many big pipes; the default size only costs speed.
        with contextlib.suppress(OSError):
            fcntl.fcntl(_pipes(process)[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _apply_limits(pid: int, limits: ProcessLimits) -> None:
    if sys.platform != "linux":
        return
    # Soft equals hard for CPU: ffmpeg catches the warning signal of a soft limit and would end as if all were well.
    values = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_AS: limits.address_space_bytes,
        resource.RLIMIT_FSIZE: limits.output_file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    with contextlib.suppress(ProcessLookupError):
        for name, value in values.items():
            _, hard = resource.prlimit(pid, name)
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, name, (allowed, allowed))


def _limit_that_ended(finished: Finished, limits: ProcessLimits) -> str | None:
    if finished.returncode == 0:
        return None
    # The kernel counts this limit in clock ticks and the usage that it reports exactly; on a busy machine they differ.
    if finished.returncode in {-signal.SIGKILL, -signal.SIGXCPU} and finished.cpu_s >= limits.cpu_s / 2:
        return "cpu_s"
    if finished.returncode == -signal.SIGXFSZ or "File too large" in finished.stderr:
        return "output_file_bytes"
    is_out_of_memory = any(message in finished.stderr for message in _OUT_OF_MEMORY)
    return "address_space_bytes" if is_out_of_memory else None


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdout is not None  # noqa: S101 - both were asked for
    assert process.stderr is not None  # noqa: S101
    return process.stdout, process.stderr


def _readable(stderr: bytes) -> str:
    """Return what a program printed without anything that could act on a terminal or a log: file bytes may be in it."""
    text = stderr.decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text).strip()
