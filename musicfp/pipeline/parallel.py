"""Working on several tracks of a batch at once while results come back in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, look_ahead: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` in the order of `items`, working on at most `look_ahead` of them beyond the one awaited.

    The bound keeps scratch files of a long batch few; threads suffice because the heavy work is in child processes.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batch") as executor:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(executor.submit(function, item))
                if len(running) > look_ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
