"""Which version of an asset a track has while another one is wanted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NOT_MADE = sa.text("status <> 'DONE'")


def upgrade() -> None:
    """Apply. What was being made anew at this moment counts as never made until it is."""
    op.add_column("derivation", sa.Column("made_version", sa.String(length=64), nullable=True))
    op.execute(sa.text("UPDATE derivation SET made_version = version WHERE status = 'DONE'"))
    op.create_index(
        "ix_derivation_not_made",
        "derivation",
        ["asset", "status", "made_version"],
        sqlite_where=_NOT_MADE,
        postgresql_where=_NOT_MADE,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_derivation_not_made", table_name="derivation")
    op.drop_column("derivation", "made_version")
