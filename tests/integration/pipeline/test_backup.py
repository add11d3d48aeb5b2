"""Backups of a SQLite catalogue with its objects, and restoring them elsewhere: real audio, real stores."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from sqlmodel import select

from musicfp.catalog import migrate, submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.catalog.tables import FingerprintTermRow, SubmissionRow, TrackRow, TranscodeRow
from musicfp.errors import InvalidRequest, Problem
from musicfp.identity import source_key, transcode_key
from musicfp.pipeline import backup
from musicfp.pipeline.backup import back_up
from musicfp.pipeline.backup_files import MANIFEST, read_manifest, read_objects
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.deep_check import DeepCheck
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.restore import restore
from musicfp.pipeline.search_index import build_search_index
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets
from musicfp.store.objects import open_store
from tests.support.crashes import Killed, kill
from tests.support.ingesting import (
    discover_all,
    drop,
    ingest_all,
    problem_codes,
    submission_of,
)
from tests.support.seeds import seed_id, seed_track
from tests.support.songs import SongFolder
from tests.support.store import environment_with_own_buckets, remove_buckets


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: PostgreSQL brings its own tools."""
    return f"sqlite:///{tmp_path / 'catalogue.sqlite'}"


@pytest.fixture
def fresh(store_settings: Settings, tmp_path: Path) -> Iterator[StageContext]:
    """Another home with an empty catalogue and buckets of its own."""
    home = tmp_path / "fresh"
    settings = Settings.from_env(
        environment_with_own_buckets(
            store_settings, "fresh", home=home, database_url=f"sqlite:///{home / 'catalogue.sqlite'}"
        )
    )
    prepare_buckets(settings)
    database, store = Database(settings.database_url), open_store(settings)
    migrate.upgrade(database)
    yield StageContext(settings, database, store, Provenance("restored"))
    remove_buckets(store, settings)
    store.client.close()
    database.close()


@pytest.fixture
def filled(stage: StageContext) -> StageContext:
    """Two tracks whose objects have some bytes or other; an upload that was rejected and is kept, one undecided."""
    for number in (1, 2):
        _store_track(stage, number)
    rejected = drop(stage, _file(stage, "rejected"), f"submissions/{seed_id(3)}.flac")
    drop(stage, _file(stage, "undecided"), "from elsewhere/Süß.flac")
    discover_all(stage)
    with stage.database.write() as session:
        row = session.exec(select(SubmissionRow).where(SubmissionRow.object_key == rejected)).one()
        submissions.decide(session, row, "REJECTED", [Problem("too_short", "It is too short.")])
    return stage


def _store_track(stage: StageContext, number: int) -> str:
    """Make a track without audio, all of whose objects are in the store; return its id."""
    track_id = seed_track(stage.database, number)
    with stage.database.write() as session:
        track = session.exec(select(TrackRow).where(TrackRow.id == track_id)).one()
        track.source_sha256 = _put(stage, f"source {number}", lambda digest: source_key(digest, "flac"))
        track.source_key = source_key(track.source_sha256, "flac")
        track.source_size_bytes = len(f"source {number}")
        for row in session.exec(select(TranscodeRow).where(TranscodeRow.track_id == track_id)):
            profile, content = row.profile, f"{row.profile} of {number}"
            row.sha256 = _put(stage, content, lambda digest, p=profile: transcode_key(track_id, p, digest, "ogg"))  # type: ignore[misc]
            row.object_key = transcode_key(track_id, profile, row.sha256, "ogg")
            row.size_bytes = len(content)
    return track_id


def _put(stage: StageContext, content: str, key_of: Callable[[str], str]) -> str:
    digest = sha256(content.encode()).hexdigest()
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=key_of(digest), Body=content.encode())
    return digest


def _file(stage: StageContext, content: str) -> Path:
    path = stage.settings.home / content
    path.write_text(content)
    return path


def _undecided(stage: StageContext) -> str:
    with stage.database.read() as session:
        return session.exec(select(SubmissionRow.id).where(SubmissionRow.status == "RECEIVED")).one()


def _back_up(stage: StageContext, directory: Path) -> backup.BackupProgress:
    manifest, progress = back_up(stage.database, stage.store, stage.settings, directory)
    assert manifest == read_manifest(directory)
    return progress


def _restore(fresh: StageContext, directory: Path, *, overwrite: bool = False) -> int:
    done = restore(fresh.database, fresh.store, fresh.settings, directory, overwrite=overwrite)
    return done.n_lost_uploads


def _rows(stage: StageContext) -> list[object]:
    with stage.database.read() as session:
        tables = (SubmissionRow, TrackRow, TranscodeRow, FingerprintTermRow)
        return [row.model_dump() for table in tables for row in session.exec(select(table)).all()]  # type: ignore[attr-defined]


def test_a_backup_restores_to_the_same_rows_and_objects(
    stage: StageContext, fresh: StageContext, tmp_path: Path, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """Real songs, into another home: nothing is lost, the check finds nothing, and work goes on where it was."""
    outcomes = ingest_all(stage, songs.song(1), songs.song(2), songs.other_codec(1), songs.short())
    assert [each.submission.status for each in outcomes] == ["ACCEPTED", "ACCEPTED", "DUPLICATE", "REJECTED"]
    list(transcode_batch(stage, [each.submission.id for each in outcomes[:2]], versions))
    build_search_index(stage)
    drop(stage, songs.song(3), "from elsewhere/Süß.flac")
    discover_all(stage)
    progress = _back_up(stage, tmp_path / "backup")
    n_of_track = 1 + len(stage.settings.transcode_profiles)
    assert (progress.n_objects, progress.n_copied, progress.missing) == (2 * n_of_track + 2 + 2, progress.n_objects, [])
    assert _restore(fresh, tmp_path / "backup") == 0
    assert _rows(fresh) == _rows(stage)
    assert [each.kind for each in DeepCheck(fresh.database, fresh.store, fresh.settings, hashing=True).findings()] == []
    assert discover_all(fresh).submission_ids == ()
    (outcome,) = ingest_batch(fresh, [_undecided(fresh)])
    assert outcome.submission.status == "ACCEPTED"
    (copy,) = ingest_all(fresh, songs.trimmed(2, start_s=6, length_s=10))
    assert (copy.submission.status, copy.verdict and copy.verdict.relation) == ("DUPLICATE", "EXCERPT")


def test_a_second_backup_copies_only_what_is_new(filled: StageContext, fresh: StageContext, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    before = _back_up(filled, directory)
    assert _back_up(filled, directory).n_copied == 0
    _store_track(filled, 4)
    again = _back_up(filled, directory)
    assert (again.n_objects, again.n_copied) == (before.n_objects + 3, 3)
    assert len(list(directory.glob("catalogue-*.sqlite*"))) == 1
    assert _restore(fresh, directory) == 0
    assert _rows(fresh) == _rows(filled)


@pytest.mark.parametrize("has_earlier", [False, True])
def test_an_interrupted_backup_is_none(
    filled: StageContext,
    fresh: StageContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_earlier: bool,
) -> None:
    """Killed before the manifest: there is no backup, or the earlier one, whole. The next run finishes the work."""
    directory = tmp_path / "backup"
    if has_earlier:
        _back_up(filled, directory)
    before = _rows(filled)
    _store_track(filled, 4)
    with monkeypatch.context() as patched:
        patched.setattr(backup, "write_manifest", kill)
        with pytest.raises(Killed):
            _back_up(filled, directory)
    if has_earlier:
        _restore(fresh, directory)
        assert _rows(fresh) == before
    else:
        with pytest.raises(InvalidRequest, match="interrupted"):
            _restore(fresh, directory)
        assert _rows(fresh) == []
    assert _back_up(filled, directory).n_copied == 0
    _restore(fresh, directory, overwrite=True)
    assert _rows(fresh) == _rows(filled)


def test_what_is_decided_and_replaced_meanwhile_does_not_break_a_backup(
    filled: StageContext,
    fresh: StageContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the database was copied, the undecided upload is decided, and a transcode is replaced and deleted."""
    copy_objects, n_rounds = backup._copy_objects, []

    def meanwhile(copying: backup._Copying, listed: Path) -> backup.BackupProgress:
        if not n_rounds:
            waiting = submission_of(filled, _undecided(filled))
            filled.store.delete(filled.settings.submission_bucket, waiting.object_key)
            with filled.database.write() as session:
                submissions.decide(session, session.get_one(SubmissionRow, waiting.id), "DUPLICATE")
                submissions.mark_object_gone(session, waiting.id)
                row = session.exec(select(TranscodeRow).where(TranscodeRow.profile == "opus_96")).first()
                assert row is not None
                old, row.object_key = row.object_key, transcode_key(row.track_id, "opus_96", "0" * 64, "opus")
                new = row.object_key
            bucket = filled.settings.transcode_bucket
            filled.store.client.copy_object(Bucket=bucket, Key=new, CopySource={"Bucket": bucket, "Key": old})
            filled.store.delete(bucket, old)
        n_rounds.append(1)
        return copy_objects(copying, listed)

    monkeypatch.setattr(backup, "_copy_objects", meanwhile)
    assert _back_up(filled, tmp_path / "backup").missing == []
    assert len(n_rounds) == 2
    assert _restore(fresh, tmp_path / "backup") == 0
    assert _rows(fresh) == _rows(filled)


def test_an_upload_that_went_while_the_database_was_copied_is_told_to_be_sent_again(
    filled: StageContext, fresh: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = _undecided(filled)
    copy_objects = backup._copy_objects

    def gone(copying: backup._Copying, listed: Path) -> backup.BackupProgress:
        filled.store.delete(filled.settings.submission_bucket, submission_of(filled, waiting).object_key)
        return copy_objects(copying, listed)

    monkeypatch.setattr(backup, "_copy_objects", gone)
    _back_up(filled, tmp_path / "backup")
    assert _restore(fresh, tmp_path / "backup") == 1
    assert (submission_of(fresh, waiting).status, problem_codes(fresh, waiting)) == ("FAILED", ["not_in_backup"])
    assert submission_of(fresh, waiting).object_gone_at is not None


def test_a_store_that_lacks_an_object_is_backed_up_as_it_is(filled: StageContext, tmp_path: Path) -> None:
    """The manifest names what is missing, and the rest is there."""
    with filled.database.read() as session:
        key = session.exec(select(TrackRow.source_key)).first()
    assert key is not None
    filled.store.delete(filled.settings.source_bucket, key)
    assert _back_up(filled, tmp_path / "backup").missing == [key]
    manifest = read_manifest(tmp_path / "backup")
    assert manifest.missing == [key]
    assert manifest.n_objects == len(list(read_objects(tmp_path / "backup", manifest)))


def test_what_is_no_backup_or_damaged_or_in_the_way_is_refused(
    filled: StageContext, fresh: StageContext, tmp_path: Path
) -> None:
    """Foreign directories, a damaged file, a catalogue that is in use: the database stays as it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidRequest, match="other files"):
        _back_up(filled, tmp_path / "mine")
    directory = tmp_path / "backup"
    _back_up(filled, directory)
    with pytest.raises(InvalidRequest, match="not empty"):
        _restore(filled, directory)
    manifest = read_manifest(directory)
    [first, *_] = read_objects(directory, manifest)
    good = (directory / first.file).read_bytes()
    (directory / first.file).write_bytes(b"\0" + good[1:])
    with pytest.raises(InvalidRequest, match="not what was backed up"):
        _restore(fresh, directory)
    assert _rows(fresh) == []
    (directory / first.file).write_bytes(good)
    listed = directory / manifest.objects.file
    listed.write_text(listed.read_text() + "\n")
    with pytest.raises(InvalidRequest, match="not what was backed up"):
        _restore(fresh, directory)
    (directory / MANIFEST).write_text("{}")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        _restore(fresh, directory)
