"""Tracks drawn at random, for measuring on the catalogue what would take too long on all of it.

What belongs here: drawing. What does not: what is measured.
"""

import numpy as np
from sqlmodel import Session, col, select

from musicfp.catalog.searchable import evenly_spread_ordinals
from musicfp.catalog.tables import TrackRow

# Tracks that were deleted leave holes between the ordinals, so more are drawn than are wanted.
_DRAWN_PER_TRACK = 8


def drawn_tracks(
    session: Session, *, n: int, rng: np.random.Generator, min_duration_s: float, max_size_bytes: int
) -> list[TrackRow]:
    """Return at most `n` tracks in random order, long enough and not larger; each is as likely as any other.

    Fewer are returned if there are fewer, or if more than seven of eight tracks were deleted.
    """
    ends = evenly_spread_ordinals(session, n=2)
    if not ends.size:
        return []
    drawn = int(ends[0]) + rng.permutation(int(ends[-1] - ends[0]) + 1)[: n * _DRAWN_PER_TRACK]
    query = select(TrackRow).where(
        col(TrackRow.ordinal).in_(drawn.tolist()),
        TrackRow.duration_s >= min_duration_s,
        TrackRow.source_size_bytes <= max_size_bytes,
    )
    found = {row.ordinal: row for row in session.exec(query)}
    return [found[ordinal] for ordinal in drawn.tolist() if ordinal in found][:n]
