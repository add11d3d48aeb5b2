"""False accepts: exact bounds, the table and the names."""

import pytest

from eval.false_accepts import binomial_bounds, false_accepts_markdown
from eval.metrics import Row, Slip


def row(condition: str, n: int, *slips: Slip) -> Row:
    return Row(
        "ours", condition, 10.0, 0, n, 0.0, 0.0, 0.0, 0.0, len(slips), 0.0, None, None, None, None, None, tuple(slips)
    )


@pytest.mark.parametrize(
    ("n_events", "n", "low", "high"),
    [(0, 500, 0.0, 0.007351), (5, 10, 0.187086, 0.812914), (10, 10, 0.691503, 1.0), (0, 0, 0.0, 1.0)],
)
def test_bounds_are_those_of_clopper_and_pearson(n_events: int, n: int, low: float, high: float) -> None:
    assert binomial_bounds(n_events, n) == pytest.approx((low, high), abs=1e-6)


def test_each_case_is_named_with_both_tracks() -> None:
    """And counted under its condition and in all."""
    text = false_accepts_markdown(
        [row("clean", 300), row("phone", 200, Slip("false accept", "a stranger", 1, 12.0, "a track", 0.9))]
    )
    assert "| ours | clean | 10 | 0 of 300 | 0.00% |" in text
    assert "| ours | phone | 10 | 1 of 200 | 0.50% |" in text
    assert "| ours | all together | 10 | 1 of 500 | 0.20% | 0.01% to 1.11% |" in text
    assert "- ours, phone, 10 s: a stranger at 12.0 s was taken for a track, score 0.9000" in text
