"""Looking into one uploaded file: what it is, what it says about itself, and its fingerprint. The file is decoded once.

Runs in spawned worker processes (`InspectionPool`), because parsing tags and media of strangers can hang, crash or eat
memory. What does not belong here: the store, the database and the verdict.
"""

import os
import resource
import signal
import time
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from musicfp.audio.decode import check_decoded, decode_pcm
from musicfp.audio.limits import LimitExceeded, end_children
from musicfp.audio.own_limits import limited_step
from musicfp.audio.probe import AudioFacts, check_facts, probe
from musicfp.audio.sniff import AudioFormat, check_extension, require_format
from musicfp.audio.tags import TrackTags, missing_tag_problems, read_tags
from musicfp.errors import MusicfpError, Problem, SubmissionRejected, WorkerLost
from musicfp.fingerprint.downmix import query_of
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint

# Changes when the same file gives other facts, tags or problems.
INSPECTION_VERSION = "1"
# A file of four hours is decoded at 300 times real time or more; what takes longer than this hangs.
DEFAULT_TIMEOUT_S = 900.0
_WORKER_MEMORY_BYTES = 2 << 30
_TASKS_PER_WORKER = 1000
# Honest tags take a hundredth of a second; a tag of ID3 can be 256 MB long and is read at once.
_TAG_CPU_S = 10.0
_TAG_MEMORY_BYTES = 768 << 20
# Ten minutes, 13 MB: what is longer is not judged at other speeds and pitches.
_MAX_SAMPLES_KEPT = 600 * ANALYSIS_RATE_HZ


@dataclass(frozen=True)
class InspectionRules:
    """What an upload must fulfil, from settings."""

    required_tags: tuple[str, ...]
    max_duration_s: float


@dataclass(frozen=True)
class Inspection:
    """Everything that an upload shows of itself. `duration_s` counts decoded samples, not what headers claim.

    `samples` are what was fingerprinted, NDArray[np.int16] [shape=(n_samples,)], mono at 11025 Hz; None of a long one.
    """

    fmt: AudioFormat
    facts: AudioFacts
    tags: TrackTags
    fingerprint: Fingerprint
    duration_s: float
    cpu_s: float
    samples: NDArray[np.int16] | None = None


def inspect_file(path: Path, extension: str | None, rules: InspectionRules) -> Inspection:
    """Inspect a local file whose upload was called `*.extension`.

    Raises SubmissionRejected with every problem found. Wrong tags and wrong audio are told in one go.
    """
    if path.stat().st_size == 0:
        raise SubmissionRejected(Problem("empty", "The file is empty (0 bytes). Check the export and upload it again."))
    began_s = _cpu_with_children_s()
    fmt = require_format(path)
    problems = [problem for problem in [check_extension(extension, fmt)] if problem is not None]
    facts = probe(path, fmt=fmt)
    check_facts(facts, max_duration_s=rules.max_duration_s)
    tags = _tags(path, fmt, facts)
    problems += missing_tag_problems(tags, rules.required_tags)
    query, duration_s = _hear(path, fmt, facts, rules, problems)
    if problems:
        raise SubmissionRejected(*problems)
    cpu_s = _cpu_with_children_s() - began_s
    return Inspection(fmt, facts, tags, query.fingerprint, duration_s, cpu_s, samples=query.samples)


def _tags(path: Path, fmt: AudioFormat, facts: AudioFacts) -> TrackTags:
    try:
        with limited_step("Reading tags", cpu_s=_TAG_CPU_S, memory_bytes=_TAG_MEMORY_BYTES):
            return read_tags(path, fmt=fmt, fallback=facts.tags)
    except LimitExceeded as error:
        message = "The file's tags are too large or too many to be read."
        advice = "Remove the pictures, comments and chapters that it does not need, and upload it again."
        raise SubmissionRejected(Problem("over_limits", f"{message} {advice}", "tags")) from error


def _hear(
    path: Path, fmt: AudioFormat, facts: AudioFacts, rules: InspectionRules, problems: list[Problem]
) -> tuple[Query, float]:
    """Decode to the rate that Chromaprint works at, fingerprinting on the way; what is wrong goes into `problems`."""
    # Two channels where there are two: a mix of phase-inverted stereo would look silent.
    n_channels = min(facts.n_channels, 2)
    decoding = decode_pcm(
        path,
        fmt=fmt,
        sample_rate_hz=ANALYSIS_RATE_HZ,
        n_channels=n_channels,
        sample_format="s16",
        max_duration_s=rules.max_duration_s,
    )
    with decoding as decoded:
        query = query_of(decoded, n_channels=n_channels, max_samples=_MAX_SAMPLES_KEPT)
    try:
        check_decoded(path, facts, decoded, fmt=fmt, max_duration_s=rules.max_duration_s)
    except SubmissionRejected as rejection:
        problems.extend(rejection.problems)
    return query, decoded.duration_s


class InspectionPool:
    """Spawned processes that inspect files. A context manager; leaving it with an error stops what is running."""

    def __init__(self, rules: InspectionRules, *, workers: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._pool = ProcessPool(
            max_workers=workers,
            max_tasks=_TASKS_PER_WORKER,
            initializer=_start_worker,
            context=get_context("spawn"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def inspect(self, path: Path, extension: str | None) -> Inspection:
        """Inspect a file in a worker and wait for it.

        Raises SubmissionRejected, or WorkerLost when the worker crashed or ran out of time.
        """
        future: Future[Inspection] = self._pool.schedule(
            inspect_file, args=(path, extension, self._rules), timeout=self._timeout_s
        )
        try:
            return future.result()
        except TimeoutError as error:
            raise WorkerLost(f"Examining the file took longer than {self._timeout_s:.0f} s and was stopped.") from error
        except ProcessExpired as error:
            raise WorkerLost(f"The process that examined the file ended with exit code {error.exitcode}.") from error
        except MemoryError as error:
            raise WorkerLost(f"Examining the file took more than {_WORKER_MEMORY_BYTES} bytes of memory.") from error
        except LimitExceeded as error:
            if error.limit != "wall_s":
                raise
            # The machine may have been busy, so it is worth another try.
            raise WorkerLost(str(error)) from error
        except MusicfpError:
            raise
        except Exception as error:  # what nobody foresaw in one file must not cost the batch its others
            raise WorkerLost(f"Examining the file failed with {type(error).__name__}: {error}.") from error


def _start_worker() -> None:
    signal.signal(signal.SIGTERM, _end_with_children)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_WORKER_MEMORY_BYTES, _WORKER_MEMORY_BYTES))


def _end_with_children(_signal: int, _frame: FrameType | None) -> None:
    """Take the decoder along when the pool ends this worker: it would go on until its own limits."""
    end_children()
    os._exit(128 + signal.SIGTERM)


def _cpu_with_children_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
