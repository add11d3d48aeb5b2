"""The automation of the search accelerator: a run when the catalogue has grown enough for one to pay."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from musicfp.catalog.engine import Database
from musicfp.pipeline.search_index import index_lag
from musicfp.settings import Settings
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import must_wait
from musicfp_assets.sensors.pausing import Tick, unless_paused

# Nobody waits for a build: until it is there, searches read what is new from the database.
TICK_INTERVAL_S = 60


def build_search_index_sensor(job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that requests runs of `job`."""

    @dg.sensor(
        name="search_index_sensor",
        job=job,
        minimum_interval_seconds=TICK_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds the search accelerator when there are many tracks and many fingerprints that it lacks.",
    )
    def search_index_sensor(context: dg.SensorEvaluationContext, musicfp: MusicfpResource) -> Tick:
        return unless_paused(musicfp, lambda: tick(context, musicfp.database()))

    def tick(context: dg.SensorEvaluationContext, database: Database) -> dg.RunRequest | dg.SkipReason:
        lag = index_lag(database)
        if not lag.is_worth_a_build(min_tracks=Settings.from_env().search_index_min_tracks):
            return dg.SkipReason(f"{lag.n_tracks} tracks, {lag.lag_fingerprints} fingerprints newer than the build")
        if must_wait(context.instance, job.name):
            return dg.SkipReason("a build is running, or has just failed")
        return dg.RunRequest()

    return search_index_sensor
