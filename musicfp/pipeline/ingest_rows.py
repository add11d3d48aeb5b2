"""From what ingest found out to the rows that are stored."""

from musicfp.catalog.acceptance import FULL_FINGERPRINT, AcceptedTrack
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import FingerprintRow, RelatedTrackRow, SubmissionRow, TrackRow, VerdictRow
from musicfp.fingerprint.chromaprint import FINGERPRINTER_VERSION
from musicfp.fingerprint.verdict import DedupeVerdict, RelatedMatch
from musicfp.pipeline.evidence import evidence_of
from musicfp.pipeline.inspection import Inspection


def accepted_track(
    submission: SubmissionRow, inspection: Inspection, verdict: DedupeVerdict, *, source_sha256: str, source_key: str
) -> AcceptedTrack:
    """Return the rows of a new track. Its id is that of the submission."""
    facts, tags, fingerprint = inspection.facts, inspection.tags, inspection.fingerprint
    track = TrackRow(
        id=submission.id,
        # A tag that settings do not require may be missing; people still need something to call the track.
        title=tags.title or submission.filename,
        artist=tags.artist or "",
        album=tags.album,
        duration_s=inspection.duration_s,
        source_sha256=source_sha256,
        source_key=source_key,
        source_size_bytes=facts.size_bytes,
        container=inspection.fmt.name,
        codec=facts.codec,
        sample_rate_hz=facts.sample_rate_hz,
        n_channels=facts.n_channels,
        bitrate_bps=facts.bitrate_bps,
        accepted_at=utc_now(),
    )
    fingerprint_row = FingerprintRow(
        track_id=submission.id,
        kind=FULL_FINGERPRINT,
        version=FINGERPRINTER_VERSION,
        algorithm=fingerprint.algorithm,
        item_duration_s=fingerprint.item_duration_s,
        audio_duration_s=fingerprint.audio_duration_s,
        n_items=fingerprint.n_items,
        sub_fingerprints=fingerprint.to_bytes(),
    )
    related = [_related_row(submission.id, each) for each in verdict.related]
    return AcceptedTrack(track, tags.values, fingerprint_row, related)


def verdict_row(submission: SubmissionRow, verdict: DedupeVerdict, *, status: str) -> VerdictRow:
    """Return the row that keeps a verdict with its evidence."""
    match = verdict.match
    is_same_file = match is None and verdict.track_id is not None
    return VerdictRow(
        submission_id=submission.id,
        outcome=status,
        reason=verdict.reason,
        policy_version=verdict.policy_version,
        relation=verdict.relation,
        matched_track_id=verdict.track_id,
        score=match.score if match else (1.0 if is_same_file else None),
        bit_error_rate=match.bit_error_rate if match else (0.0 if is_same_file else None),
        offset_s=match.offset_s if match else (0.0 if is_same_file else None),
        overlap_s=match.overlap_s if match else None,
        evidence=evidence_of(verdict),
        decided_at=utc_now(),
    )


def _related_row(track_id: str, related: RelatedMatch) -> RelatedTrackRow:
    match = related.match
    return RelatedTrackRow(
        track_id=track_id,
        other_track_id=match.track_id,
        relation=related.relation,
        score=match.score,
        bit_error_rate=match.bit_error_rate,
        offset_s=match.offset_s,
        overlap_s=match.overlap_s,
    )
