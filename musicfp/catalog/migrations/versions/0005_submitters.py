"""Who submitted what, why it is put off, and indexes of what waits and what is in the bucket."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_WAITING = sa.text("status = 'RECEIVED'")
_OPEN = sa.text("object_gone_at IS NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column("submission", sa.Column("submitter", sa.String(length=64), nullable=True))
    op.add_column("submission", sa.Column("put_off_because", sa.String(), nullable=True))
    op.create_index(
        "ix_submission_waiting",
        "submission",
        ["status", "submitter", "id", "next_attempt_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index("ix_submission_open", "submission", ["status", "id"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_submission_open", table_name="submission")
    op.drop_index("ix_submission_waiting", table_name="submission")
    # Not as a batch: that would make the table anew, and dropping the old one takes what refers to it along.
    op.drop_column("submission", "put_off_because")
    op.drop_column("submission", "submitter")
