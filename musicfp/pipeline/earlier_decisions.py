"""What the catalogue keeps of submissions that were decided before, for a run that is asked to decide them again.

What belongs here: reading it, in a number of statements that does not grow with the batch. Nothing is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from musicfp.catalog import relations
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import FingerprintRow, SubmissionRow, TrackRow, VerdictRow
from musicfp.errors import Problem
from musicfp.fingerprint.model import Fingerprint


@dataclass(frozen=True)
class EarlierDecision:
    """A decided submission. `verdict` is None if it could not be read, `track` and `fingerprint` if it is no track."""

    submission: SubmissionRow
    problems: tuple[Problem, ...]
    verdict: VerdictRow | None
    track: TrackRow | None
    tags: tuple[tuple[str, str], ...]
    fingerprint: Fingerprint | None


def earlier_decisions(database: Database, decided: Sequence[SubmissionRow]) -> Iterator[EarlierDecision]:
    """Yield what is kept of these submissions, in the given order."""
    if not decided:
        return
    ids = [row.id for row in decided]
    with database.read() as session:
        problems = relations.problems(session, ids)
        verdicts = relations.verdicts(session, ids)
        tracks = relations.tracks(session, ids)
        tags = relations.tags(session, ids)
        fingerprints = relations.fingerprints(session, ids)
    for row in decided:
        yield EarlierDecision(
            submission=row,
            problems=tuple(Problem(each.code, each.message, each.field) for each in problems.get(row.id, [])),
            verdict=verdicts.get(row.id),
            track=tracks.get(row.id),
            tags=tuple((each.name, each.value) for each in tags.get(row.id, [])),
            fingerprint=_fingerprint(fingerprints.get(row.id)),
        )


def _fingerprint(row: FingerprintRow | None) -> Fingerprint | None:
    return Fingerprint.from_bytes(row.sub_fingerprints, audio_duration_s=row.audio_duration_s) if row else None
