"""`nothing_left_failed`: the standing list of what failed and is not tried again by itself.

Retries are bounded, and what has used them up would otherwise be silent. What belongs here: the check, its job and its
schedule. What does not: trying again (`retryDerivations`, `retrySubmission`).
"""

import dagster as dg

from musicfp.catalog import derivations
from musicfp.pipeline.versions import SOURCE_AUDIO
from musicfp_assets.resources import MusicfpResource

NOTHING_LEFT_FAILED = "nothing_left_failed"
_MAX_LISTED = 20


@dg.asset_check(
    asset=SOURCE_AUDIO,
    name=NOTHING_LEFT_FAILED,
    description="Lists what of all tracks could not be derived and is not tried again by itself, the oldest first.",
)
def nothing_left_failed(musicfp: MusicfpResource) -> dg.AssetCheckResult:
    """Ask the work queue."""
    with musicfp.database().read() as session:
        counts = derivations.failure_counts(session)
        oldest = derivations.failures(session, limit=_MAX_LISTED, given_up=True)
    n_given_up = sum(given_up for given_up, _ in counts.values())
    listed = [
        dg.TableRecord({"track": row.track_id, "asset": row.asset, "reason": row.error_message or ""}) for row in oldest
    ]
    tables: dict[str, dg.MetadataValue] = {"oldest": dg.MetadataValue.table(records=listed)} if listed else {}
    return dg.AssetCheckResult(
        passed=n_given_up == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{n_given_up} were given up. Remove the cause, then retryDerivations." if n_given_up else None,
        metadata={
            "given_up": n_given_up,
            "to_be_tried_again": sum(waiting for _, waiting in counts.values()),
            "given_up_by_asset": {asset: given_up for asset, (given_up, _) in counts.items() if given_up},
            **tables,
        },
    )


standing_checks_job = dg.define_asset_job(
    "standing_checks_job",
    selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(SOURCE_AUDIO), NOTHING_LEFT_FAILED)),
    description="Look for what is still failed.",
    executor_def=dg.in_process_executor,
)
standing_checks_schedule = dg.ScheduleDefinition(
    name="standing_checks_schedule",
    job=standing_checks_job,
    cron_schedule="29 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Hourly look for what is still failed.",
)
