"""The extractor of speech: how much of what sounds is somebody talking."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.models.catalogue import SILERO_VAD
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.silero import CHUNK_SAMPLES
from musicfp.features.speech_heuristic import speech_likelihood
from musicfp.features.values import FeatureValue, ModelMissing, measured

MIN_DURATION_S = 3.0
# A chunk this far below the loud ones (95th percentile) is a pause, and says nothing about speech or music.
PAUSE_DB = -25.0
HEURISTIC_CONFIDENCE = 0.3


@extractor(
    name="speechiness",
    version="1",
    description="Speech against music, by the speech detector silero; without it, by how level and crossings move.",
    values=(
        FeatureSpec(
            "vocal.speechiness",
            unit=None,
            description="Mean probability of speech where there is no pause: talk is near 1, music, sung too, near 0.",
            range=(0.0, 1.0),
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("mono_16k", "speech_probabilities"),
    cost_s_per_min=0.3,
    models=(SILERO_VAD,),
)
def speechiness(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report speechiness, surer the farther from one half; without the model with a low confidence.

    References
    ----------
    Silero Team, "Silero VAD: pre-trained enterprise-grade voice activity detector", 2021.

    """
    mono = audio.mono_16k
    try:
        answer = speech_share(mono, audio.speech_probabilities)
        confidence = abs(2 * answer - 1)
    except ModelMissing:
        answer, confidence = speech_likelihood(mono), HEURISTIC_CONFIDENCE
    yield measured("vocal.speechiness", answer, confidence=confidence)


def speech_share(mono_16k: NDArray[np.float32], probabilities: NDArray[np.float32]) -> float:
    """Return the mean of `probabilities` over the chunks that are no pauses.

    Parameters
    ----------
    mono_16k
        Not silent. [shape=(n_samples,)]
    probabilities
        Of speech, one for each 512 samples. [shape=(n_chunks,)]

    """
    chunks = mono_16k[: len(probabilities) * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
    rms = np.sqrt(np.einsum("ij,ij->i", chunks, chunks) / CHUNK_SAMPLES)
    floor = np.percentile(rms, 95) * 10 ** (PAUSE_DB / 20)
    return float(np.clip(probabilities[rms >= floor].mean(), 0, 1))
