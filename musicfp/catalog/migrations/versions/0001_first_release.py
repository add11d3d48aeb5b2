"""Tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "derived_asset",
        sa.Column("asset", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("asset", name=op.f("pk_derived_asset")),
    )
    op.create_table(
        "materialization",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("asset_key", sa.String(length=80), nullable=False),
        sa.Column("partition_key", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("code_version", sa.String(length=64), nullable=True),
        sa.Column("materialized_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_materialization")),
    )
    with op.batch_alter_table("materialization", schema=None) as batch_op:
        batch_op.create_index(
            "uq_materialization_partition_asset_run", ["partition_key", "asset_key", "run_id"], unique=True
        )

    op.create_table(
        "submission",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("declared_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("etag", sa.String(length=128), nullable=True),
        sa.Column("source_sha256", sa.String(length=64), nullable=True),
        sa.Column("multipart_upload_id", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("upload_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("object_gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review_accepted", sa.Boolean(), nullable=True),
        sa.Column("review_reason", sa.String(), nullable=True),
        sa.CheckConstraint(
            "status IN ('AWAITING_UPLOAD', 'RECEIVED', 'ACCEPTED', 'DUPLICATE', 'NEEDS_REVIEW', 'REJECTED', 'FAILED', 'EXPIRED')",  # noqa: E501
            name=op.f("ck_submission_status_known"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_submission_attempts_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_submission_source_sha256"), ["source_sha256"], unique=False)
        batch_op.create_index("ix_submission_status_id", ["status", "id"], unique=False)
        batch_op.create_index(
            "uq_submission_open_object_key",
            ["object_key"],
            unique=True,
            sqlite_where=sa.text("object_gone_at IS NULL"),
            postgresql_where=sa.text("object_gone_at IS NULL"),
        )

    op.create_table(
        "problem",
        sa.Column("submission_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("field", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name=op.f("fk_problem_submission_id_submission"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("submission_id", "position", name=op.f("pk_problem")),
    )
    op.create_table(
        "track",
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("artist", sa.String(), nullable=False),
        sa.Column("album", sa.String(), nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("source_key", sa.String(length=1024), nullable=False),
        sa.Column("source_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("container", sa.String(length=64), nullable=False),
        sa.Column("codec", sa.String(length=64), nullable=False),
        sa.Column("sample_rate_hz", sa.Integer(), nullable=False),
        sa.Column("n_channels", sa.Integer(), nullable=False),
        sa.Column("bitrate_bps", sa.Integer(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("duration_s > 0", name=op.f("ck_track_duration_positive")),
        sa.CheckConstraint("source_size_bytes > 0", name=op.f("ck_track_size_positive")),
        sa.ForeignKeyConstraint(["id"], ["submission.id"], name=op.f("fk_track_id_submission"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("ordinal", name=op.f("pk_track")),
        sa.UniqueConstraint("id", name=op.f("uq_track_id")),
        sa.UniqueConstraint("source_sha256", name=op.f("uq_track_source_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "derivation",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("asset", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status <> 'FAILED' OR error_message IS NOT NULL", name=op.f("ck_derivation_failure_has_reason")
        ),
        sa.CheckConstraint("status IN ('PENDING', 'DONE', 'FAILED')", name=op.f("ck_derivation_status_known")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["track.id"], name=op.f("fk_derivation_track_id_track"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "asset", name=op.f("pk_derivation")),
    )
    with op.batch_alter_table("derivation", schema=None) as batch_op:
        batch_op.create_index("ix_derivation_status_next_attempt_at", ["status", "next_attempt_at"], unique=False)

    op.create_table(
        "feature",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("vector", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("unit", sa.String(length=32), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("extractor", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status = 'OK' OR reason IS NOT NULL", name=op.f("ck_feature_unknown_has_reason")),
        sa.CheckConstraint(
            "status IN ('OK', 'UNKNOWN', 'UNAVAILABLE', 'FAILED')", name=op.f("ck_feature_status_known")
        ),
        sa.CheckConstraint(
            "confidence IS NULL OR (confidence >= 0 AND confidence <= 1)", name=op.f("ck_feature_confidence_range")
        ),
        sa.ForeignKeyConstraint(["track_id"], ["track.id"], name=op.f("fk_feature_track_id_track"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("track_id", "name", name=op.f("pk_feature")),
    )
    op.create_table(
        "fingerprint",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("algorithm", sa.Integer(), nullable=False),
        sa.Column("item_duration_s", sa.Float(), nullable=False),
        sa.Column("audio_duration_s", sa.Float(), nullable=False),
        sa.Column("n_items", sa.Integer(), nullable=False),
        sa.Column("sub_fingerprints", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("n_items >= 0", name=op.f("ck_fingerprint_n_items_not_negative")),
        sa.ForeignKeyConstraint(
            ["track_id"], ["track.id"], name=op.f("fk_fingerprint_track_id_track"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "kind", name=op.f("pk_fingerprint")),
    )
    op.create_table(
        "related_track",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("other_track_id", sa.String(length=26), nullable=False),
        sa.Column("relation", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("bit_error_rate", sa.Float(), nullable=False),
        sa.Column("offset_s", sa.Float(), nullable=False),
        sa.Column("overlap_s", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "relation IN ('SAME_FILE', 'SAME_RECORDING', 'EXCERPT', 'CONTAINS', 'SIMILAR')",
            name=op.f("ck_related_track_relation_known"),
        ),
        sa.ForeignKeyConstraint(
            ["other_track_id"], ["track.id"], name=op.f("fk_related_track_other_track_id_track"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["track_id"], ["track.id"], name=op.f("fk_related_track_track_id_track"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "other_track_id", name=op.f("pk_related_track")),
    )
    with op.batch_alter_table("related_track", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_related_track_other_track_id"), ["other_track_id"], unique=False)

    op.create_table(
        "track_tag",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_id"], ["track.id"], name=op.f("fk_track_tag_track_id_track"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "position", name=op.f("pk_track_tag")),
    )
    op.create_table(
        "transcode",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("codec", sa.String(length=64), nullable=False),
        sa.Column("container", sa.String(length=64), nullable=False),
        sa.Column("bitrate_bps", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("bit_error_rate", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_id"], ["track.id"], name=op.f("fk_transcode_track_id_track"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "profile", name=op.f("pk_transcode")),
    )
    op.create_table(
        "verdict",
        sa.Column("submission_id", sa.String(length=26), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("policy_version", sa.String(length=64), nullable=False),
        sa.Column("relation", sa.String(length=16), nullable=True),
        sa.Column("matched_track_id", sa.String(length=26), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("bit_error_rate", sa.Float(), nullable=True),
        sa.Column("offset_s", sa.Float(), nullable=True),
        sa.Column("overlap_s", sa.Float(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "relation IS NULL OR relation IN ('SAME_FILE', 'SAME_RECORDING', 'EXCERPT', 'CONTAINS', 'SIMILAR')",
            name=op.f("ck_verdict_relation_known"),
        ),
        sa.CheckConstraint("score IS NULL OR (score >= 0 AND score <= 1)", name=op.f("ck_verdict_score_range")),
        sa.ForeignKeyConstraint(
            ["matched_track_id"], ["track.id"], name=op.f("fk_verdict_matched_track_id_track"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submission.id"], name=op.f("fk_verdict_submission_id_submission"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("submission_id", name=op.f("pk_verdict")),
    )
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_verdict_matched_track_id"), ["matched_track_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_verdict_matched_track_id"))

    op.drop_table("verdict")
    op.drop_table("transcode")
    op.drop_table("track_tag")
    with op.batch_alter_table("related_track", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_related_track_other_track_id"))

    op.drop_table("related_track")
    op.drop_table("fingerprint")
    op.drop_table("feature")
    with op.batch_alter_table("derivation", schema=None) as batch_op:
        batch_op.drop_index("ix_derivation_status_next_attempt_at")

    op.drop_table("derivation")
    op.drop_table("track")
    op.drop_table("problem")
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_submission_open_object_key",
            sqlite_where=sa.text("object_gone_at IS NULL"),
            postgresql_where=sa.text("object_gone_at IS NULL"),
        )
        batch_op.drop_index("ix_submission_status_id")
        batch_op.drop_index(batch_op.f("ix_submission_source_sha256"))

    op.drop_table("submission")
    with op.batch_alter_table("materialization", schema=None) as batch_op:
        batch_op.drop_index("uq_materialization_partition_asset_run")

    op.drop_table("materialization")
    op.drop_table("derived_asset")
