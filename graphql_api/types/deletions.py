"""Deletions of tracks: what was removed, when and why."""

from datetime import datetime

import strawberry

from musicfp.catalog.tables import DeletionRow
from musicfp.pipeline.deletion import RemovedItems as CountedItems
from musicfp.pipeline.deletion import removed_items


@strawberry.type(description="What was removed of one kind.")
class RemovedItems:
    """GraphQL view of a count."""

    kind: str = strawberry.field(
        description="Rows: `track`, `tags`, `fingerprints`, `postings`, `features` and so on. Files: `source_object`, "
        "`transcode_objects`, `upload_object`. Of Dagster: `dagster_partitions`, `dagster_events`. "
        "`verdict_references` are verdicts that rest on the track, and stay."
    )
    count: int = strawberry.field(description="How many.")
    size_bytes: float | None = strawberry.field(description="Size of files together in bytes; null for anything else.")

    @classmethod
    def of_items(cls, items: CountedItems) -> "RemovedItems":
        """Build from a count. A sum of sizes may be larger than GraphQL's Int, so it is a Float."""
        return cls(
            kind=items.kind,
            count=items.count,
            size_bytes=None if items.size_bytes is None else float(items.size_bytes),
        )


@strawberry.type(
    description="The deletion of a track. From `requestedAt` on nobody sees the track and no search finds it; a run of "
    "Dagster removes its files and Dagster's records of it."
)
class TrackDeletion:
    """GraphQL view of a deletion row."""

    track_id: strawberry.ID = strawberry.field(description="Id of the track that was deleted, and of its submission.")
    reason: str | None = strawberry.field(description="Why, as whoever asked for it said.")
    requested_at: datetime = strawberry.field(description="When it was asked for.")
    finished_at: datetime | None = strawberry.field(
        description="When nothing of the track was left; null while something may be."
    )
    run_id: strawberry.ID | None = strawberry.field(
        description="Id of the Dagster run that removed the files; null before that."
    )
    removed: list[RemovedItems] = strawberry.field(
        description="What was removed, by kind. Files and Dagster's records are added when the run has found them."
    )

    @classmethod
    def of_row(cls, row: DeletionRow) -> "TrackDeletion":
        """Build from a deletion."""
        return cls(
            track_id=strawberry.ID(row.track_id),
            reason=row.reason,
            requested_at=row.requested_at,
            finished_at=row.finished_at,
            run_id=None if row.run_id is None else strawberry.ID(row.run_id),
            removed=[RemovedItems.of_items(each) for each in removed_items(row)],
        )
