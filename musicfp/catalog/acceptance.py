"""Turning a submission into a track: everything that must be true together is written together.

Call inside `Database.exclusive()`. What belongs here: the rows. What does not: deciding (`musicfp.pipeline.ingest`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from musicfp.catalog import revisions, submissions, terms
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import (
    DerivationRow,
    DerivedAssetRow,
    FingerprintRow,
    RelatedTrackRow,
    SubmissionRow,
    TrackRow,
    TrackTagRow,
    VerdictRow,
)
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind

FULL_FINGERPRINT = "full"


@dataclass(frozen=True)
class AcceptedTrack:
    """The rows of a new track, complete but for what is derived from it later."""

    track: TrackRow
    tags: Sequence[tuple[str, str]]
    fingerprint: FingerprintRow
    related: Sequence[RelatedTrackRow]


def newest_ordinal(session: Session) -> int:
    """Return the ordinal of the newest track, 0 in an empty catalogue."""
    return session.exec(select(func.max(TrackRow.ordinal))).one() or 0


def track_with_source(session: Session, source_sha256: str) -> TrackRow | None:
    """Return the track that was accepted from exactly these bytes."""
    return session.exec(select(TrackRow).where(TrackRow.source_sha256 == source_sha256)).first()


def accept(session: Session, submission: SubmissionRow, accepted: AcceptedTrack, verdict: VerdictRow) -> None:
    """Make the track, keep its verdict, queue what is derived from it, and end the submission as ACCEPTED."""
    session.add(accepted.track)
    session.flush()  # the parts below refer to the track
    session.add_all(
        TrackTagRow(track_id=accepted.track.id, position=position, name=name, value=value)
        for position, (name, value) in enumerate(accepted.tags)
    )
    accepted.fingerprint.revision = revisions.next_revision(session)
    session.add(accepted.fingerprint)
    _index(session, accepted)
    session.add_all(accepted.related)
    _queue_derivations(session, accepted.track.id)
    conclude(session, submission, "ACCEPTED", verdict)


def conclude(session: Session, submission: SubmissionRow, status: str, verdict: VerdictRow) -> None:
    """Keep a verdict and end the submission with it; a repeated conclusion replaces the earlier one."""
    session.merge(verdict)
    submissions.decide(session, submission, status)


def existing_ids(session: Session) -> set[str]:
    """Return the ids of all tracks."""
    return set(session.exec(select(TrackRow.id)).all())


def titles(session: Session, track_ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    """Return (title, artist) by track id."""
    rows = session.exec(select(TrackRow.id, TrackRow.title, TrackRow.artist).where(col(TrackRow.id).in_(track_ids)))
    return {track_id: (title, artist) for track_id, title, artist in rows}


def _index(session: Session, accepted: AcceptedTrack) -> None:
    """Make the track findable for the very next search."""
    ordinal = accepted.track.ordinal
    if ordinal is None:
        raise ValueError(f"Track {accepted.track.id} has no ordinal yet; flush the session before indexing it.")
    items = Fingerprint.from_bytes(accepted.fingerprint.sub_fingerprints).sub_fingerprints
    terms.add(session, ordinal, items, kind=FingerprintKind(accepted.fingerprint.kind))


def _queue_derivations(session: Session, track_id: str) -> None:
    now = utc_now()
    session.add_all(
        DerivationRow(
            track_id=track_id, asset=each.asset, version=each.version, status="PENDING", attempts=0, updated_at=now
        )
        for each in session.exec(select(DerivedAssetRow)).all()
    )
