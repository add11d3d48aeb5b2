"""Deleting tracks: taking all rows of a track away at once, and the row that stays and says so.

What belongs here: the rows. What does not: objects and Dagster's records, which a run removes afterwards by what is
written down here (`musicfp.pipeline.deletion`).

A reader sees a track whole or not at all, since one transaction takes everything away: no query needs to leave out
tracks that are being deleted.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, func, or_, update
from sqlmodel import Session, col, select

from musicfp.catalog import bulk, revisions, submissions, terms
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import (
    DeletionRow,
    DerivationRow,
    FeatureRow,
    FingerprintRow,
    MaterializationRow,
    RelatedTrackRow,
    TrackRow,
    TrackTagRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind


def delete_track(session: Session, track: TrackRow, *, reason: str | None) -> DeletionRow:
    """Take away all rows of a track, and its postings; return the row that says what is still to be removed.

    In `Database.exclusive()`: whoever judges an upload must see the track or its deletion. The submission that brought
    the track keeps its status and verdict, and so do its duplicates.
    """
    track_id, ordinal = track.id, track.ordinal
    # The lock first: it waits for whoever is storing something of this track, and ends before anything is counted.
    session.exec(select(TrackRow.id).where(col(TrackRow.id) == track_id).with_for_update()).one()
    if ordinal is None:
        raise ValueError(f"track {track_id} was never stored, so it cannot be deleted")
    n_postings = _remove_postings(session, track_id, ordinal)
    removed = {"track": 1, **_remove_parts(session, track_id), "postings": n_postings}
    deletion = DeletionRow(
        track_id=track_id,
        ordinal=ordinal,
        revision=revisions.next_revision(session),
        source_sha256=track.source_sha256,
        source_key=track.source_key,
        reason=reason,
        requested_at=utc_now(),
        rows=removed,
    )
    session.add(deletion)
    session.flush()  # verdicts refer to it
    renamed = update(VerdictRow).where(col(VerdictRow.matched_track_id) == track_id)
    renamed = renamed.values(matched_track_id=None, deleted_track_id=track_id)
    deletion.rows = {**removed, "verdict_references": int(session.exec(renamed).rowcount)}
    session.exec(delete(TrackRow).where(col(TrackRow.id) == track_id))
    return deletion


def get(session: Session, track_id: str) -> DeletionRow | None:
    """Return the deletion of a track, None if it was not deleted."""
    return session.get(DeletionRow, track_id)


def get_many(session: Session, track_ids: Sequence[str]) -> dict[str, DeletionRow]:
    """Return those of the tracks that were deleted, by id."""
    rows = session.exec(select(DeletionRow).where(col(DeletionRow.track_id).in_(track_ids)))
    return {row.track_id: row for row in rows}


def unfinished(session: Session, *, limit: int) -> list[DeletionRow]:
    """Return the deletions of which something may be left in the object store or in Dagster, oldest first."""
    oldest_first = select(DeletionRow).where(_is_unfinished()).order_by(col(DeletionRow.requested_at))
    return list(session.exec(oldest_first.limit(limit)))


def remaining(session: Session, track_ids: Collection[str]) -> set[str]:
    """Return those of the tracks that are there, and will be until this transaction ends.

    Asked by whoever stores something of tracks, or a verdict that names one, after working on it for a while.
    """
    wanted = select(TrackRow.id).where(col(TrackRow.id).in_(track_ids)).order_by(TrackRow.id)
    return set(session.exec(wanted.with_for_update(read=True, key_share=True)))


def track_remains(session: Session, track_id: str) -> bool:
    """Whether a track is among `remaining`."""
    return bool(remaining(session, [track_id]))


def newest_revision(session: Session) -> int:
    """Return a number that grows with each deletion, 0 before the first."""
    return session.exec(select(func.max(DeletionRow.revision))).one() or 0


def is_spent(session: Session, source_key: str) -> bool:
    """Whether the source of a deleted track was under this key, so that no track's may ever be again."""
    return session.exec(select(DeletionRow.track_id).where(DeletionRow.source_key == source_key)).first() is not None


def removed_ordinals(session: Session, *, after: int = 0, up_to: int) -> NDArray[np.int64]:
    """Return the ordinals of the tracks that were deleted with revisions above `after` [shape=(n,)]."""
    revision = col(DeletionRow.revision)
    found = bulk.integers(session, select(col(DeletionRow.ordinal)).where(revision > after, revision <= up_to))
    return found[:, 0]


def note_found(
    session: Session, track_id: str, *, objects: Sequence[Mapping[str, Any]], records: Mapping[str, int], run_id: str
) -> DeletionRow:
    """Write down what there is to be removed, before the first of it is, and return the deletion.

    Added to what earlier runs wrote down: one that was killed has removed some of it, and forgets no number.
    """
    row = session.exec(select(DeletionRow).where(DeletionRow.track_id == track_id).with_for_update()).one()
    noted, counted = row.objects or [], row.records or {}
    row.objects = list({(each["kind"], each["key"]): dict(each) for each in (*noted, *objects)}.values())
    row.records = {kind: max(counted.get(kind, 0), records.get(kind, 0)) for kind in {**counted, **records}}
    row.run_id = run_id if row.finished_at is None else row.run_id
    session.add(row)
    return row


def finish(session: Session, track_id: str) -> DeletionRow:
    """Note that nothing of a track is left, and return its deletion. Repeating it changes nothing."""
    submissions.mark_object_gone(session, track_id)
    row = session.get_one(DeletionRow, track_id)
    row.finished_at = row.finished_at or utc_now()
    session.add(row)
    return row


def _is_unfinished() -> ColumnElement[bool]:
    return col(DeletionRow.finished_at).is_(None)


def _remove_parts(session: Session, track_id: str) -> dict[str, int]:
    """Delete what hangs on a track; return how many rows of each kind."""
    either_way = or_(col(RelatedTrackRow.track_id) == track_id, col(RelatedTrackRow.other_track_id) == track_id)
    statements = {
        "tags": delete(TrackTagRow).where(col(TrackTagRow.track_id) == track_id),
        "fingerprints": delete(FingerprintRow).where(col(FingerprintRow.track_id) == track_id),
        "transcodes": delete(TranscodeRow).where(col(TranscodeRow.track_id) == track_id),
        "features": delete(FeatureRow).where(col(FeatureRow.track_id) == track_id),
        "derivations": delete(DerivationRow).where(col(DerivationRow.track_id) == track_id),
        "relations": delete(RelatedTrackRow).where(either_way),
        "lineage": delete(MaterializationRow).where(col(MaterializationRow.partition_key) == track_id),
    }
    return {kind: int(session.exec(statement).rowcount) for kind, statement in statements.items()}


def _remove_postings(session: Session, track_id: str, ordinal: int) -> int:
    """Delete a track's part of the index of terms; return how many postings its fingerprints have."""
    n_postings = 0
    indexed = col(FingerprintRow.kind).in_([kind.value for kind in FingerprintKind])
    for row in session.exec(select(FingerprintRow).where(FingerprintRow.track_id == track_id, indexed)):
        items = Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints
        postings = terms.rows_of(ordinal, items, kind=FingerprintKind(row.kind))
        terms.discard(session, postings)
        n_postings += len(postings)
    return n_postings
