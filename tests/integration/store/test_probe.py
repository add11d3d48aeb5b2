"""Whether the store keeps objects, asked of the real store; and of answers that it gives only on bad days."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from botocore.exceptions import ClientError

from graphql_api.readiness import Readiness
from graphql_api.services import Services
from musicfp.catalog.engine import Database
from musicfp.errors import StoreUnavailable
from musicfp.identity import PROBE_KEY
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore
from musicfp.store.probe import make_probe_client, require_objects, wait_for_objects
from musicfp.supervisor.store_keys import ensure_keys
from musicfp.supervisor.store_probe import keeps_objects
from tests.support.postgres import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def client(own_settings: Settings, object_store: ObjectStore) -> Iterator["S3Client"]:
    """A probe client of a store whose buckets are there."""
    assert object_store is not None
    made = make_probe_client(own_settings)
    yield made
    made.close()


def _keys(client: "S3Client", bucket: str) -> list[str]:
    return sorted(each.key for each in ObjectStore(client).list_after(bucket))


def _count(client: "S3Client", operation: str) -> list[object]:
    calls: list[object] = []
    client.meta.events.register(f"before-send.s3.{operation}", lambda **sent: calls.append(sent["request"].url))
    return calls


def _answer_once(client: "S3Client", operation: str, code: str, status: int) -> None:
    """Let the next call of an operation fail with an answer of the store, and those after it reach the store."""
    left = [ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)]  # type: ignore[typeddict-item]

    def answer(**_: object) -> None:
        if left:
            raise left.pop()

    client.meta.events.register(f"before-call.s3.{operation}", answer)


def test_the_probe_is_written_once_and_read_each_time(client: "S3Client", own_settings: Settings) -> None:
    """Asking often costs one small GET each, and never a PUT."""
    written, read = _count(client, "PutObject"), _count(client, "GetObject")
    for _ in range(3):
        require_objects(client, own_settings)
    assert (len(written), len(read)) == (1, 4)
    assert _keys(client, own_settings.source_bucket) == [PROBE_KEY]


def test_each_bucket_of_the_catalogue_is_probed_and_never_that_of_the_submissions(
    client: "S3Client", own_settings: Settings
) -> None:
    """A file in the submission bucket would be taken for music."""
    client.create_bucket(Bucket="probed-transcodes")
    try:
        require_objects(client, replace(own_settings, transcode_bucket="probed-transcodes"))
        assert _keys(client, "probed-transcodes") == _keys(client, own_settings.source_bucket) == [PROBE_KEY]
        assert _keys(client, own_settings.submission_bucket) == []
    finally:
        client.delete_object(Bucket="probed-transcodes", Key=PROBE_KEY)
        client.delete_bucket(Bucket="probed-transcodes")


def test_permission_to_read_and_write_objects_is_enough(client: "S3Client", own_settings: Settings) -> None:
    """Without permission to list, S3 answers 403 instead of 404 for an object that is not there."""
    _answer_once(client, "GetObject", "AccessDenied", 403)
    require_objects(client, own_settings)


def test_other_content_is_put_right(client: "S3Client", own_settings: Settings) -> None:
    client.put_object(Bucket=own_settings.source_bucket, Key=PROBE_KEY, Body=b"something else")
    require_objects(client, own_settings)


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [("GetObject", "InternalError", 500), ("PutObject", "InternalError", 500), ("PutObject", "AccessDenied", 403)],
)
def test_a_store_that_does_not_keep_objects_is_not_ready(
    client: "S3Client", own_settings: Settings, operation: str, code: str, status: int
) -> None:
    """At the first failure: the client does not try again by itself."""
    _answer_once(client, operation, code, status)
    with pytest.raises(StoreUnavailable, match=f"{PROBE_KEY}.*{code}"):
        require_objects(client, own_settings)


@pytest.fixture
def probe_with(client: "S3Client", monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Let the first write of `wait_for_objects` fail."""

    def fail(code: str, status: int) -> None:
        _answer_once(client, "PutObject", code, status)
        monkeypatch.setattr("musicfp.store.probe.make_probe_client", lambda _settings: client)

    return fail


def test_waiting_ends_when_the_volumes_have_come(
    probe_with: Callable[[str, int], None], own_settings: Settings, client: "S3Client"
) -> None:
    probe_with("InternalError", 500)
    wait_for_objects(own_settings, within_s=20)
    assert _keys(client, own_settings.source_bucket) == [PROBE_KEY]


def test_waiting_for_a_permission_is_pointless(
    probe_with: Callable[[str, int], None], own_settings: Settings, client: "S3Client"
) -> None:
    """A refusal is told at once, although the next attempt would succeed here."""
    probe_with("AccessDenied", 403)
    with pytest.raises(StoreUnavailable, match="403 AccessDenied"):
        wait_for_objects(own_settings, within_s=20)
    assert _keys(client, own_settings.source_bucket) == []


def test_the_supervisor_signs_without_boto3(client: "S3Client", own_settings: Settings) -> None:
    """The real store accepts its signature, and what it wrote is what the other clients look for."""
    keys = ensure_keys(own_settings.store_credentials_path)
    assert keeps_objects(own_settings.s3_port, own_settings.source_bucket, keys)
    written = _count(client, "PutObject")
    require_objects(client, own_settings)
    assert written == []


def test_a_wrong_key_or_a_closed_port_is_not_ready(own_settings: Settings, object_store: ObjectStore) -> None:
    assert object_store is not None
    keys = ensure_keys(own_settings.store_credentials_path)
    wrong = replace(keys, secret_key=keys.secret_key[::-1])
    assert not keeps_objects(own_settings.s3_port, own_settings.source_bucket, wrong)
    assert not keeps_objects(free_port(), own_settings.source_bucket, keys)


def test_a_new_store_without_buckets_is_ready_for_them(own_settings: Settings) -> None:
    keys = ensure_keys(own_settings.store_credentials_path)
    assert keeps_objects(own_settings.s3_port, "not-made-yet", keys)


def test_readyz_reads_an_object(own_settings: Settings, object_store: ObjectStore, tmp_path: Path) -> None:
    """Buckets alone do not make the object store ready."""
    database = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    readiness = Readiness(Services(own_settings, database=database, store=object_store))
    assert anyio.run(readiness.check)["objectStore"] is None
    assert _keys(object_store.client, own_settings.source_bucket) == [PROBE_KEY]
    database.close()
