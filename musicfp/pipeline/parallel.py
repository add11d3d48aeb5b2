"""Working on several tracks of a batch at once, with results in order or as soon as they are there."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
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


def map_in_groups(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, look_ahead: int, within_s: float = 0.0
) -> Generator[list[Result], None, None]:
    """Yield the results as groups: the first that is there, and what else ends within so many seconds of it.

    Items are begun in their order, at most `look_ahead` beyond those that were yielded: so much may be there before
    the first is taken. An error is raised after the results beside it were yielded.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batch") as executor:
        running: set[Future[Result]] = set()
        try:
            while True:
                running |= {executor.submit(function, item) for item in islice(waiting, look_ahead - len(running))}
                if not running:
                    return
                wait(running, return_when=FIRST_COMPLETED)
                done, running = wait(running, timeout=within_s)
                if results := [each.result() for each in done if each.exception() is None]:
                    yield results
                for each in done:
                    each.result()
        finally:
            for future in running:
                future.cancel()
