"""Taking the bucket's notifications from their queue: each is heard at least once.

Recording an object in the catalogue is what counts; only after that is the message deleted. Killed in between, the
message comes again and says nothing new. A message that is lost costs time, not files: a listing of the whole bucket,
which goes on at a slow pace, finds what nobody spoke of.

What belongs here: which messages are taken, kept and given up. What does not: what they say (`musicfp.store.s3_events`)
and what is news (`discovery`).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from musicfp.catalog.engine import Database
from musicfp.errors import QueueUnavailable
from musicfp.identity import PROBE_KEY
from musicfp.pipeline.discovery import discover_named
from musicfp.settings import Settings
from musicfp.store.notifications import BATCH_MESSAGES, Message, NotificationQueue
from musicfp.store.objects import ObjectStore
from musicfp.store.s3_events import Notification, read_notification
from musicfp.text import clean_line

LOGGER = logging.getLogger(__name__)

# One transaction for so many messages. Half of them in flight would do no harm either: a round takes about a second.
_ROUND_MESSAGES = 100
# A tick must end within its limit (Dagster gives it 60 s); what is left over waits for the next one.
_MAX_MESSAGES = 5000
_MAX_TAKING_S = 20.0
# An empty queue is asked with so much patience: without any, SQS asks only some of its servers and may miss a message.
_FIRST_WAIT_S = 1
# Without a dead letter queue, what cannot be understood is given up at this reception, not received for days.
_MAX_RECEPTIONS = 5
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Taken:
    """What was taken from the queue. `problem` says why the tick stopped early, if the queue failed."""

    n_messages: int = 0
    n_ignored_events: int = 0
    n_unusable: int = 0
    submission_ids: tuple[str, ...] = ()
    problem: str | None = None

    def __str__(self) -> str:
        """Return it as one line for a person."""
        said = f"{self.n_messages} notifications, {len(self.submission_ids)} submissions recorded"
        said += f", {self.n_ignored_events} events of no interest" if self.n_ignored_events else ""
        return said + (f", {self.n_unusable} notifications not understood" if self.n_unusable else "")

    def __add__(self, other: "Taken") -> "Taken":
        """Return what was taken in both."""
        return Taken(
            self.n_messages + other.n_messages,
            self.n_ignored_events + other.n_ignored_events,
            self.n_unusable + other.n_unusable,
            self.submission_ids + other.submission_ids,
        )


@dataclass(frozen=True)
class _Round:
    """What became of some messages: `done` can be deleted, each of the `unusable` ones has its reason."""

    taken: Taken
    done: list[Message]
    unusable: list[tuple[Message, str]]


def take_notifications(database: Database, store: ObjectStore, settings: Settings, queue: NotificationQueue) -> Taken:
    """Record what the queue says has arrived, delete the messages, and tell what was done.

    A queue that fails is told of in the result, since what was recorded before it stays recorded. A store or database
    that fails raises: nothing is received from the queue while one of them is away.
    """
    # SQS gives up messages that were received too often: they must not be received in vain while a part is away.
    store.stat(settings.submission_bucket, PROBE_KEY)
    with database.read() as session:
        session.connection()
    taken = Taken()
    deadline = time.monotonic() + _MAX_TAKING_S
    try:
        while taken.n_messages < _MAX_MESSAGES and time.monotonic() < deadline:
            messages = _receive_round(queue, wait_s=0 if taken.n_messages else _FIRST_WAIT_S)
            if not messages:
                break
            heard = _record(messages, database, store, settings)
            taken += heard.taken
            queue.delete([*heard.done, *_given_up(heard.unusable, queue)])
    except QueueUnavailable as error:
        return replace(taken, problem=str(error))
    return taken


def _receive_round(queue: NotificationQueue, *, wait_s: int) -> list[Message]:
    messages = queue.receive(wait_s=wait_s)
    n_last = len(messages)
    # SQS may return fewer than there are; only nothing at all means that there seems to be no more.
    while n_last and len(messages) + BATCH_MESSAGES <= _ROUND_MESSAGES:
        more = queue.receive(wait_s=0)
        messages += more
        n_last = len(more)
    return messages


def _record(messages: Sequence[Message], database: Database, store: ObjectStore, settings: Settings) -> _Round:
    read = [(each, read_notification(each.body, bucket=settings.submission_bucket)) for each in messages]
    arrivals = [arrival for _, notification in read for arrival in notification.arrivals]
    named = discover_named(database, store, settings, arrivals)
    problems = [(each, _problem(notification, named.refused)) for each, notification in read]
    unusable = [(each, problem) for each, problem in problems if problem is not None]
    taken = Taken(
        n_messages=len(messages),
        n_ignored_events=sum(notification.n_ignored for _, notification in read),
        n_unusable=len(unusable),
        submission_ids=named.submission_ids,
    )
    return _Round(taken, [each for each, problem in problems if problem is None], unusable)


def _problem(notification: Notification, refused: frozenset[str]) -> str | None:
    if any(each.key in refused for each in notification.arrivals):
        return "the object store refuses its key"
    return notification.problem


def _given_up(unusable: Sequence[tuple[Message, str]], queue: NotificationQueue) -> list[Message]:
    """Log the messages that cannot be used and return those to delete; SQS moves the others to the dead letters."""
    for message, problem in unusable:
        shown = clean_line(message.body, max_characters=_SHOWN_CHARACTERS)
        LOGGER.warning(
            "notification not understood: message=%s received=%d reason=%s body=%s",
            message.id,
            message.n_received,
            problem,
            shown,
        )
    overdue = [message for message, _ in unusable if message.n_received >= _MAX_RECEPTIONS]
    if not overdue or queue.has_dead_letter_queue():
        return []
    LOGGER.warning(
        "given up, as the queue has no dead letter queue: messages=%s", ",".join(each.id for each in overdue)
    )
    return overdue
