"""Whether the store keeps objects: a small one per bucket of the catalogue, read whenever somebody asks.

A store can answer before it can serve: SeaweedFS's front opens before its volumes have reported. Existing buckets and
valid credentials prove nothing about objects; one that comes back does. The submission bucket has none, since whatever
is in there is a submission.
"""

import time
from contextlib import closing
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from musicfp.errors import StoreUnavailable
from musicfp.identity import PROBE_KEY
from musicfp.settings import Settings
from musicfp.store.connection import make_client, store_connection
from musicfp.store.objects import translated

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CONTENT = PROBE_KEY.encode()
_TIMEOUT_S = 2.0
_PAUSE_S = 0.2


def make_probe_client(settings: Settings) -> "S3Client":
    """Return a client that gives up soon and at the first failure: a part that must be asked twice is not ready."""
    connection = store_connection(settings)
    return make_client(connection, max_attempts=1, connect_timeout_s=_TIMEOUT_S, read_timeout_s=_TIMEOUT_S)


def require_objects(client: "S3Client", settings: Settings, *, anew: bool = False) -> None:
    """Read the probe from each bucket of the catalogue, after writing it where it is missing.

    With `anew` it is written in any case: a store whose disk is full reads well. Raises StoreUnavailable when the
    probe does not come back.
    """
    for bucket in dict.fromkeys((settings.source_bucket, settings.transcode_bucket)):
        if not anew and _read(client, bucket) == _CONTENT:
            continue
        with translated(f"write {bucket}/{PROBE_KEY}"):
            client.put_object(Bucket=bucket, Key=PROBE_KEY, Body=_CONTENT, ContentType="text/plain")
        if _read(client, bucket) != _CONTENT:
            raise StoreUnavailable(
                f"Wrote {bucket}/{PROBE_KEY} and read something else back. Check the store's log, and that nothing "
                "else writes to this bucket."
            )


def wait_for_objects(settings: Settings, *, within_s: float) -> None:
    """Return when the store keeps objects. Raises StoreUnavailable when it refuses them or the time is over."""
    client = make_probe_client(settings)
    deadline = time.monotonic() + within_s
    while True:
        try:
            return require_objects(client, settings)
        except StoreUnavailable as error:
            if _is_refusal(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_S)


def _read(client: "S3Client", bucket: str) -> bytes | None:
    """Return the probe's content, None when it is not there."""
    with translated(f"read {bucket}/{PROBE_KEY}"):
        try:
            answer = client.get_object(Bucket=bucket, Key=PROBE_KEY)
        except ClientError as error:
            # Who may read and write objects but not list them is told 403 for a missing one.
            if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404", "AccessDenied", "403"}:
                return None
            raise
        with closing(answer["Body"]) as body:
            return body.read(len(_CONTENT) + 1)


def _is_refusal(error: StoreUnavailable) -> bool:
    cause = error.__cause__
    return (
        isinstance(cause, ClientError) and cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) < 500
    )
