"""Why a submission has no verdict yet."""

from datetime import datetime
from enum import Enum

import strawberry

from graphql_api.context import Info
from graphql_api.readiness import PARTS_OF_WORK
from graphql_api.waiting_line import MAX_PLACES
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow


@strawberry.enum(description="Why a submission has no verdict yet.")
class WaitingCode(Enum):
    """What a submission may wait for."""

    UPLOAD = strawberry.enum_value("UPLOAD", description="For its file.")
    PAUSED = strawberry.enum_value("PAUSED", description="For a part of the system that does not work just now.")
    PUT_OFF = strawberry.enum_value("PUT_OFF", description="For another attempt, because the last one broke.")
    QUEUED = strawberry.enum_value("QUEUED", description="For its turn, or it is being looked at now.")


@strawberry.type(description="Why a submission has no verdict yet. It goes on by itself.")
class Waiting:
    """What is told of a submission that waits."""

    code: WaitingCode = strawberry.field(description="What it waits for.")
    message: str = strawberry.field(description="The same in words, with the cause.")
    until: datetime | None = strawberry.field(description="When that ends at the latest; null if nobody knows.")
    ahead: int | None = strawberry.field(
        description="How many submissions are taken before it, as submitters take turns; null unless QUEUED, and when "
        f"more than {MAX_PLACES} are, or it came within the last seconds."
    )


async def waiting_of(row: SubmissionRow, info: Info) -> Waiting | None:
    """Return why a submission has no verdict, None if it has one."""
    if row.status == "AWAITING_UPLOAD":
        message = "The file has not arrived. PUT it to the address of its ticket before that expires."
        return Waiting(code=WaitingCode.UPLOAD, message=message, until=row.upload_expires_at, ahead=None)
    if row.status != "RECEIVED":
        return None
    problems = await info.context.readiness.check()
    broken = next((part for part in PARTS_OF_WORK if problems.get(part) is not None), None)
    if broken is not None:
        message = f"Nothing is decided until this works again: {broken} {problems[broken]}"
        return Waiting(code=WaitingCode.PAUSED, message=message, until=None, ahead=None)
    if row.next_attempt_at is not None and row.next_attempt_at > utc_now():
        message = f"Attempt {row.attempts} broke, it is tried again: {row.put_off_because or 'the cause was not kept'}"
        return Waiting(code=WaitingCode.PUT_OFF, message=message, until=row.next_attempt_at, ahead=None)
    ahead = await info.context.waiting_line.n_before(row.id)
    return Waiting(code=WaitingCode.QUEUED, message=_queued(ahead), until=None, ahead=ahead)


def _queued(ahead: int | None) -> str:
    if ahead is None:
        return f"It has just come, or more than {MAX_PLACES} are taken before it; submitters take turns."
    if ahead == 0:
        return "It is next, or being looked at now."
    return f"{ahead} are taken before it, unless it is being looked at already; submitters take turns."
