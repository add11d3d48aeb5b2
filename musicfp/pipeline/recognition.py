"""Which tracks of the catalogue hold this audio: decoding, fingerprinting, searching and naming the relation.

What belongs here: joining those. What does not: how a search works (`musicfp.fingerprint`), where the index is kept
(`musicfp.catalog.searchable`), what a match means for an upload, and any web framework.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from musicfp.audio.decode import DECODE_LIMITS, MIN_DURATION_S, decode_pcm
from musicfp.audio.probe import PROBE_LIMITS, check_facts, probe, undecodable
from musicfp.audio.sniff import require_format
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.errors import Problem, SubmissionRejected
from musicfp.fingerprint import codec
from musicfp.fingerprint.downmix import query_of
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint, items_of_duration
from musicfp.fingerprint.search import DEFAULT_LIMIT, SearchReport, search
from musicfp.fingerprint.verdict import MatchRelation, RelatedMatch, relation_of
from musicfp.pipeline.shared_index import SharedIndex

# Somebody waits for the answer, so a query may take a fraction of what ingest gives a file.
_QUERY_LIMITS = replace(DECODE_LIMITS, wall_s=60.0, cpu_s=40)
_QUERY_PROBE_LIMITS = replace(PROBE_LIMITS, wall_s=20.0)
DEFAULT_MAX_DURATION_S = 4 * 3600.0
# Encoders pad and round; a query of exactly the longest duration must not be refused for it.
_SPARE_ITEMS = 64
# Two minutes are found by their fingerprint alone; the samples of four hours would be 300 MB.
_MAX_SAMPLES_KEPT = 120 * ANALYSIS_RATE_HZ


@dataclass(frozen=True)
class Identification:
    """The tracks that hold the query's audio, best first, each with its relation, and what the search took."""

    matches: tuple[RelatedMatch, ...]
    candidates_examined: int
    took_ms: float


class Recogniser:
    """Searches the catalogue as it is at the moment. Threads may share it.

    Without `index` it looks terms up in the database, which gives the same answers and takes longer.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_duration_s: float = DEFAULT_MAX_DURATION_S,
        index: SharedIndex | None = None,
    ) -> None:
        self._database = database
        self._max_duration_s = max_duration_s
        self._index = index

    def search(
        self,
        query: Query | Fingerprint,
        *,
        limit: int = DEFAULT_LIMIT,
        min_score: float | None = None,
    ) -> SearchReport:
        """Search the catalogue as it is now; see `musicfp.fingerprint.search` for the options."""
        with self._database.read() as session:
            accelerated = self._index.catalogue(session) if self._index else None
            catalogue = accelerated or DatabaseCatalogue(session)
            return search(query, catalogue, limit=limit, min_score=min_score)

    def identify_fingerprint(
        self, query: Query | Fingerprint | str, *, limit: int = DEFAULT_LIMIT, min_score: float | None = None
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
        return self.identify_fingerprint(self._query_of(path), limit=limit, min_score=min_score)

    def _query_of(self, path: Path) -> Query:
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
            query = query_of(decoded, n_channels=n_channels, max_samples=_MAX_SAMPLES_KEPT)
        if decoded.n_samples == 0:
            raise SubmissionRejected(undecodable(fmt))
        if decoded.duration_s < MIN_DURATION_S:
            message = f"There are {decoded.duration_s:.1f} seconds of audio; at least {MIN_DURATION_S:g} are needed."
            raise SubmissionRejected(Problem("too_short", message))
        return query


def _named(report: SearchReport) -> Identification:
    """Name each relation. A match too weak for the policy of duplicates, like a noisy clip, still shares music."""
    matches = tuple(RelatedMatch(relation_of(match) or MatchRelation.SIMILAR, match) for match in report.matches)
    return Identification(matches, report.candidates_examined, report.took_ms)
