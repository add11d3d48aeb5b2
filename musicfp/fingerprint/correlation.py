"""Comparing two fingerprints as bitmaps of 32 rows: normalized cross-correlation, bit errors, alignment.

What belongs here: measures of two sequences of items, exact and vectorised. What does not: which pairs to compare
(`search`), counting ones (`bit_counts`), and what a value means (`verdict`).

Sign everywhere: candidate item = query item + offset.

A correlation of bits needs no more than the number of ones in each row and of those that both bitmaps share
(`bit_counts`); those are integers, so what is computed in other ways is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from musicfp.fingerprint.bit_counts import cumulative_row_sums, row_sums, shared_ones, shared_ones_inside
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
_CHUNK_WORDS = 1 << 14
_EACH_ROW = np.ones(ITEM_BITS)

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
    shared = shared_ones_inside(template, image)
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
    if min(query.size, candidate.size) < min_overlap_items:
        none = np.zeros(0, dtype=np.int64)
        return Correlogram(none, none, np.zeros(0), np.zeros(0))
    offsets = np.arange(min_overlap_items - query.size, candidate.size - min_overlap_items + 1, dtype=np.int64)
    wanted = slice(min_overlap_items - 1, min_overlap_items - 1 + offsets.size)
    overlap = np.minimum(query.size, candidate.size - offsets) - np.maximum(0, -offsets)
    shared = shared_ones(query, candidate)[wanted]
    sums = _Sums(shared, *(each[wanted] for each in _sums_of_overlaps(query, candidate)))
    return Correlogram(offsets, overlap, *_measures(sums, overlap))


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
    start = np.where(overlap > 0, start, 0)
    there = np.where(overlap > 0, start + position, 0)
    query_sums = cumulative_row_sums(query)
    # Windows that cover a short corpus many times: its items are counted once. Of a long one, only the windows are.
    corpus_sums = cumulative_row_sums(corpus) if corpus.size < overlap.sum() else None
    correlation = np.empty(start.size)
    bit_error_rate = np.empty(start.size)
    for part in _chunks(start.size, words_each=int(overlap.max(initial=1))):
        n_items = overlap[part]
        of_query = _stretches(query, start[part], n_items)
        of_corpus = _stretches(corpus, there[part], n_items)
        shared = np.bitwise_count(of_query & of_corpus).sum(axis=1, dtype=np.uint32).astype(np.int64)
        query_rows = _between(query_sums, start[part], n_items)
        corpus_rows = row_sums(of_corpus) if corpus_sums is None else _between(corpus_sums, there[part], n_items)
        correlation[part], bit_error_rate[part] = _measures(_sums_of_rows(shared, query_rows, corpus_rows), n_items)
    return Correlogram(position - corpus_start, overlap, correlation, bit_error_rate)


def correlate_pairs(query: Items, candidate: Items) -> tuple[float, float]:
    """Return row-centred correlation and bit error rate of two equally long sequences; (0, 1) if they are empty."""
    if not query.size:
        return 0.0, 1.0
    shared = np.bitwise_count(query & candidate).sum(dtype=np.int64, keepdims=True)
    sums = _sums_of_rows(shared, _ones_by_row(query)[None], _ones_by_row(candidate)[None])
    correlation, bit_errors = _measures(sums, np.array([query.size]))
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
    ones = _ones_by_row(items) / items.size
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


class _Sums(NamedTuple):
    """What a row-centred correlation is made of, at each alignment; with k_r and s_r the ones of row r.

    Popcount of both together; sum of k_r and of s_r; of their squares; of their products.
    """

    shared: NDArray[np.int64]
    query_ones: NDArray[np.float64]
    candidate_ones: NDArray[np.float64]
    query_squares: NDArray[np.float64]
    candidate_squares: NDArray[np.float64]
    products: NDArray[np.float64]


def _sums_of_rows(
    shared: NDArray[np.int64], query_rows: NDArray[np.float64], candidate_rows: NDArray[np.float64]
) -> _Sums:
    """Add up over the 32 rows [shape=(n, 32)] of each alignment."""
    return _Sums(
        shared,
        query_rows @ _EACH_ROW,
        candidate_rows @ _EACH_ROW,
        np.vecdot(query_rows, query_rows),
        np.vecdot(candidate_rows, candidate_rows),
        np.vecdot(query_rows, candidate_rows),
    )


def _sums_of_overlaps(query: Items, candidate: Items) -> tuple[NDArray[np.float64], ...]:
    """Return all of `_Sums` but the first, at offsets -(n_query - 1) .. n_candidate - 1.

    The end of the shorter sequence overlaps the start of the longer, then all of it a stretch inside, then its start
    the end: sums over the rows of ends follow from those of starts, (t - p)^2 = t^2 - 2 t p + p^2.
    """
    if query.size > candidate.size:
        back = [each[::-1] for each in _sums_of_overlaps(candidate, query)]
        return back[1], back[0], back[3], back[2], back[4]
    short, long = cumulative_row_sums(query), cumulative_row_sums(candidate)
    whole, down = short[-1], slice(query.size - 1, 0, -1)
    starts, ends = long[1 : query.size], long[-1] - long[candidate.size - query.size + 1 : -1]
    inside = long[query.size :] - long[: candidate.size - query.size + 1]
    ones, squares, along = short @ _EACH_ROW, np.vecdot(short, short), short @ whole
    once = np.ones(len(inside))
    return (
        np.concatenate((ones[-1] - ones[down], ones[-1] * once, ones[down])),
        np.concatenate([rows @ _EACH_ROW for rows in (starts, inside, ends)]),
        np.concatenate(((squares[-1] - 2 * along + squares)[down], squares[-1] * once, squares[down])),
        np.concatenate([np.vecdot(rows, rows) for rows in (starts, inside, ends)]),
        np.concatenate((starts @ whole - np.vecdot(short[down], starts), inside @ whole, np.vecdot(short[down], ends))),
    )


def _between(
    cumulative: NDArray[np.float64], start: NDArray[np.int64], n_items: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the ones of each row in each stretch [shape=(n, 32)]."""
    ones = cumulative.take(start + n_items, axis=0)
    ones -= cumulative.take(start, axis=0)
    return ones


def _ones_by_row(items: Items) -> NDArray[np.float64]:
    return np.ones(items.size) @ bit_rows(items).astype(np.float64)


def _stretches(items: Items, start: NDArray[np.int64], n_items: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return stretches of a sequence [shape=(n, longest)], zeros after the end of shorter ones."""
    longest = int(n_items.max())
    lacking = int(start.max()) + longest - items.size
    if lacking > 0:
        items = np.concatenate((items, np.zeros(lacking, dtype=np.uint32)))
    stretches: NDArray[np.uint32] = sliding_window_view(items, longest)[start]
    if (n_items < longest).any():
        stretches[np.arange(longest) >= n_items[:, None]] = 0
    return stretches


def _measures(sums: _Sums, overlap: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return correlations and bit error rates."""
    n = np.maximum(overlap, 1)
    floor = VARIANCE_FLOOR * ITEM_BITS * n
    query_variance = np.maximum(sums.query_ones - sums.query_squares / n, floor)
    candidate_variance = np.maximum(sums.candidate_ones - sums.candidate_squares / n, floor)
    covariance = sums.shared - sums.products / n
    n_different = sums.query_ones + sums.candidate_ones - 2.0 * sums.shared
    bit_errors = np.where(overlap > 0, n_different / (ITEM_BITS * n), 1.0)
    return covariance / np.sqrt(query_variance * candidate_variance), bit_errors


def _chunks(n: int, *, words_each: int) -> Iterator[slice]:
    """Cut n comparisons into parts that stay within the cache of a core."""
    step = max(1, _CHUNK_WORDS // max(1, words_each))
    return (slice(begin, begin + step) for begin in range(0, n, step))
