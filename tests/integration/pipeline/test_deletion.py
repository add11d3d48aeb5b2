"""Deleting tracks with real audio, the real store and both databases; dying at every point between two effects."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from musicfp.catalog import deletions, derivations, index_upkeep, relations
from musicfp.catalog.tables import DeletionRow, SubmissionRow, TrackRow
from musicfp.errors import InvalidRequest
from musicfp.features.registry import load_builtin
from musicfp.fingerprint.model import Fingerprint
from musicfp.pipeline import analysis, transcoding
from musicfp.pipeline.analysis import analyse_batch
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.deletion import RemovedItems, remove_remains, removed_items, request_deletion
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.judgement import Judge
from musicfp.pipeline.recognition import Recogniser
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import BAND_FINGERPRINT, feature_versions
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.ingesting import ingest_all, keys_in, submission_of, upload_and_discover, verdict_of
from tests.support.seeds import seed_id, seed_track
from tests.support.songs import SongFolder

CHEAP = ("transcode_opus_96", BAND_FINGERPRINT)
Patch = pytest.MonkeyPatch


class Records:
    """Stands for Dagster, whose own side has its own tests: keeps a number until it is told to forget."""

    def __init__(self) -> None:
        self.n_events = 7

    def count(self, track_id: str) -> Mapping[str, int]:  # noqa: ARG002 - as the protocol has it
        """Return what is kept."""
        return {"dagster_events": self.n_events}

    def forget(self, track_id: str) -> None:  # noqa: ARG002
        """Keep nothing."""
        self.n_events = 0


def derived(stage: StageContext, versions: Mapping[str, str], path: Path) -> str:
    """Ingest a song and make a transcode and the second fingerprint."""
    (outcome,) = ingest_all(stage, path)
    list(transcode_batch(stage, [outcome.submission.id], {asset: versions[asset] for asset in CHEAP}))
    return outcome.submission.id


def audio_keys(stage: StageContext) -> list[str]:
    """Return the keys of all sources, transcodes and uploads; the buckets may be one."""
    settings = stage.settings
    buckets = {settings.source_bucket, settings.transcode_bucket, settings.submission_bucket}
    prefixes = ("sources/", "transcodes/", "submissions/")
    return sorted(key for bucket in buckets for key in keys_in(stage, bucket) if key.startswith(prefixes))


def unfinished(stage: StageContext) -> list[DeletionRow]:
    with stage.database.read() as session:
        return deletions.unfinished(session, limit=10)


def delete_whole(stage: StageContext, track_id: str) -> DeletionRow:
    return remove_remains(stage, request_deletion(stage.database, track_id=track_id), Records())


def track_of(stage: StageContext, track_id: str) -> TrackRow | None:
    with stage.database.read() as session:
        return relations.tracks(session, [track_id]).get(track_id)


def assert_source_is_there(stage: StageContext, track_id: str) -> None:
    track = track_of(stage, track_id)
    assert track is not None
    assert stage.store.stat(stage.settings.source_bucket, track.source_key) is not None


def fingerprint_of(stage: StageContext, track_id: str) -> Fingerprint:
    with stage.database.read() as session:
        return Fingerprint.from_bytes(relations.fingerprints(session, [track_id])[track_id].sub_fingerprints)


def items_by_kind(row: DeletionRow) -> dict[str, RemovedItems]:
    return {each.kind: each for each in removed_items(row)}


def test_a_deleted_track_is_gone_everywhere_and_can_be_submitted_again(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """At once for readers; then its files; what was removed is told. The very same file is accepted as new."""
    track_id = derived(stage, versions, songs.song(1))
    (copy,) = ingest_all(stage, songs.other_codec(1))
    assert copy.submission.status == "DUPLICATE"
    track = track_of(stage, track_id)
    assert track is not None
    fingerprint = fingerprint_of(stage, track_id)
    recogniser = Recogniser(stage.database)
    assert [each.match.track_id for each in recogniser.identify_fingerprint(fingerprint).matches] == [track_id]

    row = request_deletion(stage.database, track_id=track_id, reason=" the artist\nasked ")
    assert (row.reason, row.finished_at) == ("the artist asked", None)
    assert track_of(stage, track_id) is None
    assert recogniser.identify_fingerprint(fingerprint).matches == ()
    assert len(audio_keys(stage)) == 2

    ended = remove_remains(stage, row, Records())
    assert ended.finished_at is not None
    assert ended.run_id == stage.provenance.run_id
    assert audio_keys(stage) == []
    assert unfinished(stage) == []
    removed = items_by_kind(ended)
    assert removed["source_object"] == RemovedItems("source_object", 1, track.source_size_bytes)
    assert (removed["transcode_objects"].count, removed["upload_object"].count) == (1, 0)
    assert removed["transcode_objects"].size_bytes
    assert (removed["dagster_events"].count, removed["fingerprints"].count) == (7, 2)
    assert removed["verdict_references"].count == 1
    again = request_deletion(stage.database, track_id=track_id, reason="once more")
    assert (again.finished_at, again.reason) == (ended.finished_at, "the artist asked")
    assert submission_of(stage, copy.submission.id).status == "DUPLICATE"
    assert verdict_of(stage, copy.submission.id).deleted_track_id == track_id

    (new,) = ingest_all(stage, songs.song(1))
    assert new.submission.status == "ACCEPTED"
    assert new.submission.id != track_id
    assert_source_is_there(stage, new.submission.id)
    assert [each.match.track_id for each in recogniser.identify_fingerprint(fingerprint).matches] == [new.submission.id]
    with stage.database.snapshot() as session:
        assert index_upkeep.verify(session).differences == ()


def stored_track(stage: StageContext, number: int) -> str:
    """Store a track without audio that has a source, a current and an older transcode, and a leftover upload."""
    track_id = seed_track(stage.database, number)
    track = track_of(stage, track_id)
    assert track is not None
    settings, client = stage.settings, stage.store.client
    client.put_object(Bucket=settings.source_bucket, Key=track.source_key, Body=b"source")
    for name in ("mp3_v0.ogg", "mp3_v0-older.ogg"):
        client.put_object(Bucket=settings.transcode_bucket, Key=f"transcodes/{track_id}/{name}", Body=name.encode())
    key = f"submissions/{track_id}.flac"
    client.put_object(Bucket=settings.submission_bucket, Key=key, Body=b"upload")
    found = stage.store.stat(settings.submission_bucket, key)
    assert found is not None
    with stage.database.write() as session:
        session.get_one(SubmissionRow, track_id).etag = found.etag
    return track_id


def _die_after_first_object(patch: Patch) -> None:
    remove = ObjectStore.delete

    def remove_and_die(*arguments: object, **options: object) -> None:
        remove(*arguments, **options)  # type: ignore[arg-type]
        kill()

    patch.setattr(ObjectStore, "delete", remove_and_die)


INTERRUPTIONS: dict[str, Callable[[Patch], None]] = {
    "before anything is noted": lambda patch: patch.setattr(deletions, "note_found", kill),
    "before the first object": lambda patch: patch.setattr(ObjectStore, "delete", kill),
    "after the first object": _die_after_first_object,
    "before the upload": lambda patch: patch.setattr(ObjectStore, "delete_unless_replaced", kill),
    "after the objects": lambda patch: patch.setattr(Records, "forget", kill),
    "before the end is noted": lambda patch: patch.setattr(deletions, "finish", kill),
}


@pytest.mark.parametrize("moment", INTERRUPTIONS)
def test_a_run_that_is_killed_is_finished_by_the_next(
    stage: StageContext, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nobody sees the track meanwhile, the deletion is not said to be finished, and no number is lost."""
    stored_track(stage, 1)
    track_id = stored_track(stage, 2)
    others = [key for key in audio_keys(stage) if seed_id(1) in key]
    row, records = request_deletion(stage.database, track_id=track_id), Records()
    with monkeypatch.context() as patch:
        INTERRUPTIONS[moment](patch)
        with pytest.raises(Killed):
            remove_remains(stage, row, records)
    (left,) = unfinished(stage)
    assert track_of(stage, track_id) is None
    ended = remove_remains(stage, left, records)
    assert unfinished(stage) == []
    removed = items_by_kind(ended)
    assert removed["source_object"] == RemovedItems("source_object", 1, 6)
    assert removed["transcode_objects"] == RemovedItems("transcode_objects", 2, 26)
    assert removed["upload_object"] == RemovedItems("upload_object", 1, 6)
    assert removed["dagster_events"].count == 7
    assert [key for key in audio_keys(stage) if seed_id(2) in key] == []
    assert [key for key in audio_keys(stage) if seed_id(1) in key] == others
    assert submission_of(stage, track_id).object_gone_at is not None


def test_another_file_under_the_key_of_the_upload_stays(stage: StageContext) -> None:
    """It is another submission, which discovery takes."""
    track_id = stored_track(stage, 1)
    key = f"submissions/{track_id}.flac"
    stage.store.client.put_object(Bucket=stage.settings.submission_bucket, Key=key, Body=b"another")
    ended = delete_whole(stage, track_id)
    assert audio_keys(stage) == [key]
    assert items_by_kind(ended)["upload_object"].count == 0


def test_only_tracks_can_be_deleted(stage: StageContext) -> None:
    """Whatever else is named is refused, and nothing is written down."""
    for name in ("nonsense", "", "0" * 26, "\0"):
        with pytest.raises(InvalidRequest, match="no track"):
            request_deletion(stage.database, track_id=name)
    assert unfinished(stage) == []


def test_the_same_file_may_come_again_while_the_old_one_is_removed(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the deletion run removes the old source, the new track keeps its own."""
    (old,) = ingest_all(stage, songs.song(1))
    row = request_deletion(stage.database, track_id=old.submission.id)
    put_file = ObjectStore.put_file

    def put_and_remove_the_old_one(*arguments: object, **options: object) -> None:
        put_file(*arguments, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(ObjectStore, "put_file", put_file)
        remove_remains(stage, row, Records())

    monkeypatch.setattr(ObjectStore, "put_file", put_and_remove_the_old_one)
    (new,) = ingest_all(stage, songs.song(1))
    assert new.submission.status == "ACCEPTED"
    assert_source_is_there(stage, new.submission.id)
    remove_remains(stage, row, Records())
    assert_source_is_there(stage, new.submission.id)
    assert len(audio_keys(stage)) == 1
    delete_whole(stage, new.submission.id)
    assert audio_keys(stage) == []


def test_the_same_file_may_come_and_go_while_it_is_ingested(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source stored where a deletion removes sources is stored again elsewhere before the track is made."""
    path = songs.song(1)
    first, second = upload_and_discover(stage, path, path)
    put_file = ObjectStore.put_file

    def put_and_be_overtaken(*arguments: object, **options: object) -> None:
        monkeypatch.setattr(ObjectStore, "put_file", put_file)
        put_file(*arguments, **options)  # type: ignore[arg-type]
        (other,) = ingest_batch(stage, [second])
        assert other.submission.status == "ACCEPTED"
        delete_whole(stage, second)

    monkeypatch.setattr(ObjectStore, "put_file", put_and_be_overtaken)
    (outcome,) = ingest_batch(stage, [first])
    assert outcome.submission.status == "ACCEPTED"
    assert_source_is_there(stage, first)
    assert len(keys_in(stage, stage.settings.source_bucket)) == 1


@pytest.mark.parametrize("is_same_file", [True, False], ids=["same file", "other codec"])
def test_nothing_becomes_a_duplicate_of_a_track_that_is_gone(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch, is_same_file: bool
) -> None:
    """Judged against a track that is deleted before the verdict is stored, it is judged again, and accepted."""
    (old,) = ingest_all(stage, songs.song(1))
    judge = Judge.judge
    judged = []

    def judge_and_delete(*arguments: object, **options: object) -> object:
        verdict = judge(*arguments, **options)  # type: ignore[arg-type]
        if not judged:
            delete_whole(stage, old.submission.id)
        judged.append(verdict.track_id)
        return verdict

    monkeypatch.setattr(Judge, "judge", judge_and_delete)
    (new,) = ingest_all(stage, songs.song(1) if is_same_file else songs.other_codec(1))
    assert judged == [old.submission.id, None]
    assert new.submission.status == "ACCEPTED"
    assert_source_is_there(stage, new.submission.id)
    assert verdict_of(stage, new.submission.id).deleted_track_id is None


@pytest.mark.parametrize("moment", ["stored", "failed"])
def test_a_track_deleted_while_it_is_transcoded_ends_quietly(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It has no outcome, no row and no object comes back, and the other track of the batch is made."""
    gone, kept = (each.submission.id for each in ingest_all(stage, songs.song(1), songs.song(2)))
    make, store_files = transcoding._make, transcoding._store_files

    def store_and_delete(context: StageContext, outputs: object, rows: Mapping[str, object]) -> None:
        store_files(context, outputs, rows)  # type: ignore[arg-type]
        if any(getattr(row, "track_id", None) == gone for row in rows.values()):
            delete_whole(stage, gone)

    def delete_and_fail(context: StageContext, asked: object, directory: Path) -> object:
        if getattr(asked, "track").id == gone:  # noqa: B009 - the type is the module's own
            delete_whole(stage, gone)
        return make(context, asked, directory)  # type: ignore[arg-type]

    if moment == "stored":
        monkeypatch.setattr(transcoding, "_store_files", store_and_delete)
    else:
        monkeypatch.setattr(transcoding, "_make", delete_and_fail)
    outcomes = list(transcode_batch(stage, [gone, kept], {asset: versions[asset] for asset in CHEAP}))
    assert [(each.track.id, each.failure) for each in outcomes] == [(kept, None)]
    assert [key for key in audio_keys(stage) if gone in key] == []
    assert_nothing_came_back(stage, gone)


def test_a_track_deleted_while_it_is_analysed_ends_quietly(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its source is gone already or its values were to be stored."""
    wanted = {"feature_duration": feature_versions(load_builtin(()))["feature_duration"]}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, wanted)
    ids = [each.submission.id for each in ingest_all(stage, songs.song(1), songs.song(2), songs.song(3))]
    download = analysis.download_source

    def delete_around(context: StageContext, track: TrackRow, directory: Path) -> Path:
        if track.id == ids[0]:
            delete_whole(stage, ids[0])
        path = download(context, track, directory)
        if track.id == ids[1]:
            delete_whole(stage, ids[1])
        return path

    monkeypatch.setattr(analysis, "download_source", delete_around)
    outcomes = list(analyse_batch(stage, ids, wanted))
    assert [(each.track.id, each.failure) for each in outcomes] == [(ids[2], None)]
    for track_id in ids[:2]:
        assert_nothing_came_back(stage, track_id)


def assert_nothing_came_back(stage: StageContext, track_id: str) -> None:
    with stage.database.snapshot() as session:
        assert relations.tracks(session, [track_id]) == {}
        assert relations.materializations(session, [track_id]) == {}
        assert relations.transcodes(session, [track_id]) == {}
        assert relations.features(session, [track_id]) == {}
        assert derivations.states(session, [track_id], ["feature_duration", *CHEAP]) == {}
        assert index_upkeep.verify(session).differences == ()
