"""Fitting tails to evidence whose distribution is known."""

import numpy as np
import pytest

from musicfp.fingerprint.calibration import PAIR_NATS
from musicfp.fingerprint.tails import fit_tail


def drawn(*, decay: float = 1.0, level_nats: float = PAIR_NATS, n_pairs: int = 400_000, seed: int = 1):
    """Draw wrong matches of 100 queries whose tail falls so fast and reaches this level once in 10^6 pairs."""
    rng = np.random.default_rng(seed)
    highest_at = level_nats - PAIR_NATS / decay
    evidence = highest_at + rng.exponential(1 / decay, n_pairs)
    return evidence, rng.integers(0, 100, n_pairs), n_pairs


@pytest.mark.parametrize(("decay", "level_nats"), [(1.0, PAIR_NATS), (0.7, 17.0), (1.3, 12.0)])
def test_the_tail_is_found_again(decay: float, level_nats: float) -> None:
    evidence, query, n_pairs = drawn(decay=decay, level_nats=level_nats)
    tail = fit_tail(evidence, query, n_queries=100, n_pairs=n_pairs)
    assert tail is not None
    assert abs(tail.decay - decay) < 4 * tail.decay_error
    assert abs(tail.level_nats - level_nats) < 4 * tail.level_error
    assert 0 < tail.decay_error < 0.2
    assert 0 < tail.level_error < 2
    assert tail.n_above == int((evidence > 6.0).sum())


def test_the_stated_errors_are_those_of_repetition() -> None:
    tails = [fit_tail(*drawn(seed=seed, n_pairs=60_000)[:2], n_queries=100, n_pairs=60_000) for seed in range(40)]
    levels = [tail.level_nats for tail in tails if tail is not None]
    assert len(levels) == 40
    assert np.mean([tail.level_error for tail in tails if tail is not None]) == pytest.approx(np.std(levels), rel=0.4)


def test_matches_of_one_query_count_less_than_those_of_many() -> None:
    """A clip that resembles something resembles it in many places."""
    evidence, query, n_pairs = drawn(n_pairs=60_000)
    alone = fit_tail(evidence, query, n_queries=100, n_pairs=n_pairs)
    order = np.argsort(evidence)
    together = query.copy()
    together[order] = np.sort(query)
    clustered = fit_tail(evidence, together, n_queries=100, n_pairs=n_pairs)
    assert alone is not None
    assert clustered is None or clustered.level_error > 2 * alone.level_error


@pytest.mark.parametrize("n", [0, 5, 11])
def test_too_little_gives_no_tail(n: int) -> None:
    assert fit_tail(np.full(n, 7.0), np.arange(n), n_queries=50, n_pairs=1000) is None
    assert fit_tail(np.linspace(6.1, 9.0, 30), np.arange(30) % 4, n_queries=4, n_pairs=1000) is None


def test_it_says_how_far_it_was_seen() -> None:
    tail = fit_tail(np.linspace(6.1, 9.0, 30), np.arange(30), n_queries=50, n_pairs=1_000_000)
    assert tail is not None
    assert tail.reaches_to_n_tracks == pytest.approx(5000)
