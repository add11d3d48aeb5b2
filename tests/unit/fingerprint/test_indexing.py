"""Which items are indexed: the same for many tracks at once as for each alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.indexing import MAX_POSTINGS_OF_A_TERM, indexed_items

Items = NDArray[np.uint32]


def constant(n_items: int, code: int = 7 << 8) -> Items:
    return np.full(n_items, code, dtype=np.uint32)


def noise(seed: int, n_items: int) -> Items:
    return np.random.default_rng(seed).integers(0, 40 << 8, n_items, dtype=np.uint32)


@pytest.mark.parametrize(
    "tracks",
    [
        [noise(1, 500), noise(2, 1), noise(3, 2), noise(4, 777)],
        # One code goes on over the ends of tracks: short in each, long in one, through several, all the same.
        [np.append(noise(1, 50), constant(10)), np.append(constant(10), noise(2, 50))],
        [np.append(noise(1, 50), constant(15)), constant(15), constant(15), np.append(constant(2), noise(2, 9))],
        [np.append(noise(1, 50), constant(16)), constant(3), constant(40), constant(1), noise(5, 100)],
        [constant(5)] * 9,
        [constant(16)] * 3,
        [np.tile(noise(1, 20), 50), np.tile(noise(1, 20), 49), noise(1, 20)],
    ],
)
def test_many_tracks_are_indexed_as_each_alone(tracks: list[Items]) -> None:
    """Also where one track begins with the code that the track before it ends with."""
    together = indexed_items(tracks)
    number = np.searchsorted(together.first_stride, together.stride, side="right") - 1
    stride = together.stride - together.first_stride[number]
    found = sorted(zip(number.tolist(), together.term.tolist(), stride.tolist(), strict=True))
    expected = []
    for track, items in enumerate(tracks):
        alone = indexed_items([items])
        expected += [(track, term, at) for term, at in zip(alone.term.tolist(), alone.stride.tolist(), strict=True)]
        assert together.first_stride[track + 1] - together.first_stride[track] == -(-items.size // 4)
    assert found == sorted(expected)
    assert (np.diff(together.term.astype(np.int64)) >= 0).all()


def test_what_a_track_has_very_often_is_thinned_out_evenly() -> None:
    """Of a loop the beginning, the end and places in between are left, in each track that has it."""
    loop = np.tile(np.repeat(np.arange(1, 6, dtype=np.uint32) << np.uint32(8), 4), 40)
    indexed = indexed_items([loop, loop])
    terms, counts = np.unique(indexed.term, return_counts=True)
    assert terms.tolist() == [1, 2, 3, 4, 5]
    assert set(counts.tolist()) == {2 * MAX_POSTINGS_OF_A_TERM}
    of_one = indexed.stride[indexed.term == 3][:MAX_POSTINGS_OF_A_TERM]
    assert np.diff(of_one).tolist() == [25] * 7


def test_nothing_is_indexed_of_nothing() -> None:
    """No tracks, or an empty one."""
    assert indexed_items([]).term.size == 0
    assert indexed_items([np.zeros(0, dtype=np.uint32)]).first_stride.tolist() == [0, 0]
