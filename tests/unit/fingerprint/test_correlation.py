"""Correlations against scikit-image and against their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.feature import match_template

from musicfp.fingerprint.correlation import (
    best_alignment,
    bit_error_rate,
    correlate_pairs,
    has_enough_information,
    information,
    informative_items,
    normalized_cross_correlation,
    row_centred_at,
    row_centred_correlation,
)
from musicfp.fingerprint.model import Fingerprint, bit_rows

SILENCE = 0x256DF977
words = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, SILENCE, 2**32 - 1]))


def items_of(low: int, high: int) -> st.SearchStrategy[NDArray[np.uint32]]:
    return hnp.arrays(np.uint32, st.integers(low, high), elements=words)


@given(items_of(1, 12), items_of(12, 40))
@settings(max_examples=80, deadline=None)
def test_ncc_equals_template_matching_on_bitmaps(template: NDArray[np.uint32], image: NDArray[np.uint32]) -> None:
    expected = match_template(bit_rows(image).T.astype(float), bit_rows(template).T.astype(float))[0]
    np.testing.assert_allclose(normalized_cross_correlation(template, image), expected, atol=1e-9)


def test_ncc_equals_template_matching_on_two_minutes(random_items, flip_bits) -> None:
    image = random_items(3, 948)
    template = flip_bits(image[100:180], 0.1)
    expected = match_template(bit_rows(image).T.astype(float), bit_rows(template).T.astype(float))[0]
    result = normalized_cross_correlation(template, image)
    np.testing.assert_allclose(result, expected, atol=1e-9)
    assert int(result.argmax()) == 100


@pytest.mark.parametrize(("n_template", "n_image"), [(0, 5), (6, 5)])
def test_ncc_refuses_a_template_that_does_not_fit(n_template: int, n_image: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        normalized_cross_correlation(np.zeros(n_template, np.uint32), np.zeros(n_image, np.uint32))


def slow_row_centred(query: NDArray[np.uint32], candidate: NDArray[np.uint32], offset: int) -> tuple[int, float, float]:
    """Compute the definition literally, on floating-point bitmaps."""
    start, stop = max(0, -offset), min(query.size, candidate.size - offset)
    n = stop - start
    a = bit_rows(query[start:stop]).T.astype(float)
    b = bit_rows(candidate[start + offset : stop + offset]).T.astype(float)
    a0, b0 = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    floor = 0.02 * 32 * n
    value = (a0 * b0).sum() / np.sqrt(max((a0**2).sum(), floor) * max((b0**2).sum(), floor))
    return n, float(value), float((a != b).mean())


@given(items_of(1, 20), items_of(1, 20), st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_row_centred_equals_its_definition(
    query: NDArray[np.uint32], candidate: NDArray[np.uint32], min_overlap: int
) -> None:
    result = row_centred_correlation(query, candidate, min_overlap_items=min_overlap)
    offsets = [o for o in range(-19, 20) if min(query.size, candidate.size - o) - max(0, -o) >= min_overlap]
    assert result.offset_items.tolist() == offsets
    for at, offset in enumerate(offsets):
        n, correlation, bit_errors = slow_row_centred(query, candidate, offset)
        assert result.overlap_items[at] == n
        assert result.correlation[at] == pytest.approx(correlation, abs=1e-9)
        assert result.bit_error_rate[at] == pytest.approx(bit_errors, abs=1e-12)


@given(items_of(1, 15), items_of(1, 15))
@settings(max_examples=50, deadline=None)
def test_row_centred_is_symmetric(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> None:
    forth = row_centred_correlation(a, b, min_overlap_items=1)
    back = row_centred_correlation(b, a, min_overlap_items=1)
    np.testing.assert_allclose(forth.correlation, back.correlation[::-1], atol=1e-12)
    assert forth.offset_items.tolist() == (-back.offset_items[::-1]).tolist()


def test_windows_in_a_concatenation_equal_all_alignments_of_each_track(random_items, flip_bits) -> None:
    tracks = [random_items(seed, 150 + seed) for seed in range(4)]
    query = flip_bits(tracks[2][40:120], 0.1)
    starts = np.cumsum([0] + [track.size for track in tracks])
    offsets = np.tile(np.arange(-100, 170), 4)
    row = np.repeat(np.arange(4), 270)
    zeros = np.zeros_like(offsets)
    result = row_centred_at(
        query,
        np.concatenate(tracks),
        query_start=zeros,
        query_stop=zeros + query.size,
        position=starts[row] + offsets,
        corpus_start=starts[row],
        corpus_stop=starts[row + 1],
    )
    for number, track in enumerate(tracks):
        expected = row_centred_correlation(query, track, min_overlap_items=1)
        mine = row == number
        at = {int(o): i for i, o in enumerate(expected.offset_items)}
        for offset, overlap, value in zip(
            result.offset_items[mine], result.overlap_items[mine], result.correlation[mine], strict=True
        ):
            known = at.get(int(offset))
            assert overlap == (0 if known is None else expected.overlap_items[known])
            assert value == pytest.approx(0.0 if known is None else expected.correlation[known], abs=1e-9)


@pytest.mark.parametrize("offset", [-30, 0, 57])
def test_the_offset_is_where_the_query_s_start_lies_in_the_candidate(random_items, flip_bits, offset: int) -> None:
    music = random_items(5, 400)
    candidate = music[60:300]
    query = flip_bits(music[60 + offset : 60 + offset + 100], 0.05)
    found = best_alignment(query, candidate, min_overlap_items=40)
    assert found is not None
    assert found.offset_items == offset
    assert found.overlap_items == 100 + min(0, offset)
    assert found.correlation > 0.7
    assert found.bit_error_rate == pytest.approx(0.05, abs=0.015)


def test_no_alignment_is_none_and_an_overlap_of_nothing_is_refused(random_items) -> None:
    assert best_alignment(random_items(1, 5), random_items(2, 5), min_overlap_items=6) is None
    with pytest.raises(ValueError, match="at least 1"):
        row_centred_correlation(random_items(1, 5), random_items(2, 5), min_overlap_items=0)


def test_two_constant_sounds_do_not_correlate_when_centred_by_row() -> None:
    silence = np.full(100, SILENCE, dtype=np.uint32)
    tone = np.full(100, 0x214DF977, dtype=np.uint32)
    assert normalized_cross_correlation(np.append(silence, np.uint32(0)), np.append(tone, np.uint32(0)))[0] > 0.8
    assert correlate_pairs(silence, tone)[0] == pytest.approx(0.0)
    assert correlate_pairs(silence, silence) == (0.0, 0.0)


def test_bit_error_rate_counts_bits_and_refuses_unequal_lengths() -> None:
    a = np.array([0b1111, 0], dtype=np.uint32)
    assert bit_error_rate(a, np.array([0b1010, 1], dtype=np.uint32)) == 3 / 64
    with pytest.raises(ValueError, match="cannot compare"):
        bit_error_rate(a, a[:1])


def test_silence_tones_drones_and_the_very_short_hold_too_little_information(random_items) -> None:
    music = random_items(1, 200)
    two_codes = np.tile(np.array([SILENCE, SILENCE ^ 1], dtype=np.uint32), 100)
    for items in (np.full(200, SILENCE, np.uint32), two_codes, np.repeat(music[:50], 4), music[:7], music[:0]):
        assert not has_enough_information(Fingerprint.of_items(items))
    assert has_enough_information(Fingerprint.of_items(music))


def test_silence_around_music_does_not_hide_the_music(random_items) -> None:
    padded = np.concatenate([np.full(300, SILENCE, np.uint32), random_items(1, 60)])
    measured = information(Fingerprint.of_items(padded))
    assert measured.informative_items == 60
    assert measured.is_enough
    assert informative_items(padded).tolist() == [False] * 300 + [True] * 60
