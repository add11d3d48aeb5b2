"""What `/readyz` and `/metrics` tell of the queue of notifications: a real one, and one that is away."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from graphql_api.app import create_app
from graphql_api.services import Services
from musicfp.catalog.engine import Database
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore
from tests.graphql.conftest import Api
from tests.support.notifying import TestQueue


@pytest.fixture
def watching(
    settings: Settings, database: Database, signing_store: ObjectStore, test_queue: TestQueue
) -> Iterator[Api]:
    """An API whose settings name a queue."""
    services = Services(replace(settings, sqs_queue_url=test_queue.url), database=database, store=signing_store)
    api = Api(create_app(services=services), services)
    yield api
    api.app.state.queue_watch.close()


def _told(api: Api) -> tuple[dict[str, object], set[str]]:
    body = api.request("GET", "/readyz").json()
    # Its absence makes uploads slower to be found, and nothing else.
    assert "notificationQueue" not in body["failing"]
    lines = api.request("GET", "/metrics").text.splitlines()
    return body["notificationQueue"], {line for line in lines if line.startswith("musicfp_notifications{")}


def test_messages_and_dead_letters_are_counted(watching: Api, test_queue: TestQueue) -> None:
    test_queue.send("{}")
    test_queue.client.send_message(QueueUrl=test_queue.dead_letters_url, MessageBody="nonsense")
    answer, lines = _told(watching)
    assert answer == {"waiting": 1, "inFlight": 0, "deadLetters": 1, "problem": None}
    assert lines == {
        'musicfp_notifications{state="waiting"} 1.0',
        'musicfp_notifications{state="in_flight"} 0.0',
        'musicfp_notifications{state="dead_letter"} 1.0',
    }


def test_dead_letters_that_cannot_be_counted_are_unknown_not_none(watching: Api, test_queue: TestQueue) -> None:
    """The dead letter queue is gone, or we may not look at it."""
    test_queue.client.delete_queue(QueueUrl=test_queue.dead_letters_url)
    answer, lines = _told(watching)
    assert (answer["waiting"], answer["deadLetters"]) == (0, None)
    assert "dead letter queue" in str(answer["problem"])
    assert 'musicfp_notifications{state="dead_letter"} NaN' in lines


def test_a_queue_without_dead_letters_has_none(watching: Api, test_queue: TestQueue) -> None:
    test_queue.forget_dead_letter_queue()
    answer, _ = _told(watching)
    assert json.dumps(answer) == '{"waiting": 0, "inFlight": 0, "deadLetters": null, "problem": null}'


def test_a_queue_that_is_away_is_told_of_with_the_reason(watching: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    answer, lines = _told(watching)
    assert (answer["waiting"], answer["deadLetters"]) == (None, None)
    assert "127.0.0.1:9" in str(answer["problem"])
    assert {line.rsplit(" ", 1)[1] for line in lines} == {"NaN"}


def test_nothing_is_told_without_a_queue(api: Api) -> None:
    assert _told(api) == (None, set())
