"""The accelerator as an asset: made by hand, asked for by its sensor, and checked."""

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from musicfp.catalog import search_index
from musicfp.pipeline import search_index as building
from musicfp.pipeline.index_files import segment_path
from musicfp_assets.definitions import SEARCH_INDEX_JOB
from musicfp_assets.resources import MusicfpResource
from tests.dagster.conftest import Orchestra
from tests.support.seeds import seed_track


def _run(orchestra: Orchestra) -> dg.ExecuteInProcessResult:
    job = orchestra.definitions.resolve_job_def(SEARCH_INDEX_JOB)
    return job.execute_in_process(instance=orchestra.instance, raise_on_error=False)


def _tick(orchestra: Orchestra) -> dg.RunRequest | dg.SkipReason:
    (sensor,) = (each for each in orchestra.definitions.sensors or () if each.name == "search_index_sensor")
    resources = {"musicfp": MusicfpResource()}
    with dg.build_sensor_context(instance=orchestra.instance, resources=resources) as context:
        answer = sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def _check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_a_build_tells_what_it_is_made_of(orchestra: Orchestra) -> None:
    """Its number, how far it goes, its files; the check has asked them; again it says the same."""
    for number in range(3):
        seed_track(orchestra.stage.database, number)
    for written in ("by this run", "before"):
        result = _run(orchestra)
        assert result.success
        (made,) = result.asset_materializations_for_node("search_index")
        assert made.metadata["watermark"].value == 3
        assert made.metadata["fingerprints"].value == 3
        assert made.metadata["lag_before"].value == (3 if written == "by this run" else 0)
        with orchestra.stage.database.read() as session:
            build = search_index.newest_build(session)
        assert build is not None
        assert made.metadata["build"].value == build.id
        assert made.tags is not None
        assert made.tags["dagster/data_version"] == build.id
        (row,) = made.metadata["segments"].records
        assert (row.data["revisions"], row.data["made"]) == ("1 to 3", written)
        assert _check(result).passed
        assert _check(result).metadata["fingerprints"].value >= 1


def test_the_check_finds_files_that_lack_fingerprints(orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the file is one of other tracks than the build says."""
    for number in range(4):
        seed_track(orchestra.stage.database, number)
    monkeypatch.setattr(building.SegmentWriter, "add", _add_without_the_first(building.SegmentWriter.add))
    result = _run(orchestra)
    assert result.success
    assert not _check(result).passed
    assert _check(result).metadata["incomplete"].value == "full revision 1"


def _add_without_the_first(add):  # type: ignore[no-untyped-def]
    def without(writer: building.SegmentWriter, stored: building.StoredItems) -> None:
        add(writer, building.StoredItems(stored.revisions[1:], stored.ordinals[1:], stored.tracks[1:]))

    return without


def test_the_sensor_asks_when_a_build_pays(orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for few tracks, not for little that is new, not while a build runs."""
    monkeypatch.setattr(building, "_MIN_LAG_FINGERPRINTS", 2)
    monkeypatch.setenv("MUSICFP_SEARCH_INDEX_MIN_TRACKS", "3")
    for number in range(2):
        seed_track(orchestra.stage.database, number)
    assert isinstance(_tick(orchestra), dg.SkipReason)
    seed_track(orchestra.stage.database, 2)
    assert isinstance(_tick(orchestra), dg.RunRequest)
    create_run_for_test(orchestra.instance, job_name=SEARCH_INDEX_JOB, status=dg.DagsterRunStatus.STARTED)
    waiting = _tick(orchestra)
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message is not None
    assert "running" in waiting.skip_message
    assert _run(orchestra).success
    for number in (3, 4):
        seed_track(orchestra.stage.database, number)
    little = _tick(orchestra)
    assert isinstance(little, dg.SkipReason)
    assert little.skip_message == "5 tracks, 2 fingerprints newer than the build"


def test_a_damaged_file_is_fetched_again_for_the_check(orchestra: Orchestra) -> None:
    """The objects in the store are what is checked, not only this machine's copies."""
    seed_track(orchestra.stage.database, 1)
    assert _run(orchestra).success
    with orchestra.stage.database.read() as session:
        build = search_index.newest_build(session)
    assert build is not None
    path = segment_path(orchestra.stage.settings, build.segments[0].sha256)
    path.write_bytes(path.read_bytes()[:-1])
    assert _check(_run(orchestra)).passed
    assert path.stat().st_size == build.segments[0].size_bytes
