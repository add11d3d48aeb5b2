"""Rows that contradict each other, though each by itself satisfies the constraints of its table.

What belongs here: one query for each kind of contradiction, named, answered by the database as a stream. What does not:
the index of terms (`index_upkeep`), objects of the store (`musicfp.pipeline.deep_check`), mending.

Every transaction of ours leaves none, and each query sees one moment: what is found is damage, not work in progress.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Select, String, and_, cast, exists, func, literal, or_, true
from sqlmodel import Session, col, select

from musicfp.catalog.acceptance import FULL_FINGERPRINT
from musicfp.catalog.submissions import DECIDED
from musicfp.catalog.tables import (
    DeletionRow,
    DerivationRow,
    DerivedAssetRow,
    FeatureRow,
    FingerprintRevisionRow,
    FingerprintRow,
    SubmissionRow,
    TrackRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.fingerprint.model import DEFAULT_ALGORITHM
from musicfp.fingerprint.postings import FingerprintKind

_ROWS_AT_ONCE = 1000
# What these assets leave behind is a row of a table of their own; that of the others is told by their prefix.
_BAND_ASSET = "fingerprint_300_3400"
_TRANSCODE_ASSETS = "transcode_"
_FEATURE_ASSETS = "feature_"


@dataclass(frozen=True)
class Contradiction:
    """A kind of contradiction, the submission or track that has it, and what about it."""

    kind: str
    subject: str
    what: str


def contradictions(session: Session) -> Iterator[Contradiction]:
    """Yield all contradictions. Use a `Database.snapshot()`: others may write meanwhile."""
    for kind, query in _queries().items():
        rows = session.connection().execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
        yield from (Contradiction(kind, subject, what) for subject, what in rows)


def undecodable_fingerprints(session: Session) -> int:
    """Return how many fingerprints are no whole number of items: the index cannot be held against those."""
    n_bytes = func.length(col(FingerprintRow.sub_fingerprints))
    return session.exec(select(func.count()).select_from(FingerprintRow).where(n_bytes % 4 != 0)).one()


def _queries() -> dict[str, Select[str, str]]:
    return _of_submissions() | _of_tracks() | _of_derivations()


def _of_submissions() -> dict[str, Select[str, str]]:
    submission, verdict = SubmissionRow, VerdictRow
    has_track = exists().where(col(TrackRow.id) == col(submission.id))
    was_deleted = exists().where(col(DeletionRow.track_id) == col(submission.id))
    joined = select(col(submission.id), literal("verdict ") + col(verdict.outcome)).join(
        verdict, col(verdict.submission_id) == col(submission.id)
    )
    has_verdict = exists().where(col(verdict.submission_id) == col(submission.id))
    decided = col(submission.status).in_(("ACCEPTED", "DUPLICATE"))
    return {
        "accepted_without_track": select(col(submission.id), literal("ACCEPTED")).where(
            col(submission.status) == "ACCEPTED", ~has_track, ~was_deleted
        ),
        "deleted_and_there": select(col(submission.id), literal("has a track and the row of its deletion")).where(
            has_track, was_deleted
        ),
        "track_of_undecided_submission": select(col(submission.id), col(submission.status)).where(
            col(submission.status) != "ACCEPTED", has_track
        ),
        "decision_without_verdict": select(col(submission.id), col(submission.status)).where(decided, ~has_verdict),
        "verdict_says_otherwise": joined.where(decided, col(verdict.outcome) != col(submission.status)),
        "duplicate_of_nothing": select(col(submission.id), literal("names no track and no reason"))
        .join(verdict, col(verdict.submission_id) == col(submission.id))
        .where(
            col(submission.status) == "DUPLICATE",
            col(verdict.matched_track_id).is_(None),
            col(verdict.deleted_track_id).is_(None),
            func.trim(col(verdict.reason)) == "",
        ),
        "decided_without_date": select(col(submission.id), col(submission.status)).where(
            col(submission.status).in_(DECIDED), col(submission.decided_at).is_(None)
        ),
    }


def _of_tracks() -> dict[str, Select[str, str]]:
    track, fingerprint = TrackRow, FingerprintRow
    has_full = exists().where(col(fingerprint.track_id) == col(track.id), col(fingerprint.kind) == FULL_FINGERPRINT)
    n_items, n_bytes = col(fingerprint.n_items), func.length(col(fingerprint.sub_fingerprints))
    newest = select(func.coalesce(func.max(FingerprintRevisionRow.newest), 0)).scalar_subquery()
    return {
        "track_without_fingerprint": select(col(track.id), literal(FULL_FINGERPRINT)).where(~has_full),
        "fingerprint_damaged": select(
            col(fingerprint.track_id),
            col(fingerprint.kind) + ": " + cast(n_items, String) + " items in " + cast(n_bytes, String) + " bytes",
        ).where(or_(n_bytes != 4 * n_items, col(fingerprint.algorithm) != DEFAULT_ALGORITHM)),
        "fingerprint_unnumbered": select(
            col(fingerprint.track_id),
            col(fingerprint.kind) + ": revision " + cast(col(fingerprint.revision), String) + " was never given",
        ).where(col(fingerprint.revision) > newest),
    }


def _of_derivations() -> dict[str, Select[str, str]]:
    derivation, asset = DerivationRow, DerivedAssetRow
    is_done = col(derivation.status) == "DONE"
    of_track_and_version = {
        table: and_(col(table.track_id) == col(derivation.track_id), col(table.version) == col(derivation.version))
        for table in (TranscodeRow, FeatureRow, FingerprintRow)
    }
    has_transcode = exists().where(
        of_track_and_version[TranscodeRow], literal(_TRANSCODE_ASSETS) + col(TranscodeRow.profile) == derivation.asset
    )
    has_feature = exists().where(
        of_track_and_version[FeatureRow], literal(_FEATURE_ASSETS) + col(FeatureRow.extractor) == derivation.asset
    )
    has_band = exists().where(
        of_track_and_version[FingerprintRow], col(FingerprintRow.kind) == FingerprintKind.BAND.value
    )
    is_queued = exists().where(col(derivation.track_id) == col(TrackRow.id), col(derivation.asset) == col(asset.asset))
    starts = col(derivation.asset).startswith
    return {
        "derivation_without_result": select(
            col(derivation.track_id), col(derivation.asset) + " " + col(derivation.version)
        ).where(
            is_done,
            or_(
                and_(starts(_TRANSCODE_ASSETS, autoescape=True), ~has_transcode),
                and_(starts(_FEATURE_ASSETS, autoescape=True), ~has_feature),
                and_(col(derivation.asset) == _BAND_ASSET, ~has_band),
            ),
        ),
        "derivation_missing": select(col(TrackRow.id), col(asset.asset)).join(asset, true()).where(~is_queued),
    }
