"""How sure a match is: what strangers reach by chance, how many of them a catalogue holds, and what follows from both.

What belongs here: the tail of strangers' correlations, the score, the bar that a match must pass; pure functions and
the constants that `python -m eval.calibration` prints. What does not: measuring (`correlation`), choosing how to align
(`verification`).

1. Evidence: x = -ln p, in nats, where p is the probability that a track that does not hold the query agrees as well.
2. Of N such tracks, E = max(N, 5000) * p are expected to agree as well by chance.
3. Score: the probability that the match is right, a logistic function of -ln E.

The default bar is E <= 0.005: at most one stranger's query in 200 gets an answer, however large the catalogue; and
since E never counts fewer than 5000 tracks, p <= 0.005 / 5000 = 10^-6 for every pair.
"""

import math
from dataclasses import dataclass

import numpy as np

# Correlation that unrelated pairs reach once in 10^6, by items of overlap; 5, 10, 15 and 30 s of audio are 19, 60, 100
# and 221. Fitted on 990,000 pairs of a clip and a track of two minutes, with one to two standard errors in reserve;
# below 19 items a guess that stays on the safe side. Above 221 the threshold stays: what strangers share then is music.
_ONCE_IN_A_MILLION_ITEMS = np.array([8.0, 19.0, 60.0, 100.0, 221.0])
_ONCE_IN_A_MILLION_CORRELATION = np.array([1.0, 0.57, 0.35, 0.285, 0.26])
# How fast that exponential tail falls.
_CORRELATION_PER_NAT = 0.0166
# Shorter overlaps scatter more, as 1 / sqrt(overlap).
_STEEPER_BELOW_ITEMS = 60
# The same of the mean over all 5 s pieces of at least 20 s, each aligned on its own: 0.24 to 0.285 (14,000 pairs of 20,
# 30 and 60 s), falling by 0.012 to 0.017 a nat.
_ONCE_IN_A_MILLION_MEAN = 0.29
_MEAN_PER_NAT = 0.016
MAX_PAIR_PROBABILITY = 1e-6
MAX_EXPECTED_FALSE_MATCHES = 0.005
MIN_TRACKS = 5000
# An indexed track of two minutes. A longer one counts as several: it offers as many more places to agree by chance.
_POSTINGS_PER_TRACK = 237
# Log-odds that a match is right, where one stranger is expected to agree as well and for each nat beyond: half of the
# queries are taken to be in the catalogue, and to be damaged in all ways of `eval.degrade` alike.
_SCORE_AT_ONE_EXPECTED = -6.65
_SCORE_PER_NAT = 1.36
PAIR_NATS = -math.log(MAX_PAIR_PROBABILITY)


@dataclass(frozen=True)
class Bar:
    """What a match must show, in nats of evidence.

    Of several ways to align a track, the first whose evidence is `convincing_nats` is taken, or else the strongest that
    has at least `least_nats`. A match with less is none.
    """

    convincing_nats: float
    least_nats: float


@dataclass(frozen=True)
class Chance:
    """What chance can do to one way of hearing a query.

    `selection_nats` is the logarithm of how many ways were tried, `repetitiveness` that of the query (`repetition`),
    `n_tracks` how many tracks of two minutes were searched.
    """

    bar: Bar
    n_tracks: float
    selection_nats: float = 0.0
    repetitiveness: float = 1.0


# For a policy that judges the matches further and must not judge otherwise when the catalogue has grown. Where
# repetition is not heeded, one pair in 10^6 has this much.
_UNHEEDING_PAIR_NATS = 15.0
PAIR_BAR = Bar(_UNHEEDING_PAIR_NATS, _UNHEEDING_PAIR_NATS)


def min_correlation(overlap_items: int, *, selection_nats: float = 0.0) -> float:
    """Return the correlation over so many items that unrelated audio exceeds less than once in 10^6 pairs.

    `selection_nats` is the logarithm of how many overlaps were tried: the best of many is high by chance more often.
    """
    if overlap_items <= 0:
        return math.inf
    shortest = float(_ONCE_IN_A_MILLION_ITEMS[0])
    at = 1 / np.sqrt(_ONCE_IN_A_MILLION_ITEMS[::-1])
    single = float(np.interp(1 / math.sqrt(overlap_items), at, _ONCE_IN_A_MILLION_CORRELATION[::-1]))
    return single * math.sqrt(max(1.0, shortest / overlap_items)) + _per_nat(overlap_items) * selection_nats


def evidence_nats(
    correlation: float, overlap_items: int, *, selection_nats: float = 0.0, repetitiveness: float = 1.0
) -> float:
    """Return -ln of the probability that unrelated audio correlates so well; negative where nearly all does.

    Parameters
    ----------
    correlation
        Row-centred, over all matching items.
    overlap_items
        How many those are. None: no evidence, minus infinity.
    selection_nats
        Logarithm of how many overlaps were tried.
    repetitiveness
        Of the query (`musicfp.fingerprint.repetition`).

    """
    if overlap_items <= 0:
        return -math.inf
    above = correlation / repetitiveness - min_correlation(overlap_items)
    return PAIR_NATS + above / _per_nat(overlap_items) - selection_nats


def evidence_nats_of_mean(mean_correlation: float, *, repetitiveness: float = 1.0) -> float:
    """Return the same of the mean correlation of pieces that were each aligned on its own, 20 s or more together."""
    return PAIR_NATS + (mean_correlation / max(1.0, repetitiveness) - _ONCE_IN_A_MILLION_MEAN) / _MEAN_PER_NAT


def n_tracks_of(n_postings: int) -> float:
    """Return how many tracks of two minutes an index of so many postings is as good as."""
    return n_postings / _POSTINGS_PER_TRACK


def score_of(evidence: float, *, n_tracks: float) -> float:
    """Return the probability that a match with so many nats of evidence, found among so many tracks, is right."""
    return _logistic(_SCORE_AT_ONE_EXPECTED + _SCORE_PER_NAT * (evidence - _log_tracks(n_tracks)))


def bar_of(min_score: float | None = None, *, n_tracks: float) -> Bar:
    """Return what a match must show among so many tracks to have a score; by default `DEFAULT_MIN_SCORE`."""
    default = _log_tracks(n_tracks) - math.log(MAX_EXPECTED_FALSE_MATCHES)
    if min_score is None:
        return Bar(default, default)
    least = _log_tracks(n_tracks) + (_logit(min_score) - _SCORE_AT_ONE_EXPECTED) / _SCORE_PER_NAT
    return Bar(max(default, least), least)


def _per_nat(overlap_items: int) -> float:
    return _CORRELATION_PER_NAT * math.sqrt(max(1.0, _STEEPER_BELOW_ITEMS / overlap_items))


def _log_tracks(n_tracks: float) -> float:
    return math.log(max(n_tracks, MIN_TRACKS))


def _logistic(x: float) -> float:
    # Of a large negative number, exp overflows; the other form is the same.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return math.inf if probability >= 1 else -math.inf
    return math.log(probability) - math.log1p(-probability)


DEFAULT_MIN_SCORE = score_of(bar_of(n_tracks=MIN_TRACKS).least_nats, n_tracks=MIN_TRACKS)
