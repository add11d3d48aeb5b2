"""Which channel is fingerprinted, and that stereo that cancels out is recognised all the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.correlation import bit_error_rate
from musicfp.fingerprint.downmix import Downmix, choose_downmix, fingerprint_samples, mixed
from musicfp.fingerprint.model import Fingerprint

RATE_HZ = 11025


def melody(*, seed: int = 1, length_s: float = 12.0) -> NDArray[np.int16]:
    """Random notes in one channel."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    pitches_hz = 220 * 2 ** (random.integers(0, 24, int(length_s * 4)) / 12)
    tones = np.sin(2 * np.pi * pitches_hz[(time_s * 4).astype(int)] * time_s)
    return (tones * 8000).astype(np.int16)


def fingerprint(left: NDArray[np.int16], right: NDArray[np.int16]) -> tuple[Fingerprint, Downmix]:
    samples = np.stack([left, right], axis=1)
    return fingerprint_samples(np.array_split(samples, 7), sample_rate_hz=RATE_HZ, n_channels=2)


def test_ordinary_stereo_is_heard_as_its_sum_as_the_library_does_it() -> None:
    """The same items as when libchromaprint mixes the channels itself, but for rounding."""
    left, right = melody(seed=1), melody(seed=2)
    found, downmix = fingerprint(left, right)
    stereo = np.stack([left, right], axis=1).astype("<i2").tobytes()
    library = fingerprint_pcm([stereo], sample_rate_hz=RATE_HZ, n_channels=2)
    assert downmix is Downmix.SUM
    assert bit_error_rate(found.sub_fingerprints, library.sub_fingerprints) < 0.01


def test_one_silent_channel_is_no_reason_to_leave_the_sum() -> None:
    """Half the amplitude is still the music."""
    assert fingerprint(melody(), np.zeros_like(melody()))[1] is Downmix.SUM


@pytest.mark.parametrize(("gain", "expected"), [(1.0, Downmix.LEFT), (0.95, Downmix.LEFT), (1.05, Downmix.RIGHT)])
def test_inverted_channels_are_heard_through_the_louder_one(gain: float, expected: Downmix) -> None:
    """What cancels out in the sum is fingerprinted as what a listener hears."""
    left = melody()
    found, downmix = fingerprint(left, (-gain * left).astype(np.int16))
    alone, _ = fingerprint_samples([left[:, np.newaxis]], sample_rate_hz=RATE_HZ, n_channels=1)
    assert downmix is expected
    assert bit_error_rate(found.sub_fingerprints, alone.sub_fingerprints) < 0.02


@pytest.mark.parametrize(("left_gain", "right_gain"), [(1.0, 0.5), (1.0, 0.0), (1.0, -0.9), (0.9, -1.0), (0.0, 0.0)])
def test_the_choice_can_be_made_without_a_fingerprint(left_gain: float, right_gain: float) -> None:
    """It is the one that fingerprinting would make, wherever the samples are cut."""
    stereo = np.stack([(gain * melody()).astype(np.int16) for gain in (left_gain, right_gain)], axis=1)
    _, expected = fingerprint_samples([stereo], sample_rate_hz=RATE_HZ, n_channels=2)
    assert choose_downmix(np.array_split(stereo, 5)) is expected


def test_a_copy_can_be_heard_as_its_source_was() -> None:
    """A given downmix is kept whatever the energies say."""
    stereo = np.stack([melody(seed=1), melody(seed=2)], axis=1)
    found, downmix = fingerprint_samples([stereo], sample_rate_hz=RATE_HZ, n_channels=2, downmix=Downmix.RIGHT)
    alone, _ = fingerprint_samples([mixed(stereo, Downmix.RIGHT)[:, np.newaxis]], sample_rate_hz=RATE_HZ, n_channels=1)
    assert downmix is Downmix.RIGHT
    assert found == alone
