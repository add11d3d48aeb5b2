"""The outcome of one check of `musicfp doctor`."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "broken", "not running"]


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, what was found, and what to do when it is not right."""

    name: str
    state: State
    found: str
    fix: str | None = None


def ok(name: str, found: str) -> Check:
    """Say that something is as it must be."""
    return Check(name, "ok", found)


def broken(name: str, found: str, fix: str) -> Check:
    """Say that something required does not work."""
    return Check(name, "broken", found, fix)


def not_running(name: str, found: str, fix: str) -> Check:
    """Say that something is merely not started."""
    return Check(name, "not running", found, fix)
