"""Fitting a score to answers of which it is known how often they are right."""

import numpy as np
import pytest

from eval.queries import split_of
from eval.reliability import Answers, answers_of, fit_score, reliability
from eval.strangers import Answered, Asked, Clip


@pytest.mark.parametrize("slope", [0.37, 0.0, -0.2])
def test_the_score_is_the_share_of_right_answers_among_those_that_chance_adds(slope: float) -> None:
    """Right answers of a known density, wrong ones as evidence promises them; half of the queries are ours."""
    rng = np.random.default_rng(3)
    n_queries, low, high = 200_000, -2.0, 10.0
    x = np.linspace(low, high, 2001)
    density = 0.004 * np.exp(slope * x)
    total = np.trapezoid(density, x)
    right = np.interp(rng.random(rng.poisson(total * n_queries)), np.cumsum(density) / density.sum(), x)
    wrong = low + rng.exponential(1.0, rng.poisson(n_queries * np.exp(-low)))
    a, b = fit_score(right, n_queries=n_queries)
    assert (a, b) == pytest.approx((np.log(0.004), 1 + slope), abs=0.05)
    wrong = wrong[wrong < high]
    answers = Answers(
        np.concatenate([right, wrong]),
        np.concatenate([np.ones(right.size, dtype=np.bool_), np.zeros(wrong.size, dtype=np.bool_)]),
        np.ones(right.size + wrong.size),
    )
    scores = 1 / (1 + np.exp(-(a + b * answers.surprise)))
    bins = reliability(answers, scores)
    assert sum(each.n_right + each.n_wrong for each in bins) == answers.surprise.size
    for each in bins:
        assert each.low <= each.mean_score <= each.high
        assert each.share_right == pytest.approx(each.mean_score, abs=0.03)


def test_a_bin_weighs_its_answers() -> None:
    answers = Answers(np.zeros(3), np.array([True, False, False]), np.array([3.0, 1.0, 1.0]))
    [only] = reliability(answers, np.array([0.55, 0.6, 0.65]))
    assert (only.n_right, only.n_wrong) == (1, 2)
    assert only.share_right == pytest.approx(0.6)
    assert only.mean_score == pytest.approx((3 * 0.55 + 0.6 + 0.65) / 5)


def test_wrong_answers_of_a_small_catalogue_stand_for_those_of_a_large_one() -> None:
    """Half of the weight is of queries that the catalogue holds, however many were asked."""
    right = Answered("t", True, 0.5, 60, 20.0)
    wrong = Answered("u", False, 0.3, 60, 9.0)
    ours = [Asked(Clip("t", "t", False, "clean", 10.0, number, True), (right,)) for number in range(4)]
    strangers = [Asked(Clip("s", "s", True, "clean", 10.0, 0, True), (wrong, wrong))]
    answers = answers_of([*ours, *strangers], n_tracks=500)
    assert answers.weight[answers.is_right].sum() == pytest.approx(0.5)
    assert answers.weight[~answers.is_right].tolist() == pytest.approx([0.5 * 10] * 2)
    assert answers.surprise[~answers.is_right].tolist() == pytest.approx([9.0 - np.log(5000)] * 2)
    many = answers_of([*ours, *strangers], n_tracks=50_000)
    assert many.weight[~many.is_right].tolist() == pytest.approx([0.5] * 2)


def test_a_clip_belongs_to_the_same_half_whatever_is_done_to_it() -> None:
    clips = [
        Clip("s", "s", True, condition, 10.0, 3, by_audio) for condition in ("a", "b") for by_audio in (True, False)
    ]
    assert {clip.split for clip in clips} == {split_of("s", 3)}
