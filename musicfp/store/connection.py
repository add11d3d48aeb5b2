"""Where the object store is and how to sign in: the embedded one, any S3, or AWS itself, by settings alone.

What belongs here: endpoints and credentials. What does not: operations on objects (`objects`) or buckets (`buckets`).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from musicfp.errors import SettingsError
from musicfp.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

EMBEDDED_REGION = "us-east-1"


@dataclass(frozen=True)
class StoreCredentials:
    """The key pair of the embedded store. None of it is ever logged."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class StoreConnection:
    """What a client needs to reach the store. All None means: AWS, by boto3's own chain of environment and roles."""

    endpoint_url: str | None
    credentials: StoreCredentials | None
    region: str | None


def read_credentials(path: Path) -> StoreCredentials:
    """Read the embedded store's credentials. Raises SettingsError when `musicfp up` has not made them yet."""
    try:
        stored = json.loads(path.read_text())
        return StoreCredentials(access_key=stored["access_key"], secret_key=stored["secret_key"])
    except FileNotFoundError:
        raise SettingsError(
            f"Looked for the embedded object store's credentials in {path} and found none. Start `musicfp up` first, "
            "or set MUSICFP_S3_ENDPOINT_URL (or MUSICFP_S3_MANAGED=0 for AWS)."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"{path} is not a credentials file ({error}). Delete it and start `musicfp up`.") from error


def store_connection(settings: Settings) -> StoreConnection:
    """Say how these settings reach the object store."""
    if settings.s3_managed:
        credentials = read_credentials(settings.store_credentials_path)
        return StoreConnection(settings.s3_endpoint_url, credentials, EMBEDDED_REGION)
    return StoreConnection(settings.s3_endpoint_url, None, None)


def make_client(
    connection: StoreConnection, *, max_attempts: int = 4, connect_timeout_s: float = 5, read_timeout_s: float = 60
) -> "S3Client":
    """Return a boto3 client that signs with SigV4 and tries again a few times on its own."""
    credentials = connection.credentials
    return boto3.client(
        "s3",
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=credentials.access_key if credentials else None,
        aws_secret_access_key=credentials.secret_key if credentials else None,
        region_name=connection.region,
        config=Config(
            signature_version="s3v4",  # without it, custom endpoints get presigned URLs in the old SigV2 form
            retries={"mode": "standard", "max_attempts": max_attempts},
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            max_pool_connections=32,
            # The signed SHA-256 of each body makes the store refuse bytes that changed on the way.
            s3={"payload_signing_enabled": True},
        ),
    )


def make_signing_client(settings: Settings, connection: StoreConnection) -> "S3Client":
    """Return the client that signs URLs for people: their host is MUSICFP_PUBLIC_S3_URL when that is set."""
    if settings.public_s3_url is None:
        return make_client(connection)
    return make_client(StoreConnection(settings.public_s3_url, connection.credentials, connection.region))
