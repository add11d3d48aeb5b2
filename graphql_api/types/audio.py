"""Audio files of a track: its source and its transcodes, with URLs that read them."""

from datetime import datetime

import strawberry

from graphql_api.context import Info
from graphql_api.fields import resolved
from musicfp.catalog.tables import TrackRow, TranscodeRow

_URL = "Signed URL that reads the file until `urlExpiresAt`."
_EXPIRY = "When `url` stops working; ask again for a new one."


@strawberry.type(description="The file that was uploaded and became a track.")
class AudioFile:
    """GraphQL view of the source columns of a track."""

    object_key: strawberry.Private[str]
    codec: str = strawberry.field(description="Codec by ffmpeg's name, such as `flac` or `mp3`.")
    container: str = strawberry.field(description="Kind of file, such as `ogg_opus`.")
    bitrate_bps: int | None = strawberry.field(description="Average bit rate in bits per second, if the file says it.")
    size_bytes: int = strawberry.field(description="Size of the file in bytes.")
    duration_seconds: float = strawberry.field(description="Length of the decoded audio in seconds.")
    sample_rate_hz: int = strawberry.field(description="Sample rate in hertz.")
    channel_count: int = strawberry.field(description="Number of channels.")
    sha256: str = strawberry.field(description="SHA-256 of the file, in hexadecimal.")

    @resolved(_URL)
    async def url(self, info: Info) -> str:
        """Sign the source's key."""
        key = (info.context.services.settings.source_bucket, self.object_key)
        return (await info.context.loaders.signed_url.load(key)).url

    @resolved(_EXPIRY)
    async def url_expires_at(self, info: Info) -> datetime:
        """Return the expiry of the URL in the same answer."""
        key = (info.context.services.settings.source_bucket, self.object_key)
        return (await info.context.loaders.signed_url.load(key)).expires_at

    @classmethod
    def of_row(cls, row: TrackRow) -> "AudioFile":
        """Build from a track."""
        return cls(
            object_key=row.source_key,
            codec=row.codec,
            container=row.container,
            bitrate_bps=row.bitrate_bps,
            size_bytes=row.source_size_bytes,
            duration_seconds=row.duration_s,
            sample_rate_hz=row.sample_rate_hz,
            channel_count=row.n_channels,
            sha256=row.source_sha256,
        )


@strawberry.type(description="A file made from the source by one transcode profile, verified against it.")
class Transcode:
    """GraphQL view of a transcode row."""

    object_key: strawberry.Private[str]
    profile: str = strawberry.field(description="Name of the profile, such as `opus_96`.")
    codec: str = strawberry.field(description="Codec by ffmpeg's name.")
    container: str = strawberry.field(description="Kind of file.")
    bitrate_bps: int = strawberry.field(description="Average bit rate in bits per second.")
    size_bytes: int = strawberry.field(description="Size of the file in bytes.")
    duration_seconds: float = strawberry.field(description="Length of the decoded audio in seconds.")
    bit_error_rate: float = strawberry.field(description="Share of fingerprint bits that differ from the source.")
    sha256: str = strawberry.field(description="SHA-256 of the file, in hexadecimal.")
    created_at: datetime = strawberry.field(description="When it was made.")

    @resolved(_URL)
    async def url(self, info: Info) -> str:
        """Sign the transcode's key."""
        key = (info.context.services.settings.transcode_bucket, self.object_key)
        return (await info.context.loaders.signed_url.load(key)).url

    @resolved(_EXPIRY)
    async def url_expires_at(self, info: Info) -> datetime:
        """Return the expiry of the URL in the same answer."""
        key = (info.context.services.settings.transcode_bucket, self.object_key)
        return (await info.context.loaders.signed_url.load(key)).expires_at

    @classmethod
    def of_row(cls, row: TranscodeRow) -> "Transcode":
        """Build from a transcode."""
        return cls(
            object_key=row.object_key,
            profile=row.profile,
            codec=row.codec,
            container=row.container,
            bitrate_bps=row.bitrate_bps,
            size_bytes=row.size_bytes,
            duration_seconds=row.duration_s,
            bit_error_rate=row.bit_error_rate,
            sha256=row.sha256,
            created_at=row.created_at,
        )
