"""Transcodes and features of accepted tracks, with real audio, the real store and both databases."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from sqlmodel import select

from musicfp.audio.probe import probe
from musicfp.audio.sniff import require_format
from musicfp.audio.tags import read_tags
from musicfp.catalog import derivations, relations
from musicfp.catalog.tables import DerivationRow, FeatureRow, TrackRow
from musicfp.features.registry import load_builtin
from musicfp.pipeline import transcoding
from musicfp.pipeline.analysis import analyse_batch
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.derived_tracks import MAX_ATTEMPTS, AskedTrack
from musicfp.pipeline.transcoding import MAX_BIT_ERROR_RATE, transcode_batch
from musicfp.pipeline.versions import BAND_FINGERPRINT, SOURCE_AUDIO, feature_versions
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.ingesting import ingest_all, keys_in
from tests.support.songs import SongFolder

CHEAP_FEATURES = ("feature_duration", "feature_loudness")


@pytest.fixture
def features(stage: StageContext) -> Mapping[str, str]:
    """Some assets of the feature stage, known to the catalogue."""
    everything = feature_versions(load_builtin(()))
    found = {name: everything[name] for name in CHEAP_FEATURES}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, found)
    return found


def _accepted(stage: StageContext, *paths: Path) -> list[str]:
    return [each.submission.id for each in ingest_all(stage, *paths)]


def _states(stage: StageContext, track_id: str) -> dict[str, DerivationRow]:
    with stage.database.read() as session:
        rows = session.exec(select(DerivationRow).where(DerivationRow.track_id == track_id)).all()
    return {row.asset: row for row in rows}


def _track(stage: StageContext, track_id: str) -> TrackRow:
    with stage.database.read() as session:
        return relations.tracks(session, [track_id])[track_id]


def _damage_source(stage: StageContext, track_id: str, content: bytes) -> None:
    key = _track(stage, track_id).source_key
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=key, Body=content)


def test_every_profile_is_made_verified_and_stored(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], tmp_path: Path
) -> None:
    """Each row describes an object that is there, decodes, sounds like its source and carries its tags."""
    (track_id,) = _accepted(stage, songs.song(1))
    (outcome,) = transcode_batch(stage, [track_id], versions)
    assert outcome.failure is None
    assert set(outcome.transcodes) == set(versions) - {SOURCE_AUDIO, BAND_FINGERPRINT}
    assert outcome.waveform is not None
    assert outcome.waveform.startswith(b"\x89PNG")
    with stage.database.read() as session:
        rows = relations.transcodes(session, [track_id])[track_id]
        lineage = {row.asset_key: row for row in relations.materializations(session, [track_id])[track_id]}
    assert {row.profile for row in rows} == set(stage.settings.transcode_profiles)
    for row in rows:
        path = tmp_path / row.profile
        stored = stage.store.download(stage.settings.transcode_bucket, row.object_key, path, max_bytes=1 << 24)
        fmt = require_format(path)
        assert (stored.sha256, stored.size_bytes) == (row.sha256, row.size_bytes)
        assert row.sha256[:16] in row.object_key
        assert probe(path, fmt=fmt).codec == row.codec
        assert read_tags(path, fmt=fmt).title == "Song 1"
        assert row.duration_s == pytest.approx(24.0, abs=0.1)
        assert 0 <= row.bit_error_rate <= MAX_BIT_ERROR_RATE
        assert row.bitrate_bps == pytest.approx(row.size_bytes * 8 / 24.0, rel=0.1)
    assert {state.status for state in _states(stage, track_id).values()} == {"DONE"}
    assert {asset: lineage[asset].code_version for asset in versions} == dict(versions)
    assert list(stage.settings.scratch_path.iterdir()) == []


def test_one_damaged_source_costs_one_track(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """It fails for good, with a reason that says what to do; the others of its batch are made."""
    damaged, longer, gone, good = _accepted(stage, *(songs.song(seed) for seed in (1, 2, 3, 4)))
    _damage_source(stage, damaged, b"x" * _track(stage, damaged).source_size_bytes)
    _damage_source(stage, longer, b"x" * (_track(stage, longer).source_size_bytes + 5000))
    stage.store.delete(stage.settings.source_bucket, _track(stage, gone).source_key)
    wanted = {SOURCE_AUDIO: versions[SOURCE_AUDIO], "transcode_opus_96": versions["transcode_opus_96"]}
    outcomes = {each.track.id: each for each in transcode_batch(stage, [damaged, longer, gone, good], wanted)}
    assert outcomes[good].failure is None
    for track_id, code in ((damaged, "source_damaged"), (longer, "source_damaged"), (gone, "not_found")):
        failure = outcomes[track_id].failure
        assert failure is not None
        assert (failure.code, failure.next_attempt_at) == (code, None)
        rows = [_states(stage, track_id)[asset] for asset in wanted]
        assert {(row.status, row.error_code, row.attempts) for row in rows} == {("FAILED", code, 1)}
        assert _track(stage, track_id).source_key in (rows[0].error_message or "")
    others = {asset: row.status for asset, row in _states(stage, damaged).items() if asset not in wanted}
    assert set(others.values()) == {"PENDING"}


def test_what_nobody_foresaw_in_one_track_is_tried_again_later(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a date, later each time, and then none; the other tracks are not held up."""
    bad, good = _accepted(stage, songs.song(1), songs.song(2))
    make = transcoding._make

    def break_one(context: StageContext, asked: AskedTrack, directory: Path) -> object:
        if asked.track.id == bad:
            raise ZeroDivisionError("nobody thought of this")
        return make(context, asked, directory)

    monkeypatch.setattr(transcoding, "_make", break_one)
    wanted = {SOURCE_AUDIO: versions[SOURCE_AUDIO]}
    outcomes = list(transcode_batch(stage, [bad, good], wanted))
    assert [each.failure is None for each in outcomes] == [False, True]
    waits = []
    for _ in range(MAX_ATTEMPTS + 1):
        row = _states(stage, bad)[SOURCE_AUDIO]
        assert row.error_message == "ZeroDivisionError: nobody thought of this"
        waits.append(row.next_attempt_at and (row.next_attempt_at - row.updated_at).total_seconds())
        list(transcode_batch(stage, [bad], wanted))
    assert waits[:3] == pytest.approx([60, 240, 960], abs=5)
    assert waits[3:] == [None] * len(waits[3:])


def test_what_is_made_already_is_told_and_not_made_again(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again for all assets, a run makes what is missing and repeats the rest from the catalogue."""
    (track_id,) = _accepted(stage, songs.song(1))
    some = {asset: versions[asset] for asset in (SOURCE_AUDIO, "transcode_mp3_128")}
    (before,) = transcode_batch(stage, [track_id], some)
    more = some | {"transcode_opus_96": versions["transcode_opus_96"]}
    repeated, made = transcode_batch(stage, [track_id, "0" * 26], more)
    assert (repeated.repeated, made.repeated) == (True, False)
    assert repeated.versions == some
    assert repeated.transcodes["transcode_mp3_128"].sha256 == before.transcodes["transcode_mp3_128"].sha256
    assert set(made.transcodes) == {"transcode_opus_96"}
    monkeypatch.setattr(ObjectStore, "download", kill)
    assert [each.repeated for each in transcode_batch(stage, [track_id], more)] == [True]


def test_a_changed_profile_makes_only_itself_again(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """The row is replaced; the object of the old version stays for whoever is reading it."""
    (track_id,) = _accepted(stage, songs.song(1))
    asset = "transcode_mp3_128"
    list(transcode_batch(stage, [track_id], {asset: versions[asset]}))
    with stage.database.exclusive() as session:
        assert derivations.bring_up_to_date(session, {**versions, asset: "new"}) == [asset]
    (outcome,) = transcode_batch(stage, [track_id], {asset: "new"})
    assert not outcome.repeated
    with stage.database.read() as session:
        (row,) = relations.transcodes(session, [track_id])[track_id]
    assert row.version == "new"


@pytest.mark.parametrize(
    ("owner", "name"), [(ObjectStore, "put_file"), (derivations, "mark_done")], ids=["storing", "recording"]
)
def test_a_crash_while_transcoding_leaves_what_the_next_run_finishes(
    stage: StageContext,
    songs: SongFolder,
    versions: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
) -> None:
    """Objects without rows are overwritten by the same bytes under the same keys."""
    (track_id,) = _accepted(stage, songs.song(1))
    wanted = {asset: versions[asset] for asset in ("transcode_mp3_128", "transcode_opus_96")}
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, kill)
        with pytest.raises(Killed):
            list(transcode_batch(stage, [track_id], wanted))
    assert {_states(stage, track_id)[asset].status for asset in wanted} == {"PENDING"}
    (outcome,) = transcode_batch(stage, [track_id], wanted)
    stored = [key for key in keys_in(stage, stage.settings.transcode_bucket) if key.startswith("transcodes/")]
    assert stored == sorted(row.object_key for row in outcome.transcodes.values())
    assert list(stage.settings.scratch_path.iterdir()) == []


def test_features_are_computed_for_a_batch(stage: StageContext, songs: SongFolder, features: Mapping[str, str]) -> None:
    """All values of each selected extractor, with who computed them; a damaged source fails alone."""
    good, damaged = _accepted(stage, songs.song(1), songs.song(2))
    _damage_source(stage, damaged, b"x")
    outcomes = {each.track.id: each for each in analyse_batch(stage, [good, damaged], features)}
    failure = outcomes[damaged].failure
    assert failure is not None
    assert failure.code == "source_damaged"
    registry = load_builtin(())
    expected = {
        value.name: (name.removeprefix("feature_"), version)
        for name, version in features.items()
        for value in registry.get(name.removeprefix("feature_")).values
    }
    with stage.database.read() as session:
        rows = relations.features(session, [good, damaged])
        lineage = relations.materializations(session, [good])[good]
    assert {row.name: (row.extractor, row.version) for row in rows[good]} == expected
    assert damaged not in rows
    assert {row.status for row in rows[good]} == {"OK"}
    assert set(features) <= {row.asset_key for row in lineage}
    assert set(outcomes[good].cpu_s) == set(features)


def test_features_that_are_there_are_told_from_the_catalogue(
    stage: StageContext, songs: SongFolder, features: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same values, without a download or a worker."""
    (track_id,) = _accepted(stage, songs.song(1))
    (before,) = analyse_batch(stage, [track_id], features)
    monkeypatch.setattr(ObjectStore, "download", kill)
    (again,) = analyse_batch(stage, [track_id], features)
    assert again.repeated
    assert {asset: sorted(map(repr, values)) for asset, values in again.values.items()} == {
        asset: sorted(map(repr, values)) for asset, values in before.values.items()
    }


def test_a_new_version_replaces_values_and_drops_those_it_no_longer_gives(
    stage: StageContext, songs: SongFolder, features: Mapping[str, str]
) -> None:
    """A value that nobody computes any more is not served as if it were current."""
    (track_id,) = _accepted(stage, songs.song(1))
    list(analyse_batch(stage, [track_id], features))
    asset = next(iter(features))
    with stage.database.write() as session:
        session.add(
            FeatureRow(
                track_id=track_id,
                name="old.value",
                value=1.0,
                status="OK",
                extractor=asset.removeprefix("feature_"),
                version="0",
                computed_at=_track(stage, track_id).accepted_at,
            )
        )
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, {**features, asset: "next"})
    (outcome,) = analyse_batch(stage, [track_id], {asset: "next"})
    with stage.database.read() as session:
        rows = [row for row in relations.features(session, [track_id])[track_id] if f"feature_{row.extractor}" == asset]
    assert {row.version for row in rows} == {"next"}
    assert {row.name for row in rows} == {value.name for value in outcome.values[asset]}


def test_a_track_that_was_deleted_is_left_out(
    stage: StageContext, versions: Mapping[str, str], features: Mapping[str, str]
) -> None:
    """A partition may outlive its track."""
    assert list(transcode_batch(stage, ["0" * 26], versions)) == []
    assert list(analyse_batch(stage, ["0" * 26], features)) == []


def test_sources_are_stored_under_the_hash_of_their_content(stage: StageContext, songs: SongFolder) -> None:
    """So that the same file is never stored twice, and a key says what must be found under it."""
    path = songs.song(1)
    (track_id,) = _accepted(stage, path)
    assert sha256(path.read_bytes()).hexdigest() in _track(stage, track_id).source_key
