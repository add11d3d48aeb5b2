"""What strangers were seen to reach, held against what `calibration` promises that they reach.

What belongs here: the statistics of the impostor tail, pure. What does not: asking (`eval.calibration` on a corpus,
`musicfp.pipeline.recognition_quality` on a catalogue) and the constants (`calibration`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.calibration import MAX_EXPECTED_FALSE_MATCHES, PAIR_NATS

# Below it, what strangers reach is bounded by which candidates are aligned at all.
TAIL_FROM_NATS = 6.0
# Fewer say nothing about how fast a tail falls.
MIN_ABOVE = 12
MIN_QUERIES = 8


@dataclass(frozen=True)
class Tail:
    """An exponential tail fitted to the evidence of wrong matches; one of a right calibration has decay 1, level 13.8.

    `decay` is how many nats the number of wrong matches falls by for each nat of evidence. `level_nats` is the evidence
    that one pair of unrelated audio in 10^6 reaches. Standard errors are those of resampled queries, because the wrong
    matches of one query resemble each other.
    """

    n_pairs: float
    n_queries: int
    from_nats: float
    n_above: int
    decay: float
    decay_error: float
    level_nats: float
    level_error: float

    @property
    def reaches_to_n_tracks(self) -> float:
        """The size of a catalogue whose default bar lies where pairs were seen; beyond it, they are inferred."""
        return MAX_EXPECTED_FALSE_MATCHES * self.n_pairs


def fit_tail(
    evidence: NDArray[np.float64],
    query: NDArray[np.int64],
    *,
    n_queries: int,
    n_pairs: float,
    from_nats: float = TAIL_FROM_NATS,
) -> Tail | None:
    """Fit the tail above `from_nats`, by maximum likelihood; None if too little is there.

    Parameters
    ----------
    evidence
        NDArray[np.float64] [shape=(n,)], nats. Of wrong matches.
    query
        NDArray[np.int64] [shape=(n,)]. Which query each is of; queries of one clip should share a number.
    n_queries
        How many clips were asked, those without a wrong match included.
    n_pairs
        How many pairs of a query and a track of two minutes were asked.
    from_nats
        Where the tail begins.

    References
    ----------
    The peaks-over-threshold estimate of an exponential tail, and the delete-one jackknife for its errors: B. Efron, The
    Jackknife, the Bootstrap and Other Resampling Plans, 1982.

    """
    above = evidence > from_nats
    if int(above.sum()) < MIN_ABOVE or n_queries < MIN_QUERIES:
        return None
    excess, clip = evidence[above] - from_nats, query[above]
    clips = np.unique(clip)
    if clips.size < 2:
        return None
    decay, level = _decay_and_level(excess.size, float(excess.sum()), n_pairs, from_nats)
    count = np.array([np.count_nonzero(clip == each) for each in clips])
    total = np.array([excess[clip == each].sum() for each in clips])
    share = n_pairs * (n_queries - 1) / n_queries
    without = [
        _decay_and_level(int(n), float(sum_), share, from_nats)
        for n, sum_ in zip(excess.size - count, excess.sum() - total, strict=True)
    ]
    # Leaving out a query that has nothing in the tail changes only the share.
    without += [_decay_and_level(excess.size, float(excess.sum()), share, from_nats)] * (n_queries - clips.size)
    errors = np.sqrt((n_queries - 1) * np.var(np.array(without), axis=0))
    return Tail(
        n_pairs=n_pairs,
        n_queries=n_queries,
        from_nats=from_nats,
        n_above=excess.size,
        decay=decay,
        decay_error=float(errors[0]),
        level_nats=level,
        level_error=float(errors[1]),
    )


def _decay_and_level(n_above: int, total_excess: float, n_pairs: float, from_nats: float) -> tuple[float, float]:
    decay = n_above / total_excess
    return decay, from_nats + (math.log(n_above / n_pairs) + PAIR_NATS) / decay
