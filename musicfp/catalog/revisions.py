"""Revisions: the order in which fingerprints were stored, over all tracks and kinds.

What belongs here: giving out the next one and telling the newest. What does not: what is read by them (`search_index`).
"""

from sqlalchemy import update
from sqlmodel import Session, col, select

from musicfp.catalog.tables import FingerprintRevisionRow


def next_revision(session: Session) -> int:
    """Return a revision for a fingerprint that this transaction stores or deletes; until its end nobody else gets one.

    Hence the order of revisions is that of commits: whoever sees one sees all lower ones.
    """
    raised = update(FingerprintRevisionRow).values(newest=col(FingerprintRevisionRow.newest) + 1)
    return int(session.connection().execute(raised.returning(col(FingerprintRevisionRow.newest))).scalar_one())


def newest_revision(session: Session) -> int:
    """Return the revision that was given out last, 0 before the first."""
    return session.exec(select(FingerprintRevisionRow.newest)).one()
