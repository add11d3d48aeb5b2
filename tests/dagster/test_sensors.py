"""The sensors, called as the daemon calls them, with the real store and both databases."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from sqlalchemy.exc import OperationalError

from musicfp.catalog import derivations, relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow
from musicfp.features.registry import REGISTRY, load_builtin
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.pipeline.versions import BAND_FINGERPRINT, SOURCE_AUDIO, feature_versions, transcode_versions
from musicfp.settings import Settings
from musicfp_assets import housekeeping
from musicfp_assets.definitions import FEATURE_JOB, INGEST_JOB, TRANSCODE_JOB, build_definitions
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import ONLY_MISSING_TAG, as_neighbours, first_stretch, has_unfinished_run
from musicfp_assets.sensors import submissions as discovery_of_sensor
from musicfp_assets.sensors.submissions import GATHER_S, Cursor
from tests.dagster.conftest import Orchestra
from tests.dagster.ticks import quiet_tick, range_of, tick
from tests.support.accepted import accept_track
from tests.support.ingesting import drop, ingest_all, keys_in, submission_of, upload
from tests.support.songs import SongFolder

MY_FEATURES = """
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured
@extractor(name="samples", version="7", description="How many samples there are.",
           values=(FeatureSpec("test.samples", unit=None, description="Number of samples."),))
def samples(audio): yield measured("test.samples", float(len(audio.mono_44k)))
"""


def _assets_of(result: dg.SensorResult) -> set[str]:
    (request,) = result.run_requests or ()
    return {key.to_user_string() for key in request.asset_selection or ()}


def _all_done(orchestra: Orchestra, track_id: str, versions: dict[str, str]) -> None:
    with orchestra.stage.database.write() as session:
        derivations.mark_done(session, {track_id: versions})


def test_uploads_become_partitions_arrivals_and_one_run(orchestra: Orchestra, songs: SongFolder) -> None:
    """Tickets and direct drops together; the range is in the order in which the partitions were added."""
    first = upload(orchestra.stage, songs.song(1))
    second = upload(orchestra.stage, songs.song(2))
    drop(orchestra.stage, songs.short(), "from another tool.flac")
    result = quiet_tick(orchestra)
    keys = orchestra.instance.get_dynamic_partitions("submissions")
    assert keys[:2] == [first, second]
    assert len(keys) == 3
    assert range_of(result) == (keys[0], keys[-1])
    arrivals = {each.partition: each for each in result.asset_events}
    assert set(arrivals) == set(keys)
    assert arrivals[first].metadata["filename"].value == "song-1.flac"
    assert orchestra.run(INGEST_JOB, keys).success
    assert range_of(quiet_tick(orchestra, result.cursor)) is None


def test_only_one_ingest_run_is_asked_for_at_a_time(orchestra: Orchestra, songs: SongFolder) -> None:
    """What arrives meanwhile is recorded and comes with the next run."""
    upload(orchestra.stage, songs.song(1))
    run = create_run_for_test(orchestra.instance, job_name=INGEST_JOB, status=dg.DagsterRunStatus.NOT_STARTED)
    assert has_unfinished_run(orchestra.instance, INGEST_JOB)
    busy = quiet_tick(orchestra)
    assert (range_of(busy), list(busy.asset_events)) == (None, [])
    orchestra.instance.report_run_canceled(run)
    assert not has_unfinished_run(orchestra.instance, INGEST_JOB)
    assert range_of(quiet_tick(orchestra, busy.cursor)) is not None


def test_a_batch_is_bounded_and_the_rest_follows(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as settings say."""
    monkeypatch.setenv("MUSICFP_INGEST_BATCH_TRACKS", "2")
    keys = [upload(orchestra.stage, songs.file(f"{n}.mp3", b"text" * 99)) for n in range(3)]
    result = quiet_tick(orchestra)
    assert range_of(result) == (keys[0], keys[1])
    assert orchestra.run(INGEST_JOB, keys[:2]).success
    assert range_of(quiet_tick(orchestra, result.cursor)) == (keys[2], keys[2])


@pytest.mark.parametrize("name", ["submission_sensor", "transcode_sensor", "feature_sensor", "retry_sensor"])
def test_while_work_cannot_be_done_nothing_is_asked_for_and_the_tick_says_why(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No failed tick, no run that is bound to fail; afterwards it goes on by itself."""
    upload(orchestra.stage, songs.song(1))
    with monkeypatch.context() as patched:
        patched.setenv("MUSICFP_S3_PORT", "9")
        result = tick(orchestra, name)
        assert (result.skip_reason or dg.SkipReason("")).skip_message.startswith("paused, objectStore: ")
        assert not result.run_requests
        assert result.cursor is None
    assert "paused" not in str(tick(orchestra, name).skip_reason)


def test_a_database_that_goes_away_in_a_tick_is_a_pause(orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was asked last."""

    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("the connection is closed"))

    monkeypatch.setattr(discovery_of_sensor, "discover", away)
    result = tick(orchestra, "submission_sensor")
    assert str(result.skip_reason) == str(dg.SkipReason("paused, database: the connection is closed"))


def test_what_was_chosen_before_and_is_not_adjacent_is_moved_behind_the_others(
    orchestra: Orchestra, songs: SongFolder
) -> None:
    """A range covers neighbours only. What is put off lies between them, and is not run over."""
    keys = [upload(orchestra.stage, songs.file(f"{n}.mp3", b"text" * 99)) for n in range(3)]
    first = quiet_tick(orchestra)
    with orchestra.stage.database.write() as session:
        session.get_one(SubmissionRow, keys[1]).next_attempt_at = utc_now() + timedelta(hours=1)
    result = quiet_tick(orchestra, first.cursor)
    assert range_of(result) == (keys[0], keys[2])
    assert orchestra.instance.get_dynamic_partitions("submissions") == [keys[1], keys[0], keys[2]]
    assert list(result.asset_events) == []
    assert orchestra.run(INGEST_JOB, [keys[0], keys[2]]).success
    assert [submission_of(orchestra.stage, key).status for key in keys] == ["REJECTED", "RECEIVED", "REJECTED"]
    fresh = upload(orchestra.stage, songs.file("fresh.mp3", b"text" * 99))
    with orchestra.stage.database.write() as session:
        session.get_one(SubmissionRow, keys[1]).next_attempt_at = None
    result = quiet_tick(orchestra, result.cursor)
    assert range_of(result) == (keys[1], fresh)
    assert orchestra.instance.get_dynamic_partitions("submissions") == [keys[0], keys[2], keys[1], fresh]


def test_one_file_of_somebody_else_does_not_wait_for_thousands(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submitters take turns within a batch; the oldest of all is in it; nothing becomes a partition before its turn."""
    monkeypatch.setenv("MUSICFP_INGEST_BATCH_TRACKS", "3")
    for number in range(5):
        drop(orchestra.stage, songs.file(f"{number}.mp3", b"text" * 99), f"heap/{number}.mp3")
    first = tick(orchestra, "submission_sensor")
    heap = orchestra.instance.get_dynamic_partitions("submissions")
    assert range_of(first) == (heap[0], heap[2])
    mine = upload(orchestra.stage, songs.file("mine.mp3", b"text" * 99), submitter="me@here")
    second = tick(orchestra, "submission_sensor", first.cursor)
    assert range_of(second) == (heap[0], heap[1])
    batch = [heap[0], mine, heap[1]]
    assert orchestra.instance.get_dynamic_partitions("submissions") == [heap[2], *batch]
    assert orchestra.run(INGEST_JOB, batch).success
    assert submission_of(orchestra.stage, mine).status == "REJECTED"
    third = tick(orchestra, "submission_sensor", second.cursor)
    assert range_of(third) == (heap[2], orchestra.instance.get_dynamic_partitions("submissions")[-1])


def test_a_run_waits_while_uploads_keep_coming_in_but_not_for_ever(orchestra: Orchestra, songs: SongFolder) -> None:
    """Starting a run for each of many uploads would cost more than the uploads; nobody waits longer than the limit."""
    first = upload(orchestra.stage, songs.file("1.mp3", b"1" * 99))
    result = tick(orchestra, "submission_sensor")
    assert (range_of(result), list(result.asset_events)) == (None, [])
    second = upload(orchestra.stage, songs.file("2.mp3", b"2" * 99))
    result = tick(orchestra, "submission_sensor", result.cursor)
    assert range_of(result) is None
    upload(orchestra.stage, songs.file("3.mp3", b"3" * 99))
    cursor = Cursor.parse(result.cursor)
    waited_long = replace(cursor, gathering_since=cursor.gathering_since - GATHER_S)
    result = tick(orchestra, "submission_sensor", json.dumps(asdict(waited_long)))
    assert orchestra.instance.get_dynamic_partitions("submissions")[:2] == [first, second]
    assert range_of(result) is not None


@pytest.mark.parametrize("stored", [None, "", "nonsense", "[]", "{}", '{"after": 5, "complete_due_at": "x"}', "7"])
def test_a_cursor_that_cannot_be_read_starts_over(stored: str | None) -> None:
    """It costs a listing and loses nothing."""
    assert Cursor.parse(stored).complete_due_at == 0.0


def test_the_cursor_is_kept_between_ticks(orchestra: Orchestra, songs: SongFolder) -> None:
    """The next cheap pass starts behind what was found."""
    submission_id = upload(orchestra.stage, songs.song(1))
    result = quiet_tick(orchestra)
    stored = json.loads(result.cursor or "")
    assert stored["after"] == submission_of(orchestra.stage, submission_id).object_key
    assert Cursor.parse(result.cursor).complete_due_at > 0


def test_a_file_of_another_tool_is_found_at_the_next_tick(orchestra: Orchestra, songs: SongFolder) -> None:
    """In a bucket with little in it, the whole of it is listed every time."""
    quiet = quiet_tick(orchestra)
    drop(orchestra.stage, songs.short(), "dropped.flac")
    first = tick(orchestra, "submission_sensor", quiet.cursor)
    assert range_of(tick(orchestra, "submission_sensor", first.cursor)) is not None
    assert len(orchestra.instance.get_dynamic_partitions("submissions")) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("abc", "abc"), ("bc", "bc"), ("abde", "ab"), ("e", "e"), ("", ""), ("acde", "a"), ("abcde", "abc"), ("xc", "c")],
)
def test_a_stretch_ends_at_the_first_gap(wanted: str, expected: str) -> None:
    """Up to three neighbours of a, b, c, d, e."""
    assert first_stretch(set(wanted), "abcde", max_keys=3) == list(expected)


@pytest.mark.parametrize(
    ("batch", "keys", "moved", "added"),
    [
        ("", "", "", ""),
        ("xy", "xy", "", "xy"),
        ("bc", "bc", "", ""),
        ("cb", "bc", "", ""),
        ("ex", "ex", "", "x"),
        ("xed", "dex", "", "x"),
        ("ac", "ac", "ac", "ac"),
        ("cx", "cx", "c", "cx"),
        ("xac", "xac", "ac", "xac"),
    ],
)
def test_a_batch_becomes_neighbours(batch: str, keys: str, moved: str, added: str) -> None:
    """Among the partitions a, b, c, d, e; x and y are none yet."""
    found = as_neighbours(batch, "abcde")
    assert ("".join(found.keys), "".join(found.moved), "".join(found.added)) == (keys, moved, added)
    ordered = [key for key in "abcde" if key not in found.moved] + found.added
    assert first_stretch(set(batch), ordered, max_keys=9) == found.keys


def test_accepted_tracks_are_derived_by_both_stages(orchestra: Orchestra, songs: SongFolder) -> None:
    """One range of all of each stage's assets; keys that the ingest run did not add are added."""
    tick(orchestra, "transcode_sensor")
    keys = [each.submission.id for each in ingest_all(orchestra.stage, songs.song(1), songs.song(2))]
    transcodes, features = tick(orchestra, "transcode_sensor"), tick(orchestra, "feature_sensor")
    assert orchestra.instance.get_dynamic_partitions("tracks") == keys
    assert range_of(transcodes) == range_of(features) == (keys[0], keys[1])
    assert _assets_of(transcodes) == set(transcode_versions(orchestra.stage.settings))
    for result in (transcodes, features):
        assert [ONLY_MISSING_TAG in request.tags for request in result.run_requests or ()] == [True]
    assert _assets_of(features) == set(feature_versions(REGISTRY))
    create_run_for_test(orchestra.instance, job_name=TRANSCODE_JOB, status=dg.DagsterRunStatus.STARTED)
    assert range_of(tick(orchestra, "transcode_sensor")) is None
    assert range_of(tick(orchestra, "feature_sensor")) is not None


def test_a_batch_that_is_not_full_waits_for_the_run_that_brings_more(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as ingest works; a full batch goes at once."""
    tick(orchestra, "transcode_sensor")
    keys = [accept_track(orchestra.stage.database, number) for number in range(2)]
    run = create_run_for_test(orchestra.instance, job_name=INGEST_JOB, status=dg.DagsterRunStatus.STARTED)
    assert range_of(tick(orchestra, "transcode_sensor")) is None
    monkeypatch.setenv("MUSICFP_DERIVE_BATCH_TRACKS", "2")
    definitions = build_definitions(Settings.from_env(), REGISTRY)
    small = Orchestra(definitions, orchestra.instance, orchestra.stage)
    assert range_of(tick(small, "transcode_sensor")) == (keys[0], keys[1])
    orchestra.instance.report_run_canceled(run)
    assert range_of(tick(orchestra, "transcode_sensor")) == (keys[0], keys[1])


def test_tracks_that_lack_something_else_are_left_for_the_next_run(orchestra: Orchestra) -> None:
    """One run makes the same assets for all its tracks, so nothing that is there is planned again."""
    tick(orchestra, "transcode_sensor")
    database = orchestra.stage.database
    keys = [accept_track(database, number) for number in range(4)]
    versions = transcode_versions(orchestra.stage.settings)
    _all_done(orchestra, keys[1], {"source_audio": versions["source_audio"]})
    first = tick(orchestra, "transcode_sensor")
    assert (range_of(first), _assets_of(first)) == ((keys[0], keys[0]), set(versions))
    for key in (keys[0], keys[2], keys[3]):
        _all_done(orchestra, key, versions)
    second = tick(orchestra, "transcode_sensor")
    assert (range_of(second), _assets_of(second)) == ((keys[1], keys[1]), set(versions) - {"source_audio"})
    _all_done(orchestra, keys[1], versions)
    assert range_of(tick(orchestra, "transcode_sensor")) is None


def test_failures_are_asked_for_again_when_their_time_has_come(orchestra: Orchestra) -> None:
    """A failed track causes no run by itself; the retry sensor queues it by its date."""
    tick(orchestra, "transcode_sensor")
    versions = transcode_versions(orchestra.stage.settings)
    later, due = (accept_track(orchestra.stage.database, number) for number in range(2))
    with orchestra.stage.database.write() as session:
        for key, seconds in ((later, 600), (due, -1)):
            at = utc_now() + timedelta(seconds=seconds)
            derivations.mark_failed(session, key, versions, Failure("x", "It broke.", at))
    assert range_of(tick(orchestra, "transcode_sensor")) is None
    assert str(len(versions)) in str(tick(orchestra, "retry_sensor").skip_reason)
    assert range_of(tick(orchestra, "transcode_sensor")) == (due, due)


@pytest.fixture
def my_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of a user with one extractor."""
    (tmp_path / "my_features.py").write_text(MY_FEATURES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_features"
    REGISTRY._extractors.pop("samples", None)
    sys.modules.pop("my_features", None)


def test_a_new_feature_is_made_for_all_existing_tracks_in_one_run(
    orchestra: Orchestra, songs: SongFolder, my_features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five lines in a module of one's own: an asset, queued for what is there, computed, in the catalogue."""
    tick(orchestra, "feature_sensor")
    keys = [each.submission.id for each in ingest_all(orchestra.stage, songs.song(1), songs.song(2))]
    tick(orchestra, "feature_sensor")
    for key in keys:
        _all_done(orchestra, key, feature_versions(REGISTRY))
    assert range_of(tick(orchestra, "feature_sensor")) is None

    monkeypatch.setenv("MUSICFP_FEATURE_MODULES", my_features)
    stage = MusicfpResource().stage("test")
    definitions = build_definitions(stage.settings, load_builtin())
    extended = Orchestra(definitions, orchestra.instance, stage)
    result = tick(extended, "feature_sensor")
    assert (range_of(result), _assets_of(result)) == ((keys[0], keys[1]), {"feature_samples"})
    assert extended.run(FEATURE_JOB, keys, assets=["feature_samples"]).success
    assert set(extended.events("feature_samples")) == set(keys)
    with stage.database.read() as session:
        rows = relations.features(session, keys)
    for key in keys:
        (row,) = [row for row in rows[key] if row.name == "test.samples"]
        assert (row.value, row.version) == (24.0 * 44100, "7")
    stage.store.client.close()


def test_the_second_fingerprint_is_made_for_a_catalogue_that_was_there_before_it(
    orchestra: Orchestra, songs: SongFolder
) -> None:
    """After an upgrade: one run for all tracks, of this asset alone, and then nothing is missing."""
    versions = transcode_versions(orchestra.stage.settings)
    earlier = {asset: version for asset, version in versions.items() if asset != BAND_FINGERPRINT}
    with orchestra.stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, earlier)
    keys = [each.submission.id for each in ingest_all(orchestra.stage, songs.song(1), songs.song(2))]
    for key in keys:
        _all_done(orchestra, key, earlier)
    result = tick(orchestra, "transcode_sensor")
    assert (range_of(result), _assets_of(result)) == ((keys[0], keys[1]), {BAND_FINGERPRINT})
    assert orchestra.run(TRANSCODE_JOB, keys, assets=[BAND_FINGERPRINT]).success
    assert set(orchestra.events(BAND_FINGERPRINT)) == set(keys)
    assert orchestra.events(SOURCE_AUDIO) == {}
    stored = keys_in(orchestra.stage, orchestra.stage.settings.transcode_bucket)
    assert not [key for key in stored if key.startswith("transcodes/")]
    with orchestra.stage.database.read() as session:
        assert set(relations.fingerprints(session, keys, kind=FingerprintKind.BAND)) == set(keys)
    assert range_of(tick(orchestra, "transcode_sensor")) is None


def test_the_expiry_job_does_the_housekeeping(orchestra: Orchestra, songs: SongFolder) -> None:
    """Overdue tickets end, decided objects go; running it again is harmless."""
    overdue = upload(orchestra.stage, songs.song(1))
    row = submission_of(orchestra.stage, overdue)
    orchestra.stage.store.delete(orchestra.stage.settings.submission_bucket, row.object_key)
    with orchestra.stage.database.write() as session:
        session.get_one(SubmissionRow, overdue).upload_expires_at = utc_now() - timedelta(seconds=1)
    for _ in range(2):
        resources = {"musicfp": MusicfpResource()}
        assert housekeeping.expiry_job.execute_in_process(instance=orchestra.instance, resources=resources).success
    assert submission_of(orchestra.stage, overdue).status == "EXPIRED"
    assert keys_in(orchestra.stage, orchestra.stage.settings.submission_bucket) == []
