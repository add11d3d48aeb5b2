"""Where blocking work runs: bounded sets of threads, so that the event loop always answers.

What belongs here: limits on how much work runs and waits at a time. What does not: the work.
"""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

P = ParamSpec("P")
T = TypeVar("T")

# Below the 15 connections of SQLAlchemy's default pool: no thread ever waits for a connection that another holds.
DATABASE_THREADS = 8
# Searching is CPU work; more threads at a time would only make every search slower.
SEARCH_THREADS = 2
# One at a time anyway: they share vectors in memory. Reading those of a large catalogue takes seconds, and nobody else
# waits for it.
SIMILAR_THREADS = 1
# Work that waits longer than its caller is willing to is wasted; better to say so at once.
MAX_WAITING = 64
# Each may hold a file of the largest accepted size in the scratch directory.
MAX_RECEIVED_FILES = 8


class Overloaded(Exception):
    """Too much work waits already; the caller should try again in a moment."""


class WorkerThreads:
    """One kind of work, its threads and its queue."""

    def __init__(self, *, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._limiter = CapacityLimiter(threads)
        self._max_waiting = max_waiting

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread and wait for it. Raises Overloaded when too much waits already."""
        if self._limiter.statistics().tasks_waiting >= self._max_waiting:
            raise Overloaded
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._limiter)


class Workers:
    """The threads of one API process.

    `database` is for queries and signing, `search` for decoding and searching, `similar` for similar tracks.
    """

    def __init__(self) -> None:
        self.database = WorkerThreads(threads=DATABASE_THREADS)
        self.search = WorkerThreads(threads=SEARCH_THREADS)
        self.similar = WorkerThreads(threads=SIMILAR_THREADS)
        self.received_files = CapacityLimiter(MAX_RECEIVED_FILES)
