"""From uploads to verdicts, with real audio, the real store and both databases."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import func, select

from musicfp.catalog import acceptance, lineage, relations, submissions
from musicfp.catalog.tables import TrackRow
from musicfp.errors import InvalidRequest, StoreUnavailable
from musicfp.fingerprint.verdict import VerdictPolicy
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.ingest import MAX_ATTEMPTS, forget_decided_objects, ingest_batch
from musicfp.pipeline.inspection import InspectionPool
from musicfp.pipeline.recheck import recheck
from musicfp.pipeline.reviews import retry_submission
from musicfp.pipeline.versions import DEDUPE_VERDICT, INGEST_ASSET_VERSIONS
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.ingesting import (
    discover_all,
    drop,
    ingest_all,
    keys_in,
    make_due,
    problem_codes,
    submission_of,
    upload_and_discover,
    verdict_of,
)
from tests.support.songs import SongFolder


def _n_tracks(stage: StageContext) -> int:
    with stage.database.read() as session:
        return session.exec(select(func.count()).select_from(TrackRow)).one()


def _recorded_assets(stage: StageContext, submission_id: str) -> list[str]:
    with stage.database.read() as session:
        rows = relations.materializations(session, [submission_id]).get(submission_id, [])
    return sorted(row.asset_key for row in rows)


def test_a_batch_is_decided_in_its_order(stage: StageContext, songs: SongFolder) -> None:
    """New song, the same file, another codec, an excerpt, another song: in one batch, each sees those before it."""
    outcomes = ingest_all(
        stage,
        songs.song(1),
        songs.song(1),
        songs.other_codec(1),
        songs.trimmed(1, start_s=6, length_s=10),
        songs.song(2),
    )
    found = [
        (each.submission.status, str(each.verdict.relation) if each.verdict and each.verdict.relation else None)
        for each in outcomes
    ]
    assert found == [
        ("ACCEPTED", None),
        ("DUPLICATE", "SAME_FILE"),
        ("DUPLICATE", "SAME_RECORDING"),
        ("DUPLICATE", "EXCERPT"),
        ("ACCEPTED", None),
    ]
    first = outcomes[0].submission.id
    for each in outcomes[1:4]:
        assert verdict_of(stage, each.submission.id).matched_track_id == first
        assert each.submission.object_gone_at is None or each.submission.decided_at is not None
    excerpt = verdict_of(stage, outcomes[3].submission.id)
    assert excerpt.offset_s == pytest.approx(6.0, abs=0.2)
    assert excerpt.evidence["matches"][0]["queryCoverage"] > 0.8
    rechecked = list(recheck(stage.database, VerdictPolicy()))
    assert [(each.after is None, each.would_change) for each in rechecked] == [(False, False)] * 5
    assert keys_in(stage, stage.settings.submission_bucket) == []


def test_a_faster_copy_is_a_duplicate_and_its_verdict_can_be_replayed(stage: StageContext, songs: SongFolder) -> None:
    """5 % faster: found only by hearing the upload at other speeds."""
    first, faster, other = ingest_all(stage, songs.song(1), songs.faster(1, percent=5), songs.song(2))
    assert [each.submission.status for each in (first, faster, other)] == ["ACCEPTED", "DUPLICATE", "ACCEPTED"]
    verdict = verdict_of(stage, faster.submission.id)
    assert (verdict.matched_track_id, verdict.relation) == (first.submission.id, "SAME_RECORDING")
    assert verdict.evidence["matches"][0]["speed"] == pytest.approx(1.05, abs=0.004)
    assert [each.would_change for each in recheck(stage.database, VerdictPolicy())] == [False, False, False]


def test_an_accepted_song_is_complete(stage: StageContext, songs: SongFolder, tmp_path: Path) -> None:
    """Source under its hash and readable, facts, tags, fingerprint, verdict, lineage with the run."""
    path = songs.song(1)
    (outcome,) = ingest_all(stage, path)
    track_id = outcome.submission.id
    with stage.database.read() as session:
        track = relations.tracks(session, [track_id])[track_id]
        tags = {row.name: row.value for row in relations.tags(session, [track_id])[track_id]}
        fingerprint = relations.fingerprint_facts(session, [track_id])[track_id]
        lineage_rows = relations.materializations(session, [track_id])[track_id]
    assert (track.title, track.artist, track.album) == ("Song 1", "Ada", "First")
    assert tags["title"] == "Song 1"
    assert track.duration_s == pytest.approx(24.0, abs=0.01)
    assert (track.codec, track.sample_rate_hz, track.n_channels) == ("flac", 44100, 2)
    assert fingerprint.n_items > 150
    stored = stage.store.download(stage.settings.source_bucket, track.source_key, tmp_path / "s", max_bytes=1 << 24)
    assert stored.path.read_bytes() == path.read_bytes()
    assert stored.sha256 == track.source_sha256
    assert {row.asset_key: row.code_version for row in lineage_rows} == INGEST_ASSET_VERSIONS
    assert {row.run_id for row in lineage_rows} == {stage.provenance.run_id}


def test_bad_files_are_rejected_with_reasons_and_stop_nothing(stage: StageContext, songs: SongFolder) -> None:
    """Every kind of bad input beside a good one; the rejected files are kept, the good one is a track."""
    flac = songs.song(1).read_bytes()
    cases = {
        "text.mp3": (songs.file("text.mp3", b"strings, valve oil, coffee\n" * 50), "unsupported_format"),
        "noise": (songs.file("noise.flac", b"fLaC" + bytes(range(256)) * 50), None),
        "short": (songs.short(), "too_short"),
        "silent": (songs.silence(), "silent"),
        "untagged": (songs.song(3, tags=False), "missing_tag"),
        "renamed": (songs.file("renamed.mp3", flac), "wrong_extension"),
        "truncated": (songs.file("truncated.flac", flac[: len(flac) // 2]), None),
    }
    submission_ids = upload_and_discover(stage, *(path for path, _ in cases.values()), songs.song(2))
    outcomes = list(ingest_batch(stage, submission_ids))
    assert [each.submission.status for each in outcomes] == ["REJECTED"] * len(cases) + ["ACCEPTED"]
    for outcome, (name, (_, code)) in zip(outcomes, cases.items(), strict=False):
        assert outcome.problems, name
        assert all(each.message and each.message[0].isupper() for each in outcome.problems)
        codes = problem_codes(stage, outcome.submission.id)
        assert codes == [each.code for each in outcome.problems]
        assert code is None or code in codes, name
        assert _recorded_assets(stage, outcome.submission.id) == [DEDUPE_VERDICT]
    assert forget_decided_objects(stage) == 1
    assert len(keys_in(stage, stage.settings.submission_bucket)) == len(cases)


def test_an_empty_file_is_rejected(stage: StageContext) -> None:
    """Tickets refuse it; dropped into the bucket it gets a reason all the same."""
    stage.store.client.put_object(Bucket=stage.settings.submission_bucket, Key="empty.mp3", Body=b"")
    (outcome,) = ingest_batch(stage, discover_all(stage).submission_ids)
    assert (outcome.submission.status, outcome.problems[0].code) == ("REJECTED", "empty")


def test_a_file_over_the_limit_is_rejected(stage: StageContext, songs: SongFolder) -> None:
    """A direct drop has no ticket that would have refused it."""
    small = replace(stage, settings=replace(stage.settings, max_upload_bytes=1000))
    drop(stage, songs.song(1))
    (outcome,) = ingest_batch(small, discover_all(stage).submission_ids)
    assert (outcome.submission.status, outcome.problems[0].code) == ("REJECTED", "too_large")


def test_an_object_that_is_gone_fails_and_is_not_kept(stage: StageContext, songs: SongFolder) -> None:
    """Trying again would not bring it back, so nobody is told to."""
    (submission_id,) = upload_and_discover(stage, songs.song(1))
    stage.store.delete(stage.settings.submission_bucket, submission_of(stage, submission_id).object_key)
    (outcome,) = ingest_batch(stage, [submission_id])
    assert (outcome.submission.status, problem_codes(stage, submission_id)) == ("FAILED", ["object_gone"])
    with pytest.raises(InvalidRequest) as raised:
        retry_submission(stage.database, submission_id=submission_id)
    assert raised.value.code == "object_gone"


def test_an_object_replaced_before_its_turn_is_put_off_and_then_decided(stage: StageContext, songs: SongFolder) -> None:
    """What is decided is what was discovered."""
    key = drop(stage, songs.song(1), "song.flac")
    (submission_id,) = discover_all(stage).submission_ids
    drop(stage, songs.song(2), key)
    (outcome,) = ingest_batch(stage, [submission_id])
    assert outcome.submission.status == "RECEIVED"
    assert submission_of(stage, submission_id).next_attempt_at is not None
    assert discover_all(stage).submission_ids == (submission_id,)
    make_due(stage, submission_id)
    (outcome,) = ingest_batch(stage, [submission_id])
    assert outcome.submission.status == "ACCEPTED"
    assert outcome.inspection is not None
    assert outcome.inspection.tags.title == "Song 2"


def test_an_object_replaced_while_it_is_judged_is_not_lost(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict on the old bytes is thrown away: the new ones wait."""
    key = drop(stage, songs.song(1), "song.flac")
    (submission_id,) = discover_all(stage).submission_ids
    inspect = InspectionPool.inspect

    def replace_meanwhile(pool: InspectionPool, path: Path, extension: str | None) -> object:
        inspected = inspect(pool, path, extension)
        drop(stage, songs.song(2), key)
        discover_all(stage)
        return inspected

    with monkeypatch.context() as patched:
        patched.setattr(InspectionPool, "inspect", replace_meanwhile)
        (outcome,) = ingest_batch(stage, [submission_id])
    assert outcome.submission.status == "RECEIVED"
    assert _n_tracks(stage) == 0
    assert forget_decided_objects(stage) == 0
    (outcome,) = ingest_batch(stage, [submission_id])
    assert outcome.inspection is not None
    assert (outcome.submission.status, outcome.inspection.tags.title) == ("ACCEPTED", "Song 2")


def test_a_repeated_batch_does_nothing_twice_and_tells_what_was_decided(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the catalogue alone: no download, no decoding."""
    submission_ids = upload_and_discover(stage, songs.song(1), songs.other_codec(1), songs.short())
    before = list(ingest_batch(stage, submission_ids))
    verdicts = [verdict_of(stage, each).decided_at for each in submission_ids[:2]]
    monkeypatch.setattr(ObjectStore, "download", kill)
    again = list(ingest_batch(stage, [*submission_ids, "0" * 26]))
    assert [each.submission.status for each in again] == [each.submission.status for each in before]
    assert [each.problems for each in again] == [each.problems for each in before]
    assert [verdict_of(stage, each).decided_at for each in submission_ids[:2]] == verdicts
    accepted, duplicate, rejected = (each.repeated for each in again)
    assert accepted is not None
    assert duplicate is not None
    assert rejected is not None
    assert accepted.track is not None
    assert accepted.fingerprint == before[0].inspection.fingerprint  # type: ignore[union-attr]
    assert ("title", "Song 1") in accepted.tags
    assert (duplicate.track, rejected.verdict) == (None, None)
    assert duplicate.verdict is not None
    assert _n_tracks(stage) == 1


def test_two_runs_over_the_same_submission_decide_it_once(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run by hand beside the sensor's does not make a track the duplicate of itself."""
    (submission_id,) = upload_and_discover(stage, songs.song(1))
    inspect = InspectionPool.inspect

    def other_run_first(pool: InspectionPool, path: Path, extension: str | None) -> object:
        inspected = inspect(pool, path, extension)
        monkeypatch.setattr(InspectionPool, "inspect", inspect)
        list(ingest_batch(stage, [submission_id]))
        return inspected

    monkeypatch.setattr(InspectionPool, "inspect", other_run_first)
    (late,) = ingest_batch(stage, [submission_id])
    assert (late.submission.status, late.verdict) == ("RECEIVED", None)
    assert submission_of(stage, submission_id).status == "ACCEPTED"
    assert _n_tracks(stage) == 1


CRASHES: dict[str, tuple[object, str]] = {
    "while the source is stored": (ObjectStore, "put_file"),
    "while the rows are written": (acceptance, "accept"),
    "before the transaction ends": (lineage, "record"),
    "before the object is deleted": (ObjectStore, "delete"),
    "after the object is deleted": (submissions, "mark_object_gone"),
}


@pytest.mark.parametrize("where", CRASHES)
def test_a_crash_leaves_a_state_from_which_the_next_run_finishes(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """At each point between two effects: one track, its source, no leftovers; the duplicate is one."""
    submission_ids = upload_and_discover(stage, songs.song(1), songs.other_codec(1))

    def run() -> None:
        list(ingest_batch(stage, submission_ids))
        forget_decided_objects(stage)

    with monkeypatch.context() as patched:
        patched.setattr(*CRASHES[where], kill)
        with pytest.raises(Killed):
            run()
    run()
    assert [submission_of(stage, each).status for each in submission_ids] == ["ACCEPTED", "DUPLICATE"]
    assert _n_tracks(stage) == 1
    assert keys_in(stage, stage.settings.submission_bucket) == []
    assert len(keys_in(stage, stage.settings.source_bucket)) == 1
    assert _recorded_assets(stage, submission_ids[0]) == sorted(INGEST_ASSET_VERSIONS)
    assert list(stage.settings.scratch_path.iterdir()) == []


def test_a_store_that_fails_leaves_the_rest_waiting(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's song is rejected for it."""
    submission_ids = upload_and_discover(stage, songs.song(1), songs.song(2))

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "download", fail)
        with pytest.raises(StoreUnavailable):
            list(ingest_batch(stage, submission_ids))
    assert {submission_of(stage, each).status for each in submission_ids} == {"RECEIVED"}
    assert {submission_of(stage, each).attempts for each in submission_ids} == {0}


def test_what_nobody_foresaw_in_one_file_costs_only_that_file(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off a few times, then fails with a reason; the others of its batch are decided at once."""
    bad, good = upload_and_discover(stage, songs.song(1), songs.song(2))
    schedule = InspectionPool.inspect

    def break_first(pool: InspectionPool, path: Path, extension: str | None) -> object:
        # A file that disappears under the worker's hands: the worker raises what no code of ours expects.
        return schedule(pool, path.with_name("vanished") if path.name == bad else path, extension)

    monkeypatch.setattr(InspectionPool, "inspect", break_first)
    outcomes = list(ingest_batch(stage, [bad, good]))
    assert [each.submission.status for each in outcomes] == ["RECEIVED", "ACCEPTED"]
    for _ in range(MAX_ATTEMPTS - 1):
        make_due(stage, bad)
        (outcome,) = ingest_batch(stage, [bad])
    assert (outcome.submission.status, problem_codes(stage, bad)) == ("FAILED", ["not_examinable"])
