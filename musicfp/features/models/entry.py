"""What is known of a model before its file is opened.

Here: the types. Not here: the models themselves (`catalogue`), their files (`shelf`) and running them (the engines
`musicfp.features.musicnn`, `silero` and `effnet`).
"""

from dataclasses import dataclass
from enum import StrEnum


class ModelKind(StrEnum):
    """What a model makes of its input."""

    TAGGER = "tagger"
    """Mel spectrogram to tags and an embedding."""
    SPEECH_DETECTOR = "speech detector"
    """Samples to the probability of speech."""
    EMBEDDING = "embedding"
    """Mel spectrogram to an embedding."""
    HEAD = "head"
    """Another model's embedding to tags."""


@dataclass(frozen=True)
class Licence:
    """Under which terms a model's weights may be used. `summary` is what is shown before they are installed."""

    name: str
    url: str
    commercial_use: bool
    summary: str


@dataclass(frozen=True)
class ModelEntry:
    """One version of one model.

    Parameters
    ----------
    name
        How extractors and people call it.
    version
        The publisher's.
    file
        Name of its file.
    url
        Where the file is downloaded from; of a bundled model, the project's page.
    sha256
        Of the file, in hexadecimal. No model is listed without it.
    size_bytes
        Of the file; None where only the checksum is known.
    origin
        Who made it, and what was done to it before it came here.
    bundled
        Whether the file is part of this package.
    input_node, output_nodes
        Names in its graph. The order of the outputs is that in which an engine returns them.
    classes
        Names of the first output's numbers; empty where they have none.

    """

    name: str
    version: str
    kind: ModelKind
    file: str
    url: str
    sha256: str
    size_bytes: int | None
    licence: Licence
    origin: str
    bundled: bool
    sample_rate_hz: int
    input_node: str
    output_nodes: tuple[str, ...]
    classes: tuple[str, ...] = ()
