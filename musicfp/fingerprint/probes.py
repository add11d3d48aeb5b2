"""What a query looks up in the index: terms, and for a noisy query the terms that its clean audio may have had.

What belongs here: cutting items into terms, guessing terms, how much a guess weighs. What does not: where terms are
stored (`postings`) and what is made of what is found (`candidates`).

A term is the leading 24 bits of an item: of 28, 24 and 20 bits, 24 keeps the lists of a large catalogue short and still
survives noise. Every fourth item of a track is indexed and every item of a query looked up, so that any alignment meets
the index at every fourth item.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.classifiers import N_LEVELS, code_log_probabilities

TERM_BITS = 24
TERM_STRIDE_ITEMS = 4
N_TERMS = 1 << TERM_BITS
_TERM_CLASSIFIERS = TERM_BITS // 2
_TERM_SHIFT = np.uint32(32 - TERM_BITS)
# Share of wrong bits that a fingerprint sent without its audio is taken to have: 0.149 at 0 dB, 0.09 at 5 dB.
_ASSUMED_BIT_ERROR_RATE = 0.1


@dataclass(frozen=True)
class Probes:
    """Terms to look up, all of shape (n,): the term, the query's item that it is a guess about, and ln P(guess)."""

    term: NDArray[np.uint32]
    item: NDArray[np.int64]
    log_probability: NDArray[np.float64]


def terms_of(items: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the term of each item, both of shape (n_items,)."""
    return items >> _TERM_SHIFT


def indexed_terms(items: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the terms of a track that go into the index: entry i is that of item `i * TERM_STRIDE_ITEMS`."""
    return terms_of(items[::TERM_STRIDE_ITEMS])


def flip_probes(items: NDArray[np.uint32], *, n_flips: int) -> Probes:
    """Guess that up to `n_flips` bits of each term are wrong, any of them: 1, 25 or 301 terms for each item."""
    masks = _flip_masks(n_flips)
    wrong = np.bitwise_count(masks).astype(np.float64)
    right = np.log(1 - _ASSUMED_BIT_ERROR_RATE) * (TERM_BITS - wrong)
    log_probability = right + np.log(_ASSUMED_BIT_ERROR_RATE) * wrong
    return Probes(
        term=(terms_of(items)[:, None] ^ masks).ravel(),
        item=np.repeat(np.arange(items.size), masks.size),
        log_probability=np.tile(log_probability, items.size),
    )


def likely_probes(values: NDArray[np.float64], *, per_item: int) -> Probes:
    """Guess the most likely terms of the clean audio behind each item.

    Bits whose classifier was near a threshold are the ones that noise flips. At 0 dB, 256 likely terms hold the right
    one for 0.49 of the items, the 301 terms of two blind flips for 0.30.

    Parameters
    ----------
    values
        NDArray[np.float64] [shape=(n_items, 16)], of `classifier_values`.
    per_item
        Number of guesses for each item.

    Returns
    -------
    Probes
        `n_items * per_item` of them.

    References
    ----------
    Q. Lv et al., Multi-Probe LSH: Efficient Indexing for High-Dimensional Similarity Search, VLDB 2007.

    """
    log_probabilities = code_log_probabilities(values)
    n_items = len(values)
    best = np.zeros((n_items, 1))
    term = np.zeros((n_items, 1), dtype=np.uint32)
    codes = np.arange(N_LEVELS, dtype=np.uint32)
    # Classifier by classifier; a beginning that is not among the best can never become one of the best terms.
    for classifier in range(_TERM_CLASSIFIERS):
        shape = (n_items, N_LEVELS * best.shape[1])
        longer = (best[:, :, None] + log_probabilities[:, classifier, None, :]).reshape(shape)
        terms = ((term[:, :, None] << np.uint32(2)) | codes).reshape(shape)
        if shape[1] > per_item:
            kept = np.argpartition(longer, shape[1] - per_item, axis=1)[:, -per_item:]
            longer, terms = np.take_along_axis(longer, kept, axis=1), np.take_along_axis(terms, kept, axis=1)
        best, term = longer, terms
    return Probes(term.ravel(), np.repeat(np.arange(n_items), term.shape[1]), best.ravel())


def _flip_masks(n_flips: int) -> NDArray[np.uint32]:
    patterns = [sum(1 << bit for bit in bits) for n in range(n_flips + 1) for bits in combinations(range(TERM_BITS), n)]
    return np.array(patterns, dtype=np.uint32)
