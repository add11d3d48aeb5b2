"""The derive automation: one sensor per stage that requests runs for what tracks lack, and the one that tries again.

Each asks the catalogue's work queue, whose cost is that of what is missing. (Dagster's automation conditions cost 0.08
ms per asset and partition at every tick, missing or not: minutes at 100,000 tracks.)
"""

from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog import derivations
from musicfp.catalog.derivations import PendingTrack
from musicfp.catalog.engine import Database
from musicfp_assets.partitions import TRACKS
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import ONLY_MISSING_TAG, first_stretch, has_unfinished_run, must_wait, range_request
from musicfp_assets.sensors.pausing import Tick, unless_paused

TICK_INTERVAL_S = 5
RETRY_INTERVAL_S = 60


def build_derive_sensor(
    name: str,
    job: UnresolvedAssetJobDefinition,
    *,
    stage_versions: Mapping[str, str],
    all_versions: Mapping[str, str],
    max_tracks: int,
    fed_by: str,
) -> dg.SensorDefinition:
    """Return the sensor of one stage.

    `stage_versions` are its assets, `all_versions` those of every stage. While a run of the job `fed_by` still brings
    tracks, a batch that is not full waits for them: starting a run costs 2 CPU seconds.
    """

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=TICK_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the catalogue which tracks lack an asset at its current version and makes them in batches.",
    )
    def derive_sensor(context: dg.SensorEvaluationContext, musicfp: MusicfpResource) -> Tick:
        return unless_paused(musicfp, lambda: tick(context, musicfp.database()))

    def tick(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
        changed = _bring_up_to_date(database, all_versions)
        if changed:
            context.log.info("queued for all tracks: %s", ", ".join(changed))
        if must_wait(context.instance, job.name):
            return dg.SensorResult()
        with database.read() as session:
            pending = derivations.pending(session, stage_versions, limit_tracks=max_tracks)
        if not pending or (len(pending) < max_tracks and has_unfinished_run(context.instance, fed_by)):
            return dg.SensorResult()
        return _request(context.instance, pending, max_tracks=max_tracks)

    return derive_sensor


def build_retry_sensor() -> dg.SensorDefinition:
    """Return the sensor that puts failed derivations back into the queue when their date has come."""

    @dg.sensor(
        name="retry_sensor",
        target=None,
        minimum_interval_seconds=RETRY_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries failed derivations again, a few times and later each time.",
    )
    def retry_sensor(musicfp: MusicfpResource) -> Tick:
        return unless_paused(musicfp, lambda: tick(musicfp.database()))

    def tick(database: Database) -> dg.SkipReason:
        with database.write() as session:
            n_requeued = derivations.requeue_due_failures(session)
        return dg.SkipReason(f"put {n_requeued} failed derivations back into the queue")

    return retry_sensor


def _bring_up_to_date(database: Database, versions: Mapping[str, str]) -> list[str]:
    with database.read() as session:
        if derivations.queued_versions(session) == dict(versions):
            return []
    # Exclusive: a track that is being accepted at this moment would otherwise miss what is queued here for all tracks.
    with database.exclusive() as session:
        return derivations.bring_up_to_date(session, versions)


def _request(instance: dg.DagsterInstance, pending: list[PendingTrack], *, max_tracks: int) -> dg.SensorResult:
    alike = _lacking_the_same(pending)
    known = TRACKS.get_partition_keys(dynamic_partitions_store=instance)
    already = set(known)
    new_keys = [each.track_id for each in pending if each.track_id not in already]
    batch = first_stretch({each.track_id for each in alike}, [*known, *new_keys], max_keys=max_tracks)
    request = range_request(
        batch,
        asset_selection=[dg.AssetKey(asset) for asset in sorted(alike[0].assets)],
        tags={ONLY_MISSING_TAG: "true"},
    )
    return dg.SensorResult(
        run_requests=[request],
        dynamic_partitions_requests=[TRACKS.build_add_request(new_keys)] if new_keys else [],
    )


def _lacking_the_same(pending: list[PendingTrack]) -> list[PendingTrack]:
    """Return the tracks that lack exactly what the oldest lacks: one run makes the same assets for all its tracks."""
    return [each for each in pending if each.assets == pending[0].assets]
