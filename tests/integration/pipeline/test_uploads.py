"""Tickets for uploading, with the real store, on both databases."""

from datetime import timedelta

import httpx
import pytest

from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest
from musicfp.identity import is_id
from musicfp.pipeline import submission_pages, uploads
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.expiry import abort_stale_parts
from musicfp.pipeline.uploads import (
    CompletedPart,
    UploadTicket,
    complete_upload,
    expire_overdue_uploads,
    request_upload,
)
from tests.support.ingesting import discover_all, keys_in, submission_of

MIB = 1 << 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin multipart at 6 MiB, in the smallest parts that S3 takes, so that no gigabytes are sent."""
    monkeypatch.setattr(uploads, "MULTIPART_ABOVE_BYTES", 6 * MIB)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)


def _request(stage: StageContext, filename: str = "Song.mp3", size_bytes: int = 5) -> UploadTicket:
    return request_upload(stage.database, stage.store, stage.settings, filename=filename, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("told", "kept"),
    [(None, None), ("", None), (" \u202e\t ", None), ("  the\nchoir\x00 ", "the choir"), ("x" * 64, "x" * 64)],
)
def test_a_submitter_is_kept_as_one_clean_line(stage: StageContext, told: str | None, kept: str | None) -> None:
    """It says who takes turns with whom; nobody has to say."""
    ticket = request_upload(stage.database, stage.store, stage.settings, filename="a.mp3", size_bytes=5, submitter=told)
    assert submission_of(stage, ticket.submission_id).submitter == kept


def test_a_submitter_that_is_too_long_is_refused(stage: StageContext) -> None:
    """Cut off, two of them could become one."""
    with pytest.raises(InvalidRequest, match="at most 64 characters"):
        request_upload(stage.database, stage.store, stage.settings, filename="a.mp3", size_bytes=5, submitter="x" * 65)


def _complete(stage: StageContext, submission_id: str, *parts: CompletedPart) -> SubmissionRow:
    return complete_upload(stage.database, stage.store, stage.settings, submission_id=submission_id, parts=parts)


def _put(url: str, content: bytes) -> str:
    answer = httpx.put(url, content=content, timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.headers["ETag"]


def test_a_ticket_leads_to_a_key_that_we_made(stage: StageContext) -> None:
    """Nothing of the client's name but a harmless extension is in the key; the name is kept for display."""
    ticket = _request(stage, "../../etc/My \u202eSong.MP3")
    row = submission_of(stage, ticket.submission_id)
    assert is_id(ticket.submission_id)
    assert (ticket.method, ticket.parts) == ("PUT", None)
    assert dict(ticket.headers) == {"Content-Type": "audio/mpeg"}
    assert row.object_key == f"submissions/{ticket.submission_id}.mp3"
    assert (row.filename, row.status, row.declared_size_bytes) == ("My Song.MP3", "AWAITING_UPLOAD", 5)
    life = ticket.expires_at - utc_now()
    assert timedelta(0) < life <= timedelta(seconds=stage.settings.upload_expiry_s)
    _put(ticket.url, b"12345")
    assert keys_in(stage, stage.settings.submission_bucket) == [row.object_key]


@pytest.mark.parametrize(
    ("filename", "size_bytes", "code", "field"),
    [
        ("song.mp3", 0, "empty_file", "sizeBytes"),
        ("song.mp3", -1, "empty_file", "sizeBytes"),
        ("song.mp3", (1 << 30) + 1, "too_large", "sizeBytes"),
        ("", 5, "invalid_filename", "filename"),
        ("..\x00\n", 5, None, None),
        ("\u200b\u202e", 5, "invalid_filename", "filename"),
        ("   ", 5, "invalid_filename", "filename"),
    ],
)
def test_impossible_requests_are_refused_with_the_field_at_fault(
    stage: StageContext, filename: str, size_bytes: int, code: str | None, field: str | None
) -> None:
    """A caller's mistake is told by code and field, and leaves no submission; odd but harmless names are taken."""
    if code is None:
        assert submission_of(stage, _request(stage, filename, size_bytes).submission_id).filename == ".."
        return
    with pytest.raises(InvalidRequest) as raised:
        _request(stage, filename, size_bytes)
    assert (raised.value.code, raised.value.field) == (code, field)


def test_a_long_name_is_cut(stage: StageContext) -> None:
    """The database's limit is kept, also for characters of several bytes."""
    row = submission_of(stage, _request(stage, "ü" * 5000 + ".mp3").submission_id)
    assert 0 < len(row.filename) <= 255


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_goes_up_in_parts(stage: StageContext) -> None:
    """Each part has a URL; completing joins them, and completing again is harmless."""
    ticket = _request(stage, size_bytes=11 * MIB)
    assert ticket.parts is not None
    assert [part.size_bytes for part in ticket.parts] == [5 * MIB, 5 * MIB, MIB]
    etags = [_put(part.url, bytes(part.size_bytes)) for part in ticket.parts]
    done = [CompletedPart(part.part_number, etag) for part, etag in zip(ticket.parts, etags, strict=True)]
    assert discover_all(stage).submission_ids == ()
    _complete(stage, ticket.submission_id, *done[::-1])
    _complete(stage, ticket.submission_id, *done)
    assert discover_all(stage).submission_ids == (ticket.submission_id,)
    row = _complete(stage, ticket.submission_id, *done)
    assert (row.status, row.size_bytes) == ("RECEIVED", 11 * MIB)


@pytest.mark.usefixtures("small_parts")
def test_wrong_parts_are_refused_and_can_be_corrected(stage: StageContext) -> None:
    """Missing, doubled and foreign parts and wrong ETags; after that the right ones still work."""
    ticket = _request(stage, size_bytes=7 * MIB)
    assert ticket.parts is not None
    first, second = (CompletedPart(part.part_number, _put(part.url, bytes(part.size_bytes))) for part in ticket.parts)
    wrong = CompletedPart(2, "0" * 32)
    for parts in ((), (first,), (first, first), (first, second, CompletedPart(3, "x")), (first, wrong)):
        with pytest.raises(InvalidRequest) as raised:
            _complete(stage, ticket.submission_id, *parts)
        assert (raised.value.code, raised.value.field) == ("wrong_parts", "parts")
    _complete(stage, ticket.submission_id, first, second)
    assert discover_all(stage).submission_ids == (ticket.submission_id,)


def test_completing_what_has_no_parts(stage: StageContext) -> None:
    """Before the PUT it is a mistake, afterwards a harmless confirmation."""
    ticket = _request(stage)
    with pytest.raises(InvalidRequest) as raised:
        _complete(stage, ticket.submission_id)
    assert raised.value.code == "not_multipart"
    _put(ticket.url, b"12345")
    assert _complete(stage, ticket.submission_id).status == "AWAITING_UPLOAD"


@pytest.mark.parametrize("submission_id", ["", "nonsense", "0" * 26, "'; DROP TABLE submission"])
def test_completing_what_does_not_exist(stage: StageContext, submission_id: str) -> None:
    """An unknown id is told as such."""
    with pytest.raises(InvalidRequest) as raised:
        _complete(stage, submission_id)
    assert (raised.value.code, raised.value.field) == ("not_found", "submissionId")


def _expire(stage: StageContext, submission_id: str) -> None:
    with stage.database.write() as session:
        session.get_one(SubmissionRow, submission_id).upload_expires_at = utc_now() - timedelta(seconds=1)


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_never_came_expires_with_its_parts(stage: StageContext) -> None:
    """Parts that were sent are thrown away, and the ticket cannot be completed any more."""
    ticket = _request(stage, size_bytes=7 * MIB)
    assert ticket.parts is not None
    parts = [CompletedPart(part.part_number, _put(part.url, bytes(part.size_bytes))) for part in ticket.parts]
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings) == 0
    _expire(stage, ticket.submission_id)
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings) == 1
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings) == 0
    assert submission_of(stage, ticket.submission_id).status == "EXPIRED"
    uploads_left = stage.store.client.list_multipart_uploads(Bucket=stage.settings.submission_bucket)
    assert uploads_left.get("Uploads", []) == []
    with pytest.raises(InvalidRequest) as raised:
        _complete(stage, ticket.submission_id, *parts)
    assert raised.value.code == "expired"


def test_parts_that_no_row_knows_are_aborted_when_they_are_old(stage: StageContext) -> None:
    """A ticket that was lost on its way to the database, or another tool that was killed in its upload."""
    bucket = stage.settings.submission_bucket
    stage.store.start_multipart(bucket, "from another tool/a.wav")
    assert abort_stale_parts(stage) == 0
    assert [each.key for each in stage.store.list_multiparts(bucket)] == ["from another tool/a.wav"]
    tomorrow = utc_now() + timedelta(days=1)
    assert [abort_stale_parts(stage, begun_before=tomorrow) for _ in range(2)] == [1, 0]
    assert list(stage.store.list_multiparts(bucket)) == []


def test_those_that_are_left_as_they_are_keep_nobody_from_expiring(
    stage: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page, up to the limit."""
    monkeypatch.setattr(submission_pages, "_PAGE_ROWS", 2)
    tickets = [_request(stage) for _ in range(7)]
    for ticket in tickets:
        _expire(stage, ticket.submission_id)
    for ticket in tickets[:2]:
        _put(ticket.url, b"12345")  # at the last moment: discovery takes them
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings, limit=5) == 3
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings) == 2
    left = [submission_of(stage, ticket.submission_id).status for ticket in tickets]
    assert left == ["AWAITING_UPLOAD"] * 2 + ["EXPIRED"] * 5


@pytest.mark.usefixtures("small_parts")
def test_parts_that_the_store_has_thrown_away_ask_for_a_new_upload(stage: StageContext) -> None:
    """The bucket's own rule may be first."""
    ticket = _request(stage, size_bytes=7 * MIB)
    assert ticket.parts is not None
    parts = [CompletedPart(part.part_number, _put(part.url, bytes(part.size_bytes))) for part in ticket.parts]
    row = submission_of(stage, ticket.submission_id)
    stage.store.abort_multipart(stage.settings.submission_bucket, row.object_key, row.multipart_upload_id or "")
    with pytest.raises(InvalidRequest, match="new upload") as raised:
        _complete(stage, ticket.submission_id, *parts)
    assert raised.value.code == "expired"


def test_an_upload_that_came_at_the_last_moment_does_not_expire(stage: StageContext) -> None:
    """The object is there: discovery takes it, and nothing is lost."""
    ticket = _request(stage)
    _put(ticket.url, b"12345")
    _expire(stage, ticket.submission_id)
    assert expire_overdue_uploads(stage.database, stage.store, stage.settings) == 0
    assert discover_all(stage).submission_ids == (ticket.submission_id,)
