"""Placing beats and bars once their durations are known, in plain numpy.

Here: beats by dynamic programming, what is heard on them, and which of them begin bars. Not here: how long a beat and a
bar are (`pulse_model`, `meter_model`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.novelty import FRAME_RATE_HZ, Novelty
from musicfp.features.rhythm_weights import rhythm_weights

# How much a beat's place in the grid counts against its onset. From 50 to 800 nothing changes on rendered music; low
# values follow players who drift.
_TIGHTNESS = 100.0
_LEAST_BARS = 4
_ONSET_REACH_FRAMES = 3


@dataclass(frozen=True)
class BarStarts:
    """Which beats begin bars, and the probability of that against the other places."""

    beats_s: NDArray[np.float64]
    probability: float


def place_beats(novelty: Novelty, *, period_s: float) -> NDArray[np.float64]:
    """Return the instants of beats about `period_s` apart that fall on onsets, in seconds [shape=(n_beats,)].

    References
    ----------
    D. Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007.

    """
    strength = _local_strength(novelty.strength, period_s=period_s)
    period = period_s * FRAME_RATE_HZ
    back = np.arange(-round(2 * period), -round(period / 2) + 1)
    penalty = -_TIGHTNESS * np.log(-back / period) ** 2
    reach = -int(back[0])
    score = np.zeros(reach + len(strength))
    before = np.empty(len(strength), dtype=np.int64)
    for at in range(len(strength)):
        candidates = score[at : at + len(back)] + penalty
        best = int(candidates.argmax())
        score[reach + at] = strength[at] + candidates[best]
        before[at] = at + back[best]
    return _traced(score[reach:], before, strength, period=period) / FRAME_RATE_HZ


def find_bar_starts(novelty: Novelty, beats_s: NDArray[np.float64], *, beats_per_bar: int) -> BarStarts | None:
    """Return the beats that begin bars; None when there are too few beats to tell.

    By bass, changes of harmony and other accents of beats at each place of the bar, of those after it and, in even
    bars, of those half a bar later.
    """
    if len(beats_s) < _LEAST_BARS * beats_per_bar:
        return None
    log_odds = bar_place_features(accents_of(novelty, beats_s), beats_per_bar) @ rhythm_weights().bar_start
    likely = np.exp(log_odds - log_odds.max())
    best = int(likely.argmax())
    return BarStarts(beats_s=beats_s[best::beats_per_bar], probability=float(likely[best] / likely.sum()))


def bar_place_features(accents: NDArray[np.float64], beats_per_bar: int) -> NDArray[np.float64]:
    """Return the mean accents at each place of a bar and around it. Shape (beats_per_bar, 3 * n_accents)."""
    place = np.arange(len(accents)) % beats_per_bar
    here = np.array([accents[place == each].mean(axis=0) for each in range(beats_per_bar)])
    after = np.roll(here, -1, axis=0)
    is_halved = beats_per_bar >= 4 and beats_per_bar % 2 == 0
    half = np.roll(here, -(beats_per_bar // 2), axis=0) if is_halved else np.zeros_like(here)
    return np.concatenate([here, after, half], axis=1)


def accents_of(novelty: Novelty, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each beat is accented by, each column standardised. Shape (n_beats, 8).

    Onsets in five bands from sub-bass up, how far the pitch classes of the beat and of the two beats from here are from
    those before, and the change of harmony at its instant.
    """
    frames = np.clip(np.round(beats_s * FRAME_RATE_HZ).astype(int), 0, len(novelty.harmony) - 1)
    bands = novelty.bands
    curves = [bands[:, first:last].sum(axis=1) for first, last in ((0, 2), (2, 4), (4, 9), (9, 13), (13, 17))]
    onsets = [_highest_near(curve, frames) for curve in curves]
    chroma = chroma_of(novelty, beats_s)
    pairs = _unit(chroma[1:] + chroma[:-1])
    moved, moved_twice = np.zeros(len(frames)), np.zeros(len(frames))
    moved[1:] = 1 - (chroma[1:] * chroma[:-1]).sum(axis=1)
    moved_twice[2:-1] = 1 - (pairs[2:] * pairs[:-2]).sum(axis=1)
    accents = np.stack([*onsets, moved, moved_twice, _highest_near(novelty.harmony, frames)], axis=1)
    return np.asarray((accents - accents.mean(axis=0)) / (accents.std(axis=0) + 1e-9))


def chroma_of(novelty: Novelty, beats_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pitch classes heard from each beat to the next, of unit length. Shape (n_beats, 12)."""
    edges_s = np.append(beats_s, 2 * beats_s[-1] - beats_s[-2])
    edges = np.clip(np.round(edges_s * FRAME_RATE_HZ).astype(int), 0, len(novelty.chroma))
    summed = np.concatenate([np.zeros((1, 12)), np.cumsum(novelty.chroma, axis=0, dtype=np.float64)])
    return _unit(summed[edges[1:]] - summed[edges[:-1]])


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9))


def _highest_near(curve: NDArray[np.float32], frames: NDArray[np.int_]) -> NDArray[np.float64]:
    shifts = np.arange(-_ONSET_REACH_FRAMES, _ONSET_REACH_FRAMES + 1)
    around = np.clip(frames[:, None] + shifts, 0, len(curve) - 1)
    return np.asarray(curve[around].max(axis=1), dtype=np.float64)


def _local_strength(strength: NDArray[np.float32], *, period_s: float) -> NDArray[np.float64]:
    from scipy import ndimage  # noqa: PLC0415 (the registry must be cheap to import)

    smooth = ndimage.gaussian_filter1d(strength.astype(np.float64), period_s * FRAME_RATE_HZ / 32)
    return np.asarray(smooth / (smooth.std() + 1e-9))


def _traced(
    score: NDArray[np.float64], before: NDArray[np.int64], strength: NDArray[np.float64], *, period: float
) -> NDArray[np.float64]:
    """Return the frames of the best chain of beats that ends within the last period, without silent ends."""
    first = max(0, len(score) - round(period))
    at = first + int(score[first:].argmax())
    chain = []
    while at >= 0:
        chain.append(at)
        at = int(before[at])
    beats = np.array(chain[::-1])
    sounding = np.flatnonzero(strength[beats] > 0.5 * np.sqrt(np.mean(strength[beats] ** 2)))
    if not len(sounding):
        return np.zeros(0)
    return beats[sounding[0] : sounding[-1] + 1].astype(np.float64)
