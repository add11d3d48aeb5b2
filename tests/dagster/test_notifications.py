"""`submission_sensor` with a queue of notifications: a real S3 that fills a real queue, both databases."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import dagster as dg
import pytest

from musicfp.features.registry import Registry
from musicfp_assets import resources
from musicfp_assets.assets.ingest import SUBMISSION
from musicfp_assets.definitions import INGEST_JOB, build_definitions
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.sensors.notifications import NOTIFICATIONS_DELIVERED, RECONCILE_INTERVAL_S
from musicfp_assets.sensors.submissions import Cursor
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import drop, submission_of, upload
from tests.support.notifying import TestQueue
from tests.support.songs import SongFolder

CHECK = dg.AssetCheckKey(dg.AssetKey(SUBMISSION), NOTIFICATIONS_DELIVERED)


@pytest.fixture
def own_environment(notified_environment: dict[str, str]) -> dict[str, str]:
    """Here the store is the one that sends notifications."""
    return notified_environment


@pytest.fixture
def notified(orchestra: Orchestra, test_queue: TestQueue) -> Iterator[Orchestra]:
    """Dagster over a bucket that tells a queue what happens."""
    test_queue.notify_of(orchestra.stage.store, orchestra.stage.settings.submission_bucket)
    yield orchestra
    _forget_queue()


def _forget_queue() -> None:
    if resources.connect_queue.cache_info().currsize:
        MusicfpResource().queue().client.close()
    resources.connect_queue.cache_clear()


def _tick(orchestra: Orchestra, cursor: Cursor | None = None) -> tuple[dg.SensorResult, Cursor]:
    """Evaluate the sensor and do what the daemon does with its answer, except for starting runs."""
    result = _evaluate(orchestra, cursor)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or ():
        orchestra.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    for event in result.asset_events:
        orchestra.instance.report_runless_asset_event(event)
    return result, Cursor.parse(result.cursor)


def _evaluate(orchestra: Orchestra, cursor: Cursor | None) -> object:
    (sensor,) = [each for each in orchestra.definitions.sensors or () if each.name == "submission_sensor"]
    stored = json.dumps(asdict(cursor)) if cursor else None
    with dg.build_sensor_context(
        instance=orchestra.instance, cursor=stored, resources={"musicfp": MusicfpResource()}
    ) as context:
        return sensor(context)


def _reconciled(orchestra: Orchestra) -> Cursor:
    """Return the cursor after a complete listing, which is what a sensor begins with."""
    _, cursor = _tick(orchestra)
    return cursor


def _as_if_later(cursor: Cursor, later_s: float) -> Cursor:
    return replace(cursor, complete_due_at=cursor.complete_due_at - later_s)


def _check(orchestra: Orchestra) -> tuple[bool, str | None] | None:
    """Return what the newest outcome of the check says."""
    records = orchestra.instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=1)
    if not records or records[0].event is None:
        return None
    data = records[0].event.dagster_event
    assert data is not None
    evaluation = data.asset_check_evaluation_data
    return evaluation.passed, evaluation.description


def test_a_burst_becomes_one_run_without_a_listing(
    notified: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that cannot be music are quick to judge: each gets its verdict, once."""
    cursor = _reconciled(notified)
    monkeypatch.setattr("musicfp_assets.sensors.submissions.discover", _no_listing)
    path = songs.file("text.mp3", b"text" * 99)
    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = list(
            pool.map(lambda number: drop(notified.stage, path, f"album {number % 7}/ü+{number}.mp3"), range(90))
        )
    first, cursor = _tick(notified, cursor)
    assert "90 submissions recorded" in str(first.skip_reason)
    second, cursor = _tick(notified, cursor)
    (request,) = second.run_requests or ()
    partitions = notified.instance.get_dynamic_partitions("submissions")
    assert sorted(submission_of(notified.stage, each).object_key for each in partitions) == sorted(keys)
    assert [each.partition for each in second.asset_events] == partitions
    assert request.tags["dagster/asset_partition_range_end"] == partitions[-1]
    assert notified.run(INGEST_JOB, partitions).success
    assert {submission_of(notified.stage, each).status for each in partitions} == {"REJECTED"}
    third, _ = _tick(notified, cursor)
    assert not third.run_requests
    assert notified.instance.get_dynamic_partitions("submissions") == partitions


def _no_listing(*_: object, **__: object) -> None:
    raise AssertionError("the bucket was listed")


def test_a_tick_without_news_logs_nothing(notified: Orchestra, capfd: pytest.CaptureFixture[str]) -> None:
    """Dagster would keep a file of it, every few seconds, for ever."""
    cursor = _reconciled(notified)
    assert "1 events of no interest" in capfd.readouterr().err
    result, _ = _tick(notified, replace(cursor, watch_due_at=0.0))
    assert "0 notifications, 0 submissions recorded" in str(result.skip_reason)
    assert "dagster" not in capfd.readouterr().err


def test_an_upload_goes_all_the_way(notified: Orchestra, songs: SongFolder) -> None:
    """By a ticket, through the queue, to a track; the deletion of the upload is an event of no interest."""
    cursor = _reconciled(notified)
    submission_id = upload(notified.stage, songs.song(1))
    _, cursor = _tick(notified, cursor)
    result, cursor = _tick(notified, cursor)
    assert result.run_requests
    assert notified.run(INGEST_JOB, [submission_id]).success
    assert submission_of(notified.stage, submission_id).status == "ACCEPTED"
    after, _ = _tick(notified, cursor)
    assert "0 submissions recorded, 1 events of no interest" in str(after.skip_reason)


def test_what_nobody_spoke_of_is_found_by_the_slow_listing(
    notified: Orchestra, test_queue: TestQueue, songs: SongFolder
) -> None:
    """Not before its time."""
    cursor = _reconciled(notified)
    drop(notified.stage, songs.file("lost.mp3", b"lost"))
    assert test_queue.drain()
    early, cursor = _tick(notified, cursor)
    assert cursor.gathering_since == 0
    assert "0 submissions recorded" in str(early.skip_reason)
    _, cursor = _tick(notified, _as_if_later(cursor, RECONCILE_INTERVAL_S))
    assert cursor.gathering_since > 0
    result, _ = _tick(notified, cursor)
    assert result.run_requests


def test_without_its_queue_the_sensor_lists_and_resumes_by_itself(
    notified: Orchestra, test_queue: TestQueue, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick says so, and so does the asset check."""
    cursor = _reconciled(notified)
    assert _check(notified) == (True, None)
    _forget_queue()
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
        drop(notified.stage, songs.file("dropped.mp3", b"dropped"))
        result, cursor = _tick(notified, replace(cursor, watch_due_at=0.0))
        assert "The bucket was listed instead." in str(result.skip_reason)
        passed, description = _check(notified) or (True, None)
        assert not passed
        assert test_queue.url in (description or "")
        result, cursor = _tick(notified, cursor)
        assert len(notified.instance.get_dynamic_partitions("submissions")) == 1
        _forget_queue()
    upload(notified.stage, songs.file("again.mp3", b"again"))
    result, cursor = _tick(notified, replace(cursor, watch_due_at=0.0))
    # The test event is gone; both uploads are told of, and the first is old news.
    assert "2 notifications, 1 submissions recorded" in str(result.skip_reason)
    assert _check(notified) == (True, None)
    assert cursor.watched == ""


def test_dead_letters_are_shown(notified: Orchestra, test_queue: TestQueue, registry: Registry) -> None:
    """Once, when their number changes, and when somebody runs the check."""
    cursor = _reconciled(notified)
    test_queue.client.send_message(QueueUrl=test_queue.dead_letters_url, MessageBody="nonsense")
    first, cursor = _tick(notified, cursor)
    assert list(first.asset_events) == []
    second, cursor = _tick(notified, replace(cursor, watch_due_at=0.0))
    (event,) = second.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    passed, description = _check(notified) or (True, None)
    assert not passed
    assert (description or "").startswith("1 messages in the dead letter queue.")
    third, cursor = _tick(notified, replace(cursor, watch_due_at=0.0))
    assert list(third.asset_events) == []
    job = dg.define_asset_job("check", selection=dg.AssetSelection.checks(CHECK))
    definitions = dg.Definitions.merge(build_definitions(notified.stage.settings, registry), dg.Definitions(jobs=[job]))
    ran = definitions.resolve_job_def("check").execute_in_process(instance=notified.instance)
    (evaluated,) = ran.get_asset_check_evaluations()
    assert (evaluated.passed, evaluated.metadata["dead_letters"].value) == (False, 1)


def test_while_the_store_is_away_the_tick_skips_and_messages_wait(
    notified: Orchestra, test_queue: TestQueue, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster shows the reason at the tick; the next one goes on."""
    cursor = _reconciled(notified)
    drop(notified.stage, songs.file("dropped.mp3", b"dropped"))
    with monkeypatch.context() as away:
        away.setenv("MUSICFP_S3_ENDPOINT_URL", "http://127.0.0.1:9")
        skipped = _evaluate(notified, cursor)
    assert isinstance(skipped, dg.SkipReason)
    assert "objectStore" in str(skipped.skip_message)
    assert test_queue.counts() == (1, 0)
    result, _ = _tick(notified, cursor)
    assert "1 submissions recorded" in str(result.skip_reason)
