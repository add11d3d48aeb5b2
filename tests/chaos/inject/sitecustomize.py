"""Dies at failpoints. Every Python process of a product under test imports it: PYTHONPATH begins with this folder.

The product has no code for it: functions that failpoints name are wrapped when their module is imported. A wrapper asks
for a file `armed/<failpoint>`; the one process that can rename it to `hit/<failpoint>` sends itself SIGKILL, before or
after the function. So failpoints are armed in a product that is already running, each kills once, and run workers and
the processes that they spawn die like any other.

What belongs here: dying. What does not: which failpoints there are (`tests.chaos.failpoints`). Only the standard
library, because it is loaded before anything else.
"""

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER_VARIABLE = "MUSICFP_CHAOS_FOLDER"
_ROLES = {"dagster._daemon": "daemon", "graphql_api": "api", "grpc": "code-server", "--multiprocessing-fork": "worker"}


def _role() -> str:
    """Which part of the product this process is."""
    return next((role for word, role in _ROLES.items() if word in sys.orig_argv), "other")


class _Finder(MetaPathFinder):
    """Finds modules that have failpoints as usual, and wraps their functions once they are loaded."""

    def __init__(self, folder: Path, points: Sequence[dict[str, Any]]) -> None:
        self._folder = folder
        self._points = points

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        here = [each for each in self._points if each["module"] == fullname]
        spec = PathFinder.find_spec(fullname, path) if here else None
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(self._load, spec.loader.exec_module, here)  # type: ignore[method-assign]
        return spec

    def _load(self, load: Callable[[ModuleType], None], points: Sequence[dict[str, Any]], module: ModuleType) -> None:
        load(module)
        for point in points:
            *owners, name = point["function"].split(".")
            owner = functools.reduce(getattr, owners, module)
            setattr(owner, name, _mortal(getattr(owner, name), point, self._folder))


def _mortal(function: Callable[..., Any], point: dict[str, Any], folder: Path) -> Callable[..., Any]:
    armed, hit = folder / "armed" / point["name"], folder / "hit" / point["name"]
    calls = 0

    def is_meant(*arguments: object, **options: object) -> bool:
        nonlocal calls
        if not armed.exists() or point["where"] not in repr((arguments, options)):
            return False
        calls += 1
        return calls > point["skip"]

    def die() -> None:
        try:
            armed.rename(hit)
        except FileNotFoundError:  # another process was sooner
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        meant = is_meant(*arguments, **options)
        if meant and point["when"] == "before":
            die()
        result = function(*arguments, **options)
        if meant and point["when"] == "after":
            die()
        return result

    return wrapper


def _install(folder: Path) -> None:
    points = json.loads((folder / "failpoints.json").read_text())
    mine = [each for each in points if each["role"] in {"", _role()}]
    sys.meta_path.insert(0, _Finder(folder, mine))


if FOLDER_VARIABLE in os.environ:
    _install(Path(os.environ[FOLDER_VARIABLE]))
