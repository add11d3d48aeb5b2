"""The environment that children get: settings made explicit, the store's credentials, quiet and bounded libraries."""

import os
from collections.abc import Mapping
from pathlib import Path

from musicfp.settings import Settings
from musicfp.supervisor.store_keys import StoreKeys

EMBEDDED_REGION = "us-east-1"
# What a run intends to make is written at its start, an event for each asset of each track.
_EVENTS_AT_ONCE = 1000
# With these set, AWS libraries would not use the embedded store's key pair as it is.
_MISLEADING_AWS_VARIABLES = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)


def child_environment(
    settings: Settings, keys: StoreKeys | None, *, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of all Python children. `keys` are the embedded store's, None for another S3."""
    environment = dict(os.environ if environ is None else environ)
    environment.update(
        MUSICFP_HOME=str(settings.home),
        MUSICFP_API_PORT=str(settings.api_port),
        MUSICFP_DAGSTER_PORT=str(settings.dagster_port),
        MUSICFP_S3_PORT=str(settings.s3_port),
        MUSICFP_S3_MANAGED="1" if settings.s3_managed else "0",
        DAGSTER_HOME=str(dagster_home(settings)),
        DAGSTER_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        PYTHONUNBUFFERED="1",
        DAGSTER_EVENT_BATCH_SIZE=str(_EVENTS_AT_ONCE),
        # Parallelism is by process; threads inside would only fight for the same cores.
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        NO_PROXY=_without_proxy(environment),
        no_proxy=_without_proxy(environment),
    )
    if settings.s3_endpoint_url is not None:
        environment["AWS_ENDPOINT_URL_S3"] = settings.s3_endpoint_url
    if keys is not None:
        for name in _MISLEADING_AWS_VARIABLES:
            environment.pop(name, None)
        environment.update(
            AWS_ACCESS_KEY_ID=keys.access_key, AWS_SECRET_ACCESS_KEY=keys.secret_key, AWS_DEFAULT_REGION=EMBEDDED_REGION
        )
    return environment


def dagster_home(settings: Settings) -> Path:
    """Return the DAGSTER_HOME of these settings."""
    return settings.home / "dagster"


def _without_proxy(environment: Mapping[str, str]) -> str:
    present = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    return ",".join(dict.fromkeys([*filter(None, present.split(",")), "127.0.0.1", "localhost"]))
