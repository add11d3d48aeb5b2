"""Telling the catalogue what a batch has in hand, and giving up what goes on ending the processes that work on it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from musicfp.catalog import work_in_hand
from musicfp.catalog.engine import Database
from musicfp.catalog.work_in_hand import Stage
from musicfp.errors import PermanentError

# The first two were begun in company; so at least four processes ended that had nothing else to do.
_GIVEN_UP_AFTER = 6


class EndsItsProcess(PermanentError):
    """A file was begun again and again, and the process never lived to say what came of it."""

    code = "ends_its_process"


@dataclass(frozen=True)
class Hand:
    """What is begun, and how often it has been without an end."""

    n_begun: Mapping[str, int]

    def require_harmless(self, subject_id: str) -> None:
        """Raise EndsItsProcess if so many processes have ended while they worked on this."""
        n_ended = self.n_begun.get(subject_id, 1) - 1
        if n_ended >= _GIVEN_UP_AFTER:
            raise EndsItsProcess(
                f"Worked on it {n_ended} times, the last of them on nothing else, and each time the process was ended "
                "from outside or crashed. Look at the machine's memory and at the run's log, then try it again."
            )


def let_go(database: Database, stage: Stage, subject_ids: Collection[str]) -> None:
    """Strike out what was done by a run that was killed before it could do so itself. Most often there is nothing."""
    if subject_ids:
        with database.write() as session:
            work_in_hand.end(session, stage, subject_ids)


@contextmanager
def in_hand(database: Database, stage: Stage, subject_ids: Collection[str]) -> Iterator[Hand]:
    """Write down that a batch is begun, and when the block ends, in whatever way, that it is not in hand any more."""
    with database.write() as session:
        hand = Hand(work_in_hand.begin(session, stage, subject_ids))
    try:
        yield hand
    finally:
        with database.write() as session:
            work_in_hand.end(session, stage, subject_ids)
