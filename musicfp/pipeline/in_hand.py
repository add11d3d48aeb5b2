"""Telling the catalogue what a batch has in hand, and giving up what goes on ending the processes that work on it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from musicfp.catalog import work_in_hand
from musicfp.catalog.engine import Database
from musicfp.catalog.work_in_hand import Stage
from musicfp.errors import PermanentError

# The first two were begun in company; so at least four processes ended that had nothing else to do.
_GIVEN_UP_AFTER = 6
_TAKEN_TOGETHER = 8

Item = TypeVar("Item")


class EndsItsProcess(PermanentError):
    """A file was begun again and again, and the process never lived to say what came of it."""

    code = "ends_its_process"


class Hand:
    """What a batch works on at this moment, written down before it is begun; see `in_hand`."""

    def __init__(self, database: Database, stage: Stage) -> None:
        self._database = database
        self._stage = stage
        self._n_begun: dict[str, int] = {}
        self._put_down: list[str] = []

    def taking(self, items: Sequence[Item], *, id_of: Callable[[Item], str]) -> Iterator[Item]:
        """Yield the items in their order; a few at a time are written down as begun, and what was put down struck out.

        Few, because what two killed runs had in hand is taken alone from then on, in a run of its own for each.
        """
        for first in range(0, len(items), _TAKEN_TOGETHER):
            together = items[first : first + _TAKEN_TOGETHER]
            with self._database.write() as session:
                work_in_hand.end(session, self._stage, self._put_down)
                self._n_begun |= work_in_hand.begin(session, self._stage, [id_of(each) for each in together])
            self._put_down.clear()
            yield from together

    def put_down(self, subject_id: str) -> None:
        """Note that the work on this has ended, in whatever way."""
        self._put_down.append(subject_id)

    def require_harmless(self, subject_id: str) -> None:
        """Raise EndsItsProcess if so many processes have ended while they worked on this."""
        n_ended = self._n_begun.get(subject_id, 1) - 1
        if n_ended >= _GIVEN_UP_AFTER:
            raise EndsItsProcess(
                f"Worked on it {n_ended} times, the last of them on nothing else, and each time the process was ended "
                "from outside or crashed. Look at the machine's memory and at the run's log, then try it again."
            )

    def let_go(self) -> None:
        """Strike out everything: nothing is worked on any more."""
        let_go(self._database, self._stage, self._n_begun)


def let_go(database: Database, stage: Stage, subject_ids: Collection[str]) -> None:
    """Strike out what was done by a run that was killed before it could do so itself. Most often there is nothing."""
    if subject_ids:
        with database.write() as session:
            work_in_hand.end(session, stage, subject_ids)


@contextmanager
def in_hand(database: Database, stage: Stage) -> Iterator[Hand]:
    """Give a batch its hand, and let go of what is in it when the block ends, in whatever way."""
    hand = Hand(database, stage)
    try:
        yield hand
    finally:
        hand.let_go()
