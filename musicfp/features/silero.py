"""The engine of the speech detector silero-vad: a probability of speech for every 32 ms.

Here: running the model. Not here: what follows for a track (`speech`).
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicfp.features.models.entry import ModelEntry

SAMPLE_RATE_HZ = 16_000
CHUNK_SAMPLES = 512
CHUNK_S = CHUNK_SAMPLES / SAMPLE_RATE_HZ
_CONTEXT_SAMPLES = 64  # of the chunk before, as the publisher's own wrapper passes them
_STATE_SHAPE = (2, 1, 128)


def speech_probabilities(mono_16k: NDArray[np.float32], entry: ModelEntry, path: Path) -> NDArray[np.float32]:
    """Return how probably there is speech in each whole chunk of 32 ms. Shape (n_chunks,).

    Chunk by chunk, because the model hands its state on. Streams side by side would save a third of the time, but the
    state that is missing at their seams turns up to 1 in 500 answers around (measured).
    """
    n_chunks = len(mono_16k) // CHUNK_SAMPLES
    if n_chunks == 0:
        return np.empty(0, dtype=np.float32)
    padded = np.concatenate([np.zeros(_CONTEXT_SAMPLES, dtype=np.float32), mono_16k[: n_chunks * CHUNK_SAMPLES]])
    chunks = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT_SAMPLES + CHUNK_SAMPLES)[::CHUNK_SAMPLES]
    run = _session(path).run
    feed = {"state": np.zeros(_STATE_SHAPE, dtype=np.float32), "sr": np.array(SAMPLE_RATE_HZ, dtype=np.int64)}
    probabilities = np.empty(n_chunks, dtype=np.float32)
    for index in range(n_chunks):
        feed[entry.input_node] = chunks[index : index + 1]
        probability, feed["state"] = run(entry.output_nodes, feed)
        probabilities[index] = probability[0, 0]
    return probabilities


@cache
def _session(path: Path) -> Any:
    """Return a session with one thread, since workers share the cores; it is kept for this process's other tracks."""
    import onnxruntime  # noqa: PLC0415 (the registry must be cheap to import)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
