"""Working on several tracks of a batch at once, with results in order or as soon as they are there."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
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


def map_as_completed(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item as soon as it is done. Items are begun in their order.

    For results that are small and leave nothing on disk: all may be there before the first is taken.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batch") as executor:
        running = [executor.submit(function, item) for item in items]
        try:
            for future in as_completed(running):
                yield future.result()
        finally:
            for future in running:
                future.cancel()


def map_in_groups(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, within_s: float
) -> Generator[list[Result], None, None]:
    """Yield the results as groups: the first that is there, and what else ends within so many seconds of it.

    For results that cost less to take together. An error is raised after the results beside it were yielded.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batch") as executor:
        running = {executor.submit(function, item) for item in items}
        try:
            while running:
                wait(running, return_when=FIRST_COMPLETED)
                done, running = wait(running, timeout=within_s)
                if results := [each.result() for each in done if each.exception() is None]:
                    yield results
                for each in done:
                    each.result()
        finally:
            for future in running:
                future.cancel()
