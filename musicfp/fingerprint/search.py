"""Search: which tracks of the corpus hold this audio, where, and how sure. The only entry that other packages call.

What belongs here: finding candidates, verifying them, deciding what is a match at all. What does not: what a match
means for an upload (`verdict`), how two fingerprints are laid piecewise over each other (`segments`).

1. The query is cut into windows of at most 80 items (10 s). Items that agree in 20 leading bits, or all but one or two
   of them, vote for (track, offset).
2. The best-voted pairs are verified by row-centred correlation of the whole window, two items around the offset.
3. Tracks with a promising window are aligned piece by piece, so that cuts, inserts and drifting speed still match.
4. A track is a match if its correlation is higher than unrelated music reaches on an overlap of that length.
"""

import math
import time
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.corpus import TERM_BITS, CorpusView, FingerprintCorpus
from musicfp.fingerprint.correlation import has_enough_information, row_centred_at
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.segments import PiecewiseAlignment, Segment, align_piecewise

SEARCH_VERSION = "1"
WINDOW_ITEMS = 80
DEFAULT_LIMIT = 10
# Two flips find a 10 s clip at 0 dB noise; a longer query has enough items to be found with fewer.
_TWO_FLIPS_MAX_ITEMS = 160
_ONE_FLIP_MAX_ITEMS = 8000
_MAX_CANDIDATES = 200
_MIN_CANDIDATES_PER_WINDOW = 32
_MAX_OFFSETS_PER_TRACK = 4
_OFFSET_SLACK_ITEMS = 2
# A window that correlates less is not worth aligning the track for; 99 % of strangers stay below 0.20
# at their best offset (892 pairs).
_MIN_WINDOW_CORRELATION = 0.22
_MAX_TRACKS_ALIGNED = 24
# Correlation that unrelated pairs reach once in 10^6, measured at 60, 100 and 221 items (10, 15, 30 s of audio) on
# 8,000 to 31,000 real pairs, extended with an exponential tail. Below 60 items noise grows as 1 / sqrt(overlap);
# above 221 the threshold stays, because related music and not chance makes the tail there.
_THRESHOLD_ITEMS = np.array([60.0, 100.0, 221.0])
_THRESHOLD_CORRELATION = np.array([0.37, 0.30, 0.26])
# Slope of that tail: 0.371 at 10^-6, 0.486 at 10^-9.
_TAIL_PER_NAT = (0.486 - 0.371) / math.log(1000)
# Mean over all 5 s pieces, each aligned on its own: strangers reach 0.25, clips with a cut every 2.5 s have 0.44 (5th
# percentile). Cuts leave no long segment, so this is what finds such clips; it needs some pieces to be a mean.
_MIN_MEAN_CORRELATION = 0.33
_MIN_ITEMS_FOR_MEAN = 160


@dataclass(frozen=True)
class Match:
    """A track that holds audio of the query.

    `offset_items` is that of the longest segment; track item = query item + offset, so `offset_s` is where the query
    starts inside the track, negative when it starts earlier. `correlation` and `bit_error_rate` are taken over all
    matching items together. A coverage is the share of the informative items of one side that match. `score` is the
    correlation cut to 0..1: it orders matches and is not a probability.
    """

    track_id: str
    score: float
    correlation: float
    bit_error_rate: float
    offset_items: int
    offset_s: float
    overlap_items: int
    overlap_s: float
    query_coverage: float
    track_coverage: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class SearchReport:
    """What a search found, best first, and what it took. `information_ok` is False if nothing could be found."""

    matches: tuple[Match, ...]
    candidates_examined: int
    took_ms: float
    information_ok: bool


@dataclass(frozen=True)
class _Candidates:
    """Windows of the query laid over tracks: window number, row of the corpus, offset, correlation; shape (n,)."""

    window: NDArray[np.int64]
    row: NDArray[np.int64]
    offset_items: NDArray[np.int64]
    correlation: NDArray[np.float64]


def search(
    query: Fingerprint, corpus: FingerprintCorpus, *, limit: int = DEFAULT_LIMIT, min_score: float | None = None
) -> SearchReport:
    """Find the tracks that hold audio of the query.

    Parameters
    ----------
    query
        Of a clip or of a whole track.
    corpus
        What to search.
    limit
        Most matches to return.
    min_score
        Drop matches below this score, 0 to 1. It can only make the answer stricter: what unrelated music could reach
        by chance is never returned.

    Returns
    -------
    SearchReport
        Without matches if none of the tracks matches or the query holds too little information.

    """
    began = time.perf_counter()
    if not has_enough_information(query) or not len(corpus):
        report = SearchReport((), 0, 0.0, has_enough_information(query))
    else:
        report = _search(query, corpus.view(), limit=limit, min_score=min_score or 0.0)
    took_ms = (time.perf_counter() - began) * 1000
    return SearchReport(report.matches, report.candidates_examined, took_ms, report.information_ok)


def min_correlation(overlap_items: int, *, selection_nats: float = 0.0) -> float:
    """Return the correlation over so many items that unrelated audio exceeds less than once in 10^6 pairs.

    `selection_nats` is the logarithm of how many overlaps were tried: the best of many is high by chance more often.
    """
    if overlap_items <= 0:
        return math.inf
    if overlap_items < _THRESHOLD_ITEMS[0]:
        single = float(_THRESHOLD_CORRELATION[0]) * math.sqrt(_THRESHOLD_ITEMS[0] / overlap_items)
    else:
        at = 1 / np.sqrt(_THRESHOLD_ITEMS[::-1])
        single = float(np.interp(1 / math.sqrt(overlap_items), at, _THRESHOLD_CORRELATION[::-1]))
    return single + _TAIL_PER_NAT * selection_nats


def _search(query: Fingerprint, view: CorpusView, *, limit: int, min_score: float) -> SearchReport:
    items = query.sub_fingerprints
    edges = _window_edges(items.size)
    voted = _vote(items, view, edges)
    verified = _verify(items, view, edges, voted)
    matches = [
        match
        for row, anchors in _anchors_by_track(verified)
        if (match := _match(query, view, row, anchors)) is not None and match.score >= min_score
    ]
    # A match of a small part of the query comes after one of the whole, if their correlations are near.
    matches.sort(key=lambda match: (-match.score * min(1.0, match.query_coverage + 0.5), match.track_id))
    return SearchReport(tuple(matches[:limit]), int(verified.row.size), 0.0, information_ok=True)


def _window_edges(n_items: int) -> NDArray[np.int64]:
    n_windows = max(1, -(-n_items // WINDOW_ITEMS))
    return np.linspace(0, n_items, n_windows + 1).round().astype(np.int64)


def _vote(items: NDArray[np.uint32], view: CorpusView, edges: NDArray[np.int64]) -> _Candidates:
    """Return the pairs of window and (track, offset) that most items vote for."""
    keys = [np.zeros(0, dtype=np.int64)]
    window_of_item = np.repeat(np.arange(edges.size - 1), np.diff(edges))
    masks = _flip_masks(2 if items.size <= _TWO_FLIPS_MAX_ITEMS else 1 if items.size <= _ONE_FLIP_MAX_ITEMS else 0)
    terms = (items >> np.uint32(32 - TERM_BITS))[:, None] ^ masks
    for term, position in view.lookup(terms.ravel()):
        item = term // masks.size
        row = view.row_of_item[position].astype(np.int64)
        offset = position - view.starts[row] - item
        key = (window_of_item[item] * len(view.ids) + row) * _OFFSET_SPAN + (offset + _OFFSET_SPAN // 2)
        keys.append(key[view.alive[row]])
    diagonal, votes = _count_sorted(np.concatenate(keys))
    window, row, offset = _split_key(diagonal, n_rows=len(view.ids))
    per_window = max(_MIN_CANDIDATES_PER_WINDOW, _MAX_CANDIDATES // (edges.size - 1))
    best = _shortlist(window, row, votes, per_window)
    return _Candidates(window[best], row[best], offset[best], np.zeros(best.size))


def _verify(items: NDArray[np.uint32], view: CorpusView, edges: NDArray[np.int64], voted: _Candidates) -> _Candidates:
    """Correlate every candidate window at the voted offset and two items to each side, and keep its best."""
    around = np.arange(-_OFFSET_SLACK_ITEMS, _OFFSET_SLACK_ITEMS + 1)
    offsets = (voted.offset_items[:, None] + around).ravel()
    row = np.repeat(voted.row, around.size)
    window = np.repeat(voted.window, around.size)
    measured = row_centred_at(
        items,
        view.items,
        query_start=edges[window],
        query_stop=edges[window + 1],
        position=view.starts[row] + offsets,
        corpus_start=view.starts[row],
        corpus_stop=view.starts[row + 1],
    )
    # A short overlap correlates by chance; weigh it so that it competes fairly with a long one.
    full = np.diff(edges)[window]
    weighted = measured.correlation * np.sqrt(measured.overlap_items / full)
    best = weighted.reshape(-1, around.size).argmax(axis=1) if row.size else np.zeros(0, dtype=np.int64)
    at = np.arange(voted.row.size) * around.size + best
    return _Candidates(voted.window, voted.row, offsets[at], weighted[at])


def _anchors_by_track(verified: _Candidates) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the most promising rows, each with the offsets of its good windows, the best supported first."""
    order = np.argsort(-verified.correlation, kind="stable")
    order = order[verified.correlation[order] >= _MIN_WINDOW_CORRELATION]
    anchors: dict[int, dict[int, float]] = {}
    for row, offset, correlation in zip(
        verified.row[order].tolist(),
        verified.offset_items[order].tolist(),
        verified.correlation[order].tolist(),
        strict=True,
    ):
        support = anchors.setdefault(row, {})
        support[offset] = support.get(offset, 0.0) + correlation**2
    best = sorted(anchors, key=lambda row: -sum(anchors[row].values()))[:_MAX_TRACKS_ALIGNED]
    return [(row, np.array(sorted(anchors[row], key=lambda at: -anchors[row][at]), dtype=np.int64)) for row in best]


def _match(query: Fingerprint, view: CorpusView, row: int, anchors: NDArray[np.int64]) -> Match | None:
    track_items = view.items[view.starts[row] : view.starts[row + 1]]
    aligned = align_piecewise(query.sub_fingerprints, track_items, anchors)
    single = aligned.single
    # Pieces first: they say what really matches. A weak match of a noisy clip shows only over the whole overlap.
    best: PiecewiseAlignment | None = None
    by_pieces = min_correlation(aligned.overlap_items, selection_nats=aligned.selection_nats)
    every_piece = query.n_items >= _MIN_ITEMS_FOR_MEAN and aligned.mean_correlation >= _MIN_MEAN_CORRELATION
    if aligned.segments and (aligned.correlation >= by_pieces or every_piece):
        best = aligned
    elif single is not None and single.correlation >= min_correlation(single.overlap_items):
        best = single
    if best is None:
        return None
    longest = max(best.segments, key=lambda segment: segment.n_items)
    return Match(
        track_id=view.ids[row],
        score=min(1.0, max(0.0, best.correlation)),
        correlation=best.correlation,
        bit_error_rate=best.bit_error_rate,
        offset_items=longest.offset_items,
        offset_s=longest.offset_items * query.item_duration_s,
        overlap_items=best.overlap_items,
        overlap_s=best.overlap_items * query.item_duration_s,
        query_coverage=best.query_coverage,
        track_coverage=best.track_coverage,
        segments=best.segments,
    )


# Offsets fit into +-2^25 items, 48 days; with windows and rows in front the key stays below 2^63.
_OFFSET_SPAN = 1 << 26


def _flip_masks(n_flips: int) -> NDArray[np.uint32]:
    """Return all patterns of at most `n_flips` of the term's bits: 1, 21 or 211 of them."""
    patterns = [sum(1 << bit for bit in bits) for n in range(n_flips + 1) for bits in combinations(range(TERM_BITS), n)]
    return np.array(patterns, dtype=np.uint32)


def _count_sorted(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys, and how often each or a direct neighbour (an offset off by one) occurs."""
    keys.sort()
    first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else np.zeros(0, np.int64)
    distinct = keys[first]
    count = np.diff(np.append(first, keys.size))
    votes = count.copy()
    adjacent = np.flatnonzero(distinct[1:] == distinct[:-1] + 1)
    votes[adjacent] += count[adjacent + 1]
    votes[adjacent + 1] += count[adjacent]
    return distinct, votes


def _split_key(
    key: NDArray[np.int64], *, n_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    diagonal, offset = np.divmod(key, _OFFSET_SPAN)
    window, row = np.divmod(diagonal, n_rows)
    return window, row, offset - _OFFSET_SPAN // 2


def _shortlist(
    window: NDArray[np.int64], row: NDArray[np.int64], votes: NDArray[np.int64], per_window: int
) -> NDArray[np.int64]:
    """Return the indices of the best voted of each window, few of any one track; equal votes: the earlier one.

    Music that repeats itself matches itself at many offsets; without the limit it would crowd out other tracks.
    """
    kept = np.flatnonzero(votes >= _vote_cutoffs(window, votes, 20 * per_window)[window])
    track = window[kept] * (int(row.max(initial=0)) + 1) + row[kept]
    kept = kept[_best_per_group(track, votes[kept], _MAX_OFFSETS_PER_TRACK)]
    return kept[_best_per_group(window[kept], votes[kept], per_window)]


def _vote_cutoffs(window: NDArray[np.int64], votes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return, for each window, the smallest number of votes that at most `n` reach; the highest if more share it."""
    n_windows, highest = int(window.max(initial=0)) + 1, int(votes.max(initial=1))
    histogram = np.bincount(window * (highest + 1) + votes, minlength=n_windows * (highest + 1))
    reach = histogram.reshape(n_windows, highest + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    top = np.array([int(np.flatnonzero(counts)[-1]) if counts.any() else 0 for counts in reach], dtype=np.int64)
    cutoffs: NDArray[np.int64] = np.minimum((reach > n).sum(axis=1), top)
    return cutoffs


def _best_per_group(group: NDArray[np.int64], votes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    order = np.lexsort((-votes, group))
    ordered = group[order]
    return order[np.arange(order.size) - np.searchsorted(ordered, ordered) < n]
