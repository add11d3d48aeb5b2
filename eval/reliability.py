"""How a score is fitted, and whether it keeps what it says.

What belongs here: weighing, the fit and the reliability table; pure. What does not: asking (`strangers`).

A wrong answer of a small catalogue stands for as many as the smallest catalogue that the score knows would have given.
Half of the queries are taken to be in the catalogue: a score is a probability under that assumption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from eval.strangers import Asked
from musicfp.fingerprint.calibration import MIN_TRACKS

# From ten strangers expected to one in 20,000 queries; beyond, no score is in doubt.
_UNSURE = (-2.0, 10.0)
_EDGES = (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Answers:
    """Answers of many queries, all of shape (n,); `surprise` is the score's variable, -ln E."""

    surprise: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    weight: NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Answers whose scores lie between two; the mean score and the share right are of weighted answers."""

    low: float
    high: float
    n_right: int
    n_wrong: int
    mean_score: float
    share_right: float


def answers_of(asked: Sequence[Asked], *, n_tracks: float) -> Answers:
    """Put the answers together and weigh them."""
    n_strangers = sum(each.clip.is_stranger for each in asked)
    n_ours = len(asked) - n_strangers
    rows = [
        (
            answer.evidence_nats - np.log(max(n_tracks, MIN_TRACKS)),
            answer.is_right,
            0.5
            / (n_strangers if each.clip.is_stranger else n_ours)
            * (1.0 if answer.is_right else max(1.0, MIN_TRACKS / n_tracks)),
        )
        for each in asked
        for answer in each.answers
    ]
    surprise, is_right, weight = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Answers(surprise, is_right.astype(np.bool_), weight)


def fit_score(surprise: NDArray[np.float64], *, n_queries: int) -> tuple[float, float]:
    """Return a and b of the score 1 / (1 + exp(-(a + b * surprise))).

    Wrong answers have the density exp(-surprise): that is what evidence means, and the tables of tails show whether it
    is so. The density of right answers is fitted as exp(a + slope * surprise) where a score is neither 0 nor 1. The
    odds are their ratio, so b is 1 + slope. Fitting to the wrong answers that were seen instead would rest on the few
    of a small catalogue that come near the bar.

    Parameters
    ----------
    surprise
        NDArray[np.float64] [shape=(n,)]. Of right answers.
    n_queries
        How many queries had a right answer.

    """
    low, high = _UNSURE
    inside = surprise[(surprise >= low) & (surprise < high)]
    slope = optimize.brentq(lambda slope: _mean_of_exponential(slope, low, high) - inside.mean(), -5.0, 5.0)
    integral = (np.exp(slope * high) - np.exp(slope * low)) / slope if slope else high - low
    return float(np.log(inside.size / n_queries / integral)), 1 + float(slope)


def _mean_of_exponential(slope: float, low: float, high: float) -> float:
    """Return the mean of a density proportional to exp(slope * x) between two ends."""
    width = high - low
    if abs(slope * width) < 1e-6:
        return (low + high) / 2
    return high - 1 / slope + width / float(np.expm1(slope * width))


def reliability(answers: Answers, scores: NDArray[np.float64]) -> list[Bin]:
    """Return, for each range of scores [shape=(n,)] that occurs, what they say and what is true."""
    bins = []
    for low, high in pairwise(_EDGES):
        inside = (scores >= low) & ((scores < high) | (high == 1.0))
        if inside.any():
            weight, right = answers.weight[inside], answers.is_right[inside]
            bins.append(
                Bin(
                    low,
                    high,
                    int(right.sum()),
                    int((~right).sum()),
                    float(np.average(scores[inside], weights=weight)),
                    float(np.average(right, weights=weight)),
                )
            )
    return bins
