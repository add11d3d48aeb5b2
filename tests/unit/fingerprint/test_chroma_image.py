"""The image behind Chromaprint's bits: it is the library's, and what can be done with it that the library cannot."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from musicfp.fingerprint.chroma_image import (
    FRAME_SAMPLES,
    PITCH_CLASSES,
    SMOOTHED_FRAMES,
    Band,
    chroma_image,
    power_spectra,
    without_stationary_noise,
)
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.classifiers import classifier_values, items_of
from musicfp.fingerprint.correlation import bit_error_rate
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, HOP_SAMPLES
from tests.support.audio_samples import music_samples

Samples = NDArray[np.int16]


@cache
def music(seed: int, *, length_s: float = 30.0) -> Samples:
    return (music_samples(length_s, seed=seed, sample_rate_hz=ANALYSIS_RATE_HZ)[:, 0] * 32767).astype(np.int16)


def tone(frequency_hz: float, *, length_s: float = 3.0) -> Samples:
    time_s = np.arange(int(length_s * ANALYSIS_RATE_HZ)) / ANALYSIS_RATE_HZ
    return (8000 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.int16)


def noise(n_samples: int, *, rms: float, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, rms, n_samples)


def library_items(samples: Samples) -> NDArray[np.uint32]:
    return fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1).sub_fingerprints


def our_items(power: NDArray[np.float64]) -> NDArray[np.uint32]:
    return items_of(classifier_values(chroma_image(power)))


def sounds() -> dict[str, Samples]:
    """Music, noise, what clips, what is faint, silence in the middle, and lengths around those of the first item."""
    quiet = (music(3) // 1000).astype(np.int16)
    gap = music(4).copy()
    gap[gap.size // 3 : gap.size // 2] = 0
    return {
        "music": music(1),
        "other music": music(2),
        "noise": noise(200_000, rms=3000).astype(np.int16),
        "square at full scale": np.where(tone(440.0) > 0, 32767, -32768).astype(np.int16),
        "faint": quiet,
        "gap": gap,
        "silence": np.zeros(60_000, dtype=np.int16),
        "first item": music(1)[: FRAME_SAMPLES + 19 * HOP_SAMPLES],
    }


@pytest.mark.parametrize("name", sounds())
def test_the_items_of_the_image_are_the_library_s_bit_for_bit(name: str) -> None:
    """So that a query heard from its samples and a track fingerprinted by libchromaprint speak one language."""
    samples = sounds()[name]
    expected = library_items(samples)
    assert expected.size > 0
    assert our_items(power_spectra(samples)).tolist() == expected.tolist()


@pytest.mark.parametrize("n_samples", [0, 1, FRAME_SAMPLES - 1, FRAME_SAMPLES, FRAME_SAMPLES + 18 * HOP_SAMPLES])
def test_too_little_audio_gives_no_items_and_no_error(n_samples: int) -> None:
    samples = music(1)[:n_samples]
    power = power_spectra(samples)
    assert len(power) == max(0, (n_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1)
    assert chroma_image(power).shape == (max(0, len(power) - SMOOTHED_FRAMES + 1), PITCH_CLASSES)
    assert our_items(power).size == 0
    assert without_stationary_noise(power).shape == power.shape


@pytest.mark.parametrize("octave", [0, 1, 2])
@pytest.mark.parametrize("pitch_class", range(PITCH_CLASSES))
def test_a_tone_is_in_its_pitch_class_whatever_its_octave(pitch_class: int, octave: int) -> None:
    """Class 0 begins at A; a quarter tone above its lower edge is the middle of a class."""
    frequency_hz = 440 * 2 ** (octave + (pitch_class + 0.5) / PITCH_CLASSES) / 2
    image = chroma_image(power_spectra(tone(frequency_hz)))
    assert set(image.argmax(axis=1).tolist()) == {pitch_class}
    assert image[:, pitch_class].min() > 0.9
    assert np.linalg.norm(image, axis=1) == pytest.approx(1.0)


def test_silence_is_dark() -> None:
    """No direction is made up for what cannot be heard."""
    assert not chroma_image(power_spectra(np.zeros(40_000, dtype=np.int16))).any()


@pytest.mark.parametrize(
    ("frequency_hz", "is_heard"), [(100.0, False), (250.0, False), (1000.0, True), (3600.0, False)]
)
def test_a_band_hears_what_lies_in_it(frequency_hz: float, is_heard: bool) -> None:
    """A tone outside is as silent as if it were not there, but for what leaks through the window."""
    samples = (tone(1500.0) // 100 + tone(frequency_hz)).astype(np.int16)
    alone = chroma_image(power_spectra(tone(1500.0)), band=Band(300.0, 3400.0))
    both = chroma_image(power_spectra(samples), band=Band(300.0, 3400.0))
    assert bool(np.abs(both - alone).max() > 0.5) is is_heard


def test_stationary_noise_taken_off_brings_bits_back() -> None:
    """Noise as loud as the music: fewer wrong bits for each of several pieces, a sixth fewer on the whole."""
    with_noise, without = [], []
    for seed in range(4):
        clean = music(seed)
        rms = float(np.sqrt(np.mean(np.square(clean, dtype=np.float64))))
        power = power_spectra(np.clip(clean + noise(clean.size, rms=rms, seed=seed), -32768, 32767).astype(np.int16))
        expected = library_items(clean)
        with_noise.append(bit_error_rate(our_items(power), expected))
        without.append(bit_error_rate(our_items(without_stationary_noise(power)), expected))
    assert all(after < before for after, before in zip(without, with_noise, strict=True))
    assert np.mean(without) < np.mean(with_noise) * 5 / 6


def test_noise_falls_and_a_tone_that_comes_and_goes_stays() -> None:
    """About half of white noise is taken, which is two thirds of its mean; of the tone's power nothing to speak of."""
    hiss = noise(300_000, rms=300)
    comes_and_goes = (
        np.resize(np.repeat([0, 1, 0], ANALYSIS_RATE_HZ), hiss.size) * tone(1000.0, length_s=28)[: hiss.size]
    )
    tone_bin = round(1000.0 * FRAME_SAMPLES / ANALYSIS_RATE_HZ)
    power = power_spectra((hiss + comes_and_goes).astype(np.int16))
    reduced = without_stationary_noise(power)
    assert reduced.min() >= 0
    assert reduced[:, tone_bin].sum() > 0.99 * power[:, tone_bin].sum()
    assert reduced[:, : tone_bin // 2].sum() < 0.6 * power[:, : tone_bin // 2].sum()


@pytest.mark.parametrize(("up", "down"), [(53, 50), (50, 53), (21, 20), (20, 21)], ids=str)
def test_a_faster_copy_has_the_original_s_items_when_its_speed_is_known(up: int, down: int) -> None:
    """Played faster, as a record is: higher and shorter by the same factor. Without the factor its items are others."""
    original = music(5)
    faster = np.clip(resample_poly(original.astype(np.float64), down, up), -32768, 32767).astype(np.int16)
    factor = up / down
    expected = library_items(original)
    found = our_items(power_spectra(faster, pitch=factor, speed=factor))
    assert abs(found.size - expected.size) <= 1
    n_items = min(found.size, expected.size)
    assert bit_error_rate(found[:n_items], expected[:n_items]) < 0.05
    as_it_is = our_items(power_spectra(faster))
    n_items = min(as_it_is.size, expected.size)
    assert bit_error_rate(as_it_is[:n_items], expected[:n_items]) > 0.15


def test_a_changed_pitch_alone_is_undone_by_the_pitch_factor() -> None:
    """The same notes a semitone higher in the same time: the pieces are made of tones, so this can be made exactly."""
    notes = 2 ** (np.random.default_rng(1).integers(0, 24, 100) / 12)

    def played(factor: float) -> Samples:
        frequency_hz = np.repeat(220 * factor * notes, ANALYSIS_RATE_HZ // 4)
        return (8000 * np.sin(2 * np.pi * np.cumsum(frequency_hz) / ANALYSIS_RATE_HZ)).astype(np.int16)

    semitone = 2 ** (1 / 12)
    expected, higher = library_items(played(1.0)), played(semitone)
    found = our_items(power_spectra(higher, pitch=semitone))
    n_items = min(found.size, expected.size)
    assert bit_error_rate(found[:n_items], expected[:n_items]) < 0.08
    assert bit_error_rate(our_items(power_spectra(higher))[:n_items], expected[:n_items]) > 0.25
