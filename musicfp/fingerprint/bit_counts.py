"""Counting ones in bitmaps of 32 rows, exactly and fast: by row, and those that two bitmaps share.

What belongs here: sums of bits, and why each is exact. What does not: measures made of them (`correlation`).

With T and I two bitmaps over an overlap of n items, sum(T * I) = popcount(T & I): no bitmap is ever multiplied out.
Over all alignments that is a convolution, computed by FFT and rounded to the integers that it consists of.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import fft, ifft, next_fast_len

from musicfp.fingerprint.model import ITEM_BITS, bit_rows

SINGLE_ROUNDOFF = 2.0**-24
_MAX_ERROR = 0.49
# Up to so many words to compare, counting each alignment by itself is faster than three transforms.
_MAX_WORDS_COUNTED = 1 << 17
# Fields of 1, 2 and 4 bits: (width, mask of every second field, how many a field of double width can add up).
_FIELDS = ((1, 0x55555555, 3), (2, 0x33333333, 5), (4, 0x0F0F0F0F, 17))
# 3 * 5 * 17: what fits into the octets that these steps end with.
_MAX_ITEMS_IN_OCTETS = 255

Items = NDArray[np.uint32]


def cumulative_row_sums(items: Items) -> NDArray[np.float64]:
    """Count the ones of each bit row before each item [shape=(n_items + 1, 32)]; row sums of a stretch are differences.

    Floating-point numbers, because whoever multiplies them wants BLAS; they hold integers exactly.
    """
    # Two counters of 32 bits to an integer of 64: half as many additions.
    pairs = bit_rows(items).astype(np.uint32).view(np.uint64)
    sums = np.zeros((items.size + 1, pairs.shape[1]), dtype=np.uint64)
    np.cumsum(pairs, axis=0, out=sums[1:])
    return sums.view(np.uint32).astype(np.float64)


def row_sums(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Count the ones of each bit row in many sequences at once: (n, n_items) words to (n, 32) counts.

    Counters of 2, 4 and then 8 bits lie side by side in each word, so one addition of words is many additions of bits,
    and nothing is unpacked (Knuth, The Art of Computer Programming 4A, section 7.1.3).
    """
    n, n_items = words.shape
    counts = np.zeros((n, ITEM_BITS))
    for first in range(0, n_items, _MAX_ITEMS_IN_OCTETS):
        counts += _row_sums_in_octets(words[:, first : first + _MAX_ITEMS_IN_OCTETS])
    return counts


def shared_ones(query: Items, candidate: Items) -> NDArray[np.int64]:
    """Return popcount(query & candidate) at offsets -(n_query - 1) .. n_candidate - 1."""
    counts = _cyclic_shared_ones(query, candidate, n_least=query.size + candidate.size - 1)
    return np.concatenate((counts[counts.size - query.size + 1 :], counts[: candidate.size]))


def shared_ones_inside(template: Items, image: Items) -> NDArray[np.int64]:
    """Return popcount(template & image) at the offsets 0 .. n_image - n_template, at which it lies inside the image."""
    n_offsets = image.size - template.size + 1
    if n_offsets * template.size > _MAX_WORDS_COUNTED:
        # What wraps around falls on other offsets.
        return _cyclic_shared_ones(template, image, n_least=image.size)[:n_offsets]
    stretches = sliding_window_view(image, template.size)
    counts: NDArray[np.int64] = np.bitwise_count(stretches & template).sum(axis=1, dtype=np.int64)
    return counts


def largest_count_error(n_query_ones: int, n_candidate_ones: int, n_fft: int, *, unit_roundoff: float) -> float:
    """Bound the error of a shared count from transforms of length `n_fft` that are computed with such a roundoff u.

    One transform of length N = 2^a 3^b 5^c has a relative error in the 2-norm of at most 9 log2(N) u: by the argument
    of Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2, a stage of radix 2, 3, 4, 5 or 8 adds at
    most 6.7, 13.1, 11, 18.9 or 23.6 u, which is less than 9 u for each doubling. Products of spectra and their sum over
    16 pairs of rows add at most 48 u. By Parseval and Cauchy-Schwarz no count is off by more than the sum of these,
    times sqrt(n_query_ones * n_candidate_ones).
    """
    return (2 * 9 * math.log2(n_fft) + 48) * unit_roundoff * math.sqrt(n_query_ones * n_candidate_ones)


def unrounded_shared_ones(query: Items, candidate: Items, *, n_fft: int, single_precision: bool) -> NDArray[np.float64]:
    """Return the shared counts at all cyclic offsets 0 .. n_fft - 1, as accurate as `largest_count_error` says."""
    real, pair = (np.float32, np.complex64) if single_precision else (np.float64, np.complex128)
    # Two bit rows make one complex signal: the real part of conj(a + ib)(c + id) is the ac + bd that is wanted.
    of_query, of_candidate = (
        fft(bit_rows(items).astype(real).view(pair), n=n_fft, axis=0) for items in (query, candidate)
    )
    # The pairs of rows are added up before going back, so one inverse transform serves all; its error is negligible.
    counts: NDArray[np.float64] = ifft(np.vecdot(of_query, of_candidate).astype(np.complex128)).real
    return counts


def _cyclic_shared_ones(query: Items, candidate: Items, *, n_least: int) -> NDArray[np.int64]:
    n_fft = int(next_fast_len(n_least, real=True))  # for real input only multiples of 2, 3 and 5, as the bound needs it
    n_query, n_candidate = (int(np.bitwise_count(items).sum(dtype=np.int64)) for items in (query, candidate))
    # Below one half, rounding finds the right integer. Single precision takes half the time.
    is_enough = largest_count_error(n_query, n_candidate, n_fft, unit_roundoff=SINGLE_ROUNDOFF) < _MAX_ERROR
    counts = unrounded_shared_ones(query, candidate, n_fft=n_fft, single_precision=is_enough)
    return np.rint(counts).astype(np.int64)


def _row_sums_in_octets(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Count at most 255 items: (n, n_items) words to (n, 32) counts."""
    n, n_items = words.shape
    n_rounded = -(-n_items // 15) * 15  # the first two steps add up threes and fives
    fields = np.zeros((1, n_rounded, n), dtype="<u4")
    fields[0, :n_items] = words.T
    for width, mask, n_addable in _FIELDS:
        halves = np.concatenate((fields & mask, (fields >> width) & mask))
        n_fields, n_rows, _ = halves.shape
        n_added = min(n_addable, n_rows)
        fields = halves.reshape(n_fields, n_added, n_rows // n_added, n).sum(axis=1, dtype=np.uint32)
    # Eight fields, one for each bit of an octet, of one word each with four octets.
    return fields.view(np.uint8).reshape(8, n, ITEM_BITS // 8).transpose(1, 2, 0).reshape(n, ITEM_BITS)
