"""Learns the weights of the models of pulse, bar and downbeat from the tuning seeds, and writes them into the package.

    python -m eval.features.fit_rhythm

What belongs here: learning. What does not: the models themselves (`musicfp.features`), and judging on other seeds
(`python -m eval.features`). All three are log-linear: probabilities of the hypotheses of one piece, or of the places in
its bars, sum to one. What is learnt is pulled towards zero, so that features that say little weigh little.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from eval.degrade import SOURCE_RATE_HZ
from eval.features.answers import Piece, meter_class
from eval.features.material import tuning
from eval.features.scoring import f_measure, tempo_is_right
from eval.music import PROJECT, decode
from musicfp.features import beat_grid, meter_model, novelty, pulse_model
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.rhythm_weights import PATH

_Array = NDArray[np.float64]
_HEARD = PROJECT / "build" / "features" / "heard"
# How hard weights are pulled towards zero; chosen by cross-validation on the tuning seeds.
_PULL_SHARED, _PULL_BY_BAR, _PULL_USUAL = 3.0, 10.0, 0.1
_PULL_FOLD, _PULL_DIVISION = 10.0, 30.0
_PULL_BAR_START = 3.0
_N_FOLDS = 5
_N_BARS = meter_model.N_TAUGHT
_DIGITS = 4


@dataclass(frozen=True)
class Heard:
    """What a piece sounds like to the models, with its truth."""

    piece: Piece
    novelty: novelty.Novelty
    autocorrelations: NDArray[np.float32]
    tracked_bpm: float
    second_bpm: float
    confidence: float

    @property
    def tempi_bpm(self) -> _Array:
        """The tempi that the pulse model chooses from. Shape (n,)."""
        suggested = {"tracked_bpm": self.tracked_bpm, "second_bpm": self.second_bpm}
        return pulse_model.hypotheses(self.autocorrelations, **suggested)

    @property
    def usualness(self) -> _Array:
        """What the pulse model knows of these tempi without listening. Shape (n, n_usual)."""
        suggested = {"tracked_bpm": self.tracked_bpm, "second_bpm": self.second_bpm}
        return pulse_model.usualness(self.tempi_bpm, **suggested, confidence=self.confidence)

    @property
    def bar(self) -> int | None:
        """Index among the taught kinds of bars."""
        name = meter_class(self.piece.time_signature)
        names = [bar.time_signature for bar in meter_model.BARS[:_N_BARS]]
        return names.index(name) if name in names else None


def heard(piece: Piece) -> Heard:
    """Listen to a piece, or read what was heard before."""
    code = hashlib.sha256(Path(novelty.__file__).read_bytes()).hexdigest()[:8]
    path = _HEARD / code / f"{piece.name.replace('/', '__')}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        stereo = decode(piece.path, rate_hz=SOURCE_RATE_HZ, n_channels=2).reshape(-1, 2)
        mono = (stereo.mean(axis=1) / 32768).astype(np.float32)
        found = novelty.novelty_of(mono)
        essentia = essentia_standard()
        tracked_bpm, _, confidence, _, _ = essentia.RhythmExtractor2013(method="multifeature")(mono)
        np.savez(
            path,
            bands=found.bands.astype(np.float16),
            harmony=found.harmony.astype(np.float16),
            chroma=found.chroma.astype(np.float16),
            acf=novelty.autocorrelations(found),
            bpm=tracked_bpm,
            conf=confidence,
            perc=essentia.PercivalBpmEstimator()(mono),
        )
    stored = np.load(path)
    curves = {name: stored[name].astype(np.float32) for name in ("bands", "chroma", "harmony")}
    return Heard(
        piece, novelty.Novelty(**curves), stored["acf"], *(float(stored[name]) for name in ("bpm", "perc", "conf"))
    )


def fit(pieces: Sequence[Heard]) -> dict[str, _Array]:
    """Return all weights by name."""
    taught = [each for each in pieces if each.bar is not None]
    return _fit_pulse(taught) | _fit_bars(taught) | {"bar_start": _fit_bar_starts(taught)}


def _fit_pulse(pieces: Sequence[Heard]) -> dict[str, _Array]:
    """Fit the hypotheses (tempo, bar) of each piece: those with the true bar and a right tempo share all success."""
    periodic, usual, right, owner = [], [], [], []
    for number, each in enumerate(pieces):
        tempi = each.tempi_bpm
        is_right = np.zeros((len(tempi), _N_BARS), dtype=bool)
        is_right[[tempo_is_right(each.piece.tempo_bpm, bpm) for bpm in tempi], each.bar] = True
        if is_right.any():
            periodic.append(pulse_model.periodicity(each.autocorrelations, tempi))
            usual.append(each.usualness)
            right.append(is_right)
            owner += [number] * len(tempi)
    mean, spread, x = _standardised(np.concatenate(periodic))
    u, is_right = np.concatenate(usual), np.concatenate(right)
    _, owners = np.unique(owner, return_inverse=True)
    n, k = x.shape[1], u.shape[1]

    def unpack(weights: _Array) -> tuple[_Array, _Array, _Array]:
        return (
            weights[:n],
            weights[n : n + n * _N_BARS].reshape(n, _N_BARS),
            weights[n + n * _N_BARS :].reshape(k, _N_BARS),
        )

    def loss(weights: _Array) -> tuple[float, _Array]:
        shared, by_bar, usual_weights = unpack(weights)
        log_odds = (x @ shared)[:, None] + x @ by_bar + u @ usual_weights
        missed, slope = _group_loss(log_odds, is_right, owners)
        pulls = (_PULL_SHARED, shared), (_PULL_BY_BAR, by_bar), (_PULL_USUAL, usual_weights)
        slopes = (x.T @ slope.sum(axis=1), x.T @ slope, u.T @ slope)
        return _pulled(missed, slopes, pulls)

    shared, by_bar, usual_weights = unpack(_minimised(loss, n + n * _N_BARS + k * _N_BARS))
    names = ("pulse_mean", "pulse_spread", "pulse_shared", "pulse_by_bar", "pulse_usual")
    return dict(zip(names, (mean, spread, shared, by_bar, usual_weights), strict=True))


def _fit_bars(pieces: Sequence[Heard]) -> dict[str, _Array]:
    """Fit the likeliest tempi of each piece with their kinds of bars, as a pulse model says that has not seen it."""
    folds, divisions, says, right, owner = [], [], [], [], []
    for number, (each, pulses) in enumerate(_unseen_pulses(pieces)):
        for bpm, log_odds in zip(pulses.tempi_bpm, pulses.log_odds, strict=True):
            fold, division = meter_model.bar_features(
                each.novelty, beat_grid.place_beats(each.novelty, period_s=60 / bpm)
            )
            folds.append(fold[:_N_BARS])
            divisions.append(division)
            says.append(log_odds)
            right.append((np.arange(_N_BARS) == each.bar) & tempo_is_right(each.piece.tempo_bpm, bpm))
            owner.append(number)
    is_right = np.array(right)
    hopeful = np.isin(owner, np.array(owner)[is_right.any(axis=1)])
    _, owners = np.unique(np.array(owner)[hopeful], return_inverse=True)
    is_right, of_pulses = is_right[hopeful], np.array(says)[hopeful]
    fold_mean, fold_spread, flat = _standardised(np.concatenate(np.array(folds)[hopeful]))
    fold = flat.reshape(len(is_right), _N_BARS, -1)
    division_mean, division_spread, division = _standardised(np.array(divisions)[hopeful])
    n_fold, n_division = fold.shape[2], division.shape[1]

    def unpack(weights: _Array) -> tuple[_Array, _Array, _Array, _Array]:
        split = np.split(weights, np.cumsum([n_fold, n_division * _N_BARS, _N_BARS]))
        return split[0], split[1].reshape(n_division, _N_BARS), split[2], split[3]

    def loss(weights: _Array) -> tuple[float, _Array]:
        of_fold, of_division, bias, of_pulse = unpack(weights)
        log_odds = fold @ of_fold + division @ of_division + bias + of_pulse * of_pulses
        missed, slope = _group_loss(log_odds, is_right, owners)
        pulls = (_PULL_FOLD, of_fold), (_PULL_DIVISION, of_division), (_PULL_USUAL, bias), (_PULL_USUAL, of_pulse)
        slopes = (
            np.einsum("ij,ijk->k", slope, fold),
            division.T @ slope,
            slope.sum(axis=0),
            np.array([(slope * of_pulses).sum()]),
        )
        return _pulled(missed, slopes, pulls)

    of_fold, of_division, bias, of_pulse = unpack(_minimised(loss, n_fold + n_division * _N_BARS + _N_BARS + 1))
    standard = {"fold_mean": fold_mean, "fold_spread": fold_spread}
    standard |= {"division_mean": division_mean, "division_spread": division_spread}
    return standard | {"fold": of_fold, "division": of_division, "bar_bias": bias, "bar_pulse": of_pulse}


def _unseen_pulses(pieces: Sequence[Heard]) -> Iterator[tuple[Heard, pulse_model.Pulses]]:
    """Yield each piece with the likeliest tempi by a pulse model that was fitted without its score."""
    scores = sorted({each.piece.source for each in pieces})
    fold_of = {score: number % _N_FOLDS for number, score in enumerate(scores)}
    for fold in range(_N_FOLDS):
        pulse = _fit_pulse([each for each in pieces if fold_of[each.piece.source] != fold])
        for each in (each for each in pieces if fold_of[each.piece.source] == fold):
            tempi = each.tempi_bpm
            x = (pulse_model.periodicity(each.autocorrelations, tempi) - pulse["pulse_mean"]) / pulse["pulse_spread"]
            by_bar = x @ pulse["pulse_by_bar"] + each.usualness @ pulse["pulse_usual"]
            yield each, pulse_model.ranked(tempi, (x @ pulse["pulse_shared"])[:, None] + by_bar)


def _pulled(missed: float, slopes: Sequence[_Array], pulls: Sequence[tuple[float, _Array]]) -> tuple[float, _Array]:
    """Add to a loss and its slopes what pulls weights towards zero."""
    gradient = [each + pull * weights for (pull, weights), each in zip(pulls, slopes, strict=True)]
    pulled = sum(pull / 2 * float((weights**2).sum()) for pull, weights in pulls)
    return missed + pulled, np.concatenate([each.ravel() for each in gradient])


def _fit_bar_starts(pieces: Sequence[Heard]) -> _Array:
    """Fit which place of the bar is the first, given beats and bars of the true duration."""
    features, right, owner = [], [], []
    for number, each in enumerate(pieces):
        beats_s = beat_grid.place_beats(each.novelty, period_s=60 / each.piece.tempo_bpm)
        per_bar = _beats_per_bar(each.piece)
        if len(beats_s) < 4 * per_bar:
            continue
        fits = [f_measure(each.piece.downbeats_s, beats_s[place::per_bar].tolist()) for place in range(per_bar)]
        features.append(beat_grid.bar_place_features(beat_grid.accents_of(each.novelty, beats_s), per_bar))
        right.append(np.arange(per_bar) == int(np.argmax(fits)))
        owner += [number] * per_bar
    x, is_right = np.concatenate(features), np.concatenate(right)[:, None]
    _, owners = np.unique(owner, return_inverse=True)

    def loss(weights: _Array) -> tuple[float, _Array]:
        missed, slope = _group_loss((x @ weights)[:, None], is_right, owners)
        return missed + _PULL_BAR_START / 2 * float(weights @ weights), x.T @ slope[:, 0] + _PULL_BAR_START * weights

    return _minimised(loss, x.shape[1])


def _beats_per_bar(piece: Piece) -> int:
    """Return how many beats lie from one true downbeat to the next."""
    between = np.diff(piece.downbeats_s).mean() * piece.tempo_bpm / 60
    return max(2, round(float(between)))


def _group_loss(log_odds: _Array, is_right: NDArray[np.bool_], owners: NDArray[np.int_]) -> tuple[float, _Array]:
    """Return minus the log probability of what is right within each owner's rows, and its slope by log odds."""
    n = int(owners.max()) + 1
    highest = np.full(n, -np.inf)
    np.maximum.at(highest, owners, log_odds.max(axis=1))
    odds = np.exp(log_odds - highest[owners][:, None])
    total, success = np.zeros(n), np.zeros(n)
    np.add.at(total, owners, odds.sum(axis=1))
    np.add.at(success, owners, (odds * is_right).sum(axis=1))
    success = np.maximum(success, 1e-300)
    slope = odds / total[owners][:, None] - odds * is_right / success[owners][:, None]
    return float((np.log(total) - np.log(success)).sum()), slope


def _standardised(features: _Array) -> tuple[_Array, _Array, _Array]:
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-3
    return mean, spread, (features - mean) / spread


def _minimised(loss: Callable[[_Array], tuple[float, _Array]], n: int) -> _Array:
    found = minimize(loss, np.zeros(n), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x)


def write(weights: dict[str, _Array], path: Path) -> None:
    """Write weights so that equal ones make equal files, one array a line."""
    lines = [
        f"  {json.dumps(name)}: {json.dumps(np.round(array, _DIGITS).tolist())}" for name, array in weights.items()
    ]
    made_by = json.dumps("python -m eval.features.fit_rhythm")
    path.write_text('{"made_by": ' + made_by + ',\n "weights": {\n' + ",\n".join(lines) + "\n}}\n")


def main() -> None:
    """Fit to all pieces of the tuning seeds."""
    argparse.ArgumentParser(prog="python -m eval.features.fit_rhythm", description=__doc__).parse_args()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        pieces = list(pool.map(heard, tuning()))
    write(fit(pieces), PATH)
    print(f"{PATH.name}: learnt from {len(pieces)} pieces.")


if __name__ == "__main__":
    main()
