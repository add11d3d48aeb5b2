"""The cepstrum's statistics: what changes them, what does not, and what has none."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features import timbre
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import load_builtin
from musicfp.features.spectra import FRAME_SAMPLES, measure_spectra
from musicfp.features.values import FeatureValue, NotMeasurable


def run(samples: NDArray[np.float32]) -> tuple[FeatureValue, ...]:
    return load_builtin([]).get("timbre").run(AudioInputs(samples, sample_rate_hz=synth.RATE_HZ))


def statistics(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return timbre.mfcc_statistics(measure_spectra(samples, sample_rate_hz=synth.RATE_HZ))


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples.mean(axis=1, dtype=np.float32)


def test_music_has_two_vectors_of_thirteen_numbers() -> None:
    values = run(synth.song(12))
    assert [(value.name, len(value.vector or ())) for value in values] == [
        ("timbre.mfcc_mean", 13),
        ("timbre.mfcc_std", 13),
    ]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (synth.silence(20), "silent"),
        (synth.song(2) * np.float32(1e-4), "silent"),
        (synth.song(2)[:40_000], "too_short"),
        (np.full((synth.RATE_HZ * 2, 2), np.nan, dtype=np.float32), "not_finite"),
        (np.ones((1, 2), dtype=np.float32), "too_short"),
        (np.stack([mono(synth.song(3)), -mono(synth.song(3))], axis=1), "silent"),
    ],
    ids=["silence", "below -60 LUFS", "0.9 s", "NaN", "1 sample", "opposite channels"],
)
def test_what_has_no_timbre_says_why(samples: NDArray[np.float32], reason: str) -> None:
    assert {value.reason for value in run(samples)} == {reason}
    assert {value.vector for value in run(samples)} == {None}


def test_gain_changes_the_first_coefficient_alone() -> None:
    """An orthonormal transform of bands that all become quieter by as much."""
    noise = mono(synth.noise(5))
    loud, loud_std = statistics(noise)
    quiet, quiet_std = statistics(noise * np.float32(10 ** (-12 / 20)))
    # Of powers, by 20 log10, as in AcousticBrainz: 24 for 12 dB.
    assert loud[0] - quiet[0] == pytest.approx(24 * np.sqrt(40), abs=0.1)
    assert quiet[1:] == pytest.approx(loud[1:], abs=0.01)
    assert quiet_std == pytest.approx(loud_std, abs=0.01)


def test_silence_before_and_after_does_not_count() -> None:
    """But for the frames that are half of each, one at either end."""
    samples = mono(synth.noise(20))
    gap = np.zeros(500 * FRAME_SAMPLES, dtype=np.float32)
    (alone, _), (padded, _) = statistics(samples), statistics(np.concatenate([gap, samples, gap]))
    assert padded == pytest.approx(alone, abs=1)


def test_a_few_audible_frames_are_too_little() -> None:
    samples = np.zeros(synth.RATE_HZ * 10, dtype=np.float32)
    samples[: FRAME_SAMPLES * timbre.MIN_FRAMES // 3] = 0.5
    with pytest.raises(NotMeasurable, match="silent"):
        statistics(samples)


def test_a_tone_is_dark_or_bright_by_its_pitch() -> None:
    """The second coefficient compares low bands with high ones."""
    low, high = (statistics(mono(synth.sine(hz=hz, dbfs=-12, duration_s=3)))[0][1] for hz in (150, 8000))
    assert low > 50
    assert high < -30
