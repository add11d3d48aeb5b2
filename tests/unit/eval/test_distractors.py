"""Synthetic catalogues: as many tracks as asked for, spliced from the pool, with some bits flipped."""

import numpy as np
import pytest

from eval.distractors import synthetic_catalogue

POOL = [np.random.default_rng(n).integers(0, 1 << 32, 700, dtype=np.uint32) for n in range(3)]


def made(n_tracks: int, n_items: int, seed: int = 1) -> list[np.ndarray[tuple[int], np.dtype[np.uint32]]]:
    rng = np.random.default_rng(seed)
    return list(synthetic_catalogue(POOL, n_tracks=n_tracks, n_items_per_track=n_items, rng=rng))


@pytest.mark.parametrize(("n_tracks", "n_items"), [(0, 948), (1, 10), (2100, 948), (3, 48)])
def test_there_are_as_many_as_asked_for(n_tracks: int, n_items: int) -> None:
    """Of exactly the length asked for, also when that is no whole number of runs."""
    tracks = made(n_tracks, n_items)
    assert len(tracks) == n_tracks
    assert all(track.shape == (n_items,) and track.dtype == np.uint32 for track in tracks)


def test_the_same_seed_gives_the_same_tracks() -> None:
    """And another one others."""
    assert np.array_equal(made(3, 100), made(3, 100))
    assert not np.array_equal(made(3, 100), made(3, 100, seed=2))


def test_runs_come_from_the_pool_with_three_percent_of_their_bits_flipped() -> None:
    """Each run of 48 items lies somewhere in the pool."""
    pool = np.lib.stride_tricks.sliding_window_view(np.concatenate(POOL), 48)
    rates = [
        np.bitwise_count(pool ^ run).sum(axis=1).min() / (48 * 32)
        for track in made(5, 480)
        for run in track.reshape(-1, 48)
    ]
    assert max(rates) < 0.06
    assert np.mean(rates) == pytest.approx(0.03, abs=0.004)


def test_too_small_a_pool_is_refused() -> None:
    """Rather than repeated into one endless run."""
    with pytest.raises(ValueError, match="one run needs 48"):
        next(synthetic_catalogue([POOL[0][:20]], n_tracks=1, n_items_per_track=9, rng=np.random.default_rng(1)))
