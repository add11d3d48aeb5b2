"""Limiting what this process itself spends on one step, for work on untrusted bytes that is done in Python.

What belongs here: processor time and memory of a step. What does not: limits of child programs (limits), and how long a
worker may take for everything (the pools that run it).
"""

import contextlib
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from musicfp.audio.limits import LimitExceeded

_REPEAT_S = 0.5  # the first error may be taken for damage by a library that catches everything


@contextlib.contextmanager
def limited_step(step: str, *, cpu_s: float, memory_bytes: int) -> Iterator[None]:
    """Run the block within limits; main thread only.

    Parameters
    ----------
    step : str
        What is done, for the error.
    cpu_s : float
        Processor seconds of this process, so that a busy machine changes nothing.
    memory_bytes : int
        What the process may allocate beyond what it has. Only on Linux.

    Raises
    ------
    LimitExceeded
        `cpu_s` or `memory_bytes`.
    """
    is_spent = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_spent
        is_spent = True
        raise LimitExceeded(step, "cpu_s", cpu_s)

    handler_before = signal.signal(signal.SIGPROF, stop)
    try:
        with _less_memory(memory_bytes):
            signal.setitimer(signal.ITIMER_PROF, cpu_s, _REPEAT_S)
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    except MemoryError as error:
        raise LimitExceeded(step, "memory_bytes", memory_bytes) from error
    finally:
        signal.signal(signal.SIGPROF, handler_before)
    if is_spent:  # somebody swallowed it
        raise LimitExceeded(step, "cpu_s", cpu_s)


@contextlib.contextmanager
def _less_memory(memory_bytes: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    # Field 6 of statm, data and stack, is what this limit counts, in pages.
    now_bytes = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    allowed = now_bytes + memory_bytes
    soft = allowed if before[0] == resource.RLIM_INFINITY else min(allowed, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
