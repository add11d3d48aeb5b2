"""What runs have begun and not ended, so that what kills them is found out."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "work_in_hand",
        sa.Column("subject_id", sa.String(length=26), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("n_begun", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["submission.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subject_id", "stage"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("work_in_hand")
