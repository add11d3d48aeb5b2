"""How many tracks one run of the feature stage takes.

What belongs here: the estimate. What does not: which tracks (`musicfp.catalog.derivations`) and asking for the run.

A run costs some CPU seconds before its first track, for starting itself and its workers. Where the features that are
missing cost much, that does not show; where one cheap feature is made for a whole catalogue it would be most of the
work, so a run then takes as many tracks as keep it busy for a while.
"""

from collections.abc import Iterable, Mapping

from musicfp.features.registry import Registry
from musicfp.pipeline.versions import feature_asset

# About five minutes of two cores: new tracks wait no longer than that for the run before theirs.
RUN_CPU_S = 600.0
MAX_RUN_TRACKS = 500
# Download, probe and start of the decoder; decoding a minute. Measured on MP3 and FLAC.
_TRACK_CPU_S = 0.2
_DECODE_S_PER_MIN = 0.4
# As the most expensive that come with musicfp: an extractor whose cost nobody measured makes no run long.
_UNKNOWN_S_PER_MIN = 1.5


def feature_costs(registry: Registry) -> dict[str, float]:
    """Return the CPU seconds per minute of audio of each feature asset, on the high side where nobody measured."""
    return {
        feature_asset(each): _UNKNOWN_S_PER_MIN if each.cost_s_per_min is None else each.cost_s_per_min
        for each in registry.all()
    }


def run_tracks(
    durations_s: Iterable[float], *, assets: Iterable[str], costs: Mapping[str, float], at_least: int
) -> int:
    """Return how many of these tracks, in this order, one run should take for these assets.

    `at_least` of them, and then as many as stay within RUN_CPU_S together, up to MAX_RUN_TRACKS.
    """
    s_per_min = _DECODE_S_PER_MIN + sum(costs[asset] for asset in assets)
    n, total_s = 0, 0.0
    for duration_s in durations_s:
        total_s += _TRACK_CPU_S + duration_s / 60 * s_per_min
        if n >= MAX_RUN_TRACKS or (n >= at_least and total_s > RUN_CPU_S):
            break
        n += 1
    return n
