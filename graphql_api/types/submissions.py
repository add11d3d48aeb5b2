"""Submissions: uploads and what became of them."""

from datetime import datetime

import strawberry

from graphql_api.context import Info
from graphql_api.fields import resolved
from graphql_api.types.deletions import TrackDeletion
from graphql_api.types.enums import SubmissionStatus
from graphql_api.types.lineage import Materialization, load_lineage
from graphql_api.types.tracks import Match, Track, load_track, match_of_verdict
from graphql_api.types.waiting import Waiting, waiting_of
from musicfp.catalog.tables import SubmissionRow, VerdictRow


@strawberry.type(description="One reason why an upload was not accepted, in words for the person who made it.")
class Problem:
    """GraphQL view of a problem row."""

    code: str = strawberry.field(description="Stable word for programs, such as `too_short`.")
    message: str = strawberry.field(description="What is wrong and what to do about it.")
    field: str | None = strawberry.field(description="Tag or property at fault, if there is one.")


@strawberry.type(description="What deduplication decided about a submission, and why.")
class Verdict:
    """GraphQL view of a verdict row."""

    row: strawberry.Private[VerdictRow]
    outcome: SubmissionStatus = strawberry.field(description="Status that the submission got by it.")
    reason: str = strawberry.field(description="The decision in one sentence, with its evidence.")
    policy_version: str = strawberry.field(description="Version of the rules that decided.")
    decided_at: datetime = strawberry.field(description="When it was decided.")

    @resolved("The track on which the decision rests, if there is one; null also when that was deleted since.")
    async def match(self, info: Info) -> Match | None:
        """Load the evidence."""
        return await match_of_verdict(info, self.row)

    @classmethod
    def of_row(cls, row: VerdictRow) -> "Verdict":
        """Build from a verdict."""
        return cls(
            row=row,
            outcome=SubmissionStatus(row.outcome),
            reason=row.reason,
            policy_version=row.policy_version,
            decided_at=row.decided_at,
        )


@strawberry.type(description="An upload and what became of it.")
class Submission:
    """GraphQL view of a submission row."""

    row: strawberry.Private[SubmissionRow]
    id: strawberry.ID = strawberry.field(description="Id; the track gets the same if it is accepted.")
    status: SubmissionStatus = strawberry.field(description="What became of it.")
    filename: str = strawberry.field(description="Name of the file on the uploader's side.")
    submitter: str | None = strawberry.field(
        description="Who submitted it: as told with the upload, or the first folder of the key of a file that another "
        "tool dropped. Null if neither says."
    )
    size_bytes: int | None = strawberry.field(description="Size in bytes of what arrived; null before that.")
    created_at: datetime = strawberry.field(description="When the upload was asked for or first seen.")
    received_at: datetime | None = strawberry.field(description="When the file arrived; null before that.")
    decided_at: datetime | None = strawberry.field(description="When it got its final status; null before that.")

    @resolved("Why there is no verdict yet; null once there is one.")
    async def waiting(self, info: Info) -> Waiting | None:
        """Find out what it waits for."""
        return await waiting_of(self.row, info)

    @resolved("Every reason why it was not accepted; empty unless REJECTED or FAILED.")
    async def problems(self, info: Info) -> list[Problem]:
        """Load the problems."""
        rows = await info.context.loaders.problems.load(self.row.id)
        return [Problem(code=row.code, message=row.message, field=row.field) for row in rows]

    @resolved("The track that it became; null unless ACCEPTED, and when the track was deleted: see `trackDeletion`.")
    async def track(self, info: Info) -> Track | None:
        """Load the track of the same id."""
        return await load_track(info, self.row.id) if self.status is SubmissionStatus.ACCEPTED else None

    @resolved(
        "The track that it duplicates, where and how sure; null unless DUPLICATE, and when the track was deleted: see "
        "`trackDeletion`."
    )
    async def duplicate_of(self, info: Info) -> Match | None:
        """Load the evidence of the verdict."""
        if self.status is not SubmissionStatus.DUPLICATE:
            return None
        return await match_of_verdict(info, await info.context.loaders.verdict.load(self.row.id))

    @resolved(
        "The deletion of the track that it became, or on which its verdict rests; null while that is there. Status and "
        "verdict stay as they were decided. The same recording can be submitted again."
    )
    async def track_deletion(self, info: Info) -> TrackDeletion | None:
        """Load the deletion of either."""
        deleted_id: str | None = self.row.id
        if self.status is not SubmissionStatus.ACCEPTED:
            verdict = await info.context.loaders.verdict.load(self.row.id)
            deleted_id = None if verdict is None else verdict.deleted_track_id
        row = None if deleted_id is None else await info.context.loaders.deletion.load(deleted_id)
        return None if row is None else TrackDeletion.of_row(row)

    @resolved("What deduplication decided; null before that, or if it never got so far.")
    async def verdict(self, info: Info) -> Verdict | None:
        """Load the verdict."""
        row = await info.context.loaders.verdict.load(self.row.id)
        return None if row is None else Verdict.of_row(row)

    @resolved("Everything that Dagster made of it, oldest first.")
    async def lineage(self, info: Info) -> list[Materialization]:
        """Load the lineage."""
        return await load_lineage(self.row.id, info)

    @classmethod
    def of_row(cls, row: SubmissionRow) -> "Submission":
        """Build from a submission."""
        return cls(
            row=row,
            id=strawberry.ID(row.id),
            status=SubmissionStatus(row.status),
            filename=row.filename,
            submitter=row.submitter,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            received_at=row.received_at,
            decided_at=row.decided_at,
        )
