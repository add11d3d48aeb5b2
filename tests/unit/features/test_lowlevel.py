"""Low-level statistics: they agree with essentia where the definitions do, and follow what was made."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.filterbanks import cepstra
from musicfp.features.inputs import AudioInputs
from musicfp.features.lowlevel import average_loudness, band_shapes
from musicfp.features.registry import load_builtin
from musicfp.features.spectra import FRAME_SAMPLES, HOP_SAMPLES, Spectra, measure_spectra
from musicfp.features.values import FeatureValue

N_FRAMES = 200


@pytest.fixture(scope="module")
def mono() -> NDArray[np.float32]:
    """5 s of drums and chords with a little noise, so that no band is empty."""
    song = synth.song(5) + 0.01 * synth.noise(5)
    return np.ascontiguousarray(song[:, 0])


@pytest.fixture(scope="module")
def ours(mono: NDArray[np.float32]) -> Spectra:
    return measure_spectra(mono, sample_rate_hz=synth.RATE_HZ)


@pytest.fixture(scope="module")
def magnitudes(mono: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Spectra of the first frames by essentia."""
    es = essentia_standard()
    window, spectrum = es.Windowing(type="blackmanharris62"), es.Spectrum()
    starts = range(0, N_FRAMES * HOP_SAMPLES, HOP_SAMPLES)
    return [spectrum(window(mono[start : start + FRAME_SAMPLES])) for start in starts]


@pytest.mark.parametrize(
    ("name", "algorithm", "options", "squared"),
    [
        ("spectral_energy", "Energy", {}, False),
        ("spectral_rms", "RMS", {}, False),
        ("spectral_centroid", "Centroid", {"range": 22_050}, True),
        ("spectral_decrease", "Decrease", {"range": 22_050}, True),
        ("spectral_rolloff", "RollOff", {}, False),
        ("spectral_flux", "Flux", {}, False),
        ("spectral_entropy", "Entropy", {}, False),
        ("hfc", "HFC", {}, False),
        ("pitch_salience", "PitchSalience", {}, False),
    ],
)
def test_numbers_of_frames_are_those_of_essentia(
    ours: Spectra,
    magnitudes: list[NDArray[np.float32]],
    name: str,
    algorithm: str,
    options: dict[str, float],
    squared: bool,
) -> None:
    compute = getattr(essentia_standard(), algorithm)(**options)
    theirs = np.array([compute(each * each if squared else each) for each in magnitudes])
    np.testing.assert_allclose(ours.scalars[name][:N_FRAMES], theirs, rtol=2e-3, atol=1e-6 * np.abs(theirs).max())


def test_energy_bands_share_out_the_energy_and_none_twice(ours: Spectra, magnitudes: list[NDArray[np.float32]]) -> None:
    """Essentia counts the bin at a limit in both bands, so single frames differ by some percent."""
    names = [name for name in ours.scalars if "energyband" in name]
    bands = np.stack([ours.scalars[name] for name in names])
    assert (bands.sum(axis=0) <= ours.scalars["spectral_energy"] * 1.001).all()
    for name, (low_hz, high_hz) in zip(names, ((20, 150), (150, 800), (800, 4000), (4000, 20_000)), strict=True):
        compute = essentia_standard().EnergyBand(startCutoffFrequency=low_hz, stopCutoffFrequency=high_hz)
        theirs = np.mean([compute(each) for each in magnitudes])
        assert ours.scalars[name][:N_FRAMES].mean() == pytest.approx(theirs, rel=0.1)


def test_moments_complexity_and_contrast_are_those_of_essentia(
    ours: Spectra, magnitudes: list[NDArray[np.float32]]
) -> None:
    es = essentia_standard()
    moments, shape = es.CentralMoments(range=22_050), es.DistributionShape()
    theirs = np.array([shape(moments(each)) for each in magnitudes])
    for column, name in enumerate(("spectral_spread", "spectral_skewness", "spectral_kurtosis")):
        np.testing.assert_allclose(ours.scalars[name][:N_FRAMES], theirs[:, column], rtol=5e-3, atol=1e-2)
    complexity = es.SpectralComplexity(magnitudeThreshold=0.005)
    counted = np.array([complexity(each) for each in magnitudes])
    # Essentia interpolates peaks before it compares with the limits, so single peaks differ.
    assert np.abs(ours.scalars["spectral_complexity"][:N_FRAMES] - counted).max() <= 2
    contrast = es.SpectralContrast(
        frameSize=FRAME_SAMPLES,
        numberBands=6,
        lowFrequencyBound=20,
        highFrequencyBound=11_000,
        neighbourRatio=0.4,
        staticDistribution=0.15,
    )
    pairs = [contrast(each) for each in magnitudes]
    np.testing.assert_allclose(ours.contrast[:N_FRAMES], [each for each, _ in pairs], atol=2e-3)
    np.testing.assert_allclose(ours.valleys[:N_FRAMES], [each for _, each in pairs], atol=2e-2)


def test_mel_and_bark_bands_and_mfcc_are_those_of_essentia(
    ours: Spectra, magnitudes: list[NDArray[np.float32]]
) -> None:
    es = essentia_standard()
    mfcc, bark = es.MFCC(), es.BarkBands()
    bands, coefficients = zip(*(mfcc(each) for each in magnitudes), strict=True)
    np.testing.assert_allclose(ours.mel[:N_FRAMES], bands, rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(ours.bark[:N_FRAMES], [bark(each) for each in magnitudes], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(cepstra(ours.mel)[:N_FRAMES], coefficients, atol=0.05)


def test_shapes_of_bands_are_those_of_essentia(ours: Spectra) -> None:
    es = essentia_standard()
    moments, shape, flatness, crest = es.CentralMoments(range=26), es.DistributionShape(), es.FlatnessDB(), es.Crest()
    shapes = band_shapes(ours.bark)
    for frame in range(0, N_FRAMES, 10):
        bands = ours.bark[frame]
        spread, skewness, kurtosis = shape(moments(bands))
        expected = {"spread": spread, "skewness": skewness, "kurtosis": kurtosis}
        expected |= {"flatness_db": flatness(bands), "crest": crest(bands)}
        assert {name: numbers[frame] for name, numbers in shapes.items()} == pytest.approx(expected, rel=5e-3, abs=1e-3)


def test_a_gammatone_band_is_strongest_for_its_own_frequency() -> None:
    strongest = []
    for hz in (100, 400, 1600, 6400):
        spectra = measure_spectra(synth.sine(hz=hz, dbfs=-10, duration_s=1)[:, 0].copy(), sample_rate_hz=synth.RATE_HZ)
        strongest.append(int(spectra.erb.mean(axis=0).argmax()))
    assert strongest == sorted(strongest)
    # ERB-rate of the four frequencies by Glasberg and Moore's formula, of 40 bands from 40 Hz to 22.05 kHz.
    rate = np.log((np.array([100, 400, 1600, 6400]) + 228.8) / (40 + 228.8)) / np.log((22_050 + 228.8) / (40 + 228.8))
    assert strongest == pytest.approx(40 * rate, abs=0.6)


def _run(samples: NDArray[np.float32], name: str) -> dict[str, FeatureValue]:
    audio = AudioInputs(samples, sample_rate_hz=synth.RATE_HZ)
    return {value.name.removeprefix("lowlevel."): value for value in load_builtin([]).get(name).run(audio)}


def test_a_tone_is_at_its_frequency_and_does_not_change() -> None:
    values = _run(synth.sine(hz=3000, dbfs=-20, duration_s=3), "spectrum")
    assert values["spectral_centroid.mean"].value == pytest.approx(3000, rel=0.01)
    assert values["spectral_rolloff.mean"].value == pytest.approx(3000, abs=50)
    assert values["zerocrossingrate.mean"].value == pytest.approx(2 * 3000 / 44_100, rel=0.01)
    assert values["spectral_centroid.var"].value == pytest.approx(0, abs=1)


def test_two_tones_a_semitone_apart_are_rougher_than_an_octave_and_than_one() -> None:
    def dissonance(*frequencies_hz: float) -> float:
        tones = sum(synth.sine(hz=hz, dbfs=-20, duration_s=2) for hz in frequencies_hz)
        value = _run(np.asarray(tones, dtype=np.float32), "spectrum")["dissonance.mean"].value
        assert value is not None
        return value

    assert dissonance(880, 932) > 0.5
    assert dissonance(880, 1760) < 0.1


def test_silent_frames_are_left_out_of_statistics_and_counted_in_silence_rates() -> None:
    song = synth.song(4)
    padded = np.concatenate([song, synth.silence(4)])
    with_silence, without = _run(padded, "bands"), _run(song, "bands")
    assert with_silence["mfcc.mean"].vector == pytest.approx(without["mfcc.mean"].vector, rel=0.1, abs=5)
    rate = _run(padded, "dynamics")["silence_rate_60db"].value
    assert rate == pytest.approx(0.5, abs=0.02)


def test_the_covariance_is_that_of_the_coefficients(mono: NDArray[np.float32]) -> None:
    vector = _run(np.stack([mono, mono], axis=1), "bands")["mfcc.cov"].vector
    coefficients = cepstra(measure_spectra(mono, sample_rate_hz=synth.RATE_HZ).mel)
    assert vector is not None
    np.testing.assert_allclose(np.reshape(vector, (13, 13)), np.cov(coefficients.T, bias=True), rtol=1e-6, atol=1e-6)


def test_dynamics_tell_a_steady_track_from_a_changing_one() -> None:
    steady = synth.noise(20)
    changing = steady * np.repeat([1.0, 0.05], len(steady) // 2).astype(np.float32)[:, np.newaxis]
    one, other = _run(steady, "dynamics"), _run(changing, "dynamics")
    for name, sign in (("dynamic_complexity", 1), ("average_loudness", -1)):
        first, second = one[name].value, other[name].value
        assert first is not None
        assert second is not None
        assert sign * (second - first) > 0.1


def test_average_loudness_needs_two_stretches() -> None:
    assert average_loudness(np.ones(86)) is None
    assert average_loudness(np.ones(200)) == pytest.approx(0.99, abs=0.01)
    assert average_loudness(np.repeat([1.0, 1e-9], 172)) == pytest.approx(0.658, abs=0.005)
