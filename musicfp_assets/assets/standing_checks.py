"""How things stand, checked every hour: what failed and is not tried again, and what features tracks lack.

`nothing_left_failed`: retries are bounded, and what has used them up would otherwise be silent. `all_tracks_have_it` of
each feature: a backfill that does not get on would be. What belongs here: the checks, their job and its schedule. What
does not: trying again (`retryDerivations`, `retrySubmission`) and asking for what is missing (`sensors.derive`).
"""

from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog import derivations
from musicfp.catalog.coverage import Coverage, coverage
from musicfp.features.registry import Registry
from musicfp.pipeline.versions import SOURCE_AUDIO, feature_versions
from musicfp_assets.metadata import share
from musicfp_assets.resources import MusicfpResource

NOTHING_LEFT_FAILED = "nothing_left_failed"
ALL_TRACKS_HAVE_IT = "all_tracks_have_it"
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


def build_feature_coverage(registry: Registry) -> dg.AssetChecksDefinition:
    """Return the check of every feature asset, all made by one query."""
    versions = feature_versions(registry)
    description = "Warns while there are tracks that lack this feature in its present version, with the numbers."

    @dg.multi_asset_check(
        name="feature_coverage",
        specs=[dg.AssetCheckSpec(ALL_TRACKS_HAVE_IT, asset=asset, description=description) for asset in versions],
        can_subset=True,
    )
    def feature_coverage(
        context: dg.AssetCheckExecutionContext, musicfp: MusicfpResource
    ) -> Iterator[dg.AssetCheckResult]:
        """Count what is missing of the selected assets."""
        selected = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
        with musicfp.database().snapshot() as session:
            counted = coverage(session, {asset: version for asset, version in versions.items() if asset in selected})
        yield from map(_coverage_result, counted)

    return feature_coverage


def build_standing_checks(registry: Registry) -> tuple[UnresolvedAssetJobDefinition, dg.ScheduleDefinition]:
    """Return the job that makes all standing checks, and its schedule."""
    job = dg.define_asset_job(
        "standing_checks_job",
        selection=dg.AssetSelection.checks(
            dg.AssetCheckKey(dg.AssetKey(SOURCE_AUDIO), NOTHING_LEFT_FAILED),
            *(dg.AssetCheckKey(dg.AssetKey(asset), ALL_TRACKS_HAVE_IT) for asset in feature_versions(registry)),
        ),
        description="Look for what is still failed, and for features that tracks lack.",
        executor_def=dg.in_process_executor,
    )
    schedule = dg.ScheduleDefinition(
        name="standing_checks_schedule",
        job=job,
        cron_schedule="29 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Hourly look for what is still failed or missing.",
    )
    return job, schedule


def _coverage_result(counted: Coverage) -> dg.AssetCheckResult:
    missing = f"{counted.n_pending} are still to be made, {counted.n_failed} failed, {counted.n_outdated} are older."
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(counted.asset),
        check_name=ALL_TRACKS_HAVE_IT,
        passed=counted.n_done == counted.n_tracks,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if counted.n_done == counted.n_tracks else missing,
        metadata={
            "version": counted.version,
            "tracks": counted.n_tracks,
            "done": counted.n_done,
            "pending": counted.n_pending,
            "failed": counted.n_failed,
            "outdated": counted.n_outdated,
            "share": share(counted.share),
            "tracks_by_version": dict(counted.n_by_version),
        },
    )
