"""Tickets for uploading: a signed URL for a key that we make, with an expiry; in parts for large files.

What belongs here: asking for an upload, completing one in parts, and forgetting overdue ones. What does not: noticing
that an object has arrived (`discovery`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from musicfp.audio.sniff import mime_of_extension
from musicfp.catalog import submissions
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import InvalidRequest, NotFound
from musicfp.identity import MAX_SUBMITTER_CHARACTERS, file_extension, is_id, new_id, submission_key
from musicfp.pipeline.submission_pages import in_pages
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore
from musicfp.text import clean_line

MULTIPART_ABOVE_BYTES = 64 << 20
# S3 wants parts of at least 5 MiB and at most 10,000 of them; 32 MiB serves up to 312 GiB and restarts cheaply.
PART_BYTES = 32 << 20
MAX_FILENAME_CHARACTERS = 255


@dataclass(frozen=True)
class UploadPart:
    """One part of a large upload: PUT exactly `size_bytes` to `url` and keep the ETag of the answer."""

    part_number: int
    url: str
    size_bytes: int


@dataclass(frozen=True)
class UploadTicket:
    """Permission to upload one file. With `parts`, PUT each of them and complete the upload; else PUT to `url`."""

    submission_id: str
    url: str
    method: str
    headers: tuple[tuple[str, str], ...]
    expires_at: datetime
    parts: tuple[UploadPart, ...] | None


@dataclass(frozen=True)
class CompletedPart:
    """A part that was PUT, with the ETag that the store answered."""

    part_number: int
    etag: str


def request_upload(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    *,
    filename: str,
    size_bytes: int,
    submitter: str | None = None,
) -> UploadTicket:
    """Open a submission and return how to upload its file. Raises InvalidRequest.

    `submitter` says who uploads, in any words; what waits is taken from all submitters in turn.
    """
    name = _display_name(filename)
    label = _submitter_label(submitter)
    _check_size(size_bytes, max_bytes=settings.max_upload_bytes)
    submission_id = new_id()
    key = submission_key(submission_id, name)
    bucket = settings.submission_bucket
    multipart_id = store.start_multipart(bucket, key) if size_bytes > MULTIPART_ABOVE_BYTES else None
    now = utc_now()
    expires_at = now + timedelta(seconds=settings.upload_expiry_s)
    with database.write() as session:
        session.add(
            SubmissionRow(
                id=submission_id,
                status="AWAITING_UPLOAD",
                filename=name,
                submitter=label,
                object_key=key,
                declared_size_bytes=size_bytes,
                multipart_upload_id=multipart_id,
                created_at=now,
                upload_expires_at=expires_at,
            )
        )
    parts = (
        _sign_parts(store, bucket, key, multipart_id, size_bytes, settings.upload_expiry_s) if multipart_id else None
    )
    url = (
        parts[0].url
        if parts
        else store.presign_put(bucket, key, size_bytes=size_bytes, expires_s=settings.upload_expiry_s)
    )
    headers = (("Content-Type", mime_of_extension(file_extension(name))),)
    return UploadTicket(submission_id, url, "PUT", headers, expires_at, parts)


def complete_upload(
    database: Database, store: ObjectStore, settings: Settings, *, submission_id: str, parts: Sequence[CompletedPart]
) -> SubmissionRow:
    """Join the parts of a large upload. Repeating it is harmless. Raises InvalidRequest."""
    row = _open_submission(database, submission_id)
    if row.multipart_upload_id is None:
        if store.stat(settings.submission_bucket, row.object_key) is None and row.status == "AWAITING_UPLOAD":
            raise InvalidRequest(
                "not_multipart", "This upload has no parts: PUT the file to the ticket's url.", "submissionId"
            )
        return row
    n_expected = math.ceil((row.declared_size_bytes or 0) / PART_BYTES)
    if sorted(part.part_number for part in parts) != list(range(1, n_expected + 1)):
        raise InvalidRequest(
            "wrong_parts", f"Expected the parts 1 to {n_expected}, each once, and got {len(parts)} parts.", "parts"
        )
    listed = [(part.part_number, part.etag.strip('"')) for part in parts]
    try:
        store.complete_multipart(settings.submission_bucket, row.object_key, row.multipart_upload_id, listed)
    except NotFound as error:
        # Completed before, and the answer was lost on the way; or aborted meanwhile.
        if store.stat(settings.submission_bucket, row.object_key) is None:
            raise InvalidRequest("expired", f"{error} Ask for a new upload.", "submissionId") from error
    except InvalidRequest as error:
        raise InvalidRequest("wrong_parts", f"{error} Are the ETags those of the PUT answers?", "parts") from error
    with database.read() as session:
        return submissions.get(session, submission_id) or row


def expire_overdue_uploads(database: Database, store: ObjectStore, settings: Settings, *, limit: int = 500) -> int:
    """End awaited uploads whose ticket has expired without an object; return how many. Idempotent."""
    expired = 0
    for row in in_pages(database, submissions.overdue_uploads, limit=limit):
        if store.stat(settings.submission_bucket, row.object_key) is not None:
            continue  # it came at the last moment: discovery takes it
        if row.multipart_upload_id:
            store.abort_multipart(settings.submission_bucket, row.object_key, row.multipart_upload_id)
        with database.write() as session:
            current = session.get(SubmissionRow, row.id)
            if current is not None and current.status == "AWAITING_UPLOAD":
                submissions.decide(session, current, "EXPIRED")
                current.object_gone_at = utc_now()
                expired += 1
    return expired


def _display_name(filename: str) -> str:
    """Return the last component of a client's file name, for display only."""
    name = clean_line(PurePosixPath(filename.replace("\\", "/")).name, max_characters=MAX_FILENAME_CHARACTERS)
    if not name:
        raise InvalidRequest("invalid_filename", f"{filename!r} is not the name of a file.", "filename")
    return name


def _submitter_label(submitter: str | None) -> str | None:
    label = clean_line(submitter or "", max_characters=MAX_SUBMITTER_CHARACTERS + 1)
    if len(label) > MAX_SUBMITTER_CHARACTERS:
        raise InvalidRequest(
            "invalid_submitter", f"A submitter has at most {MAX_SUBMITTER_CHARACTERS} characters.", "submitter"
        )
    return label or None


def _check_size(size_bytes: int, *, max_bytes: int) -> None:
    if size_bytes <= 0:
        raise InvalidRequest(
            "empty_file", f"The file has {size_bytes} bytes; only files with content can be uploaded.", "sizeBytes"
        )
    if size_bytes > max_bytes:
        raise InvalidRequest(
            "too_large", f"The file has {size_bytes} bytes; at most {max_bytes} bytes are accepted.", "sizeBytes"
        )


def _sign_parts(
    store: ObjectStore, bucket: str, key: str, multipart_id: str, size_bytes: int, expires_s: int
) -> tuple[UploadPart, ...]:
    sizes = [min(PART_BYTES, size_bytes - start) for start in range(0, size_bytes, PART_BYTES)]
    return tuple(
        UploadPart(
            number,
            store.presign_part(bucket, key, multipart_id, part_number=number, size_bytes=size, expires_s=expires_s),
            size,
        )
        for number, size in enumerate(sizes, start=1)
    )


def _open_submission(database: Database, submission_id: str) -> SubmissionRow:
    with database.read() as session:
        row = submissions.get(session, submission_id) if is_id(submission_id) else None
    if row is None:
        raise InvalidRequest("not_found", f"There is no submission {submission_id[:40]!r}.", "submissionId")
    if row.status == "EXPIRED":
        raise InvalidRequest("expired", "This upload has expired; ask for a new one.", "submissionId")
    return row
