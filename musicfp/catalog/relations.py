"""What hangs on submissions and tracks, loaded for many of them in one statement.

What belongs here: one function per relation, from ids to rows by id. Ids without rows are left out of the answer.
What does not: which rows to begin with (`pages`) and changing anything.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from musicfp.catalog.acceptance import FULL_FINGERPRINT
from musicfp.catalog.tables import (
    FeatureRow,
    FingerprintRow,
    MaterializationRow,
    ProblemRow,
    RelatedTrackRow,
    TrackRow,
    TrackTagRow,
    TranscodeRow,
    VerdictRow,
)

Row = TypeVar("Row")


@dataclass(frozen=True)
class FingerprintFacts:
    """What is known of a track's fingerprint without its items, which are large."""

    track_id: str
    algorithm: int
    item_duration_s: float
    audio_duration_s: float
    n_items: int


def tracks(session: Session, ids: Sequence[str]) -> dict[str, TrackRow]:
    """Return tracks by id."""
    return {row.id: row for row in session.exec(select(TrackRow).where(col(TrackRow.id).in_(ids)))}


def tags(session: Session, track_ids: Sequence[str]) -> dict[str, list[TrackTagRow]]:
    """Return the tags of each track in file order."""
    query = select(TrackTagRow).where(col(TrackTagRow.track_id).in_(track_ids)).order_by(col(TrackTagRow.position))
    return _grouped(session.exec(query), lambda row: row.track_id)


def transcodes(session: Session, track_ids: Sequence[str]) -> dict[str, list[TranscodeRow]]:
    """Return the transcodes of each track by name of profile."""
    query = select(TranscodeRow).where(col(TranscodeRow.track_id).in_(track_ids)).order_by(col(TranscodeRow.profile))
    return _grouped(session.exec(query), lambda row: row.track_id)


def features(session: Session, track_ids: Sequence[str]) -> dict[str, list[FeatureRow]]:
    """Return all feature values of each track by name."""
    query = select(FeatureRow).where(col(FeatureRow.track_id).in_(track_ids)).order_by(col(FeatureRow.name))
    return _grouped(session.exec(query), lambda row: row.track_id)


def fingerprint_facts(session: Session, track_ids: Sequence[str]) -> dict[str, FingerprintFacts]:
    """Return what is known of each track's fingerprint, without reading the items."""
    query = (
        select(FingerprintRow)
        .options(defer(FingerprintRow.sub_fingerprints, raiseload=True))  # type: ignore[arg-type]
        .where(col(FingerprintRow.track_id).in_(track_ids), FingerprintRow.kind == FULL_FINGERPRINT)
    )
    return {
        row.track_id: FingerprintFacts(
            row.track_id, row.algorithm, row.item_duration_s, row.audio_duration_s, row.n_items
        )
        for row in session.exec(query)
    }


def fingerprints(
    session: Session, track_ids: Sequence[str], *, kind: str = FULL_FINGERPRINT
) -> dict[str, FingerprintRow]:
    """Return the fingerprint of each track with its items; the ordinary one unless another kind is asked for."""
    query = select(FingerprintRow).where(col(FingerprintRow.track_id).in_(track_ids), FingerprintRow.kind == kind)
    return {row.track_id: row for row in session.exec(query)}


def related(session: Session, track_ids: Sequence[str]) -> dict[str, list[RelatedTrackRow]]:
    """Return the relations found when each track was accepted, the surest first."""
    query = (
        select(RelatedTrackRow)
        .where(col(RelatedTrackRow.track_id).in_(track_ids))
        .order_by(col(RelatedTrackRow.score).desc(), col(RelatedTrackRow.other_track_id))
    )
    return _grouped(session.exec(query), lambda row: row.track_id)


def related_either_way(session: Session, track_id: str) -> list[str]:
    """Return the tracks that are related to this one, whichever of the two was accepted first."""
    of_it = select(RelatedTrackRow.other_track_id).where(RelatedTrackRow.track_id == track_id)
    to_it = select(RelatedTrackRow.track_id).where(RelatedTrackRow.other_track_id == track_id)
    return [*session.exec(of_it), *session.exec(to_it)]


def verdicts(session: Session, submission_ids: Sequence[str]) -> dict[str, VerdictRow]:
    """Return the verdict on each submission."""
    query = select(VerdictRow).where(col(VerdictRow.submission_id).in_(submission_ids))
    return {row.submission_id: row for row in session.exec(query)}


def problems(session: Session, submission_ids: Sequence[str]) -> dict[str, list[ProblemRow]]:
    """Return the problems of each submission in the order in which they were found."""
    query = (
        select(ProblemRow).where(col(ProblemRow.submission_id).in_(submission_ids)).order_by(col(ProblemRow.position))
    )
    return _grouped(session.exec(query), lambda row: row.submission_id)


def materializations(session: Session, partition_keys: Sequence[str]) -> dict[str, list[MaterializationRow]]:
    """Return what Dagster made of each submission or track, oldest first."""
    query = (
        select(MaterializationRow)
        .where(col(MaterializationRow.partition_key).in_(partition_keys))
        .order_by(col(MaterializationRow.materialized_at), col(MaterializationRow.id))
    )
    return _grouped(session.exec(query), lambda row: row.partition_key)


def _grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
