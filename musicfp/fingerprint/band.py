"""The second fingerprint of a track, of what a telephone or a small speaker lets through.

What belongs here: whole recordings to their fingerprint of 300 to 3400 Hz, in bounded memory. What does not: the first
fingerprint, which the library makes (`chromaprint`), and hearing queries in this way (`listening`).

A telephone takes away the bass, where much of the energy that Chromaprint hears is, and with it the ordinary
fingerprint: of clips through one, that alone ranks a fifth to a third first, with this one beside it 98 of 100.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.chroma_image import FRAME_SAMPLES, PITCH_CLASSES, SMOOTHED_FRAMES, chroma_image, power_spectra
from musicfp.fingerprint.classifiers import classifier_values, items_of
from musicfp.fingerprint.listening import BANDS
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, HOP_SAMPLES, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind

# Raise it when the same samples give other items.
BAND_FINGERPRINTER_VERSION = "band-300-3400-1"
# Spectra of 128 frames are 1.3 MB and stay in the processor's cache. 1024 at once take twice the time; those of four
# hours would be 1.2 GB.
BLOCK_COLUMNS = 128


def band_fingerprint(samples: NDArray[np.int16], *, block_columns: int = BLOCK_COLUMNS) -> Fingerprint:
    """Fingerprint what of a recording lies between 300 and 3400 Hz.

    Parameters
    ----------
    samples
        NDArray[np.int16] [shape=(n_samples,)], mono, at 11025 Hz: what the ordinary fingerprint was made from.
    block_columns
        Columns of the image that are made at once. Makes no difference to the items.

    Returns
    -------
    Fingerprint
        With as many items as the ordinary one; none of audio that is too short for one.

    """
    image = np.concatenate(list(_image_in_blocks(samples, block_columns)) or [np.zeros((0, PITCH_CLASSES))])
    items = items_of(classifier_values(image))
    return Fingerprint.of_items(items, audio_duration_s=samples.size / ANALYSIS_RATE_HZ)


def _image_in_blocks(samples: NDArray[np.int16], block_columns: int) -> Iterator[NDArray[np.float64]]:
    n_frames = (samples.size - FRAME_SAMPLES) // HOP_SAMPLES + 1
    # A column needs the frames after it as well, which the next block computes again.
    frames_of_block = block_columns + SMOOTHED_FRAMES - 1
    block_samples = (frames_of_block - 1) * HOP_SAMPLES + FRAME_SAMPLES
    for first in range(0, n_frames - SMOOTHED_FRAMES + 1, block_columns):
        start = first * HOP_SAMPLES
        yield chroma_image(power_spectra(samples[start : start + block_samples]), band=BANDS[FingerprintKind.BAND])
