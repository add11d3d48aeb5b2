"""Removing what stayed in the submission bucket beyond its time: rejected files, and uploads that nobody completed."""

from datetime import timedelta

from musicfp.catalog import submissions
from musicfp.catalog.engine import utc_now
from musicfp.pipeline.context import StageContext


def expire_old_submissions(context: StageContext, *, limit: int = 1000) -> int:
    """Delete the objects of decided submissions older than MUSICFP_SUBMISSION_TTL_DAYS; return how many. Idempotent."""
    before = utc_now() - timedelta(days=context.settings.submission_ttl_days)
    with context.database.read() as session:
        old = submissions.kept_objects_before(session, before, limit=limit)
    n_expired = 0
    for row in old:
        if not context.store.delete_unless_replaced(context.settings.submission_bucket, row.object_key, etag=row.etag):
            continue  # another upload under the same key: discovery takes it
        with context.database.write() as session:
            submissions.mark_object_gone(session, row.id)
            current = submissions.get(session, row.id)
            if current is not None and current.status == "NEEDS_REVIEW":
                submissions.decide(session, current, "EXPIRED")
        n_expired += 1
    return n_expired
