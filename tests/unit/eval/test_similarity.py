"""The judgement of neighbours, on vectors whose neighbours are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.features.similarity import EXCERPT_S, Excerpts, judge, starts_s

NOTHING = np.zeros(1, dtype=np.float32)


def tracks(*albums: str) -> list[Excerpts]:
    return [Excerpts(f"{number}", album, (NOTHING, NOTHING)) for number, album in enumerate(albums)]


def at(degrees: float) -> NDArray[np.float32]:
    """Return a point of the circle."""
    angle = np.radians(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def test_the_other_excerpt_is_found_first_third_or_not() -> None:
    """Six tracks on a circle: four are neighbours of themselves, one has strangers between, one is far apart."""
    pairs = [(0, 1), (60, 61), (120, 121), (242.5, 244), (240, 247), (300, 30)]
    result = judge(tracks(*"abcdef"), [(at(first), at(second)) for first, second in pairs])
    assert result.n_tracks == 6
    # 240 and 247 have 242.5 and 244 between them, which are nearer to each other.
    assert result.recall_1 == pytest.approx(8 / 12)
    assert result.recall_3 == pytest.approx(10 / 12)


def test_albums_are_counted_without_the_other_excerpt() -> None:
    """Two albums at opposite places: all of the five nearest are of the same one."""
    vectors = [(at(base + number), at(base + number + 0.5)) for base in (0, 180) for number in range(4)]
    result = judge(tracks(*"aaaabbbb"), vectors)
    assert result.same_album == 1.0
    assert result.chance == pytest.approx(6 / 14)


@pytest.mark.parametrize(("duration_s", "expected"), [(72.0, (15.0, 60.0)), (300.0, (15.0, 60.0)), (48.0, (6.0, 30.0))])
def test_excerpts_lie_within_the_track_and_apart(duration_s: float, expected: tuple[float, float]) -> None:
    first, second = starts_s(duration_s)
    assert (first, second) == expected
    assert first + EXCERPT_S <= second
    assert second + EXCERPT_S <= duration_s
