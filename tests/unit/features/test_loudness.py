"""Loudness and true peak against the numbers of the specifications and against essentia."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.bs1770 import k_weighting, measure_loudness, true_peak
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import load_builtin


def sine_parts(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Return a 1 kHz sine whose level changes: (dBFS, seconds) each."""
    return np.concatenate([synth.sine(hz=1000, dbfs=dbfs, duration_s=duration_s) for dbfs, duration_s in parts])


def test_k_weighting_at_48_khz_is_the_table_of_the_standard() -> None:
    """ITU-R BS.1770-4, tables 1 and 2."""
    expected = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    np.testing.assert_allclose(k_weighting(48_000), expected, atol=2e-8)


@pytest.mark.parametrize(
    ("parts", "integrated_lufs"),
    [
        pytest.param([(-23, 20)], -23.0, id="case 1"),
        pytest.param([(-33, 20)], -33.0, id="case 2"),
        pytest.param([(-36, 10), (-23, 60), (-36, 10)], -23.0, id="case 3"),
        pytest.param([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0, id="case 4"),
        pytest.param([(-26, 20), (-20, 20.1), (-26, 20)], -23.0, id="case 5"),
    ],
)
def test_integrated_loudness_meets_ebu_tech_3341(parts: list[tuple[float, float]], integrated_lufs: float) -> None:
    measured = measure_loudness(sine_parts(*parts), sample_rate_hz=synth.RATE_HZ)
    assert measured.integrated_lufs == pytest.approx(integrated_lufs, abs=0.1)


def test_a_997_hz_sine_of_minus_23_dbfs_in_stereo_reads_minus_23_lufs_everywhere() -> None:
    measured = measure_loudness(synth.sine(hz=997, dbfs=-23, duration_s=20), sample_rate_hz=synth.RATE_HZ)
    assert measured.integrated_lufs == pytest.approx(-23.0, abs=0.02)
    assert measured.momentary_max_lufs == pytest.approx(-23.0, abs=0.1)
    assert measured.short_term_max_lufs == pytest.approx(-23.0, abs=0.1)
    assert measured.range_lu == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "range_lu"),
    [
        pytest.param([(-20, 20), (-30, 20)], 10.0, id="case 1"),
        pytest.param([(-20, 20), (-15, 20)], 5.0, id="case 2"),
        pytest.param([(-40, 20), (-20, 20)], 20.0, id="case 3"),
        pytest.param([(-50, 20), (-35, 20), (-20, 20), (-35, 20), (-50, 20)], 15.0, id="case 4"),
    ],
)
def test_loudness_range_meets_ebu_tech_3342(parts: list[tuple[float, float]], range_lu: float) -> None:
    measured = measure_loudness(sine_parts(*parts), sample_rate_hz=synth.RATE_HZ)
    assert measured.range_lu == pytest.approx(range_lu, abs=1.0)


@pytest.mark.parametrize("samples", [synth.song(20), synth.noise(35, colour=1) * np.float32(0.2)])
def test_essentia_measures_the_same_loudness(samples: NDArray[np.float32]) -> None:
    """An independent implementation of the same standard; EBU Tech 3341 lets two meters differ by 0.1 LU."""
    ours = measure_loudness(samples, sample_rate_hz=synth.RATE_HZ)
    momentary, short_term, integrated, range_lu = essentia_standard().LoudnessEBUR128(startAtZero=False)(samples)
    assert ours.integrated_lufs == pytest.approx(integrated, abs=0.1)
    assert ours.momentary_max_lufs == pytest.approx(momentary.max(), abs=0.3)
    assert ours.short_term_max_lufs == pytest.approx(short_term.max(), abs=0.1)
    assert ours.range_lu == pytest.approx(range_lu, abs=0.3)


@pytest.mark.parametrize(
    ("fraction", "phase_degrees", "dbfs"), [(4, 0, -6), (4, 45, -6), (6, 60, -6), (8, 67.5, -6), (4, 45, 3)]
)
def test_true_peak_meets_ebu_tech_3341(fraction: int, phase_degrees: float, dbfs: float) -> None:
    """Sines at a fraction of the sample rate whose samples miss the crest; tolerance +0.2/-0.4 dB."""
    n = np.arange(synth.RATE_HZ)
    fade = np.minimum(1, np.minimum(n, n[::-1]) / 2000)
    mono = fade * 10 ** (dbfs / 20) * np.sin(2 * np.pi * n / fraction + np.radians(phase_degrees))
    peak_dbtp = 20 * np.log10(true_peak(np.stack([mono, mono], 1).astype(np.float32), sample_rate_hz=synth.RATE_HZ))
    assert dbfs - 0.4 <= peak_dbtp <= dbfs + 0.2


def test_true_peak_is_never_below_the_largest_sample_and_does_not_depend_on_chunks() -> None:
    samples = synth.noise(2)
    peaks = {round(true_peak(samples, sample_rate_hz=rate_hz), 5) for rate_hz in (44_100, 500, 77)}
    assert len(peaks) == 1
    assert peaks.pop() >= np.abs(samples).max()


def test_a_single_channel_sounding_measures_three_lu_less_than_two() -> None:
    samples = synth.sine(hz=997, dbfs=-20, duration_s=5)
    samples[:, 1] = 0
    assert measure_loudness(samples, sample_rate_hz=synth.RATE_HZ).integrated_lufs == pytest.approx(-23.0, abs=0.05)


def run(samples: NDArray[np.float32], name: str) -> dict[str, float | str | None]:
    values = load_builtin([]).get(name).run(AudioInputs(samples, sample_rate_hz=synth.RATE_HZ))
    return {
        value.name.split(".")[1]: value.reason if value.value is None else round(value.value, 1) for value in values
    }


def test_the_extractor_reports_all_measures_and_the_gain_to_minus_18_lufs() -> None:
    assert run(synth.sine(hz=997, dbfs=-23, duration_s=10), "loudness") == {
        "integrated": -23.0,
        "range": 0.0,
        "momentary_max": -23.0,
        "short_term_max": -23.0,
        "replay_gain": 5.0,
    }


def test_silence_has_no_loudness_and_a_second_has_no_short_term_loudness() -> None:
    assert set(run(synth.silence(5), "loudness").values()) == {"silent"}
    assert run(synth.silence(5), "true_peak") == {"true_peak": "silent"}
    short = run(synth.sine(hz=997, dbfs=-23, duration_s=1), "loudness")
    assert (short["integrated"], short["range"], short["short_term_max"]) == (-23.0, "too_short", "too_short")
