"""Waiting for something to become true, with a limit. The only place in the tests that polls."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
_POLL_S = 0.05


def eventually(ask: Callable[[], Value], *, within_s: float = 20.0, every_s: float = _POLL_S) -> Value:
    """Return the first truthy answer; fail with the last one when there is none within the limit."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {within_s:.0f} s"
        time.sleep(every_s)
    return answer
