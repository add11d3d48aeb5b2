"""Every setting of musicfp, read from the environment in one place.

What belongs here: names, defaults, units and validation of MUSICFP_* variables. What does not: anything that acts on
them. `.env.example` lists the same names and a test holds the two together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from musicfp.errors import SettingsError

# GraphQL's Int ends here, and sizes are Ints in the contract.
_MAX_SIZE_BYTES = (1 << 31) - 1
DEFAULT_TRANSCODE_PROFILES = "mp3_v0,mp3_128,aac_128,opus_96,vorbis_q5"


@dataclass(frozen=True)
class Settings:
    """Values of all settings. Build with `Settings.from_env()`; tests build them by `from_env({...})`."""

    home: Path
    api_port: int
    api_url: str
    dagster_port: int
    s3_port: int
    database_url: str
    dagster_database_url: str | None
    s3_managed: bool
    s3_endpoint_url: str | None
    public_s3_url: str | None
    sqs_queue_url: str | None
    submission_bucket: str
    source_bucket: str
    transcode_bucket: str
    required_tags: tuple[str, ...]
    transcode_profiles: tuple[str, ...]
    upload_expiry_s: int
    submission_ttl_days: int
    dagster_retention_days: int
    max_upload_bytes: int
    max_duration_s: float
    review_related: bool
    feature_modules: tuple[str, ...]
    models_path: Path
    workers: int
    ingest_batch_tracks: int
    derive_batch_tracks: int
    search_index_min_tracks: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read settings from `environ` (default: the process environment plus `.env` in the working directory).

        Raises SettingsError naming the variable at fault.
        """
        env = _Environment(_process_environment() if environ is None else environ)
        home = Path(env.text("MUSICFP_HOME", "./.musicfp")).absolute()
        api_port = env.integer("MUSICFP_API_PORT", 8000, low=1, high=65535)
        s3_port = env.integer("MUSICFP_S3_PORT", 8333, low=1, high=65535)
        s3_managed = env.flag("MUSICFP_S3_MANAGED", default=env.optional("MUSICFP_S3_ENDPOINT_URL") is None)
        endpoint = env.optional("MUSICFP_S3_ENDPOINT_URL")
        submission_bucket = env.text("MUSICFP_SUBMISSION_BUCKET", "musicfp-submissions")
        source_bucket = env.text("MUSICFP_SOURCE_BUCKET", "musicfp-sources")
        transcode_bucket = env.text("MUSICFP_TRANSCODE_BUCKET", "musicfp-transcodes")
        if submission_bucket in {source_bucket, transcode_bucket}:
            raise SettingsError(
                f"MUSICFP_SUBMISSION_BUCKET is {submission_bucket!r}, which also keeps the catalogue. Submissions "
                "expire after MUSICFP_SUBMISSION_TTL_DAYS; give them a bucket of their own."
            )
        return cls(
            home=home,
            api_port=api_port,
            api_url=env.text("MUSICFP_API_URL", f"http://127.0.0.1:{api_port}"),
            dagster_port=env.integer("MUSICFP_DAGSTER_PORT", 3000, low=1, high=65535),
            s3_port=s3_port,
            database_url=env.text("MUSICFP_DATABASE_URL", f"sqlite:///{home / 'catalogue.sqlite'}"),
            dagster_database_url=env.optional("MUSICFP_DAGSTER_DATABASE_URL"),
            s3_managed=s3_managed,
            s3_endpoint_url=f"http://127.0.0.1:{s3_port}" if s3_managed else endpoint,
            public_s3_url=env.optional("MUSICFP_PUBLIC_S3_URL"),
            sqs_queue_url=_queue_url(env, s3_managed=s3_managed),
            submission_bucket=submission_bucket,
            source_bucket=source_bucket,
            transcode_bucket=transcode_bucket,
            required_tags=env.names("MUSICFP_REQUIRED_TAGS", "title,artist"),
            transcode_profiles=env.names("MUSICFP_TRANSCODE_PROFILES", DEFAULT_TRANSCODE_PROFILES),
            upload_expiry_s=env.integer("MUSICFP_UPLOAD_EXPIRY_S", 3600, low=1, high=7 * 86400),
            submission_ttl_days=env.integer("MUSICFP_SUBMISSION_TTL_DAYS", 7, low=1, high=3650),
            dagster_retention_days=env.integer("MUSICFP_DAGSTER_RETENTION_DAYS", 30, low=1, high=3650),
            max_upload_bytes=env.integer("MUSICFP_MAX_UPLOAD_BYTES", 1 << 30, low=1, high=_MAX_SIZE_BYTES),
            max_duration_s=float(env.integer("MUSICFP_MAX_DURATION_S", 4 * 3600, low=1, high=86400)),
            review_related=env.flag("MUSICFP_REVIEW_RELATED", default=False),
            feature_modules=env.names("MUSICFP_FEATURE_MODULES", ""),
            models_path=Path(env.text("MUSICFP_MODELS_DIR", str(home / "models"))).absolute(),
            workers=env.integer("MUSICFP_WORKERS", os.cpu_count() or 1, low=1, high=256),
            ingest_batch_tracks=env.integer("MUSICFP_INGEST_BATCH_TRACKS", 100, low=1, high=500),
            derive_batch_tracks=env.integer("MUSICFP_DERIVE_BATCH_TRACKS", 60, low=1, high=500),
            search_index_min_tracks=env.integer("MUSICFP_SEARCH_INDEX_MIN_TRACKS", 20_000, low=0, high=1 << 31),
        )

    @property
    def store_credentials_path(self) -> Path:
        """Where the embedded object store's generated credentials are kept, readable by the owner only."""
        return self.home / "store" / "credentials.json"

    @property
    def scratch_path(self) -> Path:
        """Directory for files that live no longer than one batch."""
        return self.home / "scratch"

    @property
    def search_index_path(self) -> Path:
        """Directory of the search index's files, copies of those in the object store, shared by all processes."""
        return self.home / "search-index"


class _Environment:
    """Typed access to environment variables; an empty value counts as unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def optional(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def text(self, name: str, default: str) -> str:
        return self.optional(name) or default

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        text = self.optional(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise SettingsError(f"{name} is {text!r}; set it to a whole number from {low} to {high}, or unset it.")
        return int(text)

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.optional(name)
        if text is None:
            return default
        if text not in {"0", "1"}:
            raise SettingsError(f"{name} is {text!r}; set it to 0 or 1, or unset it.")
        return text == "1"

    def names(self, name: str, default: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in self.text(name, default).split(",") if part.strip())
        if len(set(parts)) != len(parts):
            raise SettingsError(f"{name} names something twice: {','.join(parts)}.")
        return parts


def _queue_url(env: _Environment, *, s3_managed: bool) -> str | None:
    url = env.optional("MUSICFP_SQS_QUEUE_URL")
    if url is not None and not url.startswith(("https://", "http://")):
        raise SettingsError(f"MUSICFP_SQS_QUEUE_URL is {url!r}; set it to the queue's URL, not its name or ARN.")
    if url is not None and s3_managed:
        raise SettingsError(
            "MUSICFP_SQS_QUEUE_URL is set, but the embedded object store sends no notifications. Unset it, or use "
            "another store with MUSICFP_S3_ENDPOINT_URL (or MUSICFP_S3_MANAGED=0 for AWS)."
        )
    return url


def _process_environment() -> Mapping[str, str]:
    """Return `.env` of the working directory overlaid with the process environment, as `dagster dev` does."""
    from_file = {name: value for name, value in dotenv_values(Path.cwd() / ".env").items() if value is not None}
    return {**from_file, **os.environ}
