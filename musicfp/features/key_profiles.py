"""How well each of the 24 keys fits what was heard: published profiles of keys against pitch classes.

Here: notes from pitch classes, profiles, correlation, and the probability of keys. Not here: measuring pitch
(`pitch_classes`), what is reported (`tonal`, `harmony`).
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.features.pitch_classes import BINS_PER_SEMITONE

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KEYS = tuple(f"{note} {mode}" for mode in ("major", "minor") for note in PITCH_CLASSES)
# Ratings of how well the twelve notes fit into C major and C minor.
KEY_PROFILES = {
    # C. Krumhansl, E. Kessler 1982: listeners' ratings.
    "krumhansl": (
        (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
        (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
    ),
    # D. Temperley 2005: a corpus of common-practice music.
    "temperley": (
        (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400),
        (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330),
    ),
    # B. Aarden 2003: counts over the Essen folk-song collection.
    "aarden": (
        (17.77, 0.15, 14.93, 0.16, 19.80, 11.36, 0.29, 22.06, 0.15, 8.15, 0.23, 4.95),
        (18.26, 0.74, 14.05, 16.86, 0.70, 14.44, 0.70, 18.62, 4.57, 1.93, 7.38, 1.76),
    ),
}
# Those that take part in the choice of a key.
CHOSEN_PROFILES = ("temperley", "aarden")
WEIGHTS_PATH = Path(__file__).with_name("key_weights.json")
_NO_LENGTH = 1e-12


def by_note(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return profiles of 12 notes from C upwards, each note's bin with its neighbours; shape (n, 12) from (n, 36)."""
    summed = profiles + np.roll(profiles, 1, axis=1) + np.roll(profiles, -1, axis=1)
    return np.roll(summed[:, ::BINS_PER_SEMITONE], PITCH_CLASSES.index("A"), axis=1)


def templates(major: tuple[float, ...], minor: tuple[float, ...]) -> NDArray[np.float64]:
    """Return a profile in C turned to all twelve notes, major first; shape (24, 12)."""
    return np.array([np.roll(profile, steps) for profile in (major, minor) for steps in range(12)])


def correlations(notes: NDArray[np.float64], against: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation of every row with every template; 0 for rows without variation; shape (n, 24)."""

    def standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = rows - rows.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        divided = np.divide(centred, length, out=np.zeros_like(centred), where=length > _NO_LENGTH)
        return np.asarray(divided)

    return np.asarray(np.clip(standardised(notes) @ standardised(against).T, -1.0, 1.0))


def key_fits(notes: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the correlation of a track's notes [shape=(12,)] with each of KEYS, by profile. Shapes (24,)."""
    return {name: correlations(notes[np.newaxis], templates(*pair))[0] for name, pair in KEY_PROFILES.items()}


def key_features(fits: dict[str, NDArray[np.float64]], chord_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what speaks for each of KEYS. Shape (24, n_features).

    Its correlation with the chosen profiles, the roots of the shares of time of the triads counted from its tonic (24
    for major keys, then 24 for minor ones, those of the other mode 0), and whether it is minor.

    Parameters
    ----------
    fits
        As `key_fits` returns them.
    chord_shares
        Share of time of each triad, in the order of KEYS. [shape=(24,)]

    """
    roots = np.sqrt(chord_shares).reshape(2, -1)
    from_tonic = np.array([np.roll(roots, -tonic, axis=1).ravel() for tonic in range(len(PITCH_CLASSES))])
    other = np.zeros_like(from_tonic)
    triads = np.block([[from_tonic, other], [other, from_tonic]])
    is_minor = np.repeat([0.0, 1.0], len(PITCH_CLASSES))
    return np.column_stack([*(fits[name] for name in CHOSEN_PROFILES), triads, is_minor])


def key_probabilities(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of each of KEYS from `key_features`. Shape (24,)."""
    log_odds = features @ _weights()
    likely = np.exp(log_odds - log_odds.max())
    return np.asarray(likely / likely.sum())


@cache
def _weights() -> NDArray[np.float64]:
    """Return what each feature counts, learnt from rendered scores by `eval.features.fit_key`. Shape (n_features,)."""
    return np.array(json.loads(WEIGHTS_PATH.read_text())["weights"])
