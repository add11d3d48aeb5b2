"""The object store's client against the real store."""

import base64
import time
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from musicfp.errors import InvalidRequest, NotFound, ObjectChanged, StoreUnavailable
from musicfp.settings import Settings
from musicfp.store.buckets import missing_buckets, prepare_buckets
from musicfp.store.connection import StoreConnection, StoreCredentials, make_client, store_connection
from musicfp.store.objects import ObjectStore, open_store
from musicfp_assets.resources import connect_store
from tests.support.postgres import free_port

CONTENT = bytes(range(256)) * 40
KEY = "submissions/01.mp3"
PART = 5 << 20  # S3's smallest part

Put = Callable[..., httpx.Response]


@pytest.fixture
def bucket(own_settings: Settings, object_store: ObjectStore) -> str:
    """A bucket of this test's own."""
    assert object_store is not None
    return own_settings.submission_bucket


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with CONTENT."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=["own client", "dagster-aws client"])
def any_store(request: pytest.FixtureRequest, own_settings: Settings, object_store: ObjectStore) -> ObjectStore:
    """The store by either of the clients that musicfp uses."""
    return object_store if request.param == "own client" else connect_store(own_settings)


def _put(url: str, content: bytes, **headers: str) -> httpx.Response:
    return httpx.put(url, content=content, headers=headers, timeout=60, trust_env=False)


def _store_with(own_settings: Settings, file: Path, key: str = KEY) -> None:
    store = open_store(own_settings)
    store.put_file(own_settings.submission_bucket, key, file, mime="audio/mpeg", sha256=sha256(CONTENT).hexdigest())


def test_a_signed_url_takes_exactly_the_upload_that_it_was_made_for(object_store: ObjectStore, bucket: str) -> None:
    """Any HTTP client can PUT to it, without knowing a secret; a content type of its own is welcome."""
    url = object_store.presign_put(bucket, KEY, size_bytes=len(CONTENT), expires_s=600)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    assert _put(url, CONTENT, **{"Content-Type": "audio/mpeg"}).status_code == 200
    found = object_store.stat(bucket, KEY)
    assert found is not None
    assert (found.size_bytes, found.etag) == (len(CONTENT), md5(CONTENT, usedforsecurity=False).hexdigest())


@pytest.mark.parametrize("content", [CONTENT + b"x", CONTENT[:-1], b""], ids=["longer", "shorter", "empty"])
def test_another_size_than_the_signed_one_is_refused(object_store: ObjectStore, bucket: str, content: bytes) -> None:
    """The limit that the ticket was checked for holds for what is sent."""
    url = object_store.presign_put(bucket, KEY, size_bytes=len(CONTENT), expires_s=600)
    assert _put(url, content).status_code == 403
    assert object_store.stat(bucket, KEY) is None


def test_an_expired_url_is_refused(object_store: ObjectStore, bucket: str) -> None:
    """Signed for one second, it is refused as soon as that has passed."""
    began_s = time.time()
    url = object_store.presign_put(bucket, KEY, size_bytes=len(CONTENT), expires_s=1)
    deadline = time.monotonic() + 30
    # The signature counts whole seconds. Until it has expired, only wrong sizes are sent, which never count.
    while time.time() < int(began_s) + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _put(url, CONTENT).status_code == 403
    assert object_store.stat(bucket, KEY) is None


@pytest.mark.parametrize("change", ["unsigned", "other key", "other bucket", "longer life", "DELETE", "GET"])
def test_what_was_not_signed_is_refused(
    object_store: ObjectStore, own_settings: Settings, bucket: str, change: str
) -> None:
    """The signature covers key, bucket, life and method."""
    url = object_store.presign_put(bucket, KEY, size_bytes=len(CONTENT), expires_s=600)
    changed = {
        "unsigned": url.split("?", maxsplit=1)[0],
        "other key": url.replace("01.mp3", "02.mp3"),
        "other bucket": url.replace(bucket, own_settings.source_bucket),
        "longer life": url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
    }.get(change, url)
    method = change if change in {"DELETE", "GET"} else "PUT"
    content = CONTENT if method == "PUT" else None
    assert httpx.request(method, changed, content=content, timeout=60, trust_env=False).status_code == 403
    assert list(object_store.list_after(bucket)) == []


def test_a_wrong_secret_is_unavailable_with_a_hint(own_settings: Settings, bucket: str) -> None:
    """Whoever reads the message knows where to look, and no secret is in it."""
    wrong = StoreCredentials(access_key="musicfp", secret_key="not-the-secret")
    client = make_client(StoreConnection(own_settings.s3_endpoint_url, wrong, "us-east-1"))
    with pytest.raises(StoreUnavailable, match="credentials") as raised:
        list(ObjectStore(client).list_after(bucket))
    assert "not-the-secret" not in str(raised.value) + repr(wrong)
    client.close()


def test_a_large_file_is_uploaded_in_parts(object_store: ObjectStore, bucket: str) -> None:
    """Nothing is there before it is complete; parts are put together by number, whatever their order."""
    contents = [b"a" * PART, b"b" * PART, b"c"]
    upload_id = object_store.start_multipart(bucket, KEY)
    parts = []
    for number, content in enumerate(contents, start=1):
        url = object_store.presign_part(
            bucket, KEY, upload_id, part_number=number, size_bytes=len(content), expires_s=600
        )
        assert _put(url, content + b"x").status_code == 403
        parts.append((number, _put(url, content).headers["ETag"]))
    assert object_store.stat(bucket, KEY) is None
    object_store.complete_multipart(bucket, KEY, upload_id, parts[::-1])
    found = object_store.stat(bucket, KEY)
    assert found is not None
    assert found.size_bytes == 2 * PART + 1
    with pytest.raises(NotFound):
        object_store.complete_multipart(bucket, KEY, "no-such-upload", parts)


def test_parts_that_do_not_fit_are_refused(object_store: ObjectStore, bucket: str) -> None:
    """A wrong ETag is the caller's mistake, not the store's."""
    upload_id = object_store.start_multipart(bucket, KEY)
    url = object_store.presign_part(bucket, KEY, upload_id, part_number=1, size_bytes=1, expires_s=600)
    assert _put(url, b"x").status_code == 200
    with pytest.raises(InvalidRequest):
        object_store.complete_multipart(bucket, KEY, upload_id, [(1, "0" * 32)])
    object_store.abort_multipart(bucket, KEY, upload_id)
    object_store.abort_multipart(bucket, KEY, upload_id)
    with pytest.raises(NotFound):
        object_store.complete_multipart(bucket, KEY, upload_id, [(1, md5(b"x", usedforsecurity=False).hexdigest())])


def test_a_file_is_stored_with_its_type_and_read_back_with_its_hash(
    any_store: ObjectStore, bucket: str, file: Path, tmp_path: Path
) -> None:
    """Both clients: what is stored is what was hashed."""
    digest = sha256(CONTENT).hexdigest()
    any_store.put_file(bucket, KEY, file, mime="audio/flac", sha256=digest)
    downloaded = any_store.download(bucket, KEY, tmp_path / "copy", max_bytes=len(CONTENT))
    assert (downloaded.size_bytes, downloaded.sha256) == (len(CONTENT), digest)
    assert downloaded.path.read_bytes() == CONTENT
    url = any_store.presign_get(bucket, KEY, expires_s=600)
    answer = httpx.get(url, timeout=60, trust_env=False)
    assert answer.content == CONTENT
    assert answer.headers["Content-Type"] == "audio/flac"


def test_other_bytes_than_were_hashed_are_not_stored(any_store: ObjectStore, bucket: str, file: Path) -> None:
    """A file that was damaged after it had been hashed is refused by the store itself, for both clients."""
    with pytest.raises(StoreUnavailable, match="changed on their way"):
        any_store.put_file(bucket, KEY, file, mime="audio/flac", sha256=sha256(b"something else").hexdigest())
    assert any_store.stat(bucket, KEY) is None


def test_bytes_damaged_on_the_wire_are_not_stored(any_store: ObjectStore, bucket: str, file: Path) -> None:
    """Both clients, after the request was signed."""

    def damage(request: Any, **_: object) -> None:
        request.body = CONTENT[:-1] + b"!"

    any_store.client.meta.events.register("before-send.s3.PutObject", damage)
    try:
        with pytest.raises(StoreUnavailable):
            any_store.put_file(bucket, KEY, file, mime="audio/flac", sha256=sha256(CONTENT).hexdigest())
    finally:
        any_store.client.meta.events.unregister("before-send.s3.PutObject", damage)
    assert any_store.stat(bucket, KEY) is None


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_store_that_confirms_nothing_is_read_back(
    object_store: ObjectStore,
    bucket: str,
    file: Path,
    is_damaged: bool,
) -> None:
    """Some S3s ignore the checksum: then the stored bytes are hashed."""

    def ignore_checksum(params: dict[str, Any], **_: object) -> None:
        for name in list(params["headers"]):
            if name.lower().startswith("x-amz-checksum"):
                del params["headers"][name]
        if is_damaged:
            params["body"] = CONTENT[:-1] + b"!"

    object_store.client.meta.events.register_last("before-call.s3.PutObject", ignore_checksum)
    digest = sha256(CONTENT).hexdigest()
    if is_damaged:
        with pytest.raises(StoreUnavailable, match="other bytes"):
            object_store.put_file(bucket, KEY, file, mime="audio/flac", sha256=digest)
    else:
        object_store.put_file(bucket, KEY, file, mime="audio/flac", sha256=digest)
        head = object_store.client.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
        assert head.get("ChecksumSHA256") != base64.b64encode(bytes.fromhex(digest)).decode()


def test_a_replaced_object_is_not_downloaded(
    object_store: ObjectStore, own_settings: Settings, bucket: str, file: Path, tmp_path: Path
) -> None:
    """The etag seen at discovery must still be true."""
    _store_with(own_settings, file)
    seen = object_store.stat(bucket, KEY)
    assert seen is not None
    object_store.client.put_object(Bucket=bucket, Key=KEY, Body=b"another file")
    with pytest.raises(ObjectChanged):
        object_store.download(bucket, KEY, tmp_path / "copy", max_bytes=1 << 20, etag=seen.etag)
    assert not object_store.delete_unless_replaced(bucket, KEY, etag=seen.etag)
    assert object_store.stat(bucket, KEY) is not None


def test_deleting_is_repeatable(object_store: ObjectStore, own_settings: Settings, bucket: str, file: Path) -> None:
    """What is gone already is no error, and the same object is deleted."""
    _store_with(own_settings, file)
    seen = object_store.stat(bucket, KEY)
    assert seen is not None
    assert object_store.delete_unless_replaced(bucket, KEY, etag=seen.etag)
    assert object_store.delete_unless_replaced(bucket, KEY, etag=seen.etag)
    object_store.delete(bucket, KEY)
    assert object_store.stat(bucket, KEY) is None


def test_a_download_stops_at_the_limit(
    object_store: ObjectStore, own_settings: Settings, bucket: str, file: Path, tmp_path: Path
) -> None:
    """More than allowed never fills the disk."""
    _store_with(own_settings, file)
    with pytest.raises(InvalidRequest) as raised:
        object_store.download(bucket, KEY, tmp_path / "copy", max_bytes=len(CONTENT) - 1)
    assert raised.value.code == "too_large"
    with pytest.raises(NotFound):
        object_store.download(bucket, "nothing", tmp_path / "copy", max_bytes=1)


def test_listing_starts_after_a_key_and_goes_on_over_pages(
    object_store: ObjectStore, own_settings: Settings, bucket: str, file: Path
) -> None:
    """In the order of keys; prefix and start are honoured."""
    for name in ("submissions/b.mp3", "submissions/a.mp3", "other/c.mp3", "submissions/d.mp3"):
        _store_with(own_settings, file, key=name)
    keys = [each.key for each in object_store.list_after(bucket, prefix="submissions/", after="submissions/a.mp3")]
    assert keys == ["submissions/b.mp3", "submissions/d.mp3"]
    paginator = object_store.client.get_paginator("list_objects_v2")
    pages = paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert sum(page["KeyCount"] for page in pages) == 4
    assert len(list(object_store.list_after(bucket))) == 4


def test_the_bucket_rules_are_there_after_any_number_of_starts(
    object_store: ObjectStore, own_settings: Settings, bucket: str
) -> None:
    """Browsers may PUT, unfinished uploads and old submissions expire, and repeating it changes nothing."""
    prepare_buckets(own_settings)
    rule = object_store.client.get_bucket_cors(Bucket=bucket)["CORSRules"][0]
    assert rule["AllowedMethods"] == ["PUT"]
    assert rule["ExposeHeaders"] == ["ETag"]
    (lifecycle,) = object_store.client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert lifecycle["Status"] == "Enabled"
    assert lifecycle["Expiration"]["Days"] == own_settings.submission_ttl_days == 7
    assert lifecycle["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert missing_buckets(own_settings) == ()


def test_a_browser_of_any_site_may_put_to_a_signed_url_and_nothing_else(object_store: ObjectStore, bucket: str) -> None:
    """The preflight request that browsers send before a PUT is answered."""
    url = object_store.presign_put(bucket, KEY, size_bytes=1, expires_s=600)

    def preflight(method: str) -> httpx.Response:
        headers = {"Origin": "https://example.org", "Access-Control-Request-Method": method}
        return httpx.options(url, headers=headers, timeout=60, trust_env=False)

    allowed = preflight("PUT")
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] in {"*", "https://example.org"}
    assert "DELETE" not in preflight("DELETE").headers.get("Access-Control-Allow-Methods", "")


def test_a_bucket_that_is_missing_is_no_missing_object(
    object_store: ObjectStore, own_settings: Settings, bucket: str, tmp_path: Path
) -> None:
    """A wrong bucket name must not end a submission as gone: it is the store's fault, and tried again."""
    object_store.client.delete_bucket(Bucket=bucket)
    try:
        assert missing_buckets(own_settings) == (bucket,)
        with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
            object_store.download(bucket, KEY, tmp_path / "copy", max_bytes=1)
    finally:
        prepare_buckets(own_settings)


def test_a_store_that_is_down_says_so_and_what_to_do(own_settings: Settings, bucket: str) -> None:
    """Where it was looked for and which command looks into it."""
    connection = store_connection(own_settings)
    port = free_port()
    client = make_client(StoreConnection(f"http://127.0.0.1:{port}", connection.credentials, connection.region))
    store = ObjectStore(client)
    for attempt in (lambda: store.stat(bucket, KEY), lambda: list(store.list_after(bucket))):
        with pytest.raises(StoreUnavailable, match=rf"127\.0\.0\.1:{port}.*musicfp doctor"):
            attempt()
    client.close()
