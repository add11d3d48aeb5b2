"""Which bar the beats make: beats are compared with those two, three, four, five and seven later.

Here: the features of kinds of bars and the model that weighs them. Not here: its weights (`rhythm_weights`), beats
(`beat_grid`), what is reported (`meter`).

References
----------
A. Klapuri, A. Eronen, J. Astola, "Analysis of the meter of acoustic musical signals", IEEE TASLP 14(1), 2006 (periods
of several levels judged together); M. Gainza, "Automatic musical meter detection", ICASSP 2009 (self-similarity of
beats).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.beat_grid import accents_of, chroma_of, place_beats
from musicfp.features.novelty import FRAME_RATE_HZ, Novelty
from musicfp.features.pulse_model import Pulses
from musicfp.features.rhythm_weights import rhythm_weights


@dataclass(frozen=True)
class Bar:
    """A kind of bar: how it is written, its beats, and into what a beat divides."""

    time_signature: str
    beats: int
    subdivision: str


BARS = (
    Bar("4/4", 4, "binary"),
    Bar("3/4", 3, "binary"),
    Bar("6/8", 2, "ternary"),
    Bar("9/8", 3, "ternary"),
    Bar("5/4", 5, "binary"),
    Bar("7/8", 7, "binary"),
)
N_TAUGHT = 4  # the first so many kinds were in the music that the weights come from
# Odds of the others against 4/4, whose weights they share. Few pieces in a hundred are in 5 or 7.
_ODD_LOG_ODDS = -3.0
_TATUMS = 12
_SIMILARITY_LAGS = 16
# In twelfths of a beat: where binary and ternary parts of it begin.
_PARTS = (3, 4, 6, 8, 9)
_MIN_BEATS = 24


@dataclass(frozen=True)
class Rhythm:
    """The tempo and the kind of bar that fit best.

    Parameters
    ----------
    tempo_bpm, beats_s
        Beats per minute, and their instants in seconds. [shape=(n_beats,)]
    tempo_probability
        Of that tempo among those considered, over all kinds of bars.
    alternative_bpm
        The next likely tempo; None if there was only one.
    bar, bar_probability
        The kind of bar and its probability among all kinds at that tempo; None for too few beats to tell.

    """

    tempo_bpm: float
    tempo_probability: float
    alternative_bpm: float | None
    beats_s: NDArray[np.float64]
    bar: Bar | None
    bar_probability: float | None


def judge_rhythm(novelty: Novelty, pulses: Pulses) -> Rhythm:
    """Return the tempo and kind of bar that the likeliest tempi make, each with beats placed at it.

    Where there are too few beats for bars, the first tempo and no bar.
    """
    beats_s = [place_beats(novelty, period_s=60 / bpm) for bpm in pulses.tempi_bpm]
    has_bars = min(len(each) for each in beats_s) >= _MIN_BEATS
    if has_bars:
        features = [bar_features(novelty, each) for each in beats_s]
        log_odds = np.array(
            [log_odds_of(*each, log_odds) for each, log_odds in zip(features, pulses.log_odds, strict=True)]
        )
    else:
        log_odds = pulses.log_odds
    likely = np.exp(log_odds - log_odds.max())
    by_tempo = likely.sum(axis=1) / likely.sum()
    order = np.argsort(-by_tempo)
    first = int(order[0])
    bars = likely[first] / likely[first].sum()
    best = int(bars.argmax())
    return Rhythm(
        tempo_bpm=float(pulses.tempi_bpm[first]),
        tempo_probability=float(by_tempo[first]),
        alternative_bpm=float(pulses.tempi_bpm[order[1]]) if len(order) > 1 else None,
        beats_s=beats_s[first],
        bar=BARS[best] if has_bars else None,
        bar_probability=float(bars[best]) if has_bars else None,
    )


def bar_features(novelty: Novelty, beats_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `folding` and `division` of beats."""
    return folding(novelty, beats_s), division(novelty, beats_s)


def log_odds_of(
    folds: NDArray[np.float64], divisions: NDArray[np.float64], pulse_log_odds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log odds of each of BARS at one tempo. Shape (len(BARS),)."""
    weights = rhythm_weights()
    folded = (folds - weights.fold_mean) / weights.fold_spread @ weights.fold
    divided = (divisions - weights.division_mean) / weights.division_spread @ weights.division
    own = divided + weights.bar_bias + weights.bar_pulse * pulse_log_odds
    odd = np.full(len(BARS) - N_TAUGHT, own[0] + _ODD_LOG_ODDS)
    return np.asarray(folded + np.concatenate([own, odd]))


def folding(novelty: Novelty, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of BARS how well beats at equal places in such bars agree. Shape (len(BARS), n_features).

    The share of each accent's variance that the place in the bar explains (adjusted R2), and how much more alike beats
    are that are whole bars apart than others are, in their onsets and in their pitch classes.
    """
    accents = accents_of(novelty, beats_s)
    onsets = _similarity_by_lag(_centred(_onset_patterns(novelty, beats_s).reshape(len(beats_s), -1)))
    pitches = _similarity_by_lag(_centred(chroma_of(novelty, beats_s)))
    rows = []
    for bar in BARS:
        explained = _explained_variance(accents, bar.beats)
        rows.append([*explained, _contrast(onsets, bar.beats), _contrast(pitches, bar.beats)])
    return np.array(rows)


def division(novelty: Novelty, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how strongly sounds begin on the halves, thirds and quarters of beats. Shape (n_features,)."""
    patterns = _onset_patterns(novelty, beats_s)
    strength = patterns.sum(axis=2)
    part = strength / (strength[:, :1] + strength.mean())
    third = np.maximum(part[:, 4], part[:, 8])
    votes = [
        (third > part[:, 6]).mean(),
        (part[:, 4] > part[:, 6]).mean(),
        (part[:, 8] > part[:, 6]).mean(),
        np.minimum(part[:, 4], part[:, 8]).mean(),
    ]
    profile = patterns.mean(axis=0)
    relative = np.log1p(profile[list(_PARTS)] / (profile[0].mean() + 1e-9))
    return np.array([*votes, *part[:, list(_PARTS)].mean(axis=0), *relative.ravel()])


def _onset_patterns(novelty: Novelty, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return onset strength of each beat by twelfth and by low, middle and high bands. Shape (n_beats, 12, 3)."""
    bands = novelty.bands
    groups = (bands[:, :4].sum(axis=1), bands[:, 4:10].sum(axis=1), bands[:, 10:].sum(axis=1))
    durations = np.diff(beats_s, append=2 * beats_s[-1] - beats_s[-2])
    at = (beats_s[:, None] + durations[:, None] * np.arange(_TATUMS) / _TATUMS) * FRAME_RATE_HZ
    known = np.arange(len(bands))
    return np.stack([np.interp(at, known, group) for group in groups], axis=2)


def _explained_variance(accents: NDArray[np.float64], n_beats: int) -> NDArray[np.float64]:
    n = len(accents)
    place = np.arange(n) % n_beats
    between = sum((place == each).sum() * accents[place == each].mean(axis=0) ** 2 for each in range(n_beats))
    return np.asarray(1 - (1 - between / n) * (n - 1) / max(1, n - n_beats))


def _centred(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-9))


def _similarity_by_lag(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lags = range(1, _SIMILARITY_LAGS + 1)
    return np.array([(vectors[:-lag] * vectors[lag:]).sum(axis=1).mean() for lag in lags])


def _contrast(similarity: NDArray[np.float64], n_beats: int) -> float:
    whole_bars = np.arange(1, _SIMILARITY_LAGS + 1) % n_beats == 0
    return float(similarity[whole_bars].mean() - similarity[~whole_bars].mean())
