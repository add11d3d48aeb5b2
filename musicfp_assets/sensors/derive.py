"""The derive automation: one sensor per stage that requests runs for what tracks lack, and the one that tries again.

Each asks the catalogue's work queue, whose cost is that of what is missing. (Dagster's automation conditions cost 0.08
ms per asset and partition at every tick, missing or not: minutes at 100,000 tracks.)
"""

from collections.abc import Callable, Collection, Mapping

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog import derivations, work_in_hand
from musicfp.catalog.derivations import PendingTrack
from musicfp.catalog.engine import Database
from musicfp.catalog.work_in_hand import Stage
from musicfp.pipeline.batches import MAX_RUN_TRACKS, run_tracks
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
    stage: Stage,
    stage_assets: Collection[str],
    all_versions: Callable[[], Mapping[str, str]],
    batch_tracks: int,
    costs: Mapping[str, float] | None = None,
    fed_by: str,
) -> dg.SensorDefinition:
    """Return the sensor of one stage.

    `stage_assets` are its assets. `all_versions` tells those of every stage with their versions; it is asked at every
    tick, because a model may be installed while this runs. A run takes `batch_tracks` tracks, and more of them where
    `costs` tell that what is missing is cheap (`musicfp.pipeline.batches`). While a run of the job `fed_by` still
    brings tracks, a batch that is not full waits for them: starting a run costs 2 CPU seconds.
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
        changed = _bring_up_to_date(database, all_versions())
        if changed:
            context.log.info("queued for all tracks: %s", ", ".join(changed))
        if must_wait(context.instance, job.name):
            return dg.SensorResult()
        with database.read() as session:
            limit_tracks = batch_tracks if costs is None else MAX_RUN_TRACKS
            pending = derivations.pending(session, stage_assets, limit_tracks=limit_tracks)
            taken = work_in_hand.without_suspects(session, stage, [each.track_id for each in pending])
        if not pending or (len(pending) < batch_tracks and has_unfinished_run(context.instance, fed_by)):
            return dg.SensorResult()
        alike = _lacking_the_same(pending[: len(taken)])
        if costs is not None:
            durations_s = [each.duration_s for each in alike]
            n_tracks = run_tracks(durations_s, assets=alike[0].assets, costs=costs, at_least=batch_tracks)
            alike = alike[:n_tracks]
        return _request(context.instance, pending, alike)

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


def _request(instance: dg.DagsterInstance, pending: list[PendingTrack], alike: list[PendingTrack]) -> dg.SensorResult:
    known = TRACKS.get_partition_keys(dynamic_partitions_store=instance)
    already = set(known)
    new_keys = [each.track_id for each in pending if each.track_id not in already]
    batch = first_stretch({each.track_id for each in alike}, [*known, *new_keys], max_keys=len(alike))
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
