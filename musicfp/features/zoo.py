"""Extractors that need models which are not for commercial use, and are installed on purpose (`musicfp models`).

Until then each says which model is missing. Not here: the models (`models.catalogue`) and how they are run (`effnet`).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.effnet import MIN_DURATION_S, run_head
from musicfp.features.inputs import AudioInputs
from musicfp.features.models.catalogue import DISCOGS_EFFNET, JAMENDO_INSTRUMENT, JAMENDO_MOODTHEME
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.tags import measured_tags, tag_specs
from musicfp.features.values import FeatureValue, ModelMissing, NotMeasurable, Reason, measured

# Not in the catalogue of models: nobody has published a checksum of it.
AUDIOSET_YAMNET = "audioset-yamnet"


@extractor(
    name="embedding_effnet",
    version="1",
    description="An embedding by Discogs-EffNet, trained on the styles of 2 million releases.",
    values=(
        FeatureSpec(
            "embedding.discogs_effnet",
            unit=None,
            description="Embedding of 1280 numbers, mean over the patches: tracks of one style are near each other.",
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "effnet_embeddings"),
    models=(DISCOGS_EFFNET,),
)
def embedding_effnet(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the mean embedding.

    References
    ----------
    P. Alonso-Jimenez, X. Serra, D. Bogdanov, "Music representation learning based on editorial metadata from Discogs",
    ISMIR 2022.

    """
    yield measured("embedding.discogs_effnet", tuple(_embeddings(audio).mean(axis=0).tolist()))


@extractor(
    name="tags_instrument",
    version="1",
    description="Instruments, by a classifier trained on MTG-Jamendo over Discogs-EffNet.",
    values=tag_specs("instrument", JAMENDO_INSTRUMENT),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "effnet_embeddings"),
    models=(DISCOGS_EFFNET, JAMENDO_INSTRUMENT),
)
def tags_instrument(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the probability of each instrument."""
    yield from _head_tags(audio, "instrument", JAMENDO_INSTRUMENT)


@extractor(
    name="tags_moodtheme",
    version="1",
    description="Moods and themes, by a classifier trained on MTG-Jamendo over Discogs-EffNet.",
    values=tag_specs("moodtheme", JAMENDO_MOODTHEME),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "effnet_embeddings"),
    models=(DISCOGS_EFFNET, JAMENDO_MOODTHEME),
)
def tags_moodtheme(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the probability of each mood and theme."""
    yield from _head_tags(audio, "moodtheme", JAMENDO_MOODTHEME)


@extractor(
    name="liveness",
    version="1",
    description="Whether an audience is heard. Only a model of sound events could tell, and none can be installed yet.",
    values=(
        FeatureSpec(
            "event.liveness", unit=None, description="1: recorded before an audience; 0: not.", range=(0.0, 1.0)
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    models=(AUDIOSET_YAMNET,),
)
def liveness(_audio: AudioInputs) -> Iterable[FeatureValue]:
    """Say that the model is missing: clapping and cheering cannot be told from drums and noise by simpler means."""
    raise ModelMissing(AUDIOSET_YAMNET)


def _head_tags(audio: AudioInputs, short_name: str, model: str) -> Iterable[FeatureValue]:
    entry, path = audio.models.require(model)
    yield from measured_tags(short_name, model, run_head(_embeddings(audio), entry, path))


def _embeddings(audio: AudioInputs) -> NDArray[np.float32]:
    embeddings = audio.effnet_embeddings
    if not len(embeddings):
        raise NotMeasurable(Reason.TOO_SHORT)
    return embeddings
