"""Whether a candidate is right: the query laid over the track, and what it would take for a stranger to look alike.

What belongs here: correlating candidates, aligning a promising track, the thresholds. What does not: finding candidates
(`candidates`), piecewise alignment itself (`segments`), what a match means for an upload (`verdict`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.candidates import Candidates
from musicfp.fingerprint.correlation import row_centred_at
from musicfp.fingerprint.model import ITEM_DURATION_S
from musicfp.fingerprint.postings import StoredFingerprint
from musicfp.fingerprint.segments import (
    PIECE_ITEMS,
    PiecewiseAlignment,
    Segment,
    align_drifting,
    align_piecewise,
)

WINDOW_ITEMS = 80
_OFFSET_SLACK_ITEMS = 2
# A window that correlates less is not worth aligning the track for; 99 % of strangers stay below 0.20
# at their best offset (892 pairs).
_MIN_WINDOW_CORRELATION = 0.22
_MAX_TRACKS_ALIGNED = 24
_MAX_DRIFTING = 3
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


def window_edges(n_items: int) -> NDArray[np.int64]:
    """Return where the windows of a query begin and end [shape=(n_windows + 1,)]; at most 10 s each."""
    n_windows = max(1, -(-n_items // WINDOW_ITEMS))
    return np.linspace(0, n_items, n_windows + 1).round().astype(np.int64)


def verified_matches(
    items: NDArray[np.uint32],
    candidates: Candidates,
    stored: Mapping[int, StoredFingerprint],
    *,
    selection_nats: float,
) -> list[Match]:
    """Return those of the candidates' tracks that really hold audio of the query, in no order.

    Parameters
    ----------
    items
        NDArray[np.uint32] [shape=(n_items,)]. The query as it was heard.
    candidates
        Windows of it (`window_edges`) laid over tracks.
    stored
        The fingerprints of the candidates' tracks; candidates of others are dropped.
    selection_nats
        Logarithm of how many ways to hear the query were tried.
    """
    known = candidates.at(np.flatnonzero(np.isin(candidates.track, list(stored))))
    if not known.track.size:
        return []
    verified = _verify(items, known, stored)
    found = (
        _match(items, stored[track], anchors, selection_nats=selection_nats)
        for track, anchors in _anchors_by_track(verified)
    )
    return [match for match in found if match is not None]


def _verify(items: NDArray[np.uint32], voted: Candidates, stored: Mapping[int, StoredFingerprint]) -> Candidates:
    """Correlate every candidate window at the voted offset and two items to each side, and keep its best."""
    tracks, row = np.unique(voted.track, return_inverse=True)
    each = [stored[track].items for track in tracks.tolist()]
    starts = np.concatenate(([0], np.cumsum([one.size for one in each])))
    around = np.arange(-_OFFSET_SLACK_ITEMS, _OFFSET_SLACK_ITEMS + 1)
    offsets = (voted.offset_items[:, None] + around).ravel()
    row = np.repeat(row, around.size)
    window = np.repeat(voted.window, around.size)
    edges = window_edges(items.size)
    measured = row_centred_at(
        items,
        np.concatenate(each),
        query_start=edges[window],
        query_stop=edges[window + 1],
        position=starts[row] + offsets,
        corpus_start=starts[row],
        corpus_stop=starts[row + 1],
    )
    # A short overlap correlates by chance; weigh it so that it competes fairly with a long one.
    weighted = measured.correlation * np.sqrt(measured.overlap_items / np.diff(edges)[window])
    best = weighted.reshape(-1, around.size).argmax(axis=1)
    at = np.arange(voted.track.size) * around.size + best
    return Candidates(voted.window, voted.track, offsets[at], weighted[at])


def _anchors_by_track(verified: Candidates) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the most promising tracks, each with the offsets of its good windows, the best supported first."""
    order = np.argsort(-verified.worth, kind="stable")
    order = order[verified.worth[order] >= _MIN_WINDOW_CORRELATION]
    anchors: dict[int, dict[int, float]] = {}
    for track, offset, correlation in zip(
        verified.track[order].tolist(),
        verified.offset_items[order].tolist(),
        verified.worth[order].tolist(),
        strict=True,
    ):
        support = anchors.setdefault(track, {})
        support[offset] = support.get(offset, 0.0) + correlation**2
    best = sorted(anchors, key=lambda track: -sum(anchors[track].values()))[:_MAX_TRACKS_ALIGNED]
    return [
        (track, np.array(sorted(anchors[track], key=lambda at: -anchors[track][at]), dtype=np.int64)) for track in best
    ]


def _match(
    items: NDArray[np.uint32], track: StoredFingerprint, anchors: NDArray[np.int64], *, selection_nats: float
) -> Match | None:
    best = _best_alignment(items, track.items, anchors, selection_nats=selection_nats)
    if best is None:
        return None
    longest = max(best.segments, key=lambda segment: segment.n_items)
    return Match(
        track_id=track.track_id,
        score=min(1.0, max(0.0, best.correlation)),
        correlation=best.correlation,
        bit_error_rate=best.bit_error_rate,
        offset_items=longest.offset_items,
        offset_s=longest.offset_items * ITEM_DURATION_S,
        overlap_items=best.overlap_items,
        overlap_s=best.overlap_items * ITEM_DURATION_S,
        query_coverage=best.query_coverage,
        track_coverage=best.track_coverage,
        segments=best.segments,
    )


def _best_alignment(
    items: NDArray[np.uint32], track_items: NDArray[np.uint32], anchors: NDArray[np.int64], *, selection_nats: float
) -> PiecewiseAlignment | None:
    """Return the first of three ways to lay the query over the track by which it matches; None if it does not."""

    def is_match(alignment: PiecewiseAlignment) -> bool:
        nats = alignment.selection_nats + selection_nats
        return alignment.correlation >= min_correlation(alignment.overlap_items, selection_nats=nats)

    # Pieces first: they say what really matches. A weak match of a noisy clip shows only over the whole overlap.
    aligned = align_piecewise(items, track_items, anchors)
    every_piece = items.size >= _MIN_ITEMS_FOR_MEAN and aligned.mean_correlation >= _MIN_MEAN_CORRELATION
    if aligned.segments and (is_match(aligned) or every_piece):
        return aligned
    if aligned.single is not None and is_match(aligned.single):
        return aligned.single
    if items.size < 2 * PIECE_ITEMS:
        drifting = [align_drifting(items, track_items, anchor) for anchor in anchors[:_MAX_DRIFTING].tolist()]
        strongest = max(drifting, key=lambda alignment: alignment.correlation)
        if is_match(strongest):
            return strongest
    return None
