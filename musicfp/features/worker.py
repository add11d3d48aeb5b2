"""A pool of spawned worker processes that analyse tracks, with a time and a memory limit for each.

Why processes: essentia keeps the GIL, hangs or crashes on some input, and TensorFlow inside it hangs after a fork, so
workers are spawned. A worker that hangs or dies costs the extractor at fault of one track, and is replaced.

Memory is limited by RLIMIT_DATA, which counts private writable memory. RLIMIT_AS would count TensorFlow's reserved
address space: 1.2 GB after the import alone, with 0.27 GB of data (measured). macOS ignores RLIMIT_DATA for mapped
memory, so there is no limit there.
"""

import concurrent.futures
import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

from pebble import ProcessExpired, ProcessPool

from musicfp.errors import WorkerLost
from musicfp.features.analysis import TrackAnalysis, analyse_file
from musicfp.features.registry import REGISTRY, load_builtin
from musicfp.features.values import FeatureStatus, Reason
from musicfp.settings import Settings

DEFAULT_TIMEOUT_S = 600.0
# 15 minutes, the longest that is analysed whole, peak at 1.1 GB resident; two hours pass too (measured).
DEFAULT_MEMORY_BYTES = 2 << 30
# Python, numpy, scipy and essentia with TensorFlow have 0.3 GB before the first sample.
MIN_MEMORY_BYTES = 512 << 20
# Importing scipy and essentia costs 2 CPU s per worker; a fresh one now and then bounds what leaks.
_TASKS_PER_WORKER = 500


class FeaturePool:
    """Workers that analyse tracks. A context manager: leaving it waits for what was submitted, or stops on an error.

    Parameters
    ----------
    workers
        Number of processes; they are started when needed.
    timeout_s
        Wall-clock limit of one attempt on one track, decoding included.
    memory_bytes
        Limit of a worker's private memory, at least MIN_MEMORY_BYTES.
    extra_modules
        Modules with the user's extractors; None means the setting MUSICFP_FEATURE_MODULES.

    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        extra_modules: Sequence[str] | None = None,
    ) -> None:
        if memory_bytes < MIN_MEMORY_BYTES:
            raise ValueError(f"A worker cannot start with {memory_bytes} bytes; give it {MIN_MEMORY_BYTES} or more.")
        settings = Settings.from_env()
        modules = settings.feature_modules if extra_modules is None else tuple(extra_modules)
        # Workers inherit it. Two threads of BLAS in a worker used 20 times the CPU of one for the products of matrices
        # in `spectra` (measured with both cores busy): they wait for each other by spinning.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._registry = load_builtin(modules)
        self._timeout_s = timeout_s
        self._max_duration_s = settings.max_duration_s
        self._lock = threading.Lock()
        self._unsettled: set[Future[TrackAnalysis]] = set()
        self._pool = ProcessPool(
            max_workers=workers,
            max_tasks=_TASKS_PER_WORKER,
            initializer=_start_worker,
            initargs=(modules, memory_bytes),
            context=get_context("spawn"),
        )

    def __enter__(self) -> "FeaturePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            # A lost worker is followed by new tasks, so the pool may close only when nothing is unsettled.
            concurrent.futures.wait(self._still_unsettled())
            self._pool.close()  # type: ignore[no-untyped-call]
            self._pool.join()
            return
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()
        # A task that was on its way to a worker when the pool stopped is settled by nobody else (seen with pebble 5.2).
        for outcome in self._still_unsettled():
            self._fail(outcome, concurrent.futures.CancelledError())

    def submit(self, path: Path, extractor_names: Sequence[str]) -> "Future[TrackAnalysis]":
        """Analyse the audio file at `path` with the named extractors in a worker.

        Returns
        -------
        Future
            Of a TrackAnalysis with every named extractor. It raises MusicfpError when the file cannot be decoded, and
            WorkerLost when the pool was stopped first.

        Raises
        ------
        KeyError
            When there is no extractor of one of these names.

        """
        names = tuple(extractor_names)
        for name in names:
            self._registry.get(name)
        outcome: Future[TrackAnalysis] = Future()
        outcome.set_running_or_notify_cancel()
        with self._lock:
            self._unsettled.add(outcome)
        outcome.add_done_callback(self._forget)
        self._attempt(path, names, partial(self._settle_whole, path, names, outcome), outcome)
        return outcome

    def _attempt(
        self,
        path: Path,
        names: tuple[str, ...],
        settle: "Callable[[Future[TrackAnalysis]], None]",
        outcome: "Future[TrackAnalysis]",
    ) -> None:
        """Schedule one attempt and have `settle` look at how it ended; what goes wrong here ends up in `outcome`."""

        def settle_or_fail(attempt: "Future[TrackAnalysis]") -> None:
            try:
                settle(attempt)
            except Exception as error:
                self._fail(outcome, error)

        try:
            attempt = self._pool.schedule(
                _analyse_in_worker, args=(path, names, self._max_duration_s), timeout=self._timeout_s
            )
        except RuntimeError as error:
            self._fail(outcome, WorkerLost(f"Could not analyse {path.name}: the pool of workers is stopped ({error})."))
            return
        attempt.add_done_callback(settle_or_fail)

    def _settle_whole(
        self, path: Path, names: tuple[str, ...], outcome: "Future[TrackAnalysis]", attempt: "Future[TrackAnalysis]"
    ) -> None:
        loss = _loss_of(attempt)
        if loss is None:
            outcome.set_result(attempt.result())
        elif len(names) == 1:
            outcome.set_result(self._lost(names[0], loss))
        else:
            # Somebody among them is guilty: alone each of the others still gets its values.
            parts: dict[str, TrackAnalysis] = {}
            for name in names:
                settle = partial(self._settle_part, names, name, parts, outcome)
                self._attempt(path, (name,), settle, outcome)

    def _settle_part(
        self,
        names: tuple[str, ...],
        name: str,
        parts: dict[str, TrackAnalysis],
        outcome: "Future[TrackAnalysis]",
        attempt: "Future[TrackAnalysis]",
    ) -> None:
        loss = _loss_of(attempt)
        part = attempt.result() if loss is None else self._lost(name, loss)
        with self._lock:
            parts[name] = part
            complete = len(parts) == len(names)
        if complete:
            outcome.set_result(_merged([parts[each] for each in names]))

    def _lost(self, name: str, reason: str) -> TrackAnalysis:
        values = self._registry.get(name).absent(reason, status=FeatureStatus.FAILED)
        return TrackAnalysis(values={name: values}, cpu_s={name: 0.0}, decode_cpu_s=0.0, peak_rss_bytes=0)

    def _fail(self, outcome: "Future[TrackAnalysis]", error: Exception) -> None:
        stopped = isinstance(error, concurrent.futures.CancelledError | concurrent.futures.BrokenExecutor)
        # Of several attempts on one track the first failure counts.
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            outcome.set_exception(WorkerLost("The pool of workers was stopped.") if stopped else error)

    def _still_unsettled(self) -> "list[Future[TrackAnalysis]]":
        with self._lock:
            return list(self._unsettled)

    def _forget(self, outcome: "Future[TrackAnalysis]") -> None:
        with self._lock:
            self._unsettled.discard(outcome)


def _start_worker(modules: tuple[str, ...], memory_bytes: int) -> None:
    """Set the limits of this worker process and load the extractors; essentia comes with the first that needs it."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    load_builtin(modules)


def _analyse_in_worker(path: Path, names: tuple[str, ...], max_duration_s: float) -> TrackAnalysis:
    return analyse_file(path, names, registry=REGISTRY, max_duration_s=max_duration_s)


def _loss_of(attempt: "Future[TrackAnalysis]") -> str | None:
    """Return the reason if the worker was lost, None if it answered; raises CancelledError if the pool stopped."""
    error = attempt.exception()
    if isinstance(error, ProcessExpired):
        return Reason.error(f"worker crashed, {_exit_name(error.exitcode)}")
    return Reason.TIMEOUT if isinstance(error, TimeoutError) else None


def _exit_name(exit_code: int) -> str:
    if exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _merged(parts: Sequence[TrackAnalysis]) -> TrackAnalysis:
    return TrackAnalysis(
        values={name: values for part in parts for name, values in part.values.items()},
        cpu_s={name: cpu_s for part in parts for name, cpu_s in part.cpu_s.items()},
        decode_cpu_s=sum(part.decode_cpu_s for part in parts),
        peak_rss_bytes=max(part.peak_rss_bytes for part in parts),
    )
