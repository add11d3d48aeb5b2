"""Extractors of tags and embeddings by the two musicnn models that come with musicfp; one run of a model gives both."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.models.catalogue import MODELS, MUSICNN_MSD, MUSICNN_MTT
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, measured

MIN_DURATION_S = 3.0  # one patch
N_TOP = 5
_EMBEDDING = "Embedding of 200 numbers, mean over the patches: tracks that sound alike are near each other."


def tag_specs(short_name: str, model: str) -> tuple[FeatureSpec, FeatureSpec]:
    """Return the declarations of the probabilities of a model's tags and of the text that names the most probable."""
    classes = MODELS[model].classes
    return (
        FeatureSpec(
            f"tags.{short_name}",
            unit=None,
            description=f"Probability of each of {len(classes)} tags, mean over the track; `labels` names them.",
            range=(0.0, 1.0),
            labels=classes,
        ),
        FeatureSpec(
            f"tags.{short_name}_top",
            unit=None,
            description=f"The {N_TOP} most probable of these tags with their probabilities.",
        ),
    )


def measured_tags(short_name: str, model: str, probabilities: NDArray[np.float32]) -> Iterable[FeatureValue]:
    """Return the values that `tag_specs` declares, from the probabilities of each patch.

    Parameters
    ----------
    short_name, model
        As for `tag_specs`.
    probabilities
        [shape=(n_patches, n_classes)]

    """
    mean = probabilities.mean(axis=0)
    yield measured(f"tags.{short_name}", tuple(mean.tolist()))
    yield measured(f"tags.{short_name}_top", top_tags(mean, MODELS[model].classes))


def top_tags(probabilities: NDArray[np.float32], classes: Sequence[str]) -> str:
    """Return the most probable tags as ``guitar 0.61, rock 0.40, ...``; shape (n_classes,)."""
    best = np.argsort(-probabilities, kind="stable")[:N_TOP]
    return ", ".join(f"{classes[index]} {probabilities[index]:.2f}" for index in best)


@extractor(
    name="tags_mtt",
    version="1",
    description="Tags of the MagnaTagATune data set (instruments, voices, styles) and an embedding, by musicnn.",
    values=(
        *tag_specs("mtt", MUSICNN_MTT),
        FeatureSpec("embedding.musicnn_mtt", unit=None, description=_EMBEDDING),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "musicnn"),
    cost_s_per_min=1.4,
    models=(MUSICNN_MTT,),
)
def tags_mtt(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report what musicnn, trained on MagnaTagATune, hears; its published ROC-AUC is .907.

    References
    ----------
    J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR 2019 LBD.

    """
    output = audio.musicnn(MUSICNN_MTT)
    yield from measured_tags("mtt", MUSICNN_MTT, output.tags)
    yield measured("embedding.musicnn_mtt", tuple(output.embeddings.mean(axis=0).tolist()))


@extractor(
    name="tags_msd",
    version="1",
    description="Tags of Last.fm's listeners (genres, moods, decades) and an embedding, by musicnn.",
    values=(
        *tag_specs("msd", MUSICNN_MSD),
        FeatureSpec("embedding.musicnn_msd", unit=None, description=_EMBEDDING),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "musicnn"),
    cost_s_per_min=1.4,
    models=(MUSICNN_MSD,),
)
def tags_msd(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report what musicnn, trained on the Million Song Dataset, hears; its published ROC-AUC is .880.

    References
    ----------
    J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR 2019 LBD.

    """
    output = audio.musicnn(MUSICNN_MSD)
    yield from measured_tags("msd", MUSICNN_MSD, output.tags)
    yield measured("embedding.musicnn_msd", tuple(output.embeddings.mean(axis=0).tolist()))
