"""What runs have in hand, so that a file is found out that ends the process which works on it.

A run writes down what it begins and strikes it out when it ends, in whatever way; only a run that was killed leaves
something behind. What several killed runs had in hand is suspected, and taken alone from then on: so it takes nothing
along, and what was merely beside it is done. What goes on killing runs is given up (`musicfp.pipeline.in_hand`).
"""

from collections.abc import Collection, Sequence
from enum import StrEnum

from sqlmodel import Session, col, delete, select

from musicfp.catalog.tables import WorkInHandRow

# One killed run says little: a power cut, an upgrade, somebody's kill.
_SUSPECTED_FROM = 2


class Stage(StrEnum):
    """Who has it in hand."""

    INGEST = "ingest"
    TRANSCODE = "transcode"
    FEATURES = "features"


def begin(session: Session, stage: Stage, subject_ids: Collection[str]) -> dict[str, int]:
    """Write down that these submissions or tracks are begun; return how often each was, without ever being ended."""
    ours = col(WorkInHandRow.stage) == stage, col(WorkInHandRow.subject_id).in_(list(subject_ids))
    rows = {row.subject_id: row for row in session.exec(select(WorkInHandRow).where(*ours))}
    for subject_id in subject_ids:
        row = rows.setdefault(subject_id, WorkInHandRow(subject_id=subject_id, stage=stage, n_begun=0))
        row.n_begun += 1
        session.add(row)
    return {subject_id: row.n_begun for subject_id, row in rows.items()}


def end(session: Session, stage: Stage, subject_ids: Collection[str]) -> None:
    """Strike these out. Repeating it changes nothing."""
    ours = col(WorkInHandRow.stage) == stage, col(WorkInHandRow.subject_id).in_(list(subject_ids))
    session.exec(delete(WorkInHandRow).where(*ours))


def without_suspects(session: Session, stage: Stage, subject_ids: Sequence[str]) -> list[str]:
    """Return what to take of these, in their order: the first alone if it is suspected, else all before one that is."""
    suspected = select(WorkInHandRow.subject_id).where(
        col(WorkInHandRow.stage) == stage, col(WorkInHandRow.n_begun) >= _SUSPECTED_FROM
    )
    suspects = set(session.exec(suspected))
    first = next((place for place, each in enumerate(subject_ids) if each in suspects), len(subject_ids))
    return list(subject_ids[: max(1, first)])
