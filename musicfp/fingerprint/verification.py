"""Whether a candidate is right: the query laid over the track in the way that shows most clearly that it is in it.

What belongs here: correlating candidates, aligning a promising track. What does not: finding candidates (`candidates`),
piecewise alignment itself (`segments`), how much evidence an alignment is (`calibration`), what a match means for an
upload (`verdict`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.calibration import Chance, evidence_nats, evidence_nats_of_mean, score_of
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
    align_single,
)

WINDOW_ITEMS = 80
_OFFSET_SLACK_ITEMS = 2
# A window that correlates less is not worth aligning the track for; 99 % of strangers stay below 0.20
# at their best offset (892 pairs).
_MIN_WINDOW_CORRELATION = 0.22
_MAX_TRACKS_ALIGNED = 24
_MAX_DRIFTING = 3
# Cuts leave no long segment, so the mean over all pieces is what finds clips with many; it needs some pieces to be one.
_MIN_ITEMS_FOR_MEAN = 160


@dataclass(frozen=True)
class Match:
    """A track that holds audio of the query.

    `offset_items` is that of the longest segment; track item = query item + offset, so `offset_s` is where the query
    starts inside the track, negative when it starts earlier. `correlation` and `bit_error_rate` are taken over all
    matching items together. A coverage is the share of the informative items of one side that match. `evidence_nats` is
    -ln of the probability that unrelated audio agrees as well, `score` the probability that the match is right, given
    that and how many tracks were searched. `pitch` and `speed` are the factors by which the query was taken to be
    higher and faster than the track; its items are counted as if it were not.
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
    evidence_nats: float
    pitch: float = 1.0
    speed: float = 1.0


def window_edges(n_items: int) -> NDArray[np.int64]:
    """Return where the windows of a query begin and end [shape=(n_windows + 1,)]; at most 10 s each."""
    n_windows = max(1, -(-n_items // WINDOW_ITEMS))
    return np.linspace(0, n_items, n_windows + 1).round().astype(np.int64)


def verified_matches(
    items: NDArray[np.uint32],
    candidates: Candidates,
    stored: Mapping[int, StoredFingerprint],
    chance: Chance,
) -> list[Match]:
    """Return those of the candidates' tracks that pass the bar, in no order.

    Parameters
    ----------
    items
        NDArray[np.uint32] [shape=(n_items,)]. The query as it was heard.
    candidates
        Windows of it (`window_edges`) laid over tracks.
    stored
        The fingerprints of the candidates' tracks; candidates of others are dropped.
    chance
        What chance can do among so many tracks, and what a match must show beyond it.
    """
    known = candidates.at(np.flatnonzero(np.isin(candidates.track, list(stored))))
    if not known.track.size:
        return []
    verified = _verify(items, known, stored)
    found = (_match(items, stored[track], anchors, chance) for track, anchors in _anchors_by_track(verified))
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
    items: NDArray[np.uint32], track: StoredFingerprint, anchors: NDArray[np.int64], chance: Chance
) -> Match | None:
    found = _best_alignment(items, track.items, anchors, chance)
    if found is None:
        return None
    best, evidence = found
    longest = max(best.segments, key=lambda segment: segment.n_items)
    return Match(
        track_id=track.track_id,
        score=score_of(evidence, n_tracks=chance.n_tracks),
        correlation=best.correlation,
        bit_error_rate=best.bit_error_rate,
        offset_items=longest.offset_items,
        offset_s=longest.offset_items * ITEM_DURATION_S,
        overlap_items=best.overlap_items,
        overlap_s=best.overlap_items * ITEM_DURATION_S,
        query_coverage=best.query_coverage,
        track_coverage=best.track_coverage,
        segments=best.segments,
        evidence_nats=evidence,
    )


def _best_alignment(
    items: NDArray[np.uint32], track_items: NDArray[np.uint32], anchors: NDArray[np.int64], chance: Chance
) -> tuple[PiecewiseAlignment, float] | None:
    """Return the first convincing alignment with its evidence, or else the one with most; None if that is too little.

    The first, because it says more than a later one with more evidence: what really matches, and what does not.
    """
    strongest: tuple[PiecewiseAlignment, float] | None = None
    for alignment in _alignments(items, track_items, anchors):
        nats = _evidence(alignment, chance, n_items=items.size)
        if nats >= chance.bar.convincing_nats:
            return alignment, nats
        if nats >= chance.bar.least_nats and (strongest is None or nats > strongest[1]):
            strongest = alignment, nats
    return strongest


def _alignments(
    items: NDArray[np.uint32], track_items: NDArray[np.uint32], anchors: NDArray[np.int64]
) -> Iterator[PiecewiseAlignment]:
    """Yield three ways to lay the query over the track, each when it is asked for, if it overlaps."""
    # Pieces first: they say what really matches.
    aligned = align_piecewise(items, track_items, anchors)
    if aligned.segments:
        yield aligned
    single = align_single(items, track_items, int(anchors[0]))
    if single.segments:
        yield single
    if items.size < 2 * PIECE_ITEMS:
        drifting = [align_drifting(items, track_items, anchor) for anchor in anchors[:_MAX_DRIFTING].tolist()]
        strongest = max(drifting, key=lambda alignment: alignment.correlation)
        if strongest.segments:
            yield strongest


def _evidence(alignment: PiecewiseAlignment, chance: Chance, *, n_items: int) -> float:
    nats = evidence_nats(
        alignment.correlation,
        alignment.overlap_items,
        selection_nats=alignment.selection_nats,
        repetitiveness=chance.repetitiveness,
    )
    if alignment.mean_correlation is not None and n_items >= _MIN_ITEMS_FOR_MEAN:
        of_mean = evidence_nats_of_mean(alignment.mean_correlation, repetitiveness=chance.repetitiveness)
        nats = max(nats, of_mean)
    return nats - chance.selection_nats
