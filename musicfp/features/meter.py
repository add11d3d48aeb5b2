"""Extractor of meter: time signature, beats of a bar, their subdivision, where bars begin. Models: `meter_model`."""

from collections.abc import Iterable

import numpy as np

from musicfp.features.beat_grid import find_bar_starts
from musicfp.features.inputs import AudioInputs
from musicfp.features.meter_model import BARS, Bar
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.stretches import Stretch
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, absent, measured

# Bars placed with more than that were right in 97 of 100 pieces of the first tuning seed of eval.features.
MIN_BAR_START_PROBABILITY = 0.7
_SIGNATURES = ", ".join(bar.time_signature for bar in BARS)


@extractor(
    name="meter",
    version="4",
    description=(
        "Time signature by how alike beats are that are whole bars apart: their onsets by band, pitch classes and "
        "accents; compound meters by how beats divide."
    ),
    values=(
        FeatureSpec(
            "rhythm.time_signature",
            unit=None,
            description=f"One of {_SIGNATURES}. 4/4 stands for 2/4 and 2/2 too, 6/8 for 12/8: they sound alike.",
        ),
        FeatureSpec(
            "rhythm.beats_per_bar", unit="beats", description="Beats of `rhythm.tempo` in a bar.", range=(2.0, 7.0)
        ),
        FeatureSpec(
            "rhythm.subdivision", unit=None, description="binary or ternary: what a beat divides into; 6/8 is ternary."
        ),
        FeatureSpec(
            "rhythm.downbeats",
            unit="s",
            description="First beats of bars, from the start of the track; only where they are sure.",
            range=(0.0, 1e6),
        ),
    ),
    min_duration_s=15.0,
    audible=True,
    inputs=("stretches",),
    cost_s_per_min=0.001,
)
def meter(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the kind of bar of the surest stretch with its probability; too few beats are low confidence."""
    stretches = audio.stretches
    bar, probability = stretches[0].rhythm.bar, stretches[0].rhythm.bar_probability
    if bar is None or probability is None:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    yield measured("rhythm.time_signature", bar.time_signature, confidence=probability)
    yield measured("rhythm.beats_per_bar", float(bar.beats), confidence=probability)
    yield measured("rhythm.subdivision", bar.subdivision, confidence=probability)
    yield _downbeats(stretches, bar, probability)


def _downbeats(stretches: Iterable[Stretch], bar: Bar, bar_probability: float) -> FeatureValue:
    instants: list[float] = []
    probabilities: list[float] = []
    for stretch in stretches:
        starts = find_bar_starts(stretch.novelty, stretch.rhythm.beats_s, beats_per_bar=bar.beats)
        if starts is not None:
            instants += (stretch.start_s + starts.beats_s).tolist()
            probabilities.append(starts.probability)
    if not probabilities or min(probabilities) < MIN_BAR_START_PROBABILITY:
        return absent("rhythm.downbeats", Reason.LOW_CONFIDENCE)
    confidence = bar_probability * float(np.mean(probabilities))
    return measured("rhythm.downbeats", tuple(sorted(instants)), confidence=confidence)
