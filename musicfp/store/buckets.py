"""Making the three buckets and their rules. Safe to run at every start.

What belongs here: bucket existence, CORS (browsers may PUT to signed URLs) and lifecycle. Not: objects.
"""

from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from musicfp.errors import StoreUnavailable
from musicfp.settings import Settings
from musicfp.store.connection import make_client, store_connection

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_ABORT_MULTIPART_AFTER_DAYS = 1


def prepare_buckets(settings: Settings) -> None:
    """Create missing buckets; set CORS and the lifecycle of a week (by setting) on the submission bucket."""
    connection = store_connection(settings)
    client = make_client(connection)
    try:
        for bucket in bucket_names(settings):
            _ensure_bucket(client, bucket, region=connection.region or client.meta.region_name)
        _let_browsers_upload(client, settings.submission_bucket)
        _let_submissions_expire(client, settings.submission_bucket, days=settings.submission_ttl_days)
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(
            f"Tried to prepare the buckets {', '.join(bucket_names(settings))}: {error}. Check that the object store "
            "runs and that its credentials may create and configure buckets."
        ) from error


def missing_buckets(settings: Settings, *, client: "S3Client | None" = None) -> tuple[str, ...]:
    """Return the names of the buckets that do not exist. Raises StoreUnavailable when that cannot be asked."""
    client = client or make_client(store_connection(settings))
    try:
        return tuple(bucket for bucket in bucket_names(settings) if not _exists(client, bucket))
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(f"Tried to look at the buckets: {error}. Is the object store running?") from error


def notified_share(settings: Settings, queue_arn: str, *, client: "S3Client") -> Literal["all", "some", "none"]:
    """Say of how many new objects the submission bucket tells this queue.

    "some" is also what goes through a topic or EventBridge, which cannot be followed from here. Raises StoreUnavailable
    when the bucket's configuration cannot be read.
    """
    try:
        configured = client.get_bucket_notification_configuration(Bucket=settings.submission_bucket)
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(
            f"Tried to read what {settings.submission_bucket} notifies of: {error}. Does the store send notifications, "
            "and may these credentials read their configuration (s3:GetBucketNotification)?"
        ) from error
    to_queue = [each for each in configured.get("QueueConfigurations", []) if each["QueueArn"] == queue_arn]
    for each in to_queue:
        rules = each.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        if "s3:ObjectCreated:*" in each["Events"] and not any(rule.get("Value") for rule in rules):
            return "all"
    others = configured.get("TopicConfigurations") or configured.get("EventBridgeConfiguration") is not None
    return "some" if to_queue or others else "none"


def bucket_names(settings: Settings) -> tuple[str, ...]:
    """Return the buckets in use; sources and transcodes may share one, since their keys differ."""
    return tuple(dict.fromkeys((settings.submission_bucket, settings.source_bucket, settings.transcode_bucket)))


def _exists(client: "S3Client", bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    return True


def _ensure_bucket(client: "S3Client", bucket: str, *, region: str) -> None:
    if _exists(client, bucket):
        return
    if region == "us-east-1":  # S3 refuses this one as an explicit location
        client.create_bucket(Bucket=bucket)
    else:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})  # type: ignore[typeddict-item]


def _let_browsers_upload(client: "S3Client", bucket: str) -> None:
    rule = {
        "AllowedMethods": ["PUT"],
        "AllowedOrigins": ["*"],  # the signed URL is the permission; it is bound to one key, size and time
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})  # type: ignore[list-item]


def _let_submissions_expire(client: "S3Client", bucket: str, *, days: int) -> None:
    # Applies to the whole bucket because other tools may drop files under any key.
    rule = {
        "ID": "musicfp-submissions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_MULTIPART_AFTER_DAYS},
    }
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})  # type: ignore[list-item]
