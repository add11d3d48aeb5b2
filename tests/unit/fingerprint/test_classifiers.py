"""Values, bits and how sure they are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.chroma_image import PITCH_CLASSES, chroma_image, power_spectra
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.classifiers import (
    N_CLASSIFIERS,
    N_LEVELS,
    WIDTH_COLUMNS,
    classifier_values,
    code_log_probabilities,
    items_of,
)
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ
from tests.support.audio_samples import music_samples


def music(seed: int, *, length_s: float = 20.0) -> NDArray[np.int16]:
    return (music_samples(length_s, seed=seed, sample_rate_hz=ANALYSIS_RATE_HZ)[:, 0] * 32767).astype(np.int16)


def values_of(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    return classifier_values(chroma_image(power_spectra(samples)))


def codes_of(items: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the two bits of each classifier [shape=(n_items, 16)], classifier 0 from the top of the item."""
    shifts = np.arange(30, -1, -2, dtype=np.uint32)
    return (items[:, None] >> shifts) & np.uint32(3)


@pytest.mark.parametrize("seed", range(6))
def test_the_quantized_values_are_the_library_s_items(seed: int) -> None:
    """Filters, thresholds and the order of the bits: one wrong number of the sixteen lines would show here."""
    samples = music(seed)
    expected = fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1).sub_fingerprints
    assert items_of(values_of(samples)).tolist() == expected.tolist()
    assert all(np.unique(codes).size >= 2 for codes in codes_of(expected).T)


@pytest.mark.parametrize(("n_columns", "n_items"), [(0, 0), (15, 0), (16, 1), (17, 2), (100, 85)])
def test_an_item_needs_as_many_columns_as_the_widest_filter(n_columns: int, n_items: int) -> None:
    image = np.random.default_rng(n_columns).random((n_columns, PITCH_CLASSES))
    values = classifier_values(image)
    assert values.shape == (n_items, N_CLASSIFIERS)
    assert items_of(values).shape == (n_items,)
    assert code_log_probabilities(values).shape == (n_items, N_CLASSIFIERS, N_LEVELS)


def test_an_item_sees_sixteen_columns_and_no_others() -> None:
    """A changed column changes the values of the sixteen items that look at it at most, exactly."""
    image = np.random.default_rng(0).random((80, PITCH_CLASSES))
    changed = image.copy()
    changed[40] = 1 - changed[40]
    differs = ~np.isclose(classifier_values(image), classifier_values(changed), atol=1e-9).all(axis=1)
    assert np.flatnonzero(differs).tolist() == list(range(40 - WIDTH_COLUMNS + 1, 41))


def test_silence_is_one_item() -> None:
    """Nothing against nothing is the logarithm of one, for the ratios; the library gives the same code."""
    values = classifier_values(np.zeros((20, PITCH_CLASSES)))
    assert not values.any()
    assert set(items_of(values).tolist()) == {627964279}


def test_probabilities_are_those_of_exclusive_cases() -> None:
    """The four codes of a classifier add up to one, and none is impossible."""
    probabilities = np.exp(code_log_probabilities(values_of(music(1))))
    assert probabilities.sum(axis=2) == pytest.approx(1.0, abs=1e-4)
    assert probabilities.min() > 0


def test_a_value_far_from_every_threshold_is_sure_of_its_code() -> None:
    """Far above and far below all thresholds, the code of the item is the likely one, for every classifier."""
    values = np.stack([np.full(N_CLASSIFIERS, 50.0), np.full(N_CLASSIFIERS, -50.0)])
    likely = code_log_probabilities(values)
    assert likely.argmax(axis=2).tolist() == codes_of(items_of(values)).tolist()
    assert likely.max(axis=2) == pytest.approx(0.0, abs=1e-9)


def test_the_likely_code_is_mostly_that_of_the_item_and_the_right_one_where_noise_flipped_it() -> None:
    """In noise: sure bits are right more often than doubtful ones, which is what guessing terms rests on."""
    clean = music(2, length_s=40.0)
    rms = float(np.sqrt(np.mean(np.square(clean, dtype=np.float64))))
    noise = np.random.default_rng(0).normal(0, rms / 2, clean.size)
    values = values_of(np.clip(clean + noise, -32768, 32767).astype(np.int16))
    found, expected = codes_of(items_of(values)), codes_of(items_of(values_of(clean)))
    probabilities = np.exp(code_log_probabilities(values))
    sureness = np.take_along_axis(probabilities, found[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    is_right = found == expected
    surest, doubtful = sureness > np.quantile(sureness, 0.8), sureness < np.quantile(sureness, 0.2)
    assert is_right[surest].mean() > 0.9
    assert is_right[doubtful].mean() < is_right[surest].mean() - 0.2
    right = np.take_along_axis(probabilities, expected[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    # Better than the one code alone: where the code is wrong, the right one is the second guess more often than one of
    # the other two together.
    wrong = ~is_right
    rank = (probabilities > right[:, :, None]).sum(axis=2)
    assert (rank[wrong] <= 1).mean() > 0.6
