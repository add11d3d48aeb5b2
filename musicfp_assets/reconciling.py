"""The reconcile schedule: deletes what the store keeps for nobody. Idempotent; counts are metadata of the run."""

from dataclasses import asdict
from datetime import timedelta

import dagster as dg

from musicfp.pipeline.reconcile import UNUSED_FOR, reconcile
from musicfp_assets.resources import MusicfpResource


class ReconcileConfig(dg.Config):
    """How long an object must have been without a name. Lower it only while no stage runs."""

    unused_for_s: int = int(UNUSED_FOR.total_seconds())


@dg.op(description="Delete objects that no row names, abort uploads in parts that nobody waits for.")
def reconcile_store(context: dg.OpExecutionContext, config: ReconcileConfig, musicfp: MusicfpResource) -> None:
    """Hold the source and the transcode bucket against the catalogue."""
    done = reconcile(musicfp.stage(context.run_id), unused_for=timedelta(seconds=config.unused_for_s))
    context.add_output_metadata({name: dg.MetadataValue.int(count) for name, count in asdict(done).items()})


@dg.job(
    name="reconcile_job",
    description="Delete what the store keeps for nobody.",
    executor_def=dg.in_process_executor,
)
def reconcile_job() -> None:
    """Run the reconciliation as one step."""
    reconcile_store()


reconcile_schedule = dg.ScheduleDefinition(
    name="reconcile_schedule",
    job=reconcile_job,
    cron_schedule="29 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Nightly deletion of objects that no row names.",
)
