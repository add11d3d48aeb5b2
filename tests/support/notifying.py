"""A server that delivers S3 notifications to SQS, which the embedded store does not: moto, as a process of its own.

It believes any signature, so nothing about permissions can be tested with it.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from musicfp.store.objects import ObjectStore
from tests.support.postgres import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_START_WITHIN_S = 60
_STOP_WITHIN_S = 30
_ARRIVALS_AND_REMOVALS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
_numbers = itertools.count()


@contextmanager
def running_notifying_store(log: Path) -> Iterator[str]:
    """Run the server; yield its address, which serves S3 and SQS."""
    port = free_port()
    argv = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file:
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url, server, log), within_s=_START_WITHIN_S)
        yield url
    finally:
        server.kill()
        server.wait(timeout=_STOP_WITHIN_S)


def aws_environment(server_url: str) -> dict[str, str]:
    """Return what boto3 needs to reach the server, as AWS's own variables."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_SQS": server_url,
    }


@dataclass(frozen=True)
class TestQueue:
    """A queue of a test's own and its dead letter queue, as their owner sees them."""

    __test__ = False

    client: "SQSClient"
    url: str
    dead_letters_url: str

    def notify_of(self, store: ObjectStore, bucket: str, *, prefix: str = "") -> None:
        """Let the bucket send its notifications here."""
        configuration: dict[str, Any] = {"QueueArn": _arn(self.client, self.url), "Events": _ARRIVALS_AND_REMOVALS}
        if prefix:
            configuration["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
        store.client.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [configuration]},  # type: ignore[list-item]
        )

    def send(self, body: str) -> None:
        """Send a message that says anything."""
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def drain(self) -> list[str]:
        """Take all messages out of the queue and return what they say."""
        bodies: list[str] = []
        while messages := self._receive():
            for each in messages:
                bodies.append(each["Body"])
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"])
        return bodies

    def counts(self) -> tuple[int, int]:
        """Return how many messages there are: waiting and in flight, and dead letters."""
        asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        waiting, dead = (
            sum(map(int, self.client.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"].values()))  # type: ignore[arg-type]
            for url in (self.url, self.dead_letters_url)
        )
        return waiting, dead

    def forget_dead_letter_queue(self) -> None:
        """Let messages come again for ever."""
        self.client.set_queue_attributes(QueueUrl=self.url, Attributes={"RedrivePolicy": ""})

    def _receive(self) -> Sequence[Any]:
        return self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])


def make_queue(server_url: str, *, max_receptions: int = 3) -> TestQueue:
    """Make a queue with a dead letter queue; the environment must be that of `aws_environment`."""
    client = boto3.client("sqs", endpoint_url=server_url)
    name = f"queue-{os.getpid()}-{next(_numbers)}"
    dead_letters_url = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": _arn(client, dead_letters_url), "maxReceiveCount": max_receptions}
    url = client.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
    return TestQueue(client, url, dead_letters_url)


def event_body(bucket: str, key: str, *, etag: str = "0" * 32, event: str = "ObjectCreated:Put") -> str:
    """Return a notification about one object; the key as S3 encodes it."""
    return json.dumps({"Records": [record(bucket, key, etag=etag, event=event)]})


def record(bucket: str, key: str, *, etag: str = "0" * 32, event: str = "ObjectCreated:Put") -> dict[str, object]:
    """Return one record of a notification."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": etag, "sequencer": "00"}},
    }


def _arn(client: "SQSClient", url: str) -> str:
    return client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _answers(url: str, server: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert server.poll() is None, f"The server did not start: {log.read_text()[-4000:]}"
    try:
        return httpx.get(f"{url}/moto-api/data.json", trust_env=False).is_success
    except httpx.TransportError:
        return False
