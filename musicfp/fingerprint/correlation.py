"""Comparing two fingerprints as bitmaps of 32 rows: normalized cross-correlation, bit errors, alignment.

What belongs here: measures of two sequences of items, exact and vectorised. What does not: which pairs to compare
(`search`) and what a value means (`verdict`).

Sign everywhere: candidate item = query item + offset.

Counting the ones that two bitmaps share is all that a correlation of bits needs: with T and I the two bitmaps over an
overlap of n items, sum(T*I) = popcount(T & I). Over all alignments that is a convolution, computed here by one FFT and
rounded to the integers that it consists of; over a list of alignments it is `numpy.bitwise_count`. No bitmap is ever
multiplied out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.model import ITEM_BITS, Fingerprint, bit_rows

# Mean variance of a bit row below which a stretch counts as constant; music has about 0.2 of the possible 0.25.
# Without a floor, two drones that flip one bit in step correlate perfectly.
VARIANCE_FLOOR = 0.02
# Below these, a fingerprint says too little about the audio: silence, test tones, drones. A drone of 90 different codes
# in 180 s (ratio 0.07) matched its own reversal at 0.81; all other music measured has a ratio of 0.45 and more.
MIN_UNIQUE_RATIO = 0.3
MIN_INFORMATIVE_ITEMS = 8
# Two seconds of one and the same code are silence or a held test tone.
_CONSTANT_RUN_ITEMS = 16
_CHUNK_WORDS = 1 << 18

Items = NDArray[np.uint32]


@dataclass(frozen=True)
class Correlogram:
    """Measures at every alignment of two fingerprints; all arrays have shape (n_offsets,)."""

    offset_items: NDArray[np.int64]
    overlap_items: NDArray[np.int64]
    correlation: NDArray[np.float64]
    bit_error_rate: NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """How well two fingerprints agree at one offset; candidate item = query item + `offset_items`."""

    offset_items: int
    overlap_items: int
    correlation: float
    bit_error_rate: float


@dataclass(frozen=True)
class Information:
    """How much a fingerprint says about its audio.

    `informative_items` do not belong to a constant stretch; `unique_ratio` is the share of different codes among them;
    `row_variance` is the mean variance of the 32 bit rows, 0 to 0.25.
    """

    informative_items: int
    unique_ratio: float
    row_variance: float

    @property
    def is_enough(self) -> bool:
        """Whether a match or a missing match would mean anything."""
        return (
            self.informative_items >= MIN_INFORMATIVE_ITEMS
            and self.unique_ratio >= MIN_UNIQUE_RATIO
            and self.row_variance > VARIANCE_FLOOR
        )


def normalized_cross_correlation(template: Items, image: Items) -> NDArray[np.float64]:
    """Correlate a template with every stretch of the image that has its length, as in template matching.

    Equal to `skimage.feature.match_template` on the two 32-row bitmaps. One mean for the whole bitmap, so drones and
    silence correlate highly with each other: use `row_centred_correlation` to decide anything.

    Parameters
    ----------
    template, image
        NDArray[np.uint32] [shape=(n_template,)], [shape=(n_image,)], `0 < n_template <= n_image`.

    Returns
    -------
    NDArray[np.float64] [shape=(n_image - n_template + 1,)]
        Correlation, -1 to 1, at each offset of the template in the image; 0 where a bitmap is constant.

    Raises
    ------
    ValueError
        The template is empty or longer than the image.

    References
    ----------
    J. P. Lewis, Fast Normalized Cross-Correlation, Vision Interface 1995.

    """
    if not 0 < template.size <= image.size:
        raise ValueError(f"a template of {template.size} items does not fit into an image of {image.size} items")
    n_offsets = image.size - template.size + 1
    n_bits = ITEM_BITS * template.size
    shared = _shared_ones(template, image)[template.size - 1 :][:n_offsets]
    ones = np.concatenate(([0], np.cumsum(np.bitwise_count(image), dtype=np.int64)))
    image_ones = ones[template.size :] - ones[:n_offsets]
    template_ones = int(np.bitwise_count(template).sum(dtype=np.int64))
    covariance = shared - template_ones * image_ones / n_bits
    variances = (template_ones - template_ones**2 / n_bits) * (image_ones - image_ones**2 / n_bits)
    result = np.zeros(n_offsets)
    np.divide(covariance, np.sqrt(variances), out=result, where=variances > 1e-9)
    return result


def row_centred_correlation(query: Items, candidate: Items, *, min_overlap_items: int) -> Correlogram:
    """Correlate two fingerprints at every alignment, partial overlaps included, each bit row centred on its own mean.

    With k_r and s_r the ones of row r over an overlap of n items, and f = 0.02 * 32 * n,
    C = (popcount(T & I) - sum(k_r s_r) / n) / sqrt(max(sum(k_r - k_r^2 / n), f) * max(sum(s_r - s_r^2 / n), f)).
    Centring by row removes what makes two constant sounds alike; unrelated music stays below 0.42 (140,185 pairs).

    Parameters
    ----------
    query, candidate
        NDArray[np.uint32] [shape=(n_query,)], [shape=(n_candidate,)].
    min_overlap_items
        Alignments with a shorter overlap are left out; at least 1.

    Returns
    -------
    Correlogram
        Empty if no alignment overlaps enough.

    """
    if min_overlap_items < 1:
        raise ValueError(f"min_overlap_items must be at least 1, not {min_overlap_items}")
    offsets = np.arange(-(query.size - min_overlap_items), candidate.size - min_overlap_items + 1, dtype=np.int64)
    start = np.maximum(0, -offsets)
    stop = np.minimum(query.size, candidate.size - offsets)
    keep = stop - start >= min_overlap_items
    offsets, start, stop = offsets[keep], start[keep], stop[keep]
    if not offsets.size:
        empty = np.zeros(0)
        return Correlogram(offsets, offsets, empty, empty)
    shared = _shared_ones(query, candidate)[offsets + query.size - 1]
    query_sums, candidate_sums = _cumulative_rows(query), _cumulative_rows(candidate)
    query_rows = query_sums[stop] - query_sums[start]
    candidate_rows = candidate_sums[stop + offsets] - candidate_sums[start + offsets]
    overlap = stop - start
    return Correlogram(offsets, overlap, *_measures(shared, query_rows, candidate_rows, overlap))


def row_centred_at(
    query: Items,
    corpus: Items,
    *,
    query_start: NDArray[np.int64],
    query_stop: NDArray[np.int64],
    position: NDArray[np.int64],
    corpus_start: NDArray[np.int64],
    corpus_stop: NDArray[np.int64],
) -> Correlogram:
    """Correlate many windows of a query, each with one place in a concatenation of fingerprints.

    Parameters
    ----------
    query, corpus
        NDArray[np.uint32] [shape=(n_query,)], [shape=(n_corpus,)].
    query_start, query_stop
        NDArray[np.int64] [shape=(n,)]. Items of the query that make up each window.
    position
        NDArray[np.int64] [shape=(n,)]. Where in `corpus` the query's item 0 lies; may be outside.
    corpus_start, corpus_stop
        NDArray[np.int64] [shape=(n,)]. The candidate's stretch of `corpus`; what a window has outside is cut off.

    Returns
    -------
    Correlogram
        In the order given, `offset_items` relative to `corpus_start`; correlation 0 where nothing overlaps.

    """
    start = np.maximum(query_start, corpus_start - position)
    overlap = np.maximum(np.minimum(query_stop, corpus_stop - position) - start, 0)
    correlation = np.zeros(start.size)
    bit_error_rate = np.ones(start.size)
    for part in _chunks(start.size, words_each=int(overlap.max(initial=1))):
        width = np.arange(int(overlap[part].max(initial=0)))
        inside = width < overlap[part, None]
        index = np.where(inside, start[part, None] + width, 0)
        mask = np.where(inside, np.uint32(0xFFFFFFFF), np.uint32(0))
        of_query = query[index] & mask
        of_corpus = corpus[np.where(inside, index + position[part, None], 0)] & mask
        shared = np.bitwise_count(of_query & of_corpus).sum(axis=1, dtype=np.int64)
        correlation[part], bit_error_rate[part] = _measures(
            shared, _row_sums(of_query), _row_sums(of_corpus), overlap[part]
        )
    return Correlogram(position - corpus_start, overlap, correlation, bit_error_rate)


def correlate_pairs(query: Items, candidate: Items) -> tuple[float, float]:
    """Return row-centred correlation and bit error rate of two equally long sequences; (0, 1) if they are empty."""
    if not query.size:
        return 0.0, 1.0
    shared = np.bitwise_count(query & candidate).sum(dtype=np.int64, keepdims=True)
    rows = (_row_sums(query[None]), _row_sums(candidate[None]))
    correlation, bit_errors = _measures(shared, *rows, np.array([query.size]))
    return float(correlation[0]), float(bit_errors[0])


def bit_error_rate(query: Items, candidate: Items) -> float:
    """Return the share of different bits of two equally long sequences, 0 to 1; unrelated audio gives about 0.5.

    References
    ----------
    J. Haitsma, T. Kalker, A Highly Robust Audio Fingerprinting System, ISMIR 2002.

    """
    if query.size != candidate.size or not query.size:
        raise ValueError(f"cannot compare {query.size} items with {candidate.size}")
    return int(np.bitwise_count(query ^ candidate).sum(dtype=np.int64)) / (ITEM_BITS * query.size)


def best_alignment(query: Items, candidate: Items, *, min_overlap_items: int) -> Alignment | None:
    """Return the alignment with the highest row-centred correlation, the smallest offset of equals; None if none."""
    everywhere = row_centred_correlation(query, candidate, min_overlap_items=min_overlap_items)
    if not everywhere.offset_items.size:
        return None
    best = int(np.argmax(everywhere.correlation))
    return Alignment(
        offset_items=int(everywhere.offset_items[best]),
        overlap_items=int(everywhere.overlap_items[best]),
        correlation=float(everywhere.correlation[best]),
        bit_error_rate=float(everywhere.bit_error_rate[best]),
    )


def information(fingerprint: Fingerprint) -> Information:
    """Measure how much a fingerprint says, constant stretches (silence, held tones) left out."""
    items = fingerprint.sub_fingerprints[informative_items(fingerprint.sub_fingerprints)]
    if not items.size:
        return Information(0, 0.0, 0.0)
    ones = _row_sums(items[None])[0] / items.size
    return Information(
        informative_items=int(items.size),
        unique_ratio=float(np.unique(items).size / items.size),
        row_variance=float(np.mean(ones * (1 - ones))),
    )


def has_enough_information(fingerprint: Fingerprint) -> bool:
    """Whether comparing this fingerprint can mean anything; False for silence, tones, drones and the very short."""
    return information(fingerprint).is_enough


def informative_items(items: Items) -> NDArray[np.bool_]:
    """Mark the items [shape=(n_items,)] that are not part of two or more seconds of one unchanging code."""
    if not items.size:
        return np.zeros(0, dtype=np.bool_)
    run_starts = np.concatenate(([0], np.flatnonzero(items[1:] != items[:-1]) + 1))
    run_lengths = np.diff(np.append(run_starts, items.size))
    return np.repeat(run_lengths < _CONSTANT_RUN_ITEMS, run_lengths)


def _shared_ones(query: Items, candidate: Items) -> NDArray[np.int64]:
    """Return popcount(query & candidate) at offsets -(n_query - 1) .. n_candidate - 1."""
    n_offsets = query.size + candidate.size - 1
    n_fft = 1 << (n_offsets - 1).bit_length()
    of_query = np.fft.rfft(_rows(query[::-1]), n=n_fft, axis=1)
    of_candidate = np.fft.rfft(_rows(candidate), n=n_fft, axis=1)
    # The 32 rows are added up before going back, so one inverse transform serves all.
    return np.rint(np.fft.irfft((of_query * of_candidate).sum(axis=0), n=n_fft)[:n_offsets]).astype(np.int64)


def _rows(items: Items) -> NDArray[np.float64]:
    return np.ascontiguousarray(bit_rows(items).T, dtype=np.float64)


def _cumulative_rows(items: Items) -> NDArray[np.int64]:
    sums = np.zeros((items.size + 1, ITEM_BITS), dtype=np.int64)
    np.cumsum(bit_rows(items), axis=0, out=sums[1:])
    return sums


def _row_sums(items: Items) -> NDArray[np.int64]:
    """Count the ones of each bit row: (n, n_items) words to (n, 32)."""
    sums: NDArray[np.int64] = bit_rows(items).sum(axis=1, dtype=np.int64)
    return sums


def _measures(
    shared: NDArray[np.int64],
    query_rows: NDArray[np.int64],
    candidate_rows: NDArray[np.int64],
    overlap: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = np.maximum(overlap, 1)
    floor = VARIANCE_FLOOR * ITEM_BITS * n
    query_ones, candidate_ones = query_rows.sum(axis=1), candidate_rows.sum(axis=1)
    query_variance = np.maximum(query_ones - (query_rows**2).sum(axis=1) / n, floor)
    candidate_variance = np.maximum(candidate_ones - (candidate_rows**2).sum(axis=1) / n, floor)
    covariance = shared - (query_rows * candidate_rows).sum(axis=1) / n
    bit_errors = np.where(overlap > 0, (query_ones + candidate_ones - 2 * shared) / (ITEM_BITS * n), 1.0)
    return covariance / np.sqrt(query_variance * candidate_variance), bit_errors


def _chunks(n: int, *, words_each: int) -> Iterator[slice]:
    """Cut n comparisons into parts whose unpacked bits stay within a few MiB."""
    step = max(1, _CHUNK_WORDS // max(1, words_each))
    return (slice(begin, begin + step) for begin in range(0, n, step))
