"""What a killed run could not tell Dagster, on both databases: it is recorded without anybody's doing."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

import dagster as dg
import pytest

from musicfp.catalog import relations
from musicfp.pipeline.versions import DEDUPE_VERDICT, INGEST_ASSET_VERSIONS, SOURCE_AUDIO
from musicfp_assets import run_ranges
from musicfp_assets.assets import ingest as ingest_assets
from musicfp_assets.assets import transcodes as transcode_assets
from musicfp_assets.definitions import INGEST_JOB, TRANSCODE_JOB
from musicfp_assets.partitions import SUBMISSIONS, TRACKS
from musicfp_assets.resources import MusicfpResource
from tests.dagster.conftest import Orchestra
from tests.support.crashes import Killed, kill
from tests.support.ingesting import upload_and_discover
from tests.support.songs import SongFolder


@pytest.fixture(autouse=True)
def buried() -> Iterator[None]:
    """Clear away what a killed run leaves in this process: the dead close no directory, and Python complains of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time pass for which a failed run delays the next."""
    monkeypatch.setattr(run_ranges, "PAUSE_AFTER_FAILURE_S", 0.0)


def _tick(orchestra: Orchestra, cursor: str | None = None) -> dg.SensorResult:
    sensor = next(each for each in orchestra.definitions.sensors or () if each.name == "lost_events_sensor")
    resources = {"musicfp": MusicfpResource()}
    with dg.build_sensor_context(instance=orchestra.instance, cursor=cursor, resources=resources) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def _killed_run(orchestra: Orchestra, job: str, keys: list[str]) -> None:
    """Run a job that dies, and have Dagster notice as its run monitoring does."""
    with suppress(Killed):
        orchestra.run(job, keys)
    (run, *_) = orchestra.instance.get_runs()
    if not run.is_finished:
        orchestra.instance.report_run_failed(run)


def _do(orchestra: Orchestra, result: dg.SensorResult) -> None:
    (request,) = result.run_requests or ()
    assert request.job_name is not None
    assert request.tags[run_ranges.ONLY_MISSING_TAG] == "true"
    done = orchestra.definitions.resolve_job_def(request.job_name).execute_in_process(
        instance=orchestra.instance, tags=dict(request.tags), asset_selection=request.asset_selection
    )
    assert done.success


def test_what_a_killed_ingest_run_decided_is_recorded(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a file that was rejected, for which there are no metadata and no fingerprint to record."""
    keys = upload_and_discover(orchestra.stage, songs.file("text.mp3", b"no music " * 100), songs.song(1))
    orchestra.instance.add_dynamic_partitions(SUBMISSIONS.name or "", keys)
    with monkeypatch.context() as patched:
        patched.setattr(ingest_assets, "forget_decided_objects", kill)
        patched.setattr(ingest_assets, "_event", _die_at_the_second(ingest_assets._event))
        _killed_run(orchestra, INGEST_JOB, keys)
    assert set(orchestra.statuses("track_metadata", SUBMISSIONS).values()) == {"FAILED"}
    found = _tick(orchestra)
    _do(orchestra, found)
    rejected, accepted = keys
    assert orchestra.statuses(DEDUPE_VERDICT, SUBMISSIONS) == dict.fromkeys(keys, "MATERIALIZED")
    for asset in INGEST_ASSET_VERSIONS.keys() - {DEDUPE_VERDICT}:
        assert orchestra.statuses(asset, SUBMISSIONS) == {accepted: "MATERIALIZED"}, asset
    assert rejected not in orchestra.instance.get_dynamic_partitions(TRACKS.name or "")
    assert not _tick(orchestra, found.cursor).run_requests
    assert not _tick(orchestra).run_requests


def test_a_rejected_file_of_a_killed_run_is_not_red_for_ever(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before it was looked at, rejected by the next run: then the killed run has nothing to tell."""
    keys = upload_and_discover(orchestra.stage, songs.file("text.mp3", b"no music " * 100))
    orchestra.instance.add_dynamic_partitions(SUBMISSIONS.name or "", keys)
    with monkeypatch.context() as patched:
        patched.setattr(ingest_assets, "ingest_batch", kill)
        _killed_run(orchestra, INGEST_JOB, keys)
    waiting = _tick(orchestra)
    assert not waiting.run_requests
    assert orchestra.statuses("fingerprint", SUBMISSIONS) == dict.fromkeys(keys, "FAILED")  # Dagster keeps that in mind
    assert orchestra.run(INGEST_JOB, keys).success
    assert orchestra.statuses("fingerprint", SUBMISSIONS) == dict.fromkeys(keys, "FAILED")
    assert not _tick(orchestra, waiting.cursor).run_requests
    assert orchestra.statuses("fingerprint", SUBMISSIONS) == {}
    assert orchestra.statuses(DEDUPE_VERDICT, SUBMISSIONS) == dict.fromkeys(keys, "MATERIALIZED")


# Who is killed leaves its scratch files where they are.
@pytest.mark.filterwarnings("ignore:.*TemporaryDirectory:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_what_a_killed_derive_run_made_is_recorded(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the catalogue: nothing is encoded again."""
    keys = upload_and_discover(orchestra.stage, songs.song(1), songs.song(2))
    orchestra.instance.add_dynamic_partitions(SUBMISSIONS.name or "", keys)
    assert orchestra.run(INGEST_JOB, keys).success
    with monkeypatch.context() as patched:
        patched.setattr(transcode_assets, "materialized", kill)
        _killed_run(orchestra, TRANSCODE_JOB, keys)
    assert "FAILED" in orchestra.statuses(SOURCE_AUDIO, TRACKS).values()
    _do(orchestra, _tick(orchestra))
    assert orchestra.statuses(SOURCE_AUDIO, TRACKS) == dict.fromkeys(keys, "MATERIALIZED")
    assert not _tick(orchestra).run_requests


def test_a_track_that_failed_stays_red(orchestra: Orchestra, songs: SongFolder) -> None:
    """Its run told all that there was to tell."""
    keys = upload_and_discover(orchestra.stage, songs.song(1), songs.song(2))
    orchestra.instance.add_dynamic_partitions(SUBMISSIONS.name or "", keys)
    assert orchestra.run(INGEST_JOB, keys).success
    orchestra.stage.store.delete(orchestra.stage.settings.source_bucket, _source_key(orchestra, keys[0]))
    assert not orchestra.run(TRANSCODE_JOB, keys).success
    assert orchestra.statuses(SOURCE_AUDIO, TRACKS) == {keys[0]: "FAILED", keys[1]: "MATERIALIZED"}
    assert not _tick(orchestra).run_requests


def _source_key(orchestra: Orchestra, track_id: str) -> str:
    with orchestra.stage.database.read() as session:
        return relations.tracks(session, [track_id])[track_id].source_key


def _die_at_the_second(function: Callable[..., object]) -> Callable[..., object]:
    """Let the rejected one be recorded, and die at the first event of the accepted one."""
    calls: list[None] = []

    def once(*arguments: object) -> object:
        calls.append(None)
        return function(*arguments) if len(calls) == 1 else kill()

    return once
