"""What evidence, scores and bars promise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicfp.fingerprint.calibration import (
    DEFAULT_MIN_SCORE,
    PAIR_NATS,
    bar_of,
    evidence_nats,
    evidence_nats_of_mean,
    min_correlation,
    n_tracks_of,
    score_of,
)

CORRELATIONS = st.floats(-1.0, 1.0)
OVERLAPS = st.integers(1, 5000)
SIZES = st.floats(0.0, 1e9)
NATS = st.floats(-1e4, 1e4)


@given(CORRELATIONS, CORRELATIONS, OVERLAPS, st.floats(0.0, 50.0))
def test_more_correlation_is_more_evidence(one: float, other: float, overlap: int, selection: float) -> None:
    low, high = sorted((one, other))
    assert evidence_nats(low, overlap, selection_nats=selection) <= evidence_nats(
        high, overlap, selection_nats=selection
    )


@given(st.floats(0.15, 1.0), OVERLAPS, OVERLAPS)
def test_the_same_correlation_over_more_items_is_more_evidence(correlation: float, one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert evidence_nats(correlation, short) <= evidence_nats(correlation, long) + 1e-9


@given(CORRELATIONS, OVERLAPS, st.floats(0.0, 50.0))
def test_every_nat_of_choice_costs_a_nat_of_evidence(correlation: float, overlap: int, selection: float) -> None:
    alone = evidence_nats(correlation, overlap)
    assert evidence_nats(correlation, overlap, selection_nats=selection) == pytest.approx(alone - selection)


@given(OVERLAPS, st.floats(0.0, 30.0))
def test_the_least_correlation_is_where_one_pair_in_a_million_lies(overlap: int, selection: float) -> None:
    least = min_correlation(overlap, selection_nats=selection)
    assert evidence_nats(least, overlap, selection_nats=selection) == pytest.approx(PAIR_NATS)


def test_nothing_in_common_is_no_evidence() -> None:
    assert evidence_nats(1.0, 0) == -math.inf
    assert min_correlation(0) == math.inf
    assert score_of(-math.inf, n_tracks=10) == 0.0


def test_the_mean_of_pieces_has_a_tail_of_its_own() -> None:
    assert evidence_nats_of_mean(0.29) == pytest.approx(PAIR_NATS)
    assert evidence_nats_of_mean(0.40) > evidence_nats_of_mean(0.33) > evidence_nats_of_mean(0.2)


@given(NATS, SIZES)
def test_a_score_is_a_probability(evidence: float, n_tracks: float) -> None:
    assert 0.0 <= score_of(evidence, n_tracks=n_tracks) <= 1.0


@given(NATS, NATS, SIZES)
def test_the_score_rises_with_the_evidence(one: float, other: float, n_tracks: float) -> None:
    low, high = sorted((one, other))
    assert score_of(low, n_tracks=n_tracks) <= score_of(high, n_tracks=n_tracks)


@given(st.floats(-10.0, 40.0), SIZES, SIZES)
def test_the_score_falls_with_the_size_of_the_catalogue(evidence: float, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert score_of(evidence, n_tracks=large) <= score_of(evidence, n_tracks=small)


def test_a_score_tells_sure_from_unsure() -> None:
    assert score_of(40.0, n_tracks=1000) > 0.999
    assert score_of(math.log(100_000), n_tracks=100_000) < 0.5, "one such stranger is expected among so many"
    assert score_of(0.0, n_tracks=1000) < 0.01


@given(SIZES)
def test_the_default_bar_keeps_both_promises_at_every_size(n_tracks: float) -> None:
    """10^-6 of the pairs, and 0.5 % of the queries of strangers."""
    bar = bar_of(n_tracks=n_tracks)
    assert bar.convincing_nats == bar.least_nats
    per_pair = math.exp(-bar.least_nats)
    assert per_pair <= 1e-6 * (1 + 1e-9)
    assert per_pair * n_tracks <= 0.005 * (1 + 1e-9)


@given(SIZES)
def test_the_default_score_is_the_same_at_every_size(n_tracks: float) -> None:
    assert score_of(bar_of(n_tracks=n_tracks).least_nats, n_tracks=n_tracks) == pytest.approx(DEFAULT_MIN_SCORE)
    explicit = bar_of(DEFAULT_MIN_SCORE, n_tracks=n_tracks)
    assert explicit.least_nats == pytest.approx(bar_of(n_tracks=n_tracks).least_nats)


@given(st.floats(0.001, 0.999), SIZES)
def test_a_bar_asks_for_what_gives_that_score(min_score: float, n_tracks: float) -> None:
    bar = bar_of(min_score, n_tracks=n_tracks)
    assert score_of(bar.least_nats, n_tracks=n_tracks) == pytest.approx(min_score)
    assert bar.convincing_nats >= bar_of(n_tracks=n_tracks).least_nats, "less never makes an alignment convincing"


def test_no_score_is_too_small_or_too_large_for_a_bar() -> None:
    assert bar_of(0.0, n_tracks=10).least_nats == -math.inf
    assert bar_of(1.0, n_tracks=10).least_nats == math.inf


def test_small_catalogues_ask_for_one_pair_in_a_million_and_large_ones_for_more() -> None:
    assert bar_of(n_tracks=5000).least_nats == pytest.approx(PAIR_NATS)
    assert bar_of(n_tracks=1).least_nats == pytest.approx(PAIR_NATS)
    assert bar_of(n_tracks=1_000_000).least_nats == pytest.approx(PAIR_NATS + math.log(200))


def test_repetition_costs_evidence() -> None:
    assert (
        evidence_nats(0.5, 60, repetitiveness=1.3) < evidence_nats(0.5, 60) < evidence_nats(0.5, 60, repetitiveness=0.9)
    )
    assert evidence_nats(0.5 * 1.3, 60, repetitiveness=1.3) == pytest.approx(evidence_nats(0.5, 60))
    assert evidence_nats_of_mean(0.5, repetitiveness=1.3) < evidence_nats_of_mean(0.5)


def test_size_is_counted_in_tracks_of_two_minutes() -> None:
    assert n_tracks_of(0) == 0
    assert n_tracks_of(237_000) == pytest.approx(1000)


def test_the_least_correlation_falls_with_the_overlap() -> None:
    values = [min_correlation(n) for n in (1, 8, 20, 40, 60, 80, 100, 221, 1000)]
    assert values == sorted(values, reverse=True)
    assert min_correlation(60) == pytest.approx(0.35)
    assert min_correlation(100) == pytest.approx(0.285)
    assert min_correlation(5000) == pytest.approx(0.26)
