"""Fingerprints of decoded samples, made as the product makes them.

What belongs here: the one call into the product that everything else here needs. What does not: searching.
"""

import numpy as np
from numpy.typing import NDArray

from eval.degrade import QUERY_RATE_HZ
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.model import Fingerprint


def fingerprint_of(samples: NDArray[np.int16], *, rate_hz: int = QUERY_RATE_HZ) -> Fingerprint:
    """Fingerprint mono samples [shape=(n,)]; another rate than theirs plays them slower or faster."""
    return fingerprint_pcm([samples.astype("<i2", copy=False).tobytes()], sample_rate_hz=rate_hz, n_channels=1)
