"""Embeddings: which features, put behind each other, are the vector by which tracks are compared.

What belongs here: their declarations. What does not: computing features (`musicfp.features`) and searching (`space`).
An embedding whose features nobody computes here is absent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Embedding:
    """A vector of each track: the features with these names, in this order. All of them are vectors."""

    name: str
    description: str
    features: tuple[str, ...]


DEFAULT_EMBEDDING = "timbre"
EMBEDDINGS = (
    Embedding(
        DEFAULT_EMBEDDING,
        "Mean and spread of the mel-frequency cepstrum: instruments, voices and the sound of the recording.",
        ("timbre.mfcc_mean", "timbre.mfcc_std"),
    ),
    Embedding(
        "musicnn_msd",
        "Mean of musicnn's last layer, trained on tags of the Million Song Dataset: style.",
        ("embedding.musicnn_msd",),
    ),
)


def available(declared: Iterable[str], embeddings: Iterable[Embedding] = EMBEDDINGS) -> Mapping[str, Embedding]:
    """Return by name the embeddings all of whose features are among those declared."""
    names = set(declared)
    return {each.name: each for each in embeddings if names.issuperset(each.features)}
