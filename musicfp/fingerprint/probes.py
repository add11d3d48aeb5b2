"""What a query looks up in the index: terms, and for a noisy query the terms that its clean audio may have had.

What belongs here: cutting items into terms, guessing terms, how much a guess weighs. What does not: where terms are
stored (`postings`) and what is made of what is found (`candidates`).

A term is the leading 24 bits of an item: of 28, 24 and 20 bits, 24 keeps the lists of a large catalogue short and still
survives noise. Every fourth item of a track is indexed and every item of a query looked up, so that any alignment meets
the index at every fourth item.
"""

from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.classifiers import N_LEVELS, code_log_probabilities

TERM_BITS = 24
TERM_STRIDE_ITEMS = 4
N_TERMS = 1 << TERM_BITS
_TERM_CLASSIFIERS = TERM_BITS // 2
_CLASSIFIERS_AT_ONCE = 4
# Costs are kept as whole numbers; twelve of them, of at most 12 nats each, stay below 2^32.
_TICKS_PER_NAT = float(1 << 24)
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
    costs = -code_log_probabilities(values)[:, :_TERM_CLASSIFIERS]
    ticks = np.rint(costs * _TICKS_PER_NAT).astype(np.uint64) << np.uint64(TERM_BITS)
    groups = [_beginnings(ticks, first) for first in range(0, _TERM_CLASSIFIERS, _CLASSIFIERS_AT_ONCE)]
    cheapest = reduce(lambda one, other: _cheapest_sums(one, other, n=per_item), groups)[:, :per_item]
    return Probes(
        term=(cheapest & np.uint64(N_TERMS - 1)).astype(np.uint32).ravel(),
        item=np.repeat(np.arange(len(values)), cheapest.shape[1]),
        log_probability=(cheapest >> np.uint64(TERM_BITS)).astype(np.float64).ravel() / -_TICKS_PER_NAT,
    )


def _beginnings(ticks: NDArray[np.uint64], first: int) -> NDArray[np.uint64]:
    """Return all that some neighbouring classifiers may say [shape=(n_items, 256)], the cheapest first.

    A number has what a guess costs above and its bits of the term below, so that sorting numbers sorts guesses, and
    adding numbers joins guesses about other bits.
    """
    codes = np.arange(N_LEVELS, dtype=np.uint64)
    joined = np.zeros((len(ticks), 1), dtype=np.uint64)
    for classifier in range(first, first + _CLASSIFIERS_AT_ONCE):
        guesses = ticks[:, classifier] | codes << np.uint64(TERM_BITS - 2 * (classifier + 1))
        joined = (joined[:, :, None] + guesses[:, None, :]).reshape(len(ticks), joined.shape[1] * N_LEVELS)
    return np.sort(joined, axis=1)


def _cheapest_sums(one: NDArray[np.uint64], other: NDArray[np.uint64], *, n: int) -> NDArray[np.uint64]:
    """Return the `n` smallest sums of a number of each side [shape=(n_items, <= n)], both sides and the sums sorted."""
    at_one, at_other = _places_of_cheapest(one.shape[1], other.shape[1], n)
    sums = one[:, at_one] + other[:, at_other]
    if sums.shape[1] > n:
        sums = np.partition(sums, n - 1, axis=1)[:, :n]
    return np.sort(sums, axis=1)


@cache
def _places_of_cheapest(n_one: int, n_other: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the `n` smallest sums of two sorted rows may be: a sum at (i, j) has (i + 1)(j + 1) none larger."""
    at_one, at_other = np.indices((min(n_one, n), min(n_other, n)))
    possible = (at_one + 1) * (at_other + 1) <= n
    return at_one[possible], at_other[possible]


def _flip_masks(n_flips: int) -> NDArray[np.uint32]:
    patterns = [sum(1 << bit for bit in bits) for n in range(n_flips + 1) for bits in combinations(range(TERM_BITS), n)]
    return np.array(patterns, dtype=np.uint32)
