"""The engine of essentia's Discogs-EffNet embedding and of the classifiers that read it.

Here: running the graphs. Not here: what their numbers mean (`zoo`).
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.models.entry import ModelEntry

MIN_DURATION_S = 3.0  # a patch has 128 frames of 16 ms


def effnet_embeddings(mono_16k: NDArray[np.float32], entry: ModelEntry, path: Path) -> NDArray[np.float32]:
    """Return the embedding of each patch of 2 s, a new one every second. Shape (n_patches, 1280)."""
    return np.asarray(_embedder(path, entry.output_nodes[0])(mono_16k), dtype=np.float32)


def run_head(embeddings: NDArray[np.float32], entry: ModelEntry, path: Path) -> NDArray[np.float32]:
    """Return the probabilities of a head's classes for each embedding. Shape (n_patches, n_classes)."""
    return np.asarray(_head(path, entry.input_node, entry.output_nodes[0])(embeddings), dtype=np.float32)


@cache
def _embedder(path: Path, output_node: str) -> Any:
    return essentia_standard().TensorflowPredictEffnetDiscogs(graphFilename=str(path), output=output_node)


@cache
def _head(path: Path, input_node: str, output_node: str) -> Any:
    return essentia_standard().TensorflowPredict2D(graphFilename=str(path), input=input_node, output=output_node)
