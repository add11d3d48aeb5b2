"""The second fingerprint: the same whatever the blocks, and what a telephone leaves of music still has it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from musicfp.fingerprint.band import BLOCK_COLUMNS, band_fingerprint
from musicfp.fingerprint.chroma_image import FRAME_SAMPLES, Band, chroma_image, power_spectra
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.classifiers import classifier_values, items_of
from musicfp.fingerprint.correlation import bit_error_rate
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, DELAY_SAMPLES, HOP_SAMPLES
from tests.support.audio_samples import music_samples

Samples = NDArray[np.int16]


def music(seed: int, *, length_s: float = 30.0) -> Samples:
    return (music_samples(length_s, seed=seed, sample_rate_hz=ANALYSIS_RATE_HZ)[:, 0] * 32767).astype(np.int16)


def full_items(samples: Samples) -> NDArray[np.uint32]:
    return fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1).sub_fingerprints


def through_a_telephone(samples: Samples) -> Samples:
    """300 to 3400 Hz, and everything else gone as in a telephone network."""
    sections = butter(8, (300, 3400), btype="bandpass", fs=ANALYSIS_RATE_HZ, output="sos")
    return np.clip(sosfiltfilt(sections, samples.astype(np.float64)), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("block_columns", [1, 2, 17, BLOCK_COLUMNS, 100_000])
@pytest.mark.parametrize("extra_samples", [0, 700, HOP_SAMPLES - 1])
def test_blocks_make_no_difference(block_columns: int, extra_samples: int) -> None:
    """However long they are and wherever the recording ends, the items are those of all its spectra at once."""
    samples = music(1)[: FRAME_SAMPLES + 180 * HOP_SAMPLES + extra_samples]
    at_once = items_of(classifier_values(chroma_image(power_spectra(samples), band=Band(300.0, 3400.0))))
    assert at_once.size > BLOCK_COLUMNS
    assert band_fingerprint(samples, block_columns=block_columns).sub_fingerprints.tolist() == at_once.tolist()


@pytest.mark.parametrize(
    ("n_samples", "n_items"),
    [(0, 0), (FRAME_SAMPLES, 0), (DELAY_SAMPLES + HOP_SAMPLES - 1, 0), (DELAY_SAMPLES + HOP_SAMPLES, 1)],
)
def test_it_has_as_many_items_as_the_ordinary_one(n_samples: int, n_items: int) -> None:
    """Also at the shortest lengths, so that an item stands for the same moment in both."""
    samples = music(1)[:n_samples]
    fingerprint = band_fingerprint(samples)
    assert fingerprint.n_items == full_items(samples).size == n_items
    assert fingerprint.audio_duration_s == n_samples / ANALYSIS_RATE_HZ


def test_a_telephone_leaves_this_fingerprint_and_spoils_the_ordinary_one() -> None:
    """What it is for, on several pieces."""
    for seed in range(3):
        samples = music(seed)
        heard = through_a_telephone(samples)
        band = bit_error_rate(band_fingerprint(heard).sub_fingerprints, band_fingerprint(samples).sub_fingerprints)
        full = bit_error_rate(full_items(heard), full_items(samples))
        assert band < 0.08
        assert full > 0.2


def test_the_bass_is_not_heard() -> None:
    """A line below 300 Hz changes the ordinary fingerprint, not this one."""
    samples = music(4)
    time_s = np.arange(samples.size) / ANALYSIS_RATE_HZ
    pitch_hz = 60 * 2 ** (np.random.default_rng(0).integers(0, 12, 120) / 12)
    bass = 12000 * np.sin(2 * np.pi * pitch_hz[(time_s * 4).astype(int)] * time_s)
    with_bass = (samples * 0.6 + bass).astype(np.int16)
    assert bit_error_rate(full_items(with_bass), full_items(samples)) > 0.15
    kept = bit_error_rate(band_fingerprint(with_bass).sub_fingerprints, band_fingerprint(samples).sub_fingerprints)
    assert kept < 0.08
