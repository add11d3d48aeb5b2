"""Revisions of fingerprints, and builds of the search accelerator."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = """
UPDATE fingerprint SET revision = numbered.revision
FROM (
    SELECT fingerprint.track_id, fingerprint.kind,
           row_number() OVER (ORDER BY track.ordinal, fingerprint.kind) AS revision
    FROM fingerprint JOIN track ON track.id = fingerprint.track_id
) AS numbered
WHERE numbered.track_id = fingerprint.track_id AND numbered.kind = fingerprint.kind
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "fingerprint_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_fingerprint_revision_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fingerprint_revision")),
    )
    op.create_table(
        "search_index_build",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("segments", sa.JSON(), nullable=False),
        sa.CheckConstraint("watermark >= 0", name=op.f("ck_search_index_build_watermark_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_index_build")),
    )
    op.add_column("fingerprint", sa.Column("revision", sa.BigInteger(), nullable=True))
    op.execute(_NUMBER)
    op.execute("INSERT INTO fingerprint_revision (id, newest) SELECT 1, coalesce(max(revision), 0) FROM fingerprint")
    with op.batch_alter_table("fingerprint", schema=None) as batch_op:
        batch_op.alter_column("revision", existing_type=sa.BigInteger(), nullable=False)
        batch_op.create_unique_constraint(batch_op.f("uq_fingerprint_revision"), ["revision"])


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("fingerprint", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_fingerprint_revision"), type_="unique")
        batch_op.drop_column("revision")
    op.drop_table("search_index_build")
    op.drop_table("fingerprint_revision")
