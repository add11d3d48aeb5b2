"""Scores and the fit of the evaluation of speech, on made-up numbers."""

from pathlib import Path

import numpy as np
import pytest

from eval.features.speech import area_under_curve, chosen, fit


def test_the_area_under_the_curve_counts_pairs_and_half_of_ties() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    assert area_under_curve(scores, np.array([True, True, False, False])) == pytest.approx(3.5 / 4)
    assert area_under_curve(-scores, np.array([True, True, False, False])) == pytest.approx(0.5 / 4)


def test_the_fit_finds_the_measure_that_tells() -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(200) < 40
    measures = np.column_stack([rng.normal(size=200) + 3 * truth, rng.normal(size=200)])
    coefficients, centre, scale = fit(measures, truth)
    linear = coefficients[0] + (measures - centre) / scale @ coefficients[1:]
    assert coefficients[1] > 5 * abs(coefficients[2])
    assert np.mean((linear > 0) == truth) > 0.9


def test_few_pieces_of_each_source_are_chosen_the_same_way_every_time(tmp_path: Path) -> None:
    for name, n_bytes in (("a/1.ogg", 500_000), ("a/2.ogg", 500_000), ("a/short.ogg", 10), ("b/3.mod", 70_000)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(n_bytes))
    found = list(chosen(tmp_path, per_source=1))
    assert found == list(chosen(tmp_path, per_source=1))
    assert [source for _, source in found] == ["a", "b"]
    assert len(list(chosen(tmp_path, per_source=None))) == 4
