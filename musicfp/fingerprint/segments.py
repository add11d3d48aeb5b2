"""Laying a query piece by piece over a track that is known to be promising.

What belongs here: cutting the query into pieces, finding where each lies, joining neighbours to segments, measuring
how much of either side is covered. What does not: finding the track (`search`), judging the result (`verdict`).

Pieces are aligned independently, so a cut, an insert, a muted bar or a drifting speed costs the pieces it touches and
not the match. A query too short for pieces is laid over the track with an offset that may drift (`align_drifting`).
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.correlation import correlate_pairs, informative_items, row_centred_at
from musicfp.fingerprint.model import ITEM_BITS

# 5 s: genuine pieces correlate 0.44 and more (5th percentile over noise and missing chunks), strangers below 0.25.
PIECE_ITEMS = 40
_MIN_PIECE_CORRELATION = 0.35
# A piece at the edge of the track must overlap it this much to count.
_MIN_PIECE_OVERLAP = 0.5
_MAX_ANCHORS = 24
# Neighbouring pieces of a slower copy overlap a little.
_MAX_SHARE_USED = 0.5
# Two offsets of neighbouring pieces that differ by no more are the same alignment, drifting.
_MAX_DRIFT_ITEMS = 1
# What lies between two anchors is tried in queries of 40 s and more, whose offset may drift by so much unseen.
_MIN_PIECES_TO_DRIFT = 8
_MAX_GAP_ITEMS = 16
# What a change of offset between neighbouring pieces must gain in correlation. Music repeats itself: without a price
# for jumping, a loop would be matched with any of its repetitions and the track would seem half covered.
_DRIFT_PRICE = 0.03
_JUMP_PRICE = 0.30


# A drifting alignment: the offset may change by so much from one block of the query to the next.
_BLOCK_ITEMS = 6
_MAX_STEP_ITEMS = 1
_REACH_ITEMS = 8
# So much freedom lifts the correlation of strangers by 0.02 to 0.055 (10 s, 2,900 pairs under each of 6 conditions).
DRIFTING_SELECTION_NATS = 3.3


@dataclass(frozen=True)
class Segment:
    """A stretch of the query that lies on a stretch of the track; ends are exclusive, track = query + offset."""

    query_start: int
    query_stop: int
    offset_items: int
    correlation: float

    @property
    def n_items(self) -> int:
        """Length in items."""
        return self.query_stop - self.query_start


@dataclass(frozen=True)
class PiecewiseAlignment:
    """All matching segments, measured together.

    `selection_nats` is the logarithm of how many ways there were to choose the segments: the more freedom, the more
    they must show. `overlap_items`, `correlation` and `bit_error_rate` leave out where both sides are silent or hold a
    tone. `mean_correlation` is the mean over all pieces, those that do not match included; None where there are none.
    """

    segments: tuple[Segment, ...]
    overlap_items: int
    correlation: float
    bit_error_rate: float
    query_coverage: float
    track_coverage: float
    selection_nats: float
    mean_correlation: float | None = None


def align_piecewise(
    query: NDArray[np.uint32], track: NDArray[np.uint32], anchors: NDArray[np.int64]
) -> PiecewiseAlignment:
    """Align every piece of a query with a track, near the offsets at which windows of it were found.

    Parameters
    ----------
    query, track
        NDArray[np.uint32] [shape=(n_query,)], [shape=(n_track,)].
    anchors
        NDArray[np.int64] [shape=(n,)], best first, not empty. Offsets to try, with one item around each.

    Returns
    -------
    PiecewiseAlignment
        `correlation` is row-centred over all matching items of all segments; without segments it is 0.

    """
    edges = _piece_edges(query.size)
    offsets = _offsets_to_try(anchors, n_pieces=edges.size - 1)
    correlation = _correlations(query, track, edges, offsets)
    chosen = _choose_offsets(correlation, offsets)
    segments = _join(edges, correlation, chosen, offsets)
    chosen_correlation = correlation[np.arange(chosen.size), chosen]
    once, again = _each_stretch_once(_clip(segments, query.size, track.size), track.size)
    moved = [_moved_between_neighbours(piece, once, edges, correlation, offsets) for piece in again]
    more, _ = _each_stretch_once(_clip([*once, *filter(None, moved)], query.size, track.size), track.size)
    return replace(
        _measure(query, track, more),
        selection_nats=_selection_nats(segments, n_choices=correlation.size),
        mean_correlation=float(chosen_correlation.mean()),
    )


def align_single(query: NDArray[np.uint32], track: NDArray[np.uint32], anchor: int) -> PiecewiseAlignment:
    """Lay a query over a track at one offset: a weak match of a noisy clip shows only over the whole overlap.

    Parameters
    ----------
    query, track
        NDArray[np.uint32] [shape=(n_query,)], [shape=(n_track,)].
    anchor
        The offset.

    """
    whole = Segment(max(0, -anchor), min(query.size, track.size - anchor), anchor, 0.0)
    return _measure(query, track, [whole] if whole.n_items > 0 else [])


def align_drifting(query: NDArray[np.uint32], track: NDArray[np.uint32], anchor: int) -> PiecewiseAlignment:
    """Lay a short query over a track, starting near an offset that may change little by little.

    For cuts of a few tenths of a second, each too near the next for a piece between them: where 0.3 s are missing every
    2.5 s, all clips of 10 s that hold information correlate above one in 10^6 strangers; at one offset 0.82 of them.

    Parameters
    ----------
    query, track
        NDArray[np.uint32] [shape=(n_query,)], [shape=(n_track,)].
    anchor
        The best single offset; offsets up to eight items around it are tried.

    Returns
    -------
    PiecewiseAlignment
        With DRIFTING_SELECTION_NATS.

    """
    offsets = np.arange(anchor - _REACH_ITEMS, anchor + _REACH_ITEMS + 1)
    edges = np.linspace(0, query.size, max(1, query.size // _BLOCK_ITEMS) + 1).round().astype(np.int64)
    place = np.arange(query.size)[:, None] + offsets
    inside = (place >= 0) & (place < track.size)
    errors = np.bitwise_count(query[:, None] ^ track[np.clip(place, 0, track.size - 1)])
    agreement = np.add.reduceat(np.where(inside, ITEM_BITS / 2 - errors.astype(np.float64), 0.0), edges[:-1], axis=0)
    path = _drifting_path(agreement)
    blocks = [
        Segment(int(start), int(stop), int(offsets[at]), 0.0)
        for start, stop, at in zip(edges[:-1], edges[1:], path, strict=True)
    ]
    overlapping = [each for each in _clip(blocks, query.size, track.size) if each.n_items > 0]
    return replace(_measure(query, track, overlapping), selection_nats=DRIFTING_SELECTION_NATS)


def _drifting_path(agreement: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of each block's offset: the path of small steps with the most agreement (Viterbi)."""
    n_blocks, n_offsets = agreement.shape
    steps = np.arange(-_MAX_STEP_ITEMS, _MAX_STEP_ITEMS + 1)
    came_from = np.zeros((n_blocks, n_offsets), dtype=np.int64)
    source = np.arange(n_offsets) - steps[:, None]
    allowed = (source >= 0) & (source < n_offsets)
    source = np.clip(source, 0, n_offsets - 1)
    total = agreement[0]
    for block in range(1, n_blocks):
        reached = np.where(allowed, total[source], -np.inf)
        best = reached.argmax(axis=0)
        came_from[block] = source[best, np.arange(n_offsets)]
        total = reached.max(axis=0) + agreement[block]
    path = np.zeros(n_blocks, dtype=np.int64)
    path[-1] = int(total.argmax())
    for block in range(n_blocks - 1, 0, -1):
        path[block - 1] = came_from[block, path[block]]
    return path


def _offsets_to_try(anchors: NDArray[np.int64], *, n_pieces: int) -> NDArray[np.int64]:
    """Return the anchors with one item around each; of a long query also those between two that are near, and more.

    The offset of a copy at another speed passes through all of them, and windows of it are found at some.
    """
    near = np.unique((anchors[:_MAX_ANCHORS, None] + np.arange(-1, 2)).ravel())
    if n_pieces < _MIN_PIECES_TO_DRIFT:
        return near
    between = [np.arange(one, other) for one, other in pairwise(near.tolist()) if other - one <= _MAX_GAP_ITEMS]
    around_best = anchors[0] + np.arange(-_MAX_GAP_ITEMS, _MAX_GAP_ITEMS + 1)
    return np.unique(np.concatenate([near, around_best, *between]))


def _piece_edges(n_items: int) -> NDArray[np.int64]:
    # Below two pieces the whole query is one: a 10 s clip is judged as a whole.
    n_pieces = n_items // PIECE_ITEMS if n_items >= 2 * PIECE_ITEMS else 1
    return np.linspace(0, n_items, n_pieces + 1).round().astype(np.int64)


def _correlations(
    query: NDArray[np.uint32], track: NDArray[np.uint32], edges: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the correlation of each piece at each offset [shape=(n_pieces, n_offsets)], 0 for too little overlap.

    A piece that hangs over the track's edge counts less, as in the search: half an overlap correlates higher by chance.
    """
    n_pieces = edges.size - 1
    piece = np.repeat(np.arange(n_pieces), offsets.size)
    position = np.tile(offsets, n_pieces)
    zeros = np.zeros_like(position)
    measured = row_centred_at(
        query,
        track,
        query_start=edges[piece],
        query_stop=edges[piece + 1],
        position=position,
        corpus_start=zeros,
        corpus_stop=zeros + track.size,
    )
    share = measured.overlap_items / np.diff(edges)[piece]
    weighted = np.where(share >= _MIN_PIECE_OVERLAP, measured.correlation * np.sqrt(share), 0.0)
    return weighted.reshape(n_pieces, offsets.size)


def _choose_offsets(correlation: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each piece, the index of its offset: the path with most correlation and fewest jumps (Viterbi)."""
    n_pieces, n_offsets = correlation.shape
    change = np.abs(offsets[:, None] - offsets[None, :])
    price = np.where(change == 0, 0.0, np.where(change <= _MAX_DRIFT_ITEMS, _DRIFT_PRICE, _JUMP_PRICE))
    came_from = np.zeros((n_pieces, n_offsets), dtype=np.int64)
    total = correlation[0].copy()
    for piece in range(1, n_pieces):
        step = total[:, None] - price
        came_from[piece] = step.argmax(axis=0)
        total = step.max(axis=0) + correlation[piece]
    chosen = np.zeros(n_pieces, dtype=np.int64)
    chosen[-1] = int(total.argmax())
    for piece in range(n_pieces - 1, 0, -1):
        chosen[piece - 1] = came_from[piece, chosen[piece]]
    return chosen


def _join(
    edges: NDArray[np.int64],
    correlation: NDArray[np.float64],
    chosen: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> list[Segment]:
    """Make one segment for each piece that matches."""
    alone = correlation.shape[0] == 1
    return [
        Segment(int(edges[piece]), int(edges[piece + 1]), int(offsets[at]), float(correlation[piece, at]))
        for piece, at in enumerate(chosen)
        # A single piece is the whole query: whether it is enough is decided by its length, not here.
        if alone or correlation[piece, at] >= _MIN_PIECE_CORRELATION
    ]


def _selection_nats(pieces: list[Segment], *, n_choices: int) -> float:
    """Every jump could have gone to any of `n_choices` places; a drift or a gap is one of about four ways to go on."""
    nats = math.log(n_choices) if n_choices > 1 else 0.0
    for previous, piece in pairwise(pieces):
        change = abs(piece.offset_items - previous.offset_items)
        if change > _MAX_DRIFT_ITEMS:
            nats += math.log(n_choices)
        elif change or piece.query_start > previous.query_stop:
            nats += math.log(4)
    return nats


def _clip(pieces: list[Segment], n_query: int, n_track: int) -> list[Segment]:
    """Cut off what lies outside the track."""
    return [
        replace(
            piece,
            query_start=max(piece.query_start, -piece.offset_items, 0),
            query_stop=min(piece.query_stop, n_track - piece.offset_items, n_query),
        )
        for piece in pieces
    ]


def _each_stretch_once(pieces: list[Segment], n_track: int) -> tuple[list[Segment], list[Segment]]:
    """Part pieces from those that lie where others lie already, those of the shorter unbroken chain.

    Music that repeats itself matches a part of itself over and over; three minutes of a loop are not the same recording
    as one minute of it.
    """
    chains: list[list[Segment]] = []
    for piece in sorted(pieces, key=lambda piece: piece.query_start):
        if chains and abs(piece.offset_items - chains[-1][-1].offset_items) <= _MAX_DRIFT_ITEMS:
            chains[-1].append(piece)
        else:
            chains.append([piece])
    is_used = np.zeros(n_track, dtype=np.bool_)
    once, again = [], []
    for chain in sorted(chains, key=lambda chain: -sum(piece.n_items for piece in chain)):
        for piece in chain:
            there = slice(piece.query_start + piece.offset_items, piece.query_stop + piece.offset_items)
            if piece.n_items > 0 and is_used[there].mean() <= _MAX_SHARE_USED:
                is_used[there] = True
                once.append(piece)
            elif piece.n_items > 0:
                again.append(piece)
    return sorted(once, key=lambda piece: piece.query_start), again


def _moved_between_neighbours(
    piece: Segment,
    placed: list[Segment],
    edges: NDArray[np.int64],
    correlation: NDArray[np.float64],
    offsets: NDArray[np.int64],
) -> Segment | None:
    """Return a piece where its neighbours say that it lies, if it matches there; else None.

    Where music repeats itself, another repetition may correlate a little better than the place that goes on.
    """
    before = [each.offset_items for each in placed if each.query_start < piece.query_start][-1:]
    after = [each.offset_items for each in placed if each.query_start > piece.query_start][:1]
    ends = np.array(before + after, dtype=np.int64)
    if not ends.size:
        return None
    goes_on = (
        (offsets >= ends.min()) & (offsets <= ends.max()) if np.ptp(ends) <= _MAX_GAP_ITEMS else np.isin(offsets, ends)
    )
    number = int(np.searchsorted(edges, piece.query_start, side="right")) - 1
    at = int(np.where(goes_on, correlation[number], -1.0).argmax())
    if correlation[number, at] < _MIN_PIECE_CORRELATION:
        return None
    return Segment(int(edges[number]), int(edges[number + 1]), int(offsets[at]), float(correlation[number, at]))


def _measure(query: NDArray[np.uint32], track: NDArray[np.uint32], pieces: list[Segment]) -> PiecewiseAlignment:
    query_index = np.concatenate(
        [np.arange(piece.query_start, piece.query_stop) for piece in pieces] or [np.zeros(0, dtype=np.int64)]
    )
    track_index = query_index + np.repeat(
        np.array([piece.offset_items for piece in pieces], dtype=np.int64),
        np.array([piece.n_items for piece in pieces], dtype=np.int64),
    )
    # Silence lies on silence in any two tracks, and where both begin or end a common step looks like common music.
    of_query, of_track = informative_items(query), informative_items(track)
    says_something = of_query[query_index] | of_track[track_index]
    correlation, bit_errors = correlate_pairs(query[query_index[says_something]], track[track_index[says_something]])
    return PiecewiseAlignment(
        segments=_merge(pieces, query, track),
        overlap_items=int(says_something.sum()),
        correlation=correlation,
        bit_error_rate=bit_errors,
        query_coverage=_coverage(of_query, query_index),
        track_coverage=_coverage(of_track, track_index),
        selection_nats=0.0,
    )


def _merge(pieces: list[Segment], query: NDArray[np.uint32], track: NDArray[np.uint32]) -> tuple[Segment, ...]:
    """Join adjoining pieces at the same offset, and measure each joined segment anew."""
    merged: list[Segment] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if last is not None and last.query_stop == piece.query_start and last.offset_items == piece.offset_items:
            merged[-1] = replace(last, query_stop=piece.query_stop)
        else:
            merged.append(piece)
    return tuple(replace(segment, correlation=_segment_correlation(segment, query, track)) for segment in merged)


def _segment_correlation(segment: Segment, query: NDArray[np.uint32], track: NDArray[np.uint32]) -> float:
    there = slice(segment.query_start + segment.offset_items, segment.query_stop + segment.offset_items)
    return correlate_pairs(query[segment.query_start : segment.query_stop], track[there])[0]


def _coverage(informative: NDArray[np.bool_], matched: NDArray[np.int64]) -> float:
    """Return the share of a side's informative items that match; silence at the ends is no part of the music."""
    n_informative = int(informative.sum())
    if not n_informative:
        return 0.0
    return float(informative[np.unique(matched)].sum() / n_informative)
