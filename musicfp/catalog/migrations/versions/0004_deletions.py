"""Deletions of tracks, and which verdicts rest on a deleted one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "deletion",
        sa.Column("track_id", sa.String(length=26), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("source_key", sa.String(length=1024), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("objects", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("records", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["track_id"], ["submission.id"], name=op.f("fk_deletion_track_id_submission"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_deletion")),
        sa.UniqueConstraint("revision", name=op.f("uq_deletion_revision")),
        sa.UniqueConstraint("source_key", name=op.f("uq_deletion_source_key")),
    )
    with op.batch_alter_table("deletion", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deletion_unfinished",
            ["requested_at"],
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deleted_track_id", sa.String(length=26), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_verdict_deleted_track_id_deletion"), "deletion", ["deleted_track_id"], ["track_id"]
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("verdict", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_verdict_deleted_track_id_deletion"), type_="foreignkey")
        batch_op.drop_column("deleted_track_id")
    op.drop_table("deletion")
