"""What a person decides about submissions."""

from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import mutating
from graphql_api.types.outcomes import RetrySubmissionResult, ReviewSubmissionResult
from graphql_api.types.submissions import Submission
from musicfp.pipeline import reviews


@mutating("Decide a submission that waits with NEEDS_REVIEW.")
async def review_submission(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the submission.")],  # noqa: A002
    accept: Annotated[bool, strawberry.argument(description="Whether to let it into the catalogue.")],
    reason: Annotated[str, strawberry.argument(description="Why, for others to understand later.")],
) -> ReviewSubmissionResult:
    """Record a reviewer's decision."""
    services = info.context.services
    row = await services.workers.database.run(
        reviews.review_submission, services.database, submission_id=str(id), accept=accept, reason=reason
    )
    return Submission.of_row(row)


@mutating("Look again at a submission that was REJECTED, FAILED or NEEDS_REVIEW.")
async def retry_submission(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the submission.")],  # noqa: A002
) -> RetrySubmissionResult:
    """Put a submission back to the start."""
    services = info.context.services
    row = await services.workers.database.run(reviews.retry_submission, services.database, submission_id=str(id))
    return Submission.of_row(row)
