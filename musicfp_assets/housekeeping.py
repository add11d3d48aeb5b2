"""The expiry schedule: ends overdue uploads and removes submissions that are older than the limit. Idempotent.

The bucket's lifecycle rule does the same at its own pace; not every store runs it.
"""

import dagster as dg

from musicfp.pipeline.expiry import abort_stale_parts, expire_old_submissions
from musicfp.pipeline.ingest import forget_decided_objects
from musicfp.pipeline.uploads import expire_overdue_uploads
from musicfp_assets.resources import MusicfpResource

# Of each kind in one hour: half a million a day, at some 10 ms each.
MAX_OBJECTS = 20_000


@dg.op(description="End overdue uploads, delete what was decided and what is too old.")
def expire_submissions(context: dg.OpExecutionContext, musicfp: MusicfpResource) -> None:
    """Do the housekeeping of the submission bucket."""
    stage = musicfp.stage(context.run_id)
    n_overdue = expire_overdue_uploads(stage.database, stage.store, stage.settings, limit=MAX_OBJECTS)
    n_forgotten = forget_decided_objects(stage, limit=MAX_OBJECTS)
    n_old = expire_old_submissions(stage, limit=MAX_OBJECTS)
    n_aborted = abort_stale_parts(stage)
    context.log.info("expired %d uploads, aborted %d that no ticket knows", n_overdue, n_aborted)
    context.log.info("deleted %d decided and %d old objects", n_forgotten, n_old)


@dg.job(name="expiry_job", description="Housekeeping of the submission bucket.", executor_def=dg.in_process_executor)
def expiry_job() -> None:
    """Run the housekeeping as one step."""
    expire_submissions()


expiry_schedule = dg.ScheduleDefinition(
    name="expiry_schedule",
    job=expiry_job,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly housekeeping of the submission bucket.",
)
