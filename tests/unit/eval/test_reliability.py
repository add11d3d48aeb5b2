"""Fitting a score to answers of which it is known how often they are right."""

import numpy as np
import pytest

from eval.queries import split_of
from eval.reliability import Answers, answers_of, fit_score, reliability
from eval.strangers import Answered, Asked, Clip


def drawn(a: float, b: float, *, n: int = 40_000) -> Answers:
    rng = np.random.default_rng(3)
    surprise = rng.uniform(-12, 20, n)
    is_right = rng.random(n) < 1 / (1 + np.exp(-(a + b * surprise)))
    return Answers(surprise, is_right, np.ones(n))


@pytest.mark.parametrize(("a", "b"), [(-1.0, 1.0), (-4.0, 0.7), (2.0, 0.4)])
def test_the_score_is_found_again_and_keeps_what_it_says(a: float, b: float) -> None:
    answers = drawn(a, b)
    assert fit_score(answers) == pytest.approx((a, b), abs=0.15)
    scores = 1 / (1 + np.exp(-(a + b * answers.surprise)))
    bins = reliability(answers, scores)
    assert sum(each.n_right + each.n_wrong for each in bins) == answers.surprise.size
    for each in bins:
        assert each.low <= each.mean_score <= each.high
        assert each.share_right == pytest.approx(each.mean_score, abs=0.05)


def test_a_weight_counts_as_so_many_answers() -> None:
    once = Answers(
        np.array([-1.0, 0.5, 0.5, 2.0]), np.array([False, True, False, True]), np.array([1.0, 3.0, 1.0, 1.0])
    )
    repeated = Answers(
        np.array([-1.0, 0.5, 0.5, 0.5, 0.5, 2.0]), np.array([False, True, True, True, False, True]), np.ones(6)
    )
    assert fit_score(once) == pytest.approx(fit_score(repeated), abs=0.01)


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
