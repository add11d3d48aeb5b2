"""Asking for an upload and completing one in parts."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import mutating
from graphql_api.types.outcomes import CompleteUploadResult, RequestUploadResult
from graphql_api.types.submissions import Submission
from graphql_api.types.uploads import CompletedPart, UploadTicket
from musicfp.pipeline import uploads


@mutating("Ask for permission to upload one audio file; the answer says where to PUT it.")
async def request_upload(
    info: Info,
    filename: Annotated[str, strawberry.argument(description="Name of the file, for people; only its ending matters.")],
    size_bytes: Annotated[int, strawberry.argument(description="Exact size of the file in bytes.")],
    submitter: Annotated[
        str | None,
        strawberry.argument(
            description="Who uploads, in any words, at most 64 characters. What waits is taken from all submitters in "
            "turn."
        ),
    ] = None,
) -> RequestUploadResult:
    """Open a submission."""
    services = info.context.services
    ticket = await services.request_upload(filename=filename, size_bytes=size_bytes, submitter=submitter)
    return UploadTicket.of_ticket(ticket)


@mutating("Join the parts of a large upload after they were PUT. Repeating it is harmless.")
async def complete_upload(
    info: Info,
    submission_id: Annotated[strawberry.ID, strawberry.argument(description="Id from the ticket.")],
    parts: Annotated[list[CompletedPart], strawberry.argument(description="All parts, each with its ETag.")],
) -> CompleteUploadResult:
    """Complete a multipart upload."""
    completed = [uploads.CompletedPart(part_number=part.part_number, etag=part.etag) for part in parts]
    services = info.context.services

    def complete() -> Submission:
        store, settings = services.store, services.settings
        row = uploads.complete_upload(
            services.database, store, settings, submission_id=str(submission_id), parts=completed
        )
        return Submission.of_row(row)

    return await services.workers.database.run(complete)
