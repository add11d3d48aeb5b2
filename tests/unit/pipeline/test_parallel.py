"""Several items at once: what comes when, and what becomes of the others when one fails."""

import threading
from collections.abc import Iterator

import pytest

from musicfp.pipeline.parallel import map_in_groups, map_in_order

WITHIN_S = 30.0


def test_results_come_in_order_where_that_is_asked_for() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(WITHIN_S)
        else:
            second_is_done.set()
        return item

    assert list(map_in_order(work, range(2), threads=2, look_ahead=2)) == [0, 1]


def test_items_are_begun_in_their_order() -> None:
    begun: list[int] = []
    groups = list(map_in_groups(begun.append, range(20), threads=1, look_ahead=3))
    assert sum(map(len, groups)) == 20
    assert begun == list(range(20))


def test_an_error_reaches_the_caller_and_what_was_not_begun_is_left() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError(f"number {item}")

    with pytest.raises(ValueError, match="number 0"):
        list(map_in_groups(work, range(200), threads=1, look_ahead=5))
    assert len(begun) <= 5


def test_no_more_is_begun_than_asked_for() -> None:
    """What lies ahead is not taken yet: it may be written down when it is."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for n_groups, group in enumerate(map_in_groups(int, items(), threads=2, look_ahead=4, within_s=WITHIN_S), 1):
        assert len(group) <= 4
        assert len(taken) <= 4 * n_groups
    assert len(taken) == 50


def test_a_group_is_what_ends_soon_after_its_first() -> None:
    """And what takes longer holds nobody up: in order nothing would ever come."""
    received = threading.Event()

    def work(item: str) -> str:
        if item == "slow":
            assert received.wait(WITHIN_S)
        return item

    groups = map_in_groups(work, ["slow", "a", "b", "c"], threads=2, look_ahead=9, within_s=0.3)
    assert sorted(next(groups)) == ["a", "b", "c"]
    received.set()
    assert list(groups) == [["slow"]]


def test_what_ended_beside_an_error_is_taken_before_it_is_raised() -> None:
    """Work that is done is not lost with that of another."""

    def work(item: int) -> int:
        if item == 1:
            raise ValueError("the second one")
        return item

    groups = map_in_groups(work, range(3), threads=1, look_ahead=9, within_s=WITHIN_S)
    assert sorted(next(groups)) == [0, 2]
    with pytest.raises(ValueError, match="the second one"):
        next(groups)
