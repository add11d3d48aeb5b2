"""Removing what stayed in the submission bucket beyond its time: rejected files, and uploads that nobody completed."""

from datetime import datetime, timedelta
from functools import partial

from musicfp.catalog import submissions
from musicfp.catalog.engine import utc_now
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.submission_pages import in_pages

# Longer than a ticket lives at most by default, and what the bucket's own rule allows other tools for a large file.
STALE_PARTS_AFTER = timedelta(days=1)


def expire_old_submissions(context: StageContext, *, limit: int = 1000) -> int:
    """Delete the objects of decided submissions older than MUSICFP_SUBMISSION_TTL_DAYS; return how many. Idempotent."""
    before = utc_now() - timedelta(days=context.settings.submission_ttl_days)
    old = partial(submissions.kept_objects_before, before=before)
    n_expired = 0
    for row in in_pages(context.database, old, limit=limit):
        if not context.store.delete_unless_replaced(context.settings.submission_bucket, row.object_key, etag=row.etag):
            continue  # another upload under the same key: discovery takes it
        with context.database.write() as session:
            submissions.mark_object_gone(session, row.id)
            current = submissions.get(session, row.id)
            if current is not None and current.status == "NEEDS_REVIEW":
                submissions.decide(session, current, "EXPIRED")
        n_expired += 1
    return n_expired


def abort_stale_parts(context: StageContext, *, begun_before: datetime | None = None) -> int:
    """Abort uploads in parts that nobody completed, also those that no row knows; return how many. Idempotent.

    A ticket that was lost on its way to the database, and other tools that were killed, leave parts behind that no
    listing of objects shows and that cost as much as files. The default time is beyond the life of every ticket.
    """
    bucket, settings = context.settings.submission_bucket, context.settings
    longest = max(STALE_PARTS_AFTER, timedelta(seconds=settings.upload_expiry_s))
    before = begun_before or utc_now() - longest
    stale = [each for each in context.store.list_multiparts(bucket) if each.begun_at < before]
    for each in stale:
        context.store.abort_multipart(bucket, each.key, each.upload_id)
    return len(stale)
