"""The three stages, run by Dagster over a range of partitions: real audio, real store, both databases."""

from pathlib import Path

import dagster as dg
import pytest

from musicfp.catalog import derivations, relations
from musicfp.pipeline.versions import BAND_FINGERPRINT, INGEST_ASSET_VERSIONS, transcode_versions
from musicfp.store.objects import ObjectStore
from musicfp_assets.definitions import FEATURE_JOB, INGEST_JOB, TRANSCODE_JOB
from musicfp_assets.partitions import SUBMISSIONS, TRACKS
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import discover_all, ingest_all, keys_in, upload
from tests.support.songs import SongFolder

CODE_VERSION, DATA_VERSION = "dagster/code_version", "dagster/data_version"


def _kill(*_: object, **__: object) -> None:
    raise AssertionError("nothing may be downloaded")


def _submitted(orchestra: Orchestra, *paths: Path) -> list[str]:
    submission_ids = [upload(orchestra.stage, path) for path in paths]
    discover_all(orchestra.stage)
    orchestra.instance.add_dynamic_partitions("submissions", submission_ids)
    return submission_ids


def _tracks(orchestra: Orchestra, *paths: Path) -> list[str]:
    with orchestra.stage.database.exclusive() as session:
        versions = transcode_versions(orchestra.stage.settings)
        derivations.bring_up_to_date(session, {**versions, "feature_duration": "1"})
    track_ids = [each.submission.id for each in ingest_all(orchestra.stage, *paths)]
    orchestra.instance.add_dynamic_partitions("tracks", track_ids)
    return track_ids


def _damage_source(orchestra: Orchestra, track_id: str) -> None:
    with orchestra.stage.database.read() as session:
        key = relations.tracks(session, [track_id])[track_id].source_key
    orchestra.stage.store.client.put_object(Bucket=orchestra.stage.settings.source_bucket, Key=key, Body=b"x")


def _falsify_features(orchestra: Orchestra, track_id: str) -> None:
    with orchestra.stage.database.write() as session:
        for row in relations.features(session, [track_id])[track_id]:
            row.value = -1.0
            session.merge(row)


def _planned(orchestra: Orchestra, result: dg.ExecuteInProcessResult) -> int:
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    return len(orchestra.instance.all_logs(result.run_id, of_type=planned))


def test_ingest_records_each_submission_by_itself(orchestra: Orchestra, songs: SongFolder) -> None:
    """One run, one step; a verdict for everything, facts and pictures for what could be read; tracks get partitions."""
    new, copy, broken = _submitted(orchestra, songs.song(1), songs.other_codec(1), songs.file("a.mp3", b"text" * 99))
    result = orchestra.run(INGEST_JOB, [new, copy, broken])
    assert result.success
    assert _planned(orchestra, result) == 9
    verdicts = orchestra.events("dedupe_verdict")
    assert {key: each.metadata["status"].value for key, each in verdicts.items()} == {
        new: "ACCEPTED",
        copy: "DUPLICATE",
        broken: "REJECTED",
    }
    assert verdicts[copy].metadata["relation"].value == "SAME_RECORDING"
    assert verdicts[copy].metadata["matched_track_id"].value == new
    assert 0.8 < verdicts[copy].metadata["score"].value <= 1
    assert "problems" in verdicts[broken].metadata
    assert set(orchestra.events("track_metadata")) == {new, copy}
    metadata = orchestra.events("track_metadata")[new].metadata
    assert (metadata["title"].value, metadata["duration_s"].value) == ("Song 1", 24.0)
    fingerprint = orchestra.events("fingerprint")[new]
    assert "data:image/png;base64," in fingerprint.metadata["bitmap"].value
    assert fingerprint.tags is not None
    assert fingerprint.tags[CODE_VERSION] == INGEST_ASSET_VERSIONS["fingerprint"]
    assert fingerprint.tags[DATA_VERSION].startswith(f"{INGEST_ASSET_VERSIONS['fingerprint']}-")
    assert orchestra.instance.get_dynamic_partitions("tracks") == [new]
    assert orchestra.statuses("dedupe_verdict", SUBMISSIONS) == dict.fromkeys((new, copy, broken), "MATERIALIZED")
    assert len(keys_in(orchestra.stage, orchestra.stage.settings.submission_bucket)) == 1
    with orchestra.stage.database.read() as session:
        rows = relations.materializations(session, [new, copy, broken])
    assert {row.run_id for each in rows.values() for row in each} == {result.run_id}


def test_ingest_asked_again_records_what_was_decided(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range asked for again, by hand or because its run was killed, leaves no partition unmaterialized."""
    keys = _submitted(orchestra, songs.song(1), songs.other_codec(1), songs.file("a.mp3", b"text" * 99))
    orchestra.run(INGEST_JOB, keys)
    before = {asset: orchestra.events(asset) for asset in INGEST_ASSET_VERSIONS}
    orchestra.instance.wipe_assets([dg.AssetKey(asset) for asset in INGEST_ASSET_VERSIONS])
    monkeypatch.setattr(ObjectStore, "download", _kill)
    assert orchestra.run(INGEST_JOB, keys).success
    for asset, events in before.items():
        again = orchestra.events(asset)
        assert set(again) == set(events), asset
        for key, event in events.items():
            assert again[key].tags == event.tags
            assert "repeated" in again[key].metadata
    verdicts = orchestra.events("dedupe_verdict")
    assert [verdicts[key].metadata["status"].value for key in keys] == ["ACCEPTED", "DUPLICATE", "REJECTED"]
    assert "problems" in verdicts[keys[2]].metadata
    assert verdicts[keys[1]].metadata["relation"].value == "SAME_RECORDING"
    assert orchestra.events("track_metadata")[keys[0]].metadata["title"].value == "Song 1"
    assert "data:image/png;base64," in orchestra.events("fingerprint")[keys[0]].metadata["bitmap"].value


def test_one_failing_track_is_red_alone(orchestra: Orchestra, songs: SongFolder) -> None:
    """The run fails and names it; the others of its batch are materialized with everything worth knowing."""
    good, bad, also_good = _tracks(orchestra, songs.song(1), songs.song(2), songs.song(3))
    _damage_source(orchestra, bad)
    result = orchestra.run(TRANSCODE_JOB, [good, bad, also_good])
    assert not result.success
    for asset in transcode_versions(orchestra.stage.settings):
        statuses = orchestra.statuses(asset, TRACKS)
        assert statuses == {good: "MATERIALIZED", bad: "FAILED", also_good: "MATERIALIZED"}
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    shown = failure.step_failure_data.user_failure_data
    assert shown is not None
    assert bad in str(shown.metadata["failed_tracks"].value)
    assert good not in str(shown.metadata["failed_tracks"].value)
    source, mp3 = orchestra.events("source_audio")[good], orchestra.events("transcode_mp3_128")[good]
    assert "data:image/png;base64," in source.metadata["waveform"].value
    assert mp3.tags is not None
    assert mp3.tags[DATA_VERSION] == mp3.metadata["sha256"].value
    assert mp3.tags[CODE_VERSION] == transcode_versions(orchestra.stage.settings)["transcode_mp3_128"]
    assert mp3.metadata["object"].value.startswith(
        f"s3://{orchestra.stage.settings.transcode_bucket}/transcodes/{good}/"
    )


def test_the_second_fingerprint_can_be_seen(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture, its size and how far it is from the ordinary one; recorded again, the same without a download."""
    (track_id,) = _tracks(orchestra, songs.song(1))
    assert orchestra.run(TRANSCODE_JOB, [track_id], assets=[BAND_FINGERPRINT]).success
    event = orchestra.events(BAND_FINGERPRINT)[track_id]
    assert "data:image/png;base64," in event.metadata["bitmap"].value
    assert event.metadata["items"].value == pytest.approx((24.0 - 2.6) / 0.1238, abs=2)
    assert event.metadata["audio_duration_s"].value == pytest.approx(24.0, abs=0.01)
    assert 0.05 < event.metadata["bits_unlike_full"].value < 0.5
    version = transcode_versions(orchestra.stage.settings)[BAND_FINGERPRINT]
    assert event.tags is not None
    assert event.tags[CODE_VERSION] == version
    assert event.tags[DATA_VERSION].startswith(f"{version}-")
    orchestra.instance.wipe_assets([dg.AssetKey(BAND_FINGERPRINT)])
    monkeypatch.setattr(ObjectStore, "download", _kill)
    assert orchestra.run(TRANSCODE_JOB, [track_id], assets=[BAND_FINGERPRINT]).success
    again = orchestra.events(BAND_FINGERPRINT)[track_id]
    assert again.tags == event.tags
    assert again.metadata["repeated"] is not None
    assert {name: again.metadata[name] for name in event.metadata} == event.metadata


def test_transcodes_asked_again_are_recorded_from_the_catalogue(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done partitions of a range are materialized again without work; a subset of assets is enough."""
    keys = _tracks(orchestra, songs.song(1), songs.song(2))
    assets = ["source_audio", "transcode_opus_96"]
    assert orchestra.run(TRANSCODE_JOB, keys, assets=assets).success
    assert orchestra.events("transcode_mp3_128") == {}
    before = orchestra.events("transcode_opus_96")
    orchestra.instance.wipe_assets([dg.AssetKey(asset) for asset in assets])
    monkeypatch.setattr(ObjectStore, "download", _kill)
    assert orchestra.run(TRANSCODE_JOB, keys, assets=assets).success
    for key in keys:
        again = orchestra.events("transcode_opus_96")[key]
        assert again.tags == before[key].tags
        assert again.metadata["sha256"] == before[key].metadata["sha256"]
        assert "repeated" in again.metadata
    assert orchestra.statuses("source_audio", TRACKS) == dict.fromkeys(keys, "MATERIALIZED")


def test_features_show_their_values_and_are_repeated_from_the_catalogue(
    orchestra: Orchestra, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The UI plots a number and lists a table; asked again, the same values come from the catalogue."""
    (track_id,) = _tracks(orchestra, songs.song(1))
    assert orchestra.run(FEATURE_JOB, [track_id], assets=["feature_duration"]).success
    event = orchestra.events("feature_duration")[track_id]
    numbers = [value.value for value in event.metadata.values() if isinstance(value, dg.FloatMetadataValue)]
    assert any(number == pytest.approx(24.0, abs=0.1) for number in numbers)
    assert len(event.metadata["values"].records) >= 1
    monkeypatch.setattr(ObjectStore, "download", _kill)
    assert orchestra.run(FEATURE_JOB, [track_id], assets=["feature_duration"]).success
    again = orchestra.events("feature_duration")[track_id]
    assert again.metadata["values"] == event.metadata["values"]
    assert ("repeated" in event.metadata, "repeated" in again.metadata) == (False, True)


def test_what_a_person_asks_for_is_computed_also_where_it_is_current(orchestra: Orchestra, songs: SongFolder) -> None:
    """A backfill by hand mends a stored value that is wrong; nothing is told from the catalogue."""
    (track_id,) = _tracks(orchestra, songs.song(1))
    for job, assets in ((FEATURE_JOB, ["feature_duration"]), (TRANSCODE_JOB, ["source_audio", "transcode_opus_96"])):
        assert orchestra.run(job, [track_id], assets=assets).success
        if job == FEATURE_JOB:
            _falsify_features(orchestra, track_id)
        assert orchestra.run(job, [track_id], assets=assets, by_hand=True).success
        for asset in assets:
            assert "repeated" not in orchestra.events(asset)[track_id].metadata
    with orchestra.stage.database.read() as session:
        values = relations.features(session, [track_id])[track_id]
    assert [row.value for row in values] == [pytest.approx(24.0, abs=0.1)]
