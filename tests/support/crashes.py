"""Dying at a chosen moment, in tests of what survives it."""

import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.pipeline.context import StageContext
from musicfp.settings import Settings
from musicfp.store.objects import open_store

Batch = Callable[[StageContext, Sequence[str]], object]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill(*_: object, **__: object) -> None:
    """Die. Takes the place of any function."""
    raise Killed


def killed_while_working(stage: StageContext, batch: Batch, ids: Sequence[str]) -> None:
    """Do a batch in a process of its own, which dies by kill -9 in the middle. `batch` is a function of a module."""
    spawned = get_context("spawn").Process(target=_work, args=(stage.settings, stage.database.url, batch, list(ids)))
    spawned.start()
    spawned.join()
    assert spawned.exitcode == -signal.SIGKILL


def end_this_process(*_: Any, **__: Any) -> None:
    """Take the place of any function, and be the end of the process that calls it."""
    os.kill(os.getpid(), signal.SIGKILL)


def _work(settings: Settings, database_url: str, batch: Batch, ids: Sequence[str]) -> None:
    Path(settings.scratch_path).mkdir(parents=True, exist_ok=True)
    batch(StageContext(settings, Database(database_url), open_store(settings), Provenance("killed")), ids)
