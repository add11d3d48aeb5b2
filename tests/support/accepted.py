"""Tracks that entered the catalogue through `acceptance`, without audio."""

from hashlib import sha256

from sqlmodel import Session

from musicfp.catalog import acceptance, submissions
from musicfp.catalog.acceptance import FULL_FINGERPRINT, AcceptedTrack
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.submissions import ReceivedObject
from musicfp.catalog.tables import FingerprintRow, RelatedTrackRow, SubmissionRow, TrackRow, VerdictRow
from tests.support.seeds import music, seed_id


def received(database: Database, number: int, *, key: str | None = None, etag: str = "e") -> str:
    """Record that an object has arrived and return its submission's id."""
    found = ReceivedObject(seed_id(number), key or f"submissions/{seed_id(number)}.mp3", "a.mp3", 9, etag, utc_now())
    with database.write() as session:
        submissions.record_received(session, found)
    return found.submission_id


def accept_track(database: Database, number: int, *, source: str | None = None, related_to: str | None = None) -> str:
    """Make a track of a received submission and return its id. `source` stands for the content of the file."""
    submission_id = received(database, number)
    with database.exclusive() as session:
        submission = session.get_one(SubmissionRow, submission_id)
        accept_within(session, submission, source=source or submission_id, related_to=related_to)
    return submission_id


def accept_within(session: Session, submission: SubmissionRow, *, source: str, related_to: str | None = None) -> None:
    """Make a track of a submission in a transaction of the caller's."""
    digest = sha256(source.encode()).hexdigest()
    track = TrackRow(
        id=submission.id,
        title="Title",
        artist="Artist",
        duration_s=60.0,
        source_sha256=digest,
        source_key=f"sources/{digest}",
        source_size_bytes=9,
        container="mp3",
        codec="mp3",
        sample_rate_hz=44100,
        n_channels=2,
        accepted_at=utc_now(),
    )
    items = music(1)
    fingerprint = FingerprintRow(
        track_id=submission.id,
        kind=FULL_FINGERPRINT,
        version="1",
        algorithm=items.algorithm,
        item_duration_s=items.item_duration_s,
        audio_duration_s=60.0,
        n_items=items.n_items,
        sub_fingerprints=items.to_bytes(),
    )
    related = (
        [
            RelatedTrackRow(
                track_id=submission.id,
                other_track_id=related_to,
                relation="SIMILAR",
                score=0.5,
                bit_error_rate=0.2,
                offset_s=0.0,
                overlap_s=9.0,
            )
        ]
        if related_to
        else []
    )
    rows = AcceptedTrack(track, [("title", "Title"), ("genre", "A"), ("genre", "B")], fingerprint, related)
    acceptance.accept(session, submission, rows, verdict_of(submission.id, "ACCEPTED"))


def verdict_of(submission_id: str, outcome: str, *, matched_track_id: str | None = None) -> VerdictRow:
    """Return a verdict."""
    return VerdictRow(
        submission_id=submission_id,
        outcome=outcome,
        reason="A test said so.",
        policy_version="1",
        relation="EXCERPT" if matched_track_id else None,
        matched_track_id=matched_track_id,
        evidence={"correlation": 0.9},
        decided_at=utc_now(),
    )
