"""Judging a recording against the catalogue as it stands: the database's side of deduplication.

What belongs here: asking the catalogue as it is, and knowing when that has changed. What does not: how fingerprints are
compared and what a match means (`musicfp.fingerprint`).
"""

from sqlmodel import Session

from musicfp.catalog import acceptance, deletions
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.fingerprint.deduplication import judge_recording
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.verdict import DedupeVerdict, VerdictPolicy, accepted_in_review, same_file_verdict


class Judge:
    """Decides whether a recording is new. One per batch; knows what it has seen of the catalogue."""

    def __init__(self, database: Database, policy: VerdictPolicy) -> None:
        self._database = database
        self._policy = policy
        self._seen = (0, 0)

    def judge(self, source_sha256: str, query: Query, *, force_accept: bool) -> DedupeVerdict:
        """Judge a recording by the hash of its file and by its audio, against all tracks accepted so far.

        `force_accept` is a reviewer's word: only the same file stays a duplicate, relations are kept as such.
        """
        with self._database.read() as session:
            same_file = acceptance.track_with_source(session, source_sha256)
            self._seen = _changes(session)
        if same_file is not None:
            return same_file_verdict(same_file.id, policy=self._policy)
        with self._database.read() as session:
            verdict = judge_recording(query, DatabaseCatalogue(session), policy=self._policy)
        return accepted_in_review(verdict) if force_accept else verdict

    def is_outdated(self, session: Session) -> bool:
        """Whether tracks were accepted or deleted since the last judgement, as seen in this transaction."""
        return _changes(session) != self._seen


def _changes(session: Session) -> tuple[int, int]:
    """Return two numbers of which one at least changes with every track that comes or goes."""
    return acceptance.newest_ordinal(session), deletions.newest_revision(session)
