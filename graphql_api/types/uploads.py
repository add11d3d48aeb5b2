"""Tickets for uploading. The file itself goes to the object store, never through this API."""

from datetime import datetime

import strawberry

from musicfp.pipeline.uploads import UploadTicket as IssuedTicket


@strawberry.type(description="A header to send with a PUT.")
class Header:
    """Name and value of a header."""

    name: str = strawberry.field(description="Name of the header.")
    value: str = strawberry.field(description="Value of the header.")


@strawberry.type(description="One part of a large upload: PUT it to `url` and keep the ETag of the answer.")
class UploadPart:
    """GraphQL view of one part of a ticket."""

    part_number: int = strawberry.field(description="Number of the part, from 1.")
    url: str = strawberry.field(description="Signed URL to PUT the part to.")
    size_bytes: int = strawberry.field(description="Size of the part in bytes.")


@strawberry.type(
    description="Permission to upload one file. Without `parts`, PUT it to `url` with the `headers`. With them (files "
    "above 64 MiB), PUT each part to its own URL and then call `completeUpload`."
)
class UploadTicket:
    """GraphQL view of a ticket."""

    submission_id: strawberry.ID = strawberry.field(description="Id of the submission, to follow what becomes of it.")
    url: str = strawberry.field(description="Signed URL to upload to; with `parts`, that of the first part.")
    method: str = strawberry.field(description="HTTP method to upload with.")
    headers: list[Header] = strawberry.field(description="Headers to send.")
    expires_at: datetime = strawberry.field(description="When the URLs stop working.")
    parts: list[UploadPart] | None = strawberry.field(description="The parts of a large upload; null for one PUT.")

    @classmethod
    def of_ticket(cls, ticket: IssuedTicket) -> "UploadTicket":
        """Build from what the pipeline issued."""
        parts = ticket.parts and [
            UploadPart(part_number=part.part_number, url=part.url, size_bytes=part.size_bytes) for part in ticket.parts
        ]
        return cls(
            submission_id=strawberry.ID(ticket.submission_id),
            url=ticket.url,
            method=ticket.method,
            headers=[Header(name=name, value=value) for name, value in ticket.headers],
            expires_at=ticket.expires_at,
            parts=list(parts) if parts else None,
        )


@strawberry.input(description="A part that was PUT.")
class CompletedPart:
    """Number and ETag of a part."""

    part_number: int = strawberry.field(description="Number of the part, from 1.")
    etag: str = strawberry.field(description="ETag header of the answer to its PUT, with or without quotes.")
