"""A feature that costs next to nothing, for `bench.backfill`: what remains is what getting it for a track costs."""

from collections.abc import Iterable

from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, measured

EXTRACTOR = "bench_samples"


@extractor(
    name=EXTRACTOR,
    version="1",
    description="Number of decoded samples.",
    values=(FeatureSpec("bench.samples", unit="samples", description="Decoded samples of one channel."),),
    cost_s_per_min=0.0,
)
def count_samples(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report what is known without looking at a sample."""
    yield measured("bench.samples", round(audio.duration_s * 44_100))
