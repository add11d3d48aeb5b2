"""Which tracks of the catalogue hold this audio: the catalogue's fingerprints in memory, kept up to date, and searched.

What belongs here: following the database and joining decoding, fingerprinting, searching and naming the relation.
What does not: how a search works (`musicfp.fingerprint`), what a match means for an upload, and any web framework.

Following is incremental. Tracks are read behind the highest ordinal seen; this misses none, because whoever accepts a
track holds the acceptance lock from taking its ordinal until it is committed. When the numbers then differ, tracks
were deleted, and their ids are compared.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from sqlmodel import Session

from musicfp.audio.decode import DECODE_LIMITS, MIN_DURATION_S, decode_pcm
from musicfp.audio.probe import PROBE_LIMITS, check_facts, probe, undecodable
from musicfp.audio.sniff import require_format
from musicfp.catalog.acceptance import count_fingerprints, fingerprinted_ids, fingerprints_after
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import FingerprintRow
from musicfp.errors import Problem, SubmissionRejected
from musicfp.fingerprint import codec
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.downmix import fingerprint_samples
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint, items_of_duration
from musicfp.fingerprint.search import DEFAULT_LIMIT, SearchReport, search
from musicfp.fingerprint.verdict import MatchRelation, RelatedMatch, relation_of

# Rows read at a time while loading: 500 songs of 4 minutes are 4 MB of items.
_LOAD_BATCH_TRACKS = 500
# Somebody waits for the answer, so a query may take a fraction of what ingest gives a file.
_QUERY_LIMITS = replace(DECODE_LIMITS, wall_s=60.0, cpu_s=40)
_QUERY_PROBE_LIMITS = replace(PROBE_LIMITS, wall_s=20.0)
DEFAULT_MAX_DURATION_S = 4 * 3600.0
# Encoders pad and round; a query of exactly the longest duration must not be refused for it.
_SPARE_ITEMS = 64


@dataclass(frozen=True)
class Identification:
    """The tracks that hold the query's audio, best first, each with its relation, and what the search took."""

    matches: tuple[RelatedMatch, ...]
    candidates_examined: int
    took_ms: float


class Recogniser:
    """The catalogue's fingerprints in memory. Safe to share between threads; searches do not wait for each other."""

    def __init__(self, database: Database, *, max_duration_s: float = DEFAULT_MAX_DURATION_S) -> None:
        self._database = database
        self._max_duration_s = max_duration_s
        self._refreshing = Lock()
        self._watermark = 0
        self._is_loaded = False
        self.corpus = FingerprintCorpus()

    @property
    def is_loaded(self) -> bool:
        """Whether the catalogue has been read once to its end."""
        return self._is_loaded

    def refresh(self) -> None:
        """Take in what was accepted and deleted since the last call; one cheap statement when nothing was."""
        with self._database.read() as session:
            self.refresh_within(session)

    def refresh_within(self, session: Session) -> None:
        """Like `refresh`, seeing what the given transaction sees: inside `exclusive()`, every accepted track."""
        with self._refreshing:
            self._add_new(session)
            if len(self.corpus) != count_fingerprints(session):
                self._remove_deleted(session)
            self._is_loaded = True

    def search(self, query: Fingerprint, *, limit: int = DEFAULT_LIMIT, min_score: float | None = None) -> SearchReport:
        """Search the catalogue as it is now."""
        self.refresh()
        return search(query, self.corpus, limit=limit, min_score=min_score)

    def identify_fingerprint(
        self, query: Fingerprint | str, *, limit: int = DEFAULT_LIMIT, min_score: float | None = None
    ) -> Identification:
        """Find the tracks that hold the audio of a fingerprint, given also as compressed text.

        Raises InvalidFingerprint when the text is none or is longer than the longest recording allowed.
        """
        if isinstance(query, str):
            query = codec.decode(query, max_items=items_of_duration(self._max_duration_s) + _SPARE_ITEMS)
        return _named(self.search(query, limit=limit, min_score=min_score))

    def identify_audio(
        self, path: Path, *, limit: int = DEFAULT_LIMIT, min_score: float | None = None
    ) -> Identification:
        """Find the tracks that hold the audio of a file, decoded in a child process with limits.

        Raises SubmissionRejected when the file cannot be decoded or is too short, LimitExceeded when it takes too long.
        """
        return self.identify_fingerprint(self._fingerprint_of(path), limit=limit, min_score=min_score)

    def _add_new(self, session: Session) -> None:
        while rows := fingerprints_after(session, self._watermark, limit=_LOAD_BATCH_TRACKS):
            for ordinal, row in rows:
                if row.track_id not in self.corpus:
                    self.corpus.add(row.track_id, _of_row(row))
                self._watermark = ordinal
                session.expunge(row)

    def _remove_deleted(self, session: Session) -> None:
        stored = fingerprinted_ids(session)
        view = self.corpus.view()
        for track_id in [one for one, is_alive in zip(view.ids, view.alive, strict=True) if is_alive]:
            if track_id not in stored:
                self.corpus.remove(track_id)

    def _fingerprint_of(self, path: Path) -> Fingerprint:
        fmt = require_format(path)
        facts = probe(path, fmt=fmt, limits=_QUERY_PROBE_LIMITS)
        check_facts(facts, max_duration_s=self._max_duration_s)
        # As ingest does it, so that the same file gives the same fingerprint.
        n_channels = min(facts.n_channels, 2)
        stream = decode_pcm(
            path,
            fmt=fmt,
            sample_rate_hz=ANALYSIS_RATE_HZ,
            n_channels=n_channels,
            sample_format="s16",
            max_duration_s=self._max_duration_s,
            limits=_QUERY_LIMITS,
        )
        with stream as decoded:
            query, _ = fingerprint_samples(decoded, sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=n_channels)
        if decoded.n_samples == 0:
            raise SubmissionRejected(undecodable(fmt))
        if decoded.duration_s < MIN_DURATION_S:
            message = f"There are {decoded.duration_s:.1f} seconds of audio; at least {MIN_DURATION_S:g} are needed."
            raise SubmissionRejected(Problem("too_short", message))
        return query


def _of_row(row: FingerprintRow) -> Fingerprint:
    return Fingerprint.from_bytes(row.sub_fingerprints, audio_duration_s=row.audio_duration_s)


def _named(report: SearchReport) -> Identification:
    """Name each relation. A match too weak for the policy of duplicates, like a noisy clip, still shares music."""
    matches = tuple(RelatedMatch(relation_of(match) or MatchRelation.SIMILAR, match) for match in report.matches)
    return Identification(matches, report.candidates_examined, report.took_ms)
