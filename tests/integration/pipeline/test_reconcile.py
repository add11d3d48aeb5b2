"""Deleting what nobody names, and nothing else, however close the race; with the real store, on both databases."""

import threading
from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlmodel import select

from musicfp.catalog import lineage
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow, TrackRow, TranscodeRow
from musicfp.identity import PROBE_KEY, source_key, transcode_key
from musicfp.pipeline import named_objects, transcoding
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.named_objects import NamedObjectGone, delete_unnamed, require_stored, until_stored
from musicfp.pipeline.reconcile import Reconciliation, reconcile
from musicfp.pipeline.stored_objects import stored_objects
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.store.objects import ObjectStore
from tests.support.accepted import accept_within, received
from tests.support.crashes import Killed, kill
from tests.support.ingesting import ingest_all, keys_in, submission_of, upload_and_discover
from tests.support.songs import SongFolder

# So much older than anything that everything counts as long unused.
ANY_AGE = timedelta(minutes=-10)


def _put(stage: StageContext, key: str, content: bytes = b"leftover") -> str:
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=key, Body=content)
    return key


def _orphan_key(number: int) -> str:
    return source_key(sha256(bytes([number])).hexdigest(), "flac")


def _source_of(stage: StageContext, track_id: str) -> str:
    with stage.database.read() as session:
        return session.exec(select(TrackRow.source_key).where(TrackRow.id == track_id)).one()


def test_what_nobody_names_is_deleted_and_nothing_else(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """Orphans go; named objects, the probe, index files and strangers stay. A second pass has nothing to do."""
    (outcome,) = ingest_all(stage, songs.song(1))
    track_id = outcome.submission.id
    list(transcode_batch(stage, [track_id], versions))
    kept = keys_in(stage, stage.settings.source_bucket)
    kept += [_put(stage, key) for key in (PROBE_KEY, "search-index/abc.segment", "somebody/elses.txt")]
    source = _source_of(stage, track_id)
    _put(stage, source.replace(".flac", ".oga"))  # the same bytes under a name that no row has
    _put(stage, _orphan_key(1))
    _put(stage, transcode_key(track_id, "opus_96", "0" * 64, "opus"))
    _put(stage, transcode_key("0" * 26, "opus_96", "1" * 64, "opus"))
    assert reconcile(stage, unused_for=ANY_AGE) == Reconciliation(
        n_objects=len(kept) - 1 + 4,
        n_sources_deleted=2,
        n_transcodes_deleted=2,
        deleted_bytes=4 * len(b"leftover"),
        n_foreign=1,
    )
    assert keys_in(stage, stage.settings.source_bucket) == sorted(kept)
    assert reconcile(stage, unused_for=ANY_AGE) == Reconciliation(n_objects=len(kept) - 1, n_foreign=1)


def test_what_may_still_get_a_name_is_left(stage: StageContext) -> None:
    """A source is stored before its transaction: it has a day."""
    key = _put(stage, _orphan_key(1))
    assert reconcile(stage) == Reconciliation(n_objects=1, n_recent=1)
    assert keys_in(stage, stage.settings.source_bucket) == [key]


def test_a_replaced_transcode_is_kept_as_long_as_links_to_it_may_be_in_use(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """However old the object: what counts is when the newer one took its place."""
    (outcome,) = ingest_all(stage, songs.song(1))
    track_id = outcome.submission.id
    list(transcode_batch(stage, [track_id], versions))
    old = _put(stage, transcode_key(track_id, "opus_96", "0" * 64, "opus"))
    in_an_hour = utc_now() + timedelta(hours=1)
    with stage.database.write() as session:
        session.get_one(TranscodeRow, (track_id, "opus_96")).created_at = in_an_hour
    assert reconcile(stage, unused_for=ANY_AGE).n_recent == 1
    bucket = stage.settings.transcode_bucket
    assert not delete_unnamed(stage.database, stage.store, bucket, old, unused_since=in_an_hour - timedelta(seconds=1))
    assert delete_unnamed(stage.database, stage.store, bucket, old, unused_since=in_an_hour)


def test_leftovers_of_killed_runs_are_collected(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between storing and naming: the next pass over a catalogue that decided otherwise finds the objects."""
    submission_ids = upload_and_discover(stage, songs.song(1))
    with monkeypatch.context() as patched:
        patched.setattr(lineage, "record", kill)
        with pytest.raises(Killed):
            list(ingest_batch(stage, submission_ids))
    assert len(keys_in(stage, stage.settings.source_bucket)) == 1
    assert reconcile(stage, unused_for=ANY_AGE).n_sources_deleted == 1
    assert keys_in(stage, stage.settings.source_bucket) == []
    list(ingest_batch(stage, submission_ids))  # the submission was never harmed
    assert submission_of(stage, submission_ids[0]).status == "ACCEPTED"
    with monkeypatch.context() as patched:
        patched.setattr(transcoding, "require_stored", kill)
        with pytest.raises(Killed):
            list(transcode_batch(stage, submission_ids, versions))
    n_profiles = len(stage.settings.transcode_profiles)
    assert reconcile(stage, unused_for=ANY_AGE).n_transcodes_deleted == n_profiles
    assert keys_in(stage, stage.settings.source_bucket) == [_source_of(stage, submission_ids[0])]


def _delete_once_after_put(stage: StageContext, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let reconciliation find each key's first object without a name, right after it was stored; return the deleted."""
    put_file, deleted = ObjectStore.put_file, []

    def put_and_lose(store: ObjectStore, bucket: str, key: str, path: Path, *, mime: str, sha256: str) -> None:
        put_file(store, bucket, key, path, mime=mime, sha256=sha256)
        if key not in deleted:
            assert delete_unnamed(stage.database, store, bucket, key, unused_since=utc_now() - ANY_AGE)
            deleted.append(key)

    monkeypatch.setattr(ObjectStore, "put_file", put_and_lose)
    return deleted


def test_the_same_bytes_submitted_while_the_orphan_is_deleted_are_not_lost(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted between storing and naming, the worst moment: source and transcodes are stored again, then named."""
    deleted = _delete_once_after_put(stage, monkeypatch)
    (outcome,) = ingest_all(stage, songs.song(1))
    track_id = outcome.submission.id
    assert submission_of(stage, track_id).status == "ACCEPTED"
    (made,) = transcode_batch(stage, [track_id], versions)
    assert made.failure is None
    assert len(deleted) == 1 + len(stage.settings.transcode_profiles)
    assert keys_in(stage, stage.settings.source_bucket) == sorted(deleted)
    assert reconcile(stage, unused_for=ANY_AGE).n_sources_deleted == 0


def test_what_gets_its_name_after_it_was_listed_is_not_deleted(stage: StageContext, songs: SongFolder) -> None:
    """The list is old news when the object's turn comes."""
    key = source_key(sha256(songs.song(1).read_bytes()).hexdigest(), "flac")
    _put(stage, key, songs.song(1).read_bytes())
    [listed] = stored_objects(stage.database, stage.store, stage.settings)
    assert not listed.is_named
    ingest_all(stage, songs.song(1))
    assert not delete_unnamed(stage.database, stage.store, listed.bucket, key, unused_since=utc_now() - ANY_AGE)
    assert keys_in(stage, stage.settings.source_bucket) == [key]


def test_an_object_that_never_stays_is_not_named(stage: StageContext) -> None:
    """Somebody deletes it each time: no row for it."""
    attempts = []

    def store_and_name() -> None:
        attempts.append(1)
        require_stored(stage.store, stage.settings.source_bucket, {"sources/none": 1}, prefix="sources/none")

    with pytest.raises(NamedObjectGone):
        until_stored(store_and_name)
    assert len(attempts) == named_objects._ATTEMPTS


def test_naming_and_deleting_may_race_for_ever(stage: StageContext, tmp_path: Path) -> None:
    """One thread deletes what the other is about to name, of any age; whatever has been named is there."""
    bucket, numbers, over = stage.settings.source_bucket, range(1, 200), threading.Event()
    keys = [source_key(sha256(str(number).encode()).hexdigest(), "flac") for number in numbers]
    deleted: list[str] = []
    n_named = 0

    def delete_what_is_next() -> None:
        while not over.is_set():
            next_key = keys[min(n_named, len(keys) - 1)]
            if _delete_of_any_age(stage, bucket, next_key):
                deleted.append(next_key)
            over.wait(0.005)  # both ask for one lock: leave the other a chance to get it

    deleter = threading.Thread(target=delete_what_is_next)
    deleter.start()
    try:
        for number, key in zip(numbers, keys, strict=True):
            _accept_at_last(stage, tmp_path / "file", number, key)
            assert stage.store.stat(bucket, key) is not None
            n_named = number
            if deleted and n_named >= 12:  # a busy machine may let the other have its first turn late
                break
    finally:
        over.set()
        deleter.join()
    assert deleted
    assert keys_in(stage, bucket) == sorted(keys[:n_named])


def _delete_of_any_age(stage: StageContext, bucket: str, key: str) -> bool:
    return delete_unnamed(stage.database, stage.store, bucket, key, unused_since=utc_now() - ANY_AGE)


def _accept_at_last(stage: StageContext, path: Path, number: int, key: str) -> None:
    content = str(number)
    path.write_text(content)
    submission_id = received(stage.database, number)
    bucket = stage.settings.source_bucket
    while True:
        stage.store.put_file(bucket, key, path, mime="audio/flac", sha256=sha256(content.encode()).hexdigest())
        try:
            with stage.database.exclusive() as session:
                require_stored(stage.store, bucket, {key: len(content)}, prefix=key)
                accept_within(session, session.get_one(SubmissionRow, submission_id), source=content)
                session.exec(select(TrackRow).where(TrackRow.id == submission_id)).one().source_key = key
        except NamedObjectGone:
            continue
        return
