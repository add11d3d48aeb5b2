"""The engine of musicnn's taggers: one run of the graph gives tags and embedding of every patch of a track.

Here: mel patches, which all musicnn models share, and running a graph on them. Not here: what tags mean (`tags`) and
which graphs there are (`models`).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia, essentia_standard
from musicfp.features.models.entry import ModelEntry

SAMPLE_RATE_HZ = 16_000
PATCH_FRAMES = 187  # 3 s; patches follow each other without overlap, at half the cost of the default overlap
N_BANDS = 96
_FRAME_SAMPLES = 512
_HOP_SAMPLES = 256
# Small batches stay in the processor's cache: 32 patches at a time cost a third more CPU than 2 (measured).
_BATCH_PATCHES = 2


@dataclass(frozen=True)
class MusicnnOutput:
    """What one model says of each patch, in order.

    Parameters
    ----------
    tags
        Probabilities, 0 to 1. [shape=(n_patches, n_classes)]
    embeddings
        Of the last hidden layer. [shape=(n_patches, 200)]

    """

    tags: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def mel_patches(mono_16k: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-mel spectrogram in whole patches of 3 s; a remainder is left out. Shape (n_patches, 187, 96).

    The same as essentia's TensorflowPredictMusiCNN computes inside, where every model would compute it anew.
    """
    standard = essentia_standard()
    to_bands = standard.TensorflowInputMusiCNN()
    frames = standard.FrameGenerator(mono_16k, frameSize=_FRAME_SAMPLES, hopSize=_HOP_SAMPLES, startFromZero=False)
    bands = np.array([to_bands(frame) for frame in frames], dtype=np.float32).reshape(-1, N_BANDS)
    n_patches = len(bands) // PATCH_FRAMES
    return bands[: n_patches * PATCH_FRAMES].reshape(n_patches, PATCH_FRAMES, N_BANDS)


def run_musicnn(patches: NDArray[np.float32], entry: ModelEntry, path: Path) -> MusicnnOutput:
    """Run a model on at least one patch.

    Parameters
    ----------
    patches
        From `mel_patches`. [shape=(n_patches, 187, 96)]
    entry, path
        The model, whose first output are tags and whose second is the embedding, and its file.

    """
    tags_node, embedding_node = entry.output_nodes
    predict = _graph(path, entry.input_node, entry.output_nodes)
    tags, embeddings = [], []
    for first in range(0, len(patches), _BATCH_PATCHES):
        pool = essentia().Pool()
        pool.set(entry.input_node, patches[first : first + _BATCH_PATCHES, np.newaxis])
        answer = predict(pool)
        tags.append(answer[tags_node].reshape(-1, len(entry.classes)))
        embeddings.append(answer[embedding_node].reshape(len(tags[-1]), -1))
    return MusicnnOutput(tags=np.concatenate(tags), embeddings=np.concatenate(embeddings))


@cache
def _graph(path: Path, input_node: str, output_nodes: tuple[str, ...]) -> Any:
    """Return a loaded graph, kept for the other tracks of this process."""
    return essentia_standard().TensorflowPredict(
        graphFilename=str(path), inputs=[input_node], outputs=list(output_nodes)
    )
