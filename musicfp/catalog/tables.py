"""The tables of the catalogue, as SQLModel classes with the constraints that the database itself enforces.

What belongs here: columns, keys, constraints, indexes. What does not: queries (the sibling modules) and domain logic.
This module must not postpone annotations: SQLModel reads them when a class is made.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, MetaData, String, text
from sqlmodel import Field, SQLModel

from musicfp.catalog.column_types import UtcDateTime

SUBMISSION_STATUSES = (
    "AWAITING_UPLOAD",
    "RECEIVED",
    "ACCEPTED",
    "DUPLICATE",
    "NEEDS_REVIEW",
    "REJECTED",
    "FAILED",
    "EXPIRED",
)
RELATIONS = ("SAME_FILE", "SAME_RECORDING", "EXCERPT", "CONTAINS", "SIMILAR")
FEATURE_STATUSES = ("OK", "UNKNOWN", "UNAVAILABLE", "FAILED")
DERIVATION_STATUSES = ("PENDING", "DONE", "FAILED")


class Table(SQLModel):
    """Base of all tables: constraints get predictable names, so that migrations can address them."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _index_where(condition: str, name: str, *columns: str, unique: bool = False) -> Index:
    where = text(condition)
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _track_key(**options: Any) -> Any:
    """Return a column that refers to a track and disappears with it."""
    return Column(String(26), ForeignKey("track.id", ondelete="CASCADE"), nullable=False, **options)


class SubmissionRow(Table, table=True):
    """An upload and what became of it. Its id is the partition key in Dagster's `submissions`."""

    __tablename__ = "submission"
    __table_args__ = (
        _one_of("status", SUBMISSION_STATUSES),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        # One open submission per object: a second one for the same key may exist only after the object is gone.
        _index_where("object_gone_at IS NULL", "uq_submission_open_object_key", "object_key", unique=True),
        Index("ix_submission_status_id", "status", "id"),
        # What is still in the bucket is found without looking at all that ever was.
        _index_where("object_gone_at IS NULL", "ix_submission_open", "status", "id"),
        # Whose turn it is among all that wait is read from this alone, however many were decided.
        _index_where("status = 'RECEIVED'", "ix_submission_waiting", "status", "submitter", "id", "next_attempt_at"),
    )

    id: str = Field(primary_key=True, max_length=26)
    status: str = Field(max_length=16)
    filename: str = Field(max_length=255)
    submitter: str | None = Field(default=None, max_length=64)
    object_key: str = Field(max_length=1024)
    declared_size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    size_bytes: int | None = Field(default=None, sa_type=BigInteger)
    etag: str | None = Field(default=None, max_length=128)
    source_sha256: str | None = Field(default=None, max_length=64, index=True)
    multipart_upload_id: str | None = Field(default=None, max_length=1024)
    created_at: datetime = Field(sa_type=UtcDateTime)
    upload_expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    object_gone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    attempts: int = 0
    next_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    put_off_because: str | None = None
    review_accepted: bool | None = None
    review_reason: str | None = None


class ProblemRow(Table, table=True):
    """One reason why a submission was not accepted."""

    __tablename__ = "problem"

    submission_id: str = Field(
        sa_column=Column(String(26), ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    )
    position: int = Field(primary_key=True)
    code: str = Field(max_length=64)
    message: str
    field: str | None = Field(default=None, max_length=64)


class TrackRow(Table, table=True):
    """An accepted recording. Its id is that of the submission that brought it; `ordinal` is its order of acceptance."""

    __tablename__ = "track"
    __table_args__ = (
        CheckConstraint("duration_s > 0", name="duration_positive"),
        CheckConstraint("source_size_bytes > 0", name="size_positive"),
        {"sqlite_autoincrement": True},  # an ordinal is never given twice, or readers' watermarks would skip a track
    )

    ordinal: int | None = Field(default=None, primary_key=True)
    id: str = Field(
        sa_column=Column(String(26), ForeignKey("submission.id", ondelete="RESTRICT"), unique=True, nullable=False)
    )
    title: str
    artist: str
    album: str | None = None
    duration_s: float
    source_sha256: str = Field(max_length=64, unique=True)
    source_key: str = Field(max_length=1024)
    source_size_bytes: int = Field(sa_type=BigInteger)
    container: str = Field(max_length=64)
    codec: str = Field(max_length=64)
    sample_rate_hz: int
    n_channels: int
    bitrate_bps: int | None = None
    accepted_at: datetime = Field(sa_type=UtcDateTime)


class TrackTagRow(Table, table=True):
    """One tag value of a track, in file order; a name may occur several times."""

    __tablename__ = "track_tag"

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    position: int = Field(primary_key=True)
    name: str = Field(max_length=64)
    value: str


class FingerprintRow(Table, table=True):
    """A whole-track fingerprint: little-endian uint32 sub-fingerprints. `kind` leaves room for further fingerprints.

    `revision` counts what was stored, over all tracks and kinds; a fingerprint that is stored again gets a new one. So
    whoever has seen all up to a revision asks for what is above it (`musicfp.catalog.revisions` gives them out).
    """

    __tablename__ = "fingerprint"
    __table_args__ = (CheckConstraint("n_items >= 0", name="n_items_not_negative"),)

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    kind: str = Field(primary_key=True, max_length=32)
    version: str = Field(max_length=64)
    algorithm: int
    item_duration_s: float
    audio_duration_s: float
    n_items: int
    sub_fingerprints: bytes = Field(sa_type=LargeBinary)
    revision: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True, nullable=False))


class FingerprintRevisionRow(Table, table=True):
    """The one row that knows the newest revision. Whoever raises it keeps others from it until the commit.

    So revisions are committed in their order, and none is given twice, not even when its fingerprint is gone.
    """

    __tablename__ = "fingerprint_revision"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: int = Field(default=1, primary_key=True)
    newest: int = Field(sa_type=BigInteger)


class FingerprintTermRow(Table, table=True):
    """One posting of the inverted index over the terms of fingerprints (`musicfp.catalog.terms` has the layout).

    On SQLite the key is the table: 14 bytes a row. No foreign key leads to the track, it would need an
    index as large as the table; whoever deletes a track removes its postings.
    """

    __tablename__ = "fingerprint_term"
    __table_args__ = ({"sqlite_with_rowid": False},)

    term: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    loc: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class SearchIndexBuildRow(Table, table=True):
    """A version of the search accelerator: files that together index all fingerprints up to a revision.

    The row is written when all files are in the object store: that is what makes the build the newest one. `segments`
    lists them as `musicfp.catalog.search_index` writes them down.
    """

    __tablename__ = "search_index_build"
    __table_args__ = (CheckConstraint("watermark >= 0", name="watermark_not_negative"),)

    id: str = Field(primary_key=True, max_length=26)
    created_at: datetime = Field(sa_type=UtcDateTime)
    watermark: int = Field(sa_type=BigInteger)
    segments: list[dict[str, Any]] = Field(sa_type=JSON)


class DeletionRow(Table, table=True):
    """A track that was deleted: what went with it, and when nothing of it was left. These rows are never removed.

    Written in the transaction that takes the track's own rows away. `rows` counts those. `objects` and `records` (of
    Dagster) are what the deletion run found before it removed the first of them; None until then. `finished_at` is set
    last. `revision` is the place of the removal among the changes of fingerprints (`FingerprintRow.revision`).
    """

    __tablename__ = "deletion"
    __table_args__ = (_index_where("finished_at IS NULL", "ix_deletion_unfinished", "requested_at"),)

    track_id: str = Field(
        sa_column=Column(String(26), ForeignKey("submission.id", ondelete="RESTRICT"), primary_key=True)
    )
    ordinal: int
    revision: int = Field(sa_column=Column(BigInteger, unique=True, nullable=False))
    source_sha256: str = Field(max_length=64)
    # Spent for good: the object under it is removed at a moment that nobody knows beforehand.
    source_key: str = Field(max_length=1024, unique=True)
    reason: str | None = None
    requested_at: datetime = Field(sa_type=UtcDateTime)
    rows: dict[str, int] = Field(sa_type=JSON)
    objects: list[dict[str, Any]] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    records: dict[str, int] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    run_id: str | None = Field(default=None, max_length=64)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class VerdictRow(Table, table=True):
    """What deduplication decided about a submission, with its evidence.

    `deleted_track_id` takes the place of `matched_track_id` when that track is deleted: the verdict stays as it was.
    """

    __tablename__ = "verdict"
    __table_args__ = (
        CheckConstraint(f"relation IS NULL OR relation IN {RELATIONS}", name="relation_known"),
        CheckConstraint("score IS NULL OR (score >= 0 AND score <= 1)", name="score_range"),
    )

    submission_id: str = Field(
        sa_column=Column(String(26), ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    )
    outcome: str = Field(max_length=16)
    reason: str
    policy_version: str = Field(max_length=64)
    relation: str | None = Field(default=None, max_length=16)
    matched_track_id: str | None = Field(
        default=None, sa_column=Column(String(26), ForeignKey("track.id", ondelete="SET NULL"), index=True)
    )
    deleted_track_id: str | None = Field(
        default=None, sa_column=Column(String(26), ForeignKey("deletion.track_id"), nullable=True)
    )
    score: float | None = None
    bit_error_rate: float | None = None
    offset_s: float | None = None
    overlap_s: float | None = None
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    decided_at: datetime = Field(sa_type=UtcDateTime)


class RelatedTrackRow(Table, table=True):
    """A relation to another track that did not make the submission a duplicate (CONTAINS, SIMILAR)."""

    __tablename__ = "related_track"
    __table_args__ = (_one_of("relation", RELATIONS),)

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    other_track_id: str = Field(sa_column=_track_key(primary_key=True, index=True))
    relation: str = Field(max_length=16)
    score: float
    bit_error_rate: float
    offset_s: float
    overlap_s: float


class TranscodeRow(Table, table=True):
    """A derived audio file that exists in the transcode bucket and was verified."""

    __tablename__ = "transcode"

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    profile: str = Field(primary_key=True, max_length=64)
    version: str = Field(max_length=64)
    codec: str = Field(max_length=64)
    container: str = Field(max_length=64)
    bitrate_bps: int
    size_bytes: int = Field(sa_type=BigInteger)
    duration_s: float
    sha256: str = Field(max_length=64)
    object_key: str = Field(max_length=1024)
    bit_error_rate: float
    created_at: datetime = Field(sa_type=UtcDateTime)


class FeatureRow(Table, table=True):
    """The current value of one feature of one track, or why there is none."""

    __tablename__ = "feature"
    __table_args__ = (
        _one_of("status", FEATURE_STATUSES),
        CheckConstraint("confidence IS NULL OR (confidence >= 0 AND confidence <= 1)", name="confidence_range"),
        CheckConstraint("status = 'OK' OR reason IS NOT NULL", name="unknown_has_reason"),
    )

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    name: str = Field(primary_key=True, max_length=64)
    value: float | None = None
    text: str | None = None
    vector: list[float] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    unit: str | None = Field(default=None, max_length=32)
    confidence: float | None = None
    status: str = Field(max_length=16)
    reason: str | None = None
    extractor: str = Field(max_length=64)
    version: str = Field(max_length=64)
    computed_at: datetime = Field(sa_type=UtcDateTime)


class DerivedAssetRow(Table, table=True):
    """An asset of the tracks and the version up to which `derivation` has been queued for it."""

    __tablename__ = "derived_asset"

    asset: str = Field(primary_key=True, max_length=80)
    version: str = Field(max_length=64)


class DerivationRow(Table, table=True):
    """The work queue of what is derived from tracks: one row per track and asset.

    Queued in the transaction that accepts a track, so that "what is missing" costs as much as what is missing.
    `version` is the one that is wanted, `made_version` that of what is there and served, None while nothing is.
    """

    __tablename__ = "derivation"
    __table_args__ = (
        _one_of("status", DERIVATION_STATUSES),
        CheckConstraint("status <> 'FAILED' OR error_message IS NOT NULL", name="failure_has_reason"),
        Index("ix_derivation_status_next_attempt_at", "status", "next_attempt_at"),
        # What is missing is counted from this alone, however much is made.
        _index_where("status <> 'DONE'", "ix_derivation_not_made", "asset", "status", "made_version"),
    )

    track_id: str = Field(sa_column=_track_key(primary_key=True))
    asset: str = Field(primary_key=True, max_length=80)
    version: str = Field(max_length=64)
    status: str = Field(max_length=16)
    made_version: str | None = Field(default=None, max_length=64)
    attempts: int = 0
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = None
    next_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class WorkInHandRow(Table, table=True):
    """What a run has begun of a submission or track and not ended; the ids of both are submissions'."""

    __tablename__ = "work_in_hand"

    subject_id: str = Field(
        sa_column=Column(String(26), ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    )
    stage: str = Field(primary_key=True, max_length=16)
    n_begun: int


class MaterializationRow(Table, table=True):
    """Lineage: which Dagster run made which asset of which submission or track. Outlives Dagster's own event log."""

    __tablename__ = "materialization"
    __table_args__ = (
        Index("uq_materialization_partition_asset_run", "partition_key", "asset_key", "run_id", unique=True),
    )

    id: int | None = Field(default=None, primary_key=True)
    asset_key: str = Field(max_length=80)
    partition_key: str = Field(max_length=26)
    run_id: str = Field(max_length=64)
    code_version: str | None = Field(default=None, max_length=64)
    materialized_at: datetime = Field(sa_type=UtcDateTime)
