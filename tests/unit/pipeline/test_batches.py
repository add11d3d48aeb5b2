"""How many tracks a run takes."""

import pytest

from musicfp.features.registry import FeatureSpec, Registry, extractor
from musicfp.pipeline.batches import MAX_RUN_TRACKS, RUN_CPU_S, feature_costs, run_tracks

COSTS = {"feature_cheap": 0.0, "feature_dear": 6.0}


@pytest.mark.parametrize(
    ("n_tracks", "duration_s", "assets", "expected"),
    [
        (1000, 6.0, ["feature_cheap"], MAX_RUN_TRACKS),
        (1000, 240.0, ["feature_cheap"], 333),
        (1000, 240.0, ["feature_dear"], 60),
        (40, 240.0, ["feature_dear"], 40),
        (10, 6.0, ["feature_cheap"], 10),
        (0, 6.0, ["feature_cheap"], 0),
    ],
)
def test_cheap_features_are_made_for_more_tracks_at_once(
    n_tracks: int, duration_s: float, assets: list[str], expected: int
) -> None:
    assert run_tracks([duration_s] * n_tracks, assets=assets, costs=COSTS, at_least=60) == expected


def test_the_estimate_is_within_the_time_unless_the_least_is_more() -> None:
    """The first long recording ends a run that is full."""
    durations_s = [60.0] * 100 + [4 * 3600.0] * 10
    n = run_tracks(durations_s, assets=["feature_dear"], costs=COSTS, at_least=10)
    assert 85 < n < 100
    assert n * (0.2 + 6.4) <= RUN_CPU_S
    assert run_tracks(durations_s[::-1], assets=["feature_dear"], costs=COSTS, at_least=10) == 10


def test_an_unmeasured_cost_counts_as_a_high_one() -> None:
    registry = Registry()
    for name, cost in (("measured", 0.1), ("unknown", None)):
        spec = FeatureSpec(f"test.{name}", unit=None, description="Test.")
        extractor(name=name, version="1", description="Test.", values=(spec,), cost_s_per_min=cost, registry=registry)(
            lambda _audio: []
        )
    costs = feature_costs(registry)
    assert costs["feature_measured"] == 0.1
    assert costs["feature_unknown"] >= 1.0
