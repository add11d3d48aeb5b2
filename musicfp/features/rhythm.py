"""Extractors of rhythm: tempo, its likeliest alternative, beats and onsets. Bars are in `meter`."""

from collections.abc import Iterable

import numpy as np

from musicfp.features.inputs import AudioInputs
from musicfp.features.novelty import onsets_per_s
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.stretches import (
    MAX_BPM,
    MIN_BPM,
    tempo_agreement,
    tempo_alternative,
)
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

_TEMPO_RANGE = (MIN_BPM, MAX_BPM)


@extractor(
    name="tempo",
    version="5",
    description=(
        "Tempo: of a beat tracker's and a second estimator's answers and their simple multiples, the one whose beats, "
        "parts and bars come back most clearly."
    ),
    values=(
        FeatureSpec("rhythm.tempo", unit="BPM", description="Beats per minute.", range=_TEMPO_RANGE),
        FeatureSpec(
            "rhythm.tempo_alternative",
            unit="BPM",
            description="The next best answer: mostly half or double the tempo, which is where estimators err.",
            range=_TEMPO_RANGE,
        ),
        FeatureSpec(
            "rhythm.tempo_agreement",
            unit=None,
            description="1: a second estimator is within 4 %; 0.5: it is so up to a factor of 2 or 3; 0: it is not.",
            range=(0.0, 1.0),
        ),
        FeatureSpec(
            "rhythm.tempo_confidence",
            unit=None,
            description="Probability of this tempo among those considered, 0 to 1, as learnt from rendered music.",
            range=(0.0, 1.0),
        ),
        FeatureSpec(
            "rhythm.beats_count", unit="beats", description="Beats found in what was analysed.", range=(0.0, 1e6)
        ),
    ),
    min_duration_s=10.0,
    audible=True,
    inputs=("stretches",),
    cost_s_per_min=0.0,
)
def tempo(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the tempo with its probability, or low confidence for sound that has no pulse.

    References
    ----------
    J. Zapata, M. Davies, E. Gomez, "Multi-feature beat tracking", IEEE/ACM TASLP 22(4), 2014 (essentia's
    RhythmExtractor2013); G. Percival, G. Tzanetakis, "Streamlined tempo estimation based on autocorrelation and
    cross-correlation with pulses", IEEE/ACM TASLP 22(12), 2014 (the second estimator).

    """
    stretches = audio.stretches
    best = stretches[0]
    tempo_bpm = best.rhythm.tempo_bpm
    agreement = tempo_agreement(tempo_bpm, best.second_bpm)
    alternative_bpm = best.rhythm.alternative_bpm or tempo_alternative(tempo_bpm, best.second_bpm)
    yield measured("rhythm.tempo", tempo_bpm, confidence=best.rhythm.tempo_probability)
    yield measured("rhythm.tempo_alternative", alternative_bpm)
    yield measured("rhythm.tempo_agreement", agreement)
    yield measured("rhythm.tempo_confidence", best.rhythm.tempo_probability)
    yield measured("rhythm.beats_count", float(sum(len(stretch.rhythm.beats_s) for stretch in stretches)))


@extractor(
    name="beats",
    version="4",
    description="Beats at the tempo of `rhythm.tempo`, placed on onsets by dynamic programming.",
    values=(
        FeatureSpec("rhythm.beats", unit="s", description="Instants from the start of the track.", range=(0.0, 1e6)),
    ),
    min_duration_s=10.0,
    audible=True,
    inputs=("stretches",),
    cost_s_per_min=0.0,
)
def beats(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report all beats, or low confidence where the tempo has it."""
    stretches = audio.stretches
    instants = np.concatenate([stretch.start_s + stretch.rhythm.beats_s for stretch in stretches])
    confidence = stretches[0].rhythm.tempo_probability
    yield measured("rhythm.beats", tuple(np.sort(instants).tolist()), confidence=confidence)


@extractor(
    name="onset_rate",
    version="1",
    description="How many sounds begin in a second: peaks of onset strength over all bands.",
    values=(
        FeatureSpec("rhythm.onset_rate", unit="1/s", description="Onsets per second of sound.", range=(0.0, 50.0)),
    ),
    min_duration_s=3.0,
    audible=True,
    inputs=("novelty",),
    cost_s_per_min=0.001,
)
def onset_rate(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report onsets per second of what was analysed, silence included; noise and steady tones have none to count."""
    rate = onsets_per_s(audio.novelty)
    if rate is None:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    yield measured("rhythm.onset_rate", rate)
