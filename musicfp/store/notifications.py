"""The SQS queue into which the submission bucket's notifications go.

What belongs here: receiving, deleting and counting messages; every failure leaves as QueueUnavailable. What does not:
what messages say (`s3_events`) and what is done about them (`musicfp.pipeline.notified`).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from musicfp.errors import QueueUnavailable, SettingsError
from musicfp.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

# SQS allows no more in one call.
BATCH_MESSAGES = 10
# How long a received message stays hidden from others, whatever the queue's own setting. A tick is over long before;
# after a crash, or when it could not be understood, the message comes again when this time has passed.
VISIBILITY_S = 120
_AWS_REGION = re.compile(r"https://(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com(?:\.cn)?/")


@dataclass(frozen=True)
class Message:
    """A received message. `n_received` counts this time too."""

    id: str
    receipt: str = field(repr=False)
    body: str
    n_received: int


@dataclass(frozen=True)
class QueueStatus:
    """How many messages there are, by SQS's approximate counts. None is unknown, and `problem` says why.

    `n_dead_letters` is also None when the queue has no dead letter queue.
    """

    n_waiting: int | None = None
    n_in_flight: int | None = None
    has_dead_letter_queue: bool = False
    n_dead_letters: int | None = None
    problem: str | None = None


class NotificationQueue:
    """One queue. Safe to share between threads."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self.client = client
        self.url = url

    def receive(self, *, wait_s: int) -> list[Message]:
        """Return up to ten messages and hide them from others; wait up to `wait_s` for the first."""
        with _translated(f"receive from {self.url}"):
            answer = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH_MESSAGES,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=VISIBILITY_S,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                each.get("MessageId", ""),
                each["ReceiptHandle"],
                each.get("Body", ""),
                int(each.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for each in answer.get("Messages", [])
        ]

    def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages and return how many are gone; those that SQS did not delete come again."""
        n_deleted = 0
        for start in range(0, len(messages), BATCH_MESSAGES):
            entries = [
                {"Id": str(number), "ReceiptHandle": each.receipt}
                for number, each in enumerate(messages[start : start + BATCH_MESSAGES])
            ]
            with _translated(f"delete messages of {self.url}"):
                answer = self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]
            n_deleted += len(answer.get("Successful", []))
        return n_deleted

    def status(self) -> QueueStatus:
        """Count messages, also those in the dead letter queue. Never raises: a failure is the status's `problem`."""
        try:
            attributes = self._attributes(
                self.url, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "RedrivePolicy"
            )
        except QueueUnavailable as error:
            return QueueStatus(problem=str(error))
        policy = attributes.get("RedrivePolicy")
        n_dead_letters, problem = self._count_dead_letters(policy) if policy else (None, None)
        return QueueStatus(
            n_waiting=_number(attributes, "ApproximateNumberOfMessages"),
            n_in_flight=_number(attributes, "ApproximateNumberOfMessagesNotVisible"),
            has_dead_letter_queue=bool(policy),
            n_dead_letters=n_dead_letters,
            problem=problem,
        )

    def has_dead_letter_queue(self) -> bool:
        """Whether SQS itself takes messages away that were received too often."""
        return "RedrivePolicy" in self._attributes(self.url, "RedrivePolicy")

    def arn(self) -> str:
        """Return the name by which a bucket's notification settings call this queue."""
        return self._attributes(self.url, "QueueArn")["QueueArn"]

    def _count_dead_letters(self, policy: str) -> tuple[int | None, str | None]:
        arn = str(json.loads(policy).get("deadLetterTargetArn", ""))
        # arn:aws:sqs:REGION:ACCOUNT:NAME; always of the queue's own region.
        account, _, name = arn.partition(":sqs:")[2].partition(":")[2].partition(":")
        try:
            with _translated(f"find the dead letter queue {arn}"):
                url = self.client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
            counted = self._attributes(url, "ApproximateNumberOfMessages")
        except QueueUnavailable as error:
            return None, str(error)
        return _number(counted, "ApproximateNumberOfMessages"), None

    def _attributes(self, url: str, *names: str) -> dict[str, str]:
        with _translated(f"look at {url}"):
            answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]
        # Nothing but the names that were asked for is in there, as texts.
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}


def open_queue(
    settings: Settings, *, max_attempts: int = 3, connect_timeout_s: float = 5, read_timeout_s: float = 10
) -> NotificationQueue:
    """Connect to the queue that these settings name. Raises QueueUnavailable when no region is known."""
    url = settings.sqs_queue_url
    if url is None:
        raise SettingsError("MUSICFP_SQS_QUEUE_URL is not set, so there is no queue to ask.")
    with _translated(f"connect to {url}"):
        client = boto3.client(
            "sqs",
            region_name=_region_of(url),
            config=Config(
                retries={"mode": "standard", "max_attempts": max_attempts},
                connect_timeout=connect_timeout_s,
                read_timeout=read_timeout_s,
            ),
        )
    return NotificationQueue(client, url)


def _region_of(url: str) -> str | None:
    """Return the region that stands in the address of a queue of AWS; others: as the environment says."""
    found = _AWS_REGION.match(url)
    return found and (found[1] or found[2])


def _number(attributes: Mapping[str, str], name: str) -> int | None:
    found = attributes.get(name, "")
    return int(found) if found.isdigit() else None


@contextmanager
def _translated(attempt: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise QueueUnavailable(
            f"Tried to {attempt}; SQS answered {status} {code}. Check MUSICFP_SQS_QUEUE_URL and the permissions."
        ) from error
    except (BotoCoreError, OSError) as error:
        raise QueueUnavailable(f"Tried to {attempt}: {error}. See `musicfp doctor`.") from error
