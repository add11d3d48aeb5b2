"""Noticing what has arrived in the bucket, with the real store, on both databases."""

from collections.abc import Iterator

import pytest

from musicfp.catalog import submissions
from musicfp.catalog.tables import SubmissionRow
from musicfp.identity import SUBMISSION_PREFIX, is_id, new_id
from musicfp.pipeline import discovery
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.discovery import Discovery, discover
from musicfp.pipeline.ingest import forget_decided_objects
from musicfp.store.objects import ObjectInfo
from tests.support.ingesting import discover_all, keys_in, submission_of, upload
from tests.support.songs import SongFolder


def _put(stage: StageContext, key: str, content: bytes = b"content") -> None:
    stage.store.client.put_object(Bucket=stage.settings.submission_bucket, Key=key, Body=content)


def _look(stage: StageContext, after: str = "", *, complete: bool = False) -> Discovery:
    return discover(stage.database, stage.store, stage.settings, after=after, complete=complete)


def _tell(stage: StageContext, submission_id: str, status: str) -> None:
    with stage.database.write() as session:
        submissions.decide(session, session.get_one(SubmissionRow, submission_id), status)


def test_uploads_are_found_once_by_cheap_passes(stage: StageContext, songs: SongFolder) -> None:
    """Each pass starts where the last one ended."""
    first = upload(stage, songs.file("a.mp3", b"a"))
    found = _look(stage)
    assert found.submission_ids == (first,)
    assert _look(stage, found.after).submission_ids == ()
    second = upload(stage, songs.file("b.mp3", b"b"))
    later = _look(stage, found.after)
    assert later.submission_ids == (second,)
    assert later.after > found.after
    assert submission_of(stage, second).filename == "b.mp3"


def test_an_upload_that_arrives_behind_the_cursor_is_found(stage: StageContext, songs: SongFolder) -> None:
    """A slow upload of an old ticket ends after younger ones were found: the listing does not start after it."""
    slow = upload(stage, songs.file("slow.mp3", b"slow"))
    slow_key = submission_of(stage, slow).object_key
    stage.store.delete(stage.settings.submission_bucket, slow_key)  # as if its bytes were still on their way
    fast = upload(stage, songs.file("fast.mp3", b"fast"))
    found = _look(stage)
    assert found.submission_ids == (fast,)
    _put(stage, slow_key, b"slow")
    assert _look(stage, found.after).submission_ids == (slow,)


@pytest.mark.parametrize("key", ["dropped.mp3", None])
def test_a_file_that_is_deleted_after_it_was_listed_is_not_found_again(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """A run decides it and deletes it between the listing and the look at what is known."""
    submission_id = upload(stage, songs.file("a.mp3", b"a")) if key is None else ""
    if key is not None:
        _put(stage, key)
    (submission_id,) = discover_all(stage).submission_ids
    _put(stage, "zz/other.mp3")
    listed = stage.store.list_after

    def list_then_delete(*arguments: str, **options: str) -> Iterator[ObjectInfo]:
        monkeypatch.undo()
        found = list(listed(*arguments, **options))
        _tell(stage, submission_id, "ACCEPTED")
        assert forget_decided_objects(stage) == 1
        yield from found

    monkeypatch.setattr(stage.store, "list_after", list_then_delete)
    (other,) = discover_all(stage).submission_ids
    assert submission_of(stage, other).object_key == "zz/other.mp3"
    assert keys_in(stage, stage.settings.submission_bucket) == ["zz/other.mp3"]


def test_files_of_other_tools_are_found_by_a_complete_pass(stage: StageContext) -> None:
    """Under any key, with the name that the key ends in; folders are no files."""
    keys = ["song.mp3", "Album 1/02 Très bien.flac", "deep/er/than/this.ogg", "no-extension", "submissions/mine.mp3"]
    for key in [*keys, "folder/", "empty/folder/"]:
        _put(stage, key, key.encode() if not key.endswith("/") else b"")
    found = discover_all(stage)
    assert len(found.submission_ids) == len(keys)
    assert all(map(is_id, found.submission_ids))
    rows = [submission_of(stage, each) for each in found.submission_ids]
    assert {row.object_key: row.filename for row in rows} == {key: key.rsplit("/", 1)[-1] for key in keys}
    assert {row.status for row in rows} == {"RECEIVED"}
    assert discover_all(stage).submission_ids == ()


def test_a_stranger_with_a_key_from_the_future_hides_nothing(stage: StageContext, songs: SongFolder) -> None:
    """A dropped file whose key looks like ours moves the cursor, but never past an awaited upload."""
    _put(stage, f"{SUBMISSION_PREFIX}{'7' + 'z' * 25}.mp3", b"future")
    found = _look(stage)
    assert len(found.submission_ids) == 1
    mine = upload(stage, songs.file("mine.mp3", b"mine"))
    assert _look(stage, found.after).submission_ids == (mine,)


def test_a_dropped_file_with_a_key_of_our_form_gets_that_id(stage: StageContext) -> None:
    """But an id that is taken is not given again."""
    submission_id = new_id()
    key = f"{SUBMISSION_PREFIX}{submission_id}.mp3"
    _put(stage, key)
    assert discover_all(stage).submission_ids == (submission_id,)
    _put(stage, f"{SUBMISSION_PREFIX}{submission_id}.flac", b"other")
    (other,) = discover_all(stage).submission_ids
    assert other != submission_id
    assert is_id(other)


def test_a_file_replaced_before_its_verdict_is_the_same_submission(stage: StageContext) -> None:
    """The newest bytes count."""
    _put(stage, "song.mp3", b"first")
    (submission_id,) = discover_all(stage).submission_ids
    _put(stage, "song.mp3", b"second, longer")
    assert discover_all(stage).submission_ids == (submission_id,)
    assert submission_of(stage, submission_id).size_bytes == 14


def test_a_file_replaced_after_its_verdict_is_another_submission(stage: StageContext) -> None:
    """The verdict on the first bytes stays with them."""
    _put(stage, "song.mp3", b"first")
    (first,) = discover_all(stage).submission_ids
    _tell(stage, first, "REJECTED")
    assert discover_all(stage).submission_ids == ()
    _put(stage, "song.mp3", b"second")
    (second,) = discover_all(stage).submission_ids
    assert second != first
    assert submission_of(stage, first).status == "REJECTED"
    assert submission_of(stage, first).object_gone_at is not None


def test_a_file_replaced_between_verdict_and_deletion_is_not_lost(stage: StageContext) -> None:
    """The object is deleted only if it is the one that was decided; the new one is found by the next pass."""
    _put(stage, "song.mp3", b"first")
    (first,) = discover_all(stage).submission_ids
    _tell(stage, first, "ACCEPTED")
    _put(stage, "song.mp3", b"second")
    assert forget_decided_objects(stage) == 0
    (second,) = discover_all(stage).submission_ids
    assert submission_of(stage, second).object_key == "song.mp3"
    assert keys_in(stage, stage.settings.submission_bucket) == ["song.mp3"]


def test_the_same_file_dropped_again_after_deletion_is_another_submission(stage: StageContext) -> None:
    """Nobody who drops a file waits for a verdict in vain."""
    _put(stage, "song.mp3")
    (first,) = discover_all(stage).submission_ids
    _tell(stage, first, "DUPLICATE")
    assert forget_decided_objects(stage) == 1
    assert forget_decided_objects(stage) == 0
    _put(stage, "song.mp3")
    (second,) = discover_all(stage).submission_ids
    assert second != first
    assert submission_of(stage, second).status == "RECEIVED"


def test_many_objects_are_recorded_page_by_page(stage: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page, and a limit per pass beyond which the next pass goes on."""
    monkeypatch.setattr(discovery, "_PAGE_OBJECTS", 2)
    keys = [f"{SUBMISSION_PREFIX}{new_id()}.mp3" for _ in range(5)]
    for number, key in enumerate(reversed(keys)):
        _put(stage, key, bytes([number]))
    monkeypatch.setattr(discovery, "_MAX_OBJECTS_PER_PASS", 3)
    first = _look(stage)
    second = _look(stage, first.after)
    assert len(first.submission_ids) == 3
    assert len(second.submission_ids) == 2
    assert second.after == max(keys)


def test_a_complete_pass_that_was_too_long_is_gone_on_with(
    stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lingers under early keys hides nothing that lies behind it; after the last key it starts over."""
    monkeypatch.setattr(discovery, "_MAX_OBJECTS_PER_PASS", 3)
    keys = [f"{folder}{number}.mp3" for folder in ("", "a/", "a/b/", "b/") for number in range(2)]
    for key in keys:
        _put(stage, key, key.encode())
    found: list[str] = []
    complete_after = ""
    for _ in range(3):
        looked = discover(
            stage.database, stage.store, stage.settings, after="", complete=True, complete_after=complete_after
        )
        found += looked.submission_ids
        complete_after = looked.complete_after
    assert sorted(submission_of(stage, each).object_key for each in found) == sorted(keys)
    assert complete_after == ""


@pytest.mark.parametrize(("n_listed", "interval_s"), [(0, 0.0), (2, 0.04), (9, 0.1)])
def test_the_more_is_in_the_bucket_the_rarer_are_complete_passes(
    stage: StageContext, n_listed: int, interval_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of time, up to a limit; a cheap pass says nothing about it."""
    monkeypatch.setattr(discovery, "_MAX_COMPLETE_INTERVAL_S", 0.1)
    for number in range(n_listed):
        _put(stage, f"{number}.mp3")
    assert discover_all(stage).complete_again_in_s == interval_s
    assert _look(stage).complete_again_in_s == 0.0
