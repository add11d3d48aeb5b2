"""Counts of ones against counting unpacked bits, at and beyond the edges where the ways to count change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from musicfp.fingerprint.bit_counts import (
    SINGLE_ROUNDOFF,
    cumulative_row_sums,
    largest_count_error,
    row_sums,
    shared_ones,
    shared_ones_inside,
    unrounded_shared_ones,
)
from musicfp.fingerprint.model import bit_rows

words = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 1 << 31, 2**32 - 1]))
ALL_ONES = 2**32 - 1


def items_of(low: int, high: int) -> st.SearchStrategy[NDArray[np.uint32]]:
    return hnp.arrays(np.uint32, st.integers(low, high), elements=words)


def shared_at(query: NDArray[np.uint32], candidate: NDArray[np.uint32], offset: int) -> int:
    start, stop = max(0, -offset), min(query.size, candidate.size - offset)
    both = query[start:stop] & candidate[start + offset : stop + offset]
    return int(np.bitwise_count(both).sum(dtype=np.int64))


@given(hnp.arrays(np.uint32, st.tuples(st.integers(0, 4), st.integers(0, 40)), elements=words))
@settings(max_examples=80, deadline=None)
def test_row_sums_are_those_of_unpacked_bits(sequences: NDArray[np.uint32]) -> None:
    assert np.array_equal(row_sums(sequences), bit_rows(sequences).sum(axis=1, dtype=np.int64))


@pytest.mark.parametrize("n_items", [1, 14, 15, 16, 45, 254, 255, 256, 510, 511, 1000])
def test_row_sums_do_not_overflow(n_items: int, random_items) -> None:
    sequences = np.stack([np.full(n_items, ALL_ONES, dtype=np.uint32), random_items(1, n_items)])
    assert np.array_equal(row_sums(sequences), bit_rows(sequences).sum(axis=1, dtype=np.int64))


@given(items_of(0, 40))
@settings(max_examples=40, deadline=None)
def test_cumulative_row_sums_count_what_is_before_each_item(items: NDArray[np.uint32]) -> None:
    sums = cumulative_row_sums(items)
    assert sums.shape == (items.size + 1, 32)
    for before in range(items.size + 1):
        assert np.array_equal(sums[before], bit_rows(items[:before]).sum(axis=0, dtype=np.int64))


@given(items_of(1, 30), items_of(1, 30))
@settings(max_examples=80, deadline=None)
def test_shared_ones_are_counted_at_every_offset(query: NDArray[np.uint32], candidate: NDArray[np.uint32]) -> None:
    expected = [shared_at(query, candidate, offset) for offset in range(-(query.size - 1), candidate.size)]
    assert shared_ones(query, candidate).tolist() == expected


@pytest.mark.parametrize(
    ("n_template", "n_image"), [(100, 1500), (1, 5), (5, 5), (130, 1100), (145, 1100), (700, 1500)]
)
def test_shared_ones_inside_are_counted_or_transformed_alike(n_template: int, n_image: int, random_items) -> None:
    template, image = random_items(1, n_template), random_items(2, n_image)
    expected = [shared_at(template, image, offset) for offset in range(n_image - n_template + 1)]
    assert shared_ones_inside(template, image).tolist() == expected


@pytest.mark.parametrize("n_fft", [2048, 1920, 2187, 3125, 4096])
@pytest.mark.parametrize("kind", ["ones", "random", "alternating", "step"])
@pytest.mark.parametrize(("single_precision", "unit_roundoff"), [(True, SINGLE_ROUNDOFF), (False, 2.0**-53)])
def test_no_transformed_count_is_off_by_more_than_the_bound(
    n_fft: int, kind: str, single_precision: bool, unit_roundoff: float, random_items
) -> None:
    """The worst found is far below it; a bound that is not much larger than what happens would be no proof."""
    n = n_fft // 2
    query = {
        "ones": np.full(n, ALL_ONES, dtype=np.uint32),
        "random": random_items(1, n),
        "alternating": np.resize(np.array([0, ALL_ONES], dtype=np.uint32), n),
        "step": np.where(np.arange(n) < n // 2, 0, ALL_ONES).astype(np.uint32),
    }[kind]
    candidate = query[::-1].copy()
    found = unrounded_shared_ones(query, candidate, n_fft=n_fft, single_precision=single_precision)
    expected = np.array([shared_at(query, candidate, offset) for offset in range(n)])
    n_ones = int(np.bitwise_count(query).sum(dtype=np.int64))
    bound = largest_count_error(n_ones, n_ones, n_fft, unit_roundoff=unit_roundoff)
    assert 0 < np.abs(found[:n] - expected).max() < bound


@pytest.mark.parametrize("n_items", [900, 1050, 1200, 6000])
def test_counts_stay_exact_where_single_precision_no_longer_is_enough(n_items: int) -> None:
    """All ones: single precision is proven to be enough up to 1050 items."""
    items = np.full(n_items, ALL_ONES, dtype=np.uint32)
    overlap = np.minimum(np.arange(1, 2 * n_items), np.arange(2 * n_items - 1, 0, -1))
    assert np.array_equal(shared_ones(items, items), 32 * overlap)
