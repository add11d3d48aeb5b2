"""Everything that Dagster loads, put together. Tests vary what `build_definitions` takes: settings and registry."""

import gc
from functools import partial

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog.work_in_hand import Stage
from musicfp.features.registry import Registry, load_builtin
from musicfp.pipeline.batches import feature_costs
from musicfp.pipeline.versions import INGEST_ASSET_VERSIONS, feature_versions, transcode_versions
from musicfp.settings import Settings
from musicfp_assets.assets.features import build_features
from musicfp_assets.assets.ingest import ingest, submission
from musicfp_assets.assets.recognition_quality import (
    recognition_quality,
    recognition_quality_job,
    recognition_quality_schedule,
)
from musicfp_assets.assets.search_index import SEARCH_INDEX, search_index, search_index_answers
from musicfp_assets.assets.standing_checks import build_feature_coverage, build_standing_checks, nothing_left_failed
from musicfp_assets.assets.transcodes import build_transcodes
from musicfp_assets.deletions import deletion_job, deletion_sensor
from musicfp_assets.housekeeping import expiry_job, expiry_schedule
from musicfp_assets.orphaned_runs import keep_looking
from musicfp_assets.reconciling import reconcile_job, reconcile_schedule
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.retention import retention_job, retention_schedule
from musicfp_assets.sensors.dead_runs import dead_runs_sensor
from musicfp_assets.sensors.derive import build_derive_sensor, build_retry_sensor
from musicfp_assets.sensors.lost_events import build_lost_events_sensor
from musicfp_assets.sensors.notifications import notifications_delivered
from musicfp_assets.sensors.search_index import build_search_index_sensor
from musicfp_assets.sensors.submissions import build_submission_sensor

INGEST_JOB = "ingest_job"
TRANSCODE_JOB = "transcode_job"
FEATURE_JOB = "feature_job"
SEARCH_INDEX_JOB = "search_index_job"


def build_definitions(settings: Settings, registry: Registry) -> dg.Definitions:
    """Return assets, jobs, sensors and schedules for these settings and feature extractors."""
    of_transcodes, of_features = transcode_versions(settings), feature_versions(registry)
    ingest_job = _job(INGEST_JOB, list(INGEST_ASSET_VERSIONS), "Decide a batch of submissions.")
    transcode_job = _job(TRANSCODE_JOB, list(of_transcodes), "Transcode a batch of tracks.", with_checks=False)
    feature_job = _job(FEATURE_JOB, list(of_features), "Analyse a batch of tracks.", with_checks=False)
    search_index_job = _job(SEARCH_INDEX_JOB, [SEARCH_INDEX], "Build the search accelerator.")
    standing_checks_job, standing_checks_schedule = build_standing_checks(registry)
    derive_sensor = partial(
        build_derive_sensor,
        all_versions=lambda: {**of_transcodes, **feature_versions(registry)},
        batch_tracks=settings.derive_batch_tracks,
        fed_by=INGEST_JOB,
    )
    return dg.Definitions(
        assets=[
            submission,
            ingest,
            build_transcodes(settings),
            build_features(registry),
            search_index,
            recognition_quality,
        ],
        asset_checks=[
            search_index_answers,
            nothing_left_failed,
            build_feature_coverage(registry),
            *([notifications_delivered] if settings.sqs_queue_url else []),
        ],
        jobs=[
            ingest_job,
            transcode_job,
            feature_job,
            search_index_job,
            recognition_quality_job,
            standing_checks_job,
            expiry_job,
            deletion_job,
            reconcile_job,
            retention_job,
        ],
        sensors=[
            build_submission_sensor(ingest_job),
            derive_sensor("transcode_sensor", transcode_job, stage=Stage.TRANSCODE, stage_assets=list(of_transcodes)),
            derive_sensor(
                "feature_sensor",
                feature_job,
                stage=Stage.FEATURES,
                stage_assets=list(of_features),
                costs=feature_costs(registry),
            ),
            build_retry_sensor(),
            build_lost_events_sensor(
                [
                    (ingest_job, list(INGEST_ASSET_VERSIONS)),
                    (transcode_job, list(of_transcodes)),
                    (feature_job, list(of_features)),
                ]
            ),
            build_search_index_sensor(search_index_job),
            dead_runs_sensor,
            deletion_sensor,
        ],
        schedules=[
            expiry_schedule,
            recognition_quality_schedule,
            reconcile_schedule,
            standing_checks_schedule,
            retention_schedule,
        ],
        resources={"musicfp": MusicfpResource()},
        executor=dg.in_process_executor,  # a stage brings its own processes; one per step would only cost start-up time
    )


def _job(name: str, assets: list[str], description: str, *, with_checks: bool = True) -> UnresolvedAssetJobDefinition:
    selection: dg.AssetSelection = dg.AssetSelection.assets(*assets)
    return dg.define_asset_job(
        name,
        selection=selection if with_checks else selection.without_checks(),
        description=description,
        executor_def=dg.in_process_executor,
    )


defs = build_definitions(Settings.from_env(), load_builtin())
keep_looking()
# What is loaded by now stays, so no collection needs to look at it. Those at the end of the interpreter cost each run
# worker 0.8 CPU s (docs/decisions/0002).
gc.freeze()
