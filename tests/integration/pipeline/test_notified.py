"""Uploads that are told of by the bucket's notifications, through a real S3 and a real queue, on both databases."""

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote_plus

import httpx
import pytest

from musicfp.catalog import submissions
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import StoreUnavailable
from musicfp.pipeline import notified, uploads
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.ingest import forget_decided_objects
from musicfp.pipeline.notified import Taken, take_notifications
from musicfp.pipeline.uploads import CompletedPart, complete_upload, request_upload
from musicfp.store import notifications
from musicfp.store.connection import StoreConnection, make_client
from musicfp.store.notifications import Message, NotificationQueue, open_queue
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.ingesting import discover_all, keys_in, submission_of, upload
from tests.support.notifying import TestQueue, event_body, record
from tests.support.songs import SongFolder
from tests.support.waiting import eventually

BURST = 300
NASTY_KEYS = (
    "Album 1/02 Très bien.flac",
    "a+b.mp3",
    "100%.mp3",
    "%2B%20.mp3",
    "日本語/曲 №1 🎵.ogg",
    "a&b=c?d#e.wav",
    "\"quoted\" 'twice'.mp3",
    "e\u0301.mp3",
)


@pytest.fixture
def own_environment(notified_environment: dict[str, str]) -> dict[str, str]:
    """Here the store is the one that sends notifications."""
    return notified_environment


@pytest.fixture
def queue(stage: StageContext, test_queue: TestQueue) -> Iterator[NotificationQueue]:
    """The queue as musicfp sees it; the bucket tells it what happens, beginning with the test event."""
    test_queue.notify_of(stage.store, stage.settings.submission_bucket)
    opened = open_queue(stage.settings)
    yield opened
    opened.client.close()


def _put(stage: StageContext, key: str, content: bytes = b"content") -> None:
    stage.store.client.put_object(Bucket=stage.settings.submission_bucket, Key=key, Body=content)


def _take(stage: StageContext, queue: NotificationQueue) -> Taken:
    return take_notifications(stage.database, stage.store, stage.settings, queue)


def _decide(stage: StageContext, submission_id: str, status: str) -> None:
    with stage.database.write() as session:
        submissions.decide(session, session.get_one(SubmissionRow, submission_id), status)


def _keys_of(stage: StageContext, submission_ids: Sequence[str]) -> list[str]:
    return sorted(submission_of(stage, each).object_key for each in submission_ids)


def _show_again(queue: NotificationQueue, messages: Sequence[Message]) -> None:
    """Let the time pass until received messages are shown again."""
    for each in messages:
        queue.client.change_message_visibility(QueueUrl=queue.url, ReceiptHandle=each.receipt, VisibilityTimeout=0)


def test_a_burst_of_uploads_is_recorded_once_each(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue
) -> None:
    """Nothing is left in the queue, and the listing knows everything already."""
    keys = [f"burst/{number:03}.mp3" for number in range(BURST)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda key: _put(stage, key, key.encode()), keys))
    taken = _take(stage, queue)
    assert _keys_of(stage, taken.submission_ids) == keys
    assert (taken.n_messages, taken.n_ignored_events, taken.n_unusable) == (BURST + 1, 1, 0)
    assert test_queue.counts() == (0, 0)
    assert _take(stage, queue) == Taken()
    assert discover_all(stage).submission_ids == ()


def test_each_way_of_putting_an_object_is_heard(
    stage: StageContext, queue: NotificationQueue, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket, parts that are joined, a copy; an upload in parts that makes two events is one submission."""
    ticket = upload(stage, songs.file("ticket.mp3", b"ticket"))
    _put(stage, "original.mp3", b"copied")
    bucket = stage.settings.submission_bucket
    stage.store.client.copy_object(Bucket=bucket, Key="copy.mp3", CopySource={"Bucket": bucket, "Key": "original.mp3"})
    monkeypatch.setattr(uploads, "MULTIPART_ABOVE_BYTES", 10)
    in_parts = request_upload(stage.database, stage.store, stage.settings, filename="parts.mp3", size_bytes=20)
    (part,) = in_parts.parts or ()
    etag = httpx.put(part.url, content=b"x" * 20, trust_env=False).headers["etag"]
    parts = [CompletedPart(part.part_number, etag)]
    complete_upload(stage.database, stage.store, stage.settings, submission_id=in_parts.submission_id, parts=parts)
    taken = _take(stage, queue)
    assert len(taken.submission_ids) == 4
    assert {ticket, in_parts.submission_id} < set(taken.submission_ids)
    assert {submission_of(stage, each).status for each in taken.submission_ids} == {"RECEIVED"}
    assert {"copy.mp3", "original.mp3"} < set(_keys_of(stage, taken.submission_ids))
    assert discover_all(stage).submission_ids == ()


def test_keys_are_decoded(stage: StageContext, queue: NotificationQueue) -> None:
    """Whatever stands in them; folders are no files."""
    for key in (*NASTY_KEYS, "folder/"):
        _put(stage, key, key.encode())
    taken = _take(stage, queue)
    assert _keys_of(stage, taken.submission_ids) == sorted(NASTY_KEYS)
    assert taken.n_unusable == 0
    assert discover_all(stage).submission_ids == ()


def test_duplicates_say_nothing_new(stage: StageContext, queue: NotificationQueue, test_queue: TestQueue) -> None:
    """At once, after the verdict, and after the object is gone."""
    _put(stage, "song.mp3")
    bodies = test_queue.drain()

    def said_again() -> tuple[str, ...]:
        for body in (*bodies, *bodies):
            test_queue.send(body)
        return _take(stage, queue).submission_ids

    (submission_id,) = said_again()
    assert said_again() == ()
    _decide(stage, submission_id, "DUPLICATE")
    assert said_again() == ()
    assert forget_decided_objects(stage) == 1
    assert said_again() == ()
    assert test_queue.counts() == (0, 0)


def test_a_crash_between_recording_and_deleting_is_harmless(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages come again, say nothing new, and are deleted then."""
    for number in range(15):
        _put(stage, f"{number}.mp3", bytes([number]))
    received: list[Message] = []
    receive = NotificationQueue.receive

    def note(self: NotificationQueue, *, wait_s: int) -> list[Message]:
        messages = receive(self, wait_s=wait_s)
        received.extend(messages)
        return messages

    with monkeypatch.context() as patched:
        patched.setattr(NotificationQueue, "receive", note)
        patched.setattr(NotificationQueue, "delete", kill)
        with pytest.raises(Killed):
            _take(stage, queue)
    with stage.database.read() as session:
        recorded = submissions.due_for_ingest(session, limit=100)
    assert len(recorded) == 15
    assert test_queue.counts() == (16, 0)
    _show_again(queue, received)
    again = _take(stage, queue)
    assert (again.n_messages, again.submission_ids) == (16, ())
    with stage.database.read() as session:
        assert submissions.due_for_ingest(session, limit=100) == recorded
    assert test_queue.counts() == (0, 0)


def test_what_is_not_understood_ends_as_a_dead_letter_and_blocks_nobody(
    stage: StageContext,
    queue: NotificationQueue,
    test_queue: TestQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A message of which a part is understood gives that part."""
    monkeypatch.setattr(notifications, "VISIBILITY_S", 1)
    bucket = stage.settings.submission_bucket
    for key in ("good.mp3", "other.mp3"):
        _put(stage, key, key.encode())
    test_queue.drain()
    half_good = json.dumps({"Records": [record(bucket, "good.mp3"), {"eventName": 7}]})
    bad = ["nonsense", "[]", '{"Records": 5}', "[" * 100_000, event_body("another-bucket", "x.mp3"), half_good]
    for body in (*bad, event_body(bucket, "other.mp3")):
        test_queue.send(body)
    with caplog.at_level(logging.WARNING):
        taken = _take(stage, queue)
    assert taken.n_unusable == len(bad)
    assert _keys_of(stage, taken.submission_ids) == ["good.mp3", "other.mp3"]
    assert "another-bucket" in caplog.text
    assert "[[[" in caplog.text

    def all_dead() -> bool:
        assert _take(stage, queue).submission_ids == ()
        return test_queue.counts() == (0, len(bad))

    eventually(all_dead, within_s=30)
    status = queue.status()
    assert (status.n_waiting, status.n_dead_letters, status.problem) == (0, len(bad), None)


def test_without_a_dead_letter_queue_nothing_comes_again_for_ever(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up after some receptions, and the log says so."""
    monkeypatch.setattr(notifications, "VISIBILITY_S", 1)
    monkeypatch.setattr(notified, "_MAX_RECEPTIONS", 2)
    test_queue.forget_dead_letter_queue()
    test_queue.send("nonsense")
    assert _take(stage, queue).n_unusable == 1
    assert test_queue.counts() == (1, 0)
    eventually(lambda: _take(stage, queue).n_unusable, within_s=10)
    assert test_queue.counts() == (0, 0)
    assert (queue.status().has_dead_letter_queue, queue.status().n_dead_letters) == (False, None)


def test_a_late_event_records_what_is_stored_now(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue
) -> None:
    """Events come in any order: the object is asked, not the event."""
    _put(stage, "song.mp3", b"first")
    (first, *_) = [body for body in test_queue.drain() if "Records" in body]
    _put(stage, "song.mp3", b"second, longer")
    second = test_queue.drain()
    test_queue.send(first)
    (submission_id,) = _take(stage, queue).submission_ids
    assert submission_of(stage, submission_id).size_bytes == 14
    for body in (*second, first):
        test_queue.send(body)
    assert _take(stage, queue).submission_ids == ()


def test_a_replaced_object_is_the_same_submission_until_its_verdict(
    stage: StageContext, queue: NotificationQueue
) -> None:
    """As when the bucket is listed."""
    _put(stage, "song.mp3", b"first")
    (submission_id,) = _take(stage, queue).submission_ids
    _put(stage, "song.mp3", b"second")
    assert _take(stage, queue).submission_ids == (submission_id,)
    _decide(stage, submission_id, "REJECTED")
    _put(stage, "song.mp3", b"third")
    (other,) = _take(stage, queue).submission_ids
    assert other != submission_id
    assert submission_of(stage, submission_id).object_gone_at is not None


def test_deletions_are_of_no_interest(stage: StageContext, queue: NotificationQueue, test_queue: TestQueue) -> None:
    """Neither their events nor arrivals of what is gone by now."""
    bucket = stage.settings.submission_bucket
    _put(stage, "gone.mp3")
    stage.store.delete(bucket, "gone.mp3")
    for event in ("ObjectRemoved:Delete", "LifecycleExpiration:Delete", "ObjectTagging:Put"):
        test_queue.send(event_body(bucket, "gone.mp3", event=event))
    taken = _take(stage, queue)
    assert (taken.submission_ids, taken.n_unusable) == ((), 0)
    assert taken.n_ignored_events >= 4
    assert test_queue.counts() == (0, 0)


def test_several_records_in_one_message_are_all_heard(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue
) -> None:
    """Also when they are about the same object."""
    keys = ["a b.mp3", "c.mp3"]
    for key in keys:
        _put(stage, key, key.encode())
    test_queue.drain()
    bucket = stage.settings.submission_bucket
    test_queue.send(json.dumps({"Records": [record(bucket, quote_plus(key)) for key in (*keys, *keys)]}))
    taken = _take(stage, queue)
    assert (taken.n_messages, _keys_of(stage, taken.submission_ids)) == (1, keys)


def test_a_lost_notification_is_made_good_by_a_listing(
    stage: StageContext, queue: NotificationQueue, test_queue: TestQueue
) -> None:
    """Nobody speaks of the object, and it is found."""
    _put(stage, "song.mp3")
    assert len(test_queue.drain()) == 2
    assert _take(stage, queue).submission_ids == ()
    assert len(discover_all(stage).submission_ids) == 1
    assert keys_in(stage, stage.settings.submission_bucket) == ["song.mp3"]


def test_a_tick_is_bounded(stage: StageContext, queue: NotificationQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left over comes with the next one."""
    monkeypatch.setattr(notified, "_ROUND_MESSAGES", 10)
    monkeypatch.setattr(notified, "_MAX_MESSAGES", 10)
    for number in range(14):
        _put(stage, f"{number}.mp3", bytes([number]))
    taken = [_take(stage, queue) for _ in range(2)]
    assert [each.n_messages for each in taken] == [10, 5]
    assert sum(len(each.submission_ids) for each in taken) == 14


def test_while_the_store_is_away_no_message_is_received(stage: StageContext, queue: NotificationQueue) -> None:
    """Receptions are counted: good messages would end as dead letters."""
    _put(stage, "song.mp3")
    dead = ObjectStore(make_client(StoreConnection("http://127.0.0.1:9", None, "us-east-1"), max_attempts=1))
    with pytest.raises(StoreUnavailable):
        take_notifications(stage.database, dead, stage.settings, queue)
    dead.client.close()
    received: list[Message] = []
    while messages := queue.receive(wait_s=0):
        received += messages
    assert [each.n_received for each in received] == [1, 1]
    _show_again(queue, received)
    assert len(_take(stage, queue).submission_ids) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/123456789012/queue", None])
def test_a_queue_that_fails_is_told_of(
    stage: StageContext, queue: NotificationQueue, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not answer, and one that is not there; neither is an exception."""
    if url is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    wrong = open_queue(replace(stage.settings, sqs_queue_url=url or f"{queue.url}-none"), max_attempts=1)
    taken = _take(stage, wrong)
    assert taken.problem is not None
    assert wrong.url in taken.problem
    assert wrong.url in (wrong.status().problem or "")
    wrong.client.close()
