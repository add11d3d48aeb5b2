"""Vectors of tracks out of their features, and which of them have changed.

What belongs here: queries. What does not: the vectors in memory (`musicfp.pipeline.similar_tracks`).

Whoever stores features records a row of lineage in the same transaction, so those rows, by their number, are the feed
of changes. Transactions that overlap may commit in another order than they took numbers: the last ones are read again.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, func, select

from musicfp.catalog.tables import DeletionRow, FeatureRow, MaterializationRow, TrackRow

_TRACKS_AT_ONCE = 500


@dataclass(frozen=True)
class Change:
    """A row of lineage: these assets of a track were made."""

    number: int
    track_id: str


@dataclass(frozen=True)
class Removal:
    """A track that was deleted, with the number of its rows of lineage."""

    revision: int
    track_id: str
    n_lineage_rows: int


@dataclass(frozen=True)
class TrackVector:
    """A track's vector [shape=(n,)], and the versions of the extractors that gave it."""

    track_id: str
    version: str
    vector: NDArray[np.float32]


def newest_change(session: Session) -> int:
    """Return the number of the newest row of lineage, 0 before the first."""
    return session.exec(select(func.max(MaterializationRow.id))).one() or 0


def changes(session: Session, assets: Collection[str], *, after: int) -> list[Change]:
    """Return by number what was made of these assets since. Cheap as long as not very much is newer."""
    rows = session.exec(
        select(MaterializationRow.id, MaterializationRow.partition_key)
        .where(col(MaterializationRow.id) > after, col(MaterializationRow.asset_key).in_(assets))
        .order_by(col(MaterializationRow.id))
    )
    return [Change(number or 0, track_id) for number, track_id in rows]


def removals(session: Session, *, after: int) -> list[Removal]:
    """Return the tracks that were deleted with revisions above `after`, in their order."""
    rows = session.exec(
        select(DeletionRow.revision, DeletionRow.track_id, DeletionRow.rows)
        .where(col(DeletionRow.revision) > after)
        .order_by(col(DeletionRow.revision))
    )
    return [Removal(revision, track_id, int(counts.get("lineage", 0))) for revision, track_id, counts in rows]


def all_tracks(session: Session) -> Iterator[list[str]]:
    """Yield the ids of all tracks in the order of acceptance, some hundred at a time."""
    after = 0
    while rows := session.exec(
        select(TrackRow.ordinal, TrackRow.id)
        .where(col(TrackRow.ordinal) > after)
        .order_by(col(TrackRow.ordinal))
        .limit(_TRACKS_AT_ONCE)
    ).all():
        yield [track_id for _, track_id in rows]
        after = rows[-1][0] or 0


def of_tracks(session: Session, track_ids: Sequence[str], features: Sequence[str]) -> list[TrackVector]:
    """Return the vectors that these features, put behind each other, are; tracks that lack one of them are left out."""
    found: dict[str, dict[str, tuple[str, Sequence[float]]]] = {}
    for start in range(0, len(track_ids), _TRACKS_AT_ONCE):
        rows = session.exec(
            select(FeatureRow.track_id, FeatureRow.name, FeatureRow.version, FeatureRow.vector).where(
                col(FeatureRow.track_id).in_(track_ids[start : start + _TRACKS_AT_ONCE]),
                col(FeatureRow.name).in_(features),
                col(FeatureRow.vector).is_not(None),
            )
        )
        for track_id, name, version, vector in rows:
            if vector is not None:
                found.setdefault(track_id, {})[name] = version, vector
    return [
        TrackVector(
            track_id,
            version="+".join(dict.fromkeys(parts[name][0] for name in features)),
            vector=np.concatenate([np.asarray(parts[name][1], dtype=np.float32) for name in features]),
        )
        for track_id, parts in found.items()
        if len(parts) == len(features)
    ]
