"""Which of several possible tempi is the beat: each is judged by what comes back after a beat, its parts and multiples.

A beat tracker is right up to a factor of 2, 3 or 3/2. So each hypothesis, a tempo with a kind of bar, gets the
autocorrelation of every stream of novelty at the periods from a quarter beat to six beats, and a log-linear model
weighs them together with how usual the tempo is for such bars and which estimator proposed it.

Here: hypotheses, their features and the model. Not here: its weights (`rhythm_weights`), bars (`meter_model`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.novelty import FRAME_RATE_HZ
from musicfp.features.rhythm_weights import rhythm_weights

MIN_HYPOTHESIS_BPM, MAX_HYPOTHESIS_BPM = 40.0, 225.0
# By what an estimator's tempo may have to be multiplied to be the true one.
_FACTORS = (1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0)
_MAX_CONFIDENCE = 5.32  # of RhythmExtractor2013
# Periods in beats at which the autocorrelation is read.
_PERIODS = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4, 6])
_N_KEPT = 4
_SAME_TEMPO = 0.035
_AGREEMENT = 0.04
_COSINE_WINDOW_S = 8.0
_REFINEMENT = np.linspace(0.965, 1.035, 29)
_NEIGHBOURHOOD = np.linspace(0.985, 1.015, 7)
_TYPICAL_BPM = 100.0
_LEAST_DIFFERENCE = 0.05  # what differs less than that between tempi is chance
_ALL, _BANDS, _CHROMA = 0, 5, 6  # rows of the autocorrelations: see novelty.STREAMS


@dataclass(frozen=True)
class Pulses:
    """The likeliest tempi, best first, each with its kinds of bars.

    Parameters
    ----------
    tempi_bpm
        [shape=(n,)]
    log_odds
        Of each tempo with 4/4, 3/4, 6/8 and 9/8; the highest is 0. [shape=(n, 4)]

    """

    tempi_bpm: NDArray[np.float64]
    log_odds: NDArray[np.float64]


def judge_pulses(
    autocorrelations: NDArray[np.float32], *, tracked_bpm: float, second_bpm: float, confidence: float
) -> Pulses | None:
    """Return the likeliest tempi of those that two estimators suggest; None if none is a tempo of human music.

    Parameters
    ----------
    autocorrelations
        As `novelty.autocorrelations` returns them. [shape=(n_streams, n_lags)]
    tracked_bpm, second_bpm
        What two independent estimators answered.
    confidence
        Of the first, 0 to 5.32.

    """
    tempi_bpm = hypotheses(autocorrelations, tracked_bpm=tracked_bpm, second_bpm=second_bpm)
    if not len(tempi_bpm):
        return None
    weights = rhythm_weights()
    periodic = (periodicity(autocorrelations, tempi_bpm) - weights.pulse_mean) / weights.pulse_spread
    usual = usualness(tempi_bpm, tracked_bpm=tracked_bpm, second_bpm=second_bpm, confidence=confidence)
    by_bar = periodic @ weights.pulse_by_bar + usual @ weights.pulse_usual
    return ranked(tempi_bpm, (periodic @ weights.pulse_shared)[:, None] + by_bar)


def ranked(tempi_bpm: NDArray[np.float64], log_odds: NDArray[np.float64]) -> Pulses:
    """Return the _N_KEPT tempi that are likeliest over all kinds of bars."""
    best = np.argsort(-np.exp(log_odds - log_odds.max()).sum(axis=1))[:_N_KEPT]
    return Pulses(tempi_bpm=tempi_bpm[best], log_odds=log_odds[best] - log_odds.max())


def hypotheses(autocorrelations: NDArray[np.float32], *, tracked_bpm: float, second_bpm: float) -> NDArray[np.float64]:
    """Return the tempi to choose from, each moved to where the autocorrelation is highest. Shape (n_tempi,)."""
    tempi: list[float] = []
    for suggested in (tracked_bpm, second_bpm):
        for factor in _FACTORS:
            bpm = suggested * factor
            if MIN_HYPOTHESIS_BPM <= bpm <= MAX_HYPOTHESIS_BPM and not _is_among(bpm, tempi):
                tempi.append(bpm)
    curve = autocorrelations[_ALL] + autocorrelations[_BANDS]
    return np.array([_refined(curve, bpm) for bpm in tempi])


def periodicity(autocorrelations: NDArray[np.float32], tempi_bpm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the features of hypotheses: cosine transform and autocorrelation of every stream at _PERIODS.

    Each as it is, and against those of the other tempi: soft sounds come back less clearly than drums do, whatever the
    tempo. Shape (n_tempi, 2 * n_periods * 2 * n_streams).
    """
    n_streams, n_lags = autocorrelations.shape
    periods_s = (60 / tempi_bpm[:, None] * _PERIODS).ravel()
    lags_s = np.arange(n_lags) / FRAME_RATE_HZ
    window = np.where(lags_s < _COSINE_WINDOW_S, 0.5 + 0.5 * np.cos(np.pi * lags_s / _COSINE_WINDOW_S), 0.0)
    cosines = np.cos(2 * np.pi * lags_s / periods_s[:, None]) * window
    transformed = np.einsum("ij,kj->ik", cosines, autocorrelations) * (2 / FRAME_RATE_HZ)
    returned = _peak_near(autocorrelations, periods_s * FRAME_RATE_HZ)
    features = np.stack([transformed, returned], axis=1).reshape(len(tempi_bpm), len(_PERIODS) * 2 * n_streams)
    centred = features - features.mean(axis=0)
    relative = centred / (np.abs(centred).max(axis=0) + _LEAST_DIFFERENCE)
    return np.concatenate([features, relative], axis=1)


def recurrence(autocorrelations: NDArray[np.float32], tempo_bpm: float) -> tuple[float, float]:
    """Return how much comes back after one, two or four beats, whichever is most: of the onsets, of the harmony."""
    lags = 60 / tempo_bpm * FRAME_RATE_HZ * np.array([1.0, 2.0, 4.0])
    onsets, harmony = _peak_near(autocorrelations[[_BANDS, _CHROMA]], lags).max(axis=0)
    return float(onsets), float(harmony)


def usualness(
    tempi_bpm: NDArray[np.float64], *, tracked_bpm: float, second_bpm: float, confidence: float
) -> NDArray[np.float64]:
    """Return what is known of a tempo without listening. Shape (n_tempi, N_USUAL).

    How usual it is, and which multiple it is of what each estimator answered; the tracker's once more, times its
    confidence.
    """
    octaves = np.log2(tempi_bpm / _TYPICAL_BPM)
    tracked, second = (_multiples(tempi_bpm, bpm) for bpm in (tracked_bpm, second_bpm))
    usual = np.stack([np.ones_like(octaves), octaves, octaves**2], axis=1)
    return np.concatenate([usual, tracked, second, tracked * confidence / _MAX_CONFIDENCE], axis=1)


def _multiples(tempi_bpm: NDArray[np.float64], bpm: float) -> NDArray[np.float64]:
    """Return which of _FACTORS each tempo is of another, 1 for it and 0 for the others. Shape (n_tempi, n_factors)."""
    suggested = bpm * np.array(_FACTORS)
    return (np.abs(tempi_bpm[:, None] - suggested) < _AGREEMENT * suggested).astype(np.float64)


def _is_among(bpm: float, tempi: Iterable[float]) -> bool:
    return any(abs(bpm / other - 1) < _SAME_TEMPO for other in tempi)


def _refined(curve: NDArray[np.float32], bpm: float) -> float:
    """Return the tempo near `bpm` whose beat, double beat and fourfold beat come back most clearly."""
    lags = 60 / bpm * FRAME_RATE_HZ * _REFINEMENT
    heights = np.zeros(len(lags))
    for multiple in (1, 2, 4):
        if lags[-1] * multiple < len(curve) - 1:
            heights += np.interp(lags * multiple, np.arange(len(curve)), curve)
    return float(60 * FRAME_RATE_HZ / lags[int(heights.argmax())])


def _peak_near(autocorrelations: NDArray[np.float32], lags: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest autocorrelation around each lag, 0 beyond what is known. Shape (n_lags, n_streams)."""
    n_known = autocorrelations.shape[1]
    at = lags[:, None] * _NEIGHBOURHOOD
    known = at[:, -1] < n_known - 2
    at = np.minimum(at, n_known - 2.001)
    below = at.astype(int)
    share = (at - below)[..., None]
    values = autocorrelations.T[below] * (1 - share) + autocorrelations.T[below + 1] * share
    return np.asarray(values.max(axis=1) * known[:, None])
