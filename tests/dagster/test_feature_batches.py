"""How many tracks the feature sensor asks for at a time."""

import dagster as dg
import pytest

from musicfp.catalog import derivations
from musicfp.features.registry import REGISTRY
from musicfp.pipeline.batches import MAX_RUN_TRACKS
from musicfp.pipeline.versions import feature_versions
from musicfp.settings import Settings
from musicfp_assets.assets.features import build_features
from musicfp_assets.definitions import build_definitions
from musicfp_assets.resources import MusicfpResource
from tests.dagster.conftest import Orchestra
from tests.support.accepted import accept_track

CHEAP = "feature_duration"


def _asked(definitions: dg.Definitions, instance: dg.DagsterInstance) -> int:
    """Return how many partitions the tick of a sensor adds, which are those of its run."""
    sensor = next(each for each in definitions.sensors or () if each.name == "feature_sensor")
    with dg.build_sensor_context(instance=instance, resources={"musicfp": MusicfpResource()}) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    if not result.run_requests:
        return 0
    (request,) = result.run_requests
    (added,) = result.dynamic_partitions_requests or ()
    keys = list(added.partition_keys)
    ends = [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    return keys.index(ends[1]) - keys.index(ends[0]) + 1


def test_a_cheap_feature_is_made_for_more_tracks_than_a_batch(
    orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all features together for the batch of the settings."""
    monkeypatch.setenv("MUSICFP_DERIVE_BATCH_TRACKS", "2")
    monkeypatch.setattr("musicfp.pipeline.batches.RUN_CPU_S", 10.0)
    definitions = build_definitions(Settings.from_env(), REGISTRY)
    assert _asked(definitions, orchestra.instance) == 0
    tracks = [accept_track(orchestra.stage.database, number) for number in range(5)]
    assert _asked(definitions, orchestra.instance) == 2
    others = {asset: version for asset, version in feature_versions(REGISTRY).items() if asset != CHEAP}
    with orchestra.stage.database.write() as session:
        for track_id in tracks:
            derivations.mark_done(session, {track_id: others})
    assert _asked(definitions, orchestra.instance) > 2


def test_a_backfill_by_hand_has_few_runs() -> None:
    """Each has to start, which costs as much as a hundred tracks of a cheap feature."""
    policy = build_features(REGISTRY).backfill_policy
    assert policy is not None
    assert policy.max_partitions_per_run == MAX_RUN_TRACKS
