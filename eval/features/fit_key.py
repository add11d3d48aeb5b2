"""Learns what key profiles and triads count in the choice of a key, from the tuning seeds, into the package.

    python -m eval.features.fit_key

What belongs here: learning, and how right keys of pieces are that it was not learnt from. What does not: the profiles
themselves, and judging on other seeds (`python -m eval.features`). Styles weigh equally.
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from eval.degrade import SOURCE_RATE_HZ
from eval.features.answers import Answer, Piece
from eval.features.material import tuning
from eval.features.scoring import Asked, key_shares
from eval.features.tables import confidence_table
from eval.music import decode
from musicfp.features.key_profiles import KEYS, WEIGHTS_PATH, by_note, key_features, key_fits
from musicfp.features.pitch_classes import measure_pitch_classes
from musicfp.features.tonal import with_peaks
from musicfp.features.triads import chord_path

_PULL = 3.0  # towards zero; chosen by cross-validation on the tuning seeds
_DIGITS = 3
_N_FOLDS = 6
_SHARPS = {"D#": "Eb", "G#": "Ab", "A#": "Bb"}

_Array = NDArray[np.float64]


def features(piece: Piece) -> _Array:
    """Return what speaks for each key. Shape (24, n_features)."""
    stereo = decode(piece.path, rate_hz=SOURCE_RATE_HZ, n_channels=2).reshape(-1, 2)
    heard = measure_pitch_classes((stereo.mean(axis=1) / 32768).astype(np.float32), sample_rate_hz=SOURCE_RATE_HZ)
    if heard is None:
        raise SystemExit(f"Nothing is heard in {piece.path}: render it again.")
    notes = by_note(with_peaks(heard))
    path, _ = chord_path(notes)
    return key_features(key_fits(notes.mean(axis=0)), np.bincount(path, minlength=len(KEYS)) / len(path))


def fit(x: _Array, right: NDArray[np.int_], counts: _Array) -> _Array:
    """Return the weights that make right keys likeliest; `counts` is what each piece counts. Shape (n_features,)."""
    rows = np.arange(len(x))
    spread = x.std(axis=(0, 1)) + 1e-6
    x = x / spread

    def loss(weights: _Array) -> tuple[float, _Array]:
        log_odds = x @ weights
        likely = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        missed = -float((counts * np.log(likely[rows, right])).sum())
        likely[rows, right] -= 1
        slope = np.einsum("nk,nkf->f", likely * counts[:, None], x)
        return missed + _PULL / 2 * float(weights @ weights), slope + _PULL * weights

    found = minimize(loss, np.zeros(x.shape[2]), jac=True, method="L-BFGS-B").x
    return np.asarray(found / spread)


def main() -> None:
    """Write the weights, and print what comes out by cross-validation over scores."""
    argparse.ArgumentParser(prog="python -m eval.features.fit_key", description=__doc__).parse_args()
    pieces = [piece for piece in tuning() if piece.key_is_certain]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        x = np.array(list(pool.map(features, pieces)))
    right = np.array([_key_of(piece) for piece in pieces])
    of_style = Counter(piece.style for piece in pieces)
    counts = np.array([len(pieces) / len(of_style) / of_style[piece.style] for piece in pieces])
    sources = sorted({piece.source for piece in pieces})
    fold_of = dict(zip(sources, np.random.default_rng(0).permutation(len(sources)) % _N_FOLDS, strict=True))
    folds = np.array([fold_of[piece.source] for piece in pieces])
    asked: list[Asked] = []
    for fold in range(_N_FOLDS):
        weights = fit(x[folds != fold], right[folds != fold], counts[folds != fold])
        asked += [(pieces[number], _answer(x[number] @ weights)) for number in np.flatnonzero(folds == fold)]
    for style in of_style:
        weighted, exact = key_shares([each for each in asked if each[0].style == style])
        print(f"{style}: {weighted.n} pieces, weighted {weighted}, exact {exact}")
    print(confidence_table(asked))
    weights = np.round(fit(x, right, counts), _DIGITS).tolist()
    WEIGHTS_PATH.write_text(json.dumps({"made_by": "python -m eval.features.fit_key", "weights": weights}) + "\n")
    print(f"{WEIGHTS_PATH.name}: learnt from {len(pieces)} pieces.")


def _key_of(piece: Piece) -> int:
    return KEYS.index(f"{_SHARPS.get(str(piece.key), piece.key)} {piece.mode}")


def _answer(log_odds: _Array) -> Answer:
    best = int(log_odds.argmax())
    key, mode = KEYS[best].split()
    return Answer(cpu_s=0.0, key=key, mode=mode, key_confidence=float(softmax(log_odds)[best]))


if __name__ == "__main__":
    main()
