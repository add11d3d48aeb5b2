"""Extractors of what people know from Spotify's audio features, as far as tags tell: proxies, and named as such.

Spotify never published how it computes these, and there is no labelled music here to measure against. So each is a
formula on the probabilities of musicnn's tags that anybody can follow, with a confidence that never passes
MAX_CONFIDENCE. Not here: the tags themselves (`tags`).
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from musicfp.features.inputs import AudioInputs
from musicfp.features.models.catalogue import MODELS, MUSICNN_MSD, MUSICNN_MTT
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.tags import MIN_DURATION_S
from musicfp.features.values import FeatureValue, measured

MAX_CONFIDENCE = 0.3
# Half way between instrumental music and voices: two tracks that are sung had a vocal score of .27, thirteen of
# fourteen instrumental ones at most .1, the other .18.
VOCAL_THRESHOLD = 0.2
_STEEPNESS = 2.0
# What is added to both sides of a balance, so that few and weak tags give an answer near the middle.
_PRIOR = 0.05

VOCAL_TAGS = (
    "vocal", "female", "opera", "male", "singing", "vocals", "woman", "male vocal", "man", "choir", "voice",
    "male voice", "female vocal", "female voice", "choral",
)  # fmt: skip
ACOUSTIC_TAGS = (
    "classical", "strings", "piano", "violin", "opera", "harpsichord", "flute", "sitar", "classic", "choir", "harp",
    "cello", "choral", "solo",
)  # fmt: skip
ELECTRIC_TAGS = ("techno", "electronic", "rock", "synth", "dance", "beat", "beats", "metal", "pop")
POSITIVE_TAGS = ("happy", "party", "dance", "catchy", "funk", "soul", "easy listening")
NEGATIVE_TAGS = ("sad", "metal", "heavy metal", "ambient", "experimental", "alternative", "Mellow")


@extractor(
    name="instrumentalness",
    version="1",
    description="How little is sung or spoken: a proxy from the vocal tags of musicnn; a rough guess.",
    values=(
        FeatureSpec(
            "vocal.instrumentalness",
            unit=None,
            description="1: no voice; 0: voices. Proxy: 1 / (1 + (v / 0.2)^2), v the strongest of 15 vocal tags.",
            range=(0.0, 1.0),
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "musicnn"),
    cost_s_per_min=0.0,
    models=(MUSICNN_MTT,),
)
def instrumentalness(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report instrumentalness, least sure where the vocal tags are near their threshold."""
    answer = instrumentalness_of(mean_tags(audio, MUSICNN_MTT))
    yield measured("vocal.instrumentalness", answer, confidence=_confidence(answer))


@extractor(
    name="acousticness",
    version="1",
    description="How acoustic the instruments are: a proxy from tags of musicnn; a rough guess.",
    values=(
        FeatureSpec(
            "timbre.acousticness",
            unit=None,
            description="1: acoustic; 0: electric or electronic. Proxy: the balance of 14 tags against 9.",
            range=(0.0, 1.0),
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "musicnn"),
    cost_s_per_min=0.0,
    models=(MUSICNN_MTT,),
)
def acousticness(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report acousticness, least sure where both sides weigh the same."""
    answer = balance(mean_tags(audio, MUSICNN_MTT), ACOUSTIC_TAGS, ELECTRIC_TAGS)
    yield measured("timbre.acousticness", answer, confidence=_confidence(answer))


@extractor(
    name="valence",
    version="1",
    description="How positive the mood is: a proxy from what Last.fm's listeners call such music; a rough guess.",
    values=(
        FeatureSpec(
            "mood.valence",
            unit=None,
            description="1: happy; 0: sad or angry. Proxy: the balance of 7 tags against 7.",
            range=(0.0, 1.0),
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "musicnn"),
    cost_s_per_min=0.0,
    models=(MUSICNN_MSD,),
)
def valence(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report valence, least sure where both sides weigh the same."""
    answer = balance(mean_tags(audio, MUSICNN_MSD), POSITIVE_TAGS, NEGATIVE_TAGS)
    yield measured("mood.valence", answer, confidence=_confidence(answer))


def mean_tags(audio: AudioInputs, model: str) -> dict[str, float]:
    """Return the probability of each tag of a musicnn model, mean over the track."""
    means = audio.musicnn(model).tags.mean(axis=0)
    return dict(zip(MODELS[model].classes, means.tolist(), strict=True))


def instrumentalness_of(tags: Mapping[str, float]) -> float:
    """Return 1 without a voice, 0.5 where the strongest vocal tag is at VOCAL_THRESHOLD, and less above."""
    vocal = max(tags[name] for name in VOCAL_TAGS)
    return float(1 / (1 + (vocal / VOCAL_THRESHOLD) ** _STEEPNESS))


def balance(tags: Mapping[str, float], positive: Sequence[str], negative: Sequence[str]) -> float:
    """Return the share of `positive` among the summed probabilities of both sides; 0.5 when neither is heard."""
    for_it = sum(tags[name] for name in positive) + _PRIOR
    against = sum(tags[name] for name in negative) + _PRIOR
    return float(for_it / (for_it + against))


def _confidence(answer: float) -> float:
    """Return 0 for an answer in the middle, MAX_CONFIDENCE for one at either end."""
    return float(MAX_CONFIDENCE * np.clip(abs(2 * answer - 1), 0, 1))
