"""Operations on objects in the store. Every failure leaves as one of musicfp's own errors.

What belongs here: single S3 operations, with the checks that make them safe. What does not: which key means what
(`musicfp.identity`) and when to do them (`musicfp.pipeline`).
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from musicfp.errors import InvalidRequest, NotFound, ObjectChanged, StoreUnavailable
from musicfp.settings import Settings
from musicfp.store.connection import make_client, make_signing_client, store_connection

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CHUNK_BYTES = 1 << 20
_MISSING_CODES = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}
_DAMAGED_CODES = {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing or HEAD says about an object. `etag` has no quotes."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True)
class MultipartInfo:
    """An upload in parts that was neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


@dataclass(frozen=True)
class Downloaded:
    """A downloaded object: the SHA-256 is of the bytes now in the file."""

    path: Path
    size_bytes: int
    sha256: str


class ObjectStore:
    """One S3-compatible store. Safe to share between threads."""

    def __init__(self, client: "S3Client", *, make_signing_client: "Callable[[], S3Client] | None" = None) -> None:
        self.client = client
        self._make_signing_client = make_signing_client

    def list_after(self, bucket: str, *, prefix: str = "", after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose keys come after `after`, in the store's order, page by page."""
        paginator = self.client.get_paginator("list_objects_v2")
        with translated(f"list {bucket}/{prefix} after {after!r}"):
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after):
                for item in page.get("Contents", []):
                    yield ObjectInfo(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])

    def stat(self, bucket: str, key: str) -> ObjectInfo | None:
        """Return what HEAD says about an object, or None if there is none."""
        try:
            with translated(f"look at {bucket}/{key}"):
                head = self.client.head_object(Bucket=bucket, Key=key)
        except NotFound:
            return None
        return ObjectInfo(key, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"])

    def download(self, bucket: str, key: str, path: Path, *, max_bytes: int, etag: str | None = None) -> Downloaded:
        """Write an object to `path` and hash it on the way.

        Raises NotFound, ObjectChanged when `etag` is given and no longer true, InvalidRequest above `max_bytes`.
        """
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        digest = hashlib.sha256()
        size_bytes = 0
        with (
            translated(f"read {bucket}/{key}"),
            path.open("wb") as file,
            closing(self.client.get_object(Bucket=bucket, Key=key, **condition)["Body"]) as body,
        ):
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > max_bytes:
                    raise InvalidRequest("too_large", f"{key} has more than the allowed {max_bytes} bytes.")
                digest.update(chunk)
                file.write(chunk)
        return Downloaded(path, size_bytes, digest.hexdigest())

    def put_file(self, bucket: str, key: str, path: Path, *, mime: str, sha256: str) -> None:
        """Store a file whose SHA-256 (hexadecimal) is known; the store refuses other bytes.

        A store that does not confirm the SHA-256 is not believed: what it keeps is read back and hashed. Raises
        StoreUnavailable when the bytes changed on the way.
        """
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with translated(f"write {bucket}/{key}"), path.open("rb") as file:
            answer = self.client.put_object(
                Bucket=bucket, Key=key, Body=file, ContentType=mime, ChecksumSHA256=checksum
            )
        if answer.get("ChecksumSHA256") != checksum and self.sha256_of(bucket, key) != sha256:
            raise StoreUnavailable(f"Wrote {bucket}/{key}; the store keeps other bytes than were sent. Try again.")

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        with translated(f"delete {bucket}/{key}"):
            self.client.delete_object(Bucket=bucket, Key=key)

    def delete_unless_replaced(self, bucket: str, key: str, *, etag: str | None) -> bool:
        """Delete an object if it still is the one with this etag (any, if None); return False if it was replaced."""
        found = self.stat(bucket, key) if etag is not None else None
        if found is not None and found.etag != etag:
            return False
        self.delete(bucket, key)
        return True

    def presign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Return a signed URL that reads an object until it expires."""
        return self._signing_client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=expires_s
        )

    def presign_put(self, bucket: str, key: str, *, size_bytes: int, expires_s: int) -> str:
        """Return a signed URL that accepts a PUT of exactly `size_bytes` until it expires."""
        return self._signing_client.generate_presigned_url(
            "put_object", Params={"Bucket": bucket, "Key": key, "ContentLength": size_bytes}, ExpiresIn=expires_s
        )

    def start_multipart(self, bucket: str, key: str) -> str:
        """Begin a multipart upload and return its id."""
        with translated(f"begin a multipart upload of {bucket}/{key}"):
            return self.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

    def presign_part(
        self, bucket: str, key: str, upload_id: str, *, part_number: int, size_bytes: int, expires_s: int
    ) -> str:
        """Return a signed URL that accepts one part of exactly `size_bytes`."""
        params = {
            "Bucket": bucket,
            "Key": key,
            "UploadId": upload_id,
            "PartNumber": part_number,
            "ContentLength": size_bytes,
        }
        return self._signing_client.generate_presigned_url("upload_part", Params=params, ExpiresIn=expires_s)

    def complete_multipart(self, bucket: str, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Join uploaded parts, given as (number, etag), into the object. Raises InvalidRequest if they do not fit."""
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(parts)]
        with translated(f"complete the multipart upload of {bucket}/{key}"):
            self.client.complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]
            )

    def list_multiparts(self, bucket: str) -> Iterator[MultipartInfo]:
        """Yield all uploads in parts that were neither completed nor aborted."""
        paginator = self.client.get_paginator("list_multipart_uploads")
        with translated(f"list the multipart uploads of {bucket}"):
            for page in paginator.paginate(Bucket=bucket):
                for item in page.get("Uploads", []):
                    yield MultipartInfo(item["Key"], item["UploadId"], item["Initiated"])

    def abort_multipart(self, bucket: str, key: str, upload_id: str) -> None:
        """Forget a multipart upload and its parts; one that is not there is no error."""
        try:
            with translated(f"abort the multipart upload of {bucket}/{key}"):
                self.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        except NotFound:
            return

    def sha256_of(self, bucket: str, key: str) -> str:
        """Read an object and return the SHA-256 of its bytes, hexadecimal. Raises NotFound."""
        digest = hashlib.sha256()
        with (
            translated(f"read {bucket}/{key}"),
            closing(self.client.get_object(Bucket=bucket, Key=key)["Body"]) as body,
        ):
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    @cached_property
    def _signing_client(self) -> "S3Client":
        """The client that signs URLs. Made when first asked for: it costs 0.3 CPU s, and stages sign nothing."""
        return self._make_signing_client() if self._make_signing_client else self.client


def open_store(settings: Settings) -> ObjectStore:
    """Connect to the store that these settings name."""
    connection = store_connection(settings)
    return ObjectStore(make_client(connection), make_signing_client=partial(make_signing_client, settings, connection))


@contextmanager
def translated(attempt: str) -> Iterator[None]:
    """Turn boto3's errors into musicfp's: gone, changed, refused by the caller's fault, or unavailable for now."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        found = f"Tried to {attempt}; the object store answered {status} {code}."
        if code == "NoSuchBucket":
            # Not NotFound: a missing bucket says nothing about the one object, which must not be given up for it.
            raise StoreUnavailable(f"{found} `musicfp up` makes the buckets; see `musicfp doctor`.") from error
        if code in _MISSING_CODES or status == 404:
            raise NotFound(found) from error
        if status == 412:
            raise ObjectChanged(f"{found} The object was replaced meanwhile; it will be looked at again.") from error
        if code in _DAMAGED_CODES:
            raise StoreUnavailable(f"{found} The bytes changed on their way; it will be tried again.") from error
        if status == 400:
            raise InvalidRequest("store_refused", found) from error
        raise StoreUnavailable(f"{found} Check the store's log and the credentials.") from error
    except (BotoCoreError, OSError) as error:
        raise StoreUnavailable(
            f"Tried to {attempt}: {error}. Is the object store running? See `musicfp doctor`."
        ) from error
