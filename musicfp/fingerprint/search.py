"""Search: which tracks hold this audio, where, and how sure. The only entry that other packages call.

What belongs here: going from tier to tier until the answer is sure. What does not: what a tier looks up (`listening`),
counting what is found (`candidates`), verifying it (`verification`), what a match means for an upload (`verdict`).

1. The query is heard in some way and its terms are looked up in the index.
2. The best (track, offset) of each window of at most 10 s are verified by row-centred correlation.
3. Promising tracks are aligned piece by piece, so that cuts, inserts and drifting speed still match.
4. A track is a match if its correlation is higher than unrelated music reaches on an overlap of that length.
5. If no match is sure, the next tier hears better and costs more.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from musicfp.fingerprint.candidates import vote
from musicfp.fingerprint.correlation import has_enough_information
from musicfp.fingerprint.exhaustive import scan
from musicfp.fingerprint.listening import Listening, Query, Tier, listenings
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, SearchableCatalogue
from musicfp.fingerprint.verification import Match, min_correlation, verified_matches, window_edges

SEARCH_VERSION = "3"
DEFAULT_LIMIT = 10
DEFAULT_BUDGET_MS = 2000.0
_MAX_CANDIDATES = 200
_MIN_CANDIDATES_PER_WINDOW = 32
# What unrelated music reaches once in 10^9 pairs, over most of the query: no costlier tier can change this answer.
_SURE_NATS = math.log(1000)
_SURE_COVERAGE = 0.5
# 2,000 tracks of 4 minutes have 3.9 million alignments.
_EXHAUSTIVE_MAX_TRACKS = 2000
_EXHAUSTIVE_MAX_ITEMS = 240


@dataclass(frozen=True)
class SearchReport:
    """What a search found, best first, and what it took. `information_ok` is False if nothing could be found.

    `tiers` are those that were tried; `budget_spent` tells that time ended the search before the last tier.
    """

    matches: tuple[Match, ...]
    candidates_examined: int
    took_ms: float
    information_ok: bool
    tiers: tuple[Tier, ...] = ()
    budget_spent: bool = False


@dataclass
class _Progress:
    """What the tiers so far have found: the best match of each track."""

    matches: dict[str, Match] = field(default_factory=dict)
    candidates_examined: int = 0
    ways_heard: int = 0
    tiers: list[Tier] = field(default_factory=list)

    @property
    def nats(self) -> float:
        """Logarithm of the number of ways heard: the best of many is high by chance more often."""
        return math.log(self.ways_heard)

    @property
    def is_sure(self) -> bool:
        return any(_is_sure(match) for match in self.matches.values())

    def begin(self, tier: Tier) -> None:
        self.ways_heard += 1
        if tier not in self.tiers:
            self.tiers.append(tier)

    def add(self, n_candidates: int, matches: Iterable[Match]) -> None:
        self.candidates_examined += n_candidates
        for match in matches:
            known = self.matches.get(match.track_id)
            if known is None or _rank(match) > _rank(known):
                self.matches[match.track_id] = match


def search(
    query: Query | Fingerprint,
    catalogue: SearchableCatalogue,
    *,
    limit: int = DEFAULT_LIMIT,
    min_score: float | None = None,
    budget_ms: float = DEFAULT_BUDGET_MS,
) -> SearchReport:
    """Find the tracks that hold audio of the query.

    Parameters
    ----------
    query
        Of a clip or of a whole track; with its samples it is heard better than as a fingerprint alone.
    catalogue
        What to search.
    limit
        Most matches to return.
    min_score
        Drop matches below this score, 0 to 1. It can only make the answer stricter: what unrelated music could reach
        by chance is never returned.
    budget_ms
        No further way to hear the query is tried after so much time. The first tier always runs.

    Returns
    -------
    SearchReport
        Without matches if none of the tracks matches or the query holds too little information.

    """
    began = time.perf_counter()
    asked = Query(query) if isinstance(query, Fingerprint) else query
    information_ok = has_enough_information(asked.fingerprint)
    progress = _Progress()
    out_of_time = False
    if information_ok and catalogue.n_postings(FingerprintKind.FULL):
        out_of_time = not _run_tiers(asked, catalogue, progress, until=began + budget_ms / 1000)
    found = [match for match in progress.matches.values() if match.score >= (min_score or 0.0)]
    found.sort(key=lambda match: (-_rank(match), match.track_id))
    return SearchReport(
        matches=tuple(found[:limit]),
        candidates_examined=progress.candidates_examined,
        took_ms=(time.perf_counter() - began) * 1000,
        information_ok=information_ok,
        tiers=tuple(progress.tiers),
        budget_spent=out_of_time,
    )


def _run_tiers(query: Query, catalogue: SearchableCatalogue, progress: _Progress, *, until: float) -> bool:
    """Go from tier to tier until a match is sure; return False if time ran out before."""
    for tier in Tier:
        for heard in listenings(query, tier):
            if progress.tiers and time.perf_counter() >= until:
                return False
            progress.begin(tier)
            _look_up(heard, catalogue, progress)
            if progress.is_sure:
                return True
    return _scan_all(query, catalogue, progress, until=until)


def _look_up(heard: Listening, catalogue: SearchableCatalogue, progress: _Progress) -> None:
    """Search for the query as it was heard in one way, and keep what is found."""
    n_postings = catalogue.n_postings(heard.kind)
    if not n_postings or not has_enough_information(Fingerprint.of_items(heard.items)):
        return
    edges = window_edges(heard.items.size)
    n_windows = edges.size - 1
    candidates = vote(
        heard.probes,
        catalogue.lookup(heard.probes.term, kind=heard.kind),
        window_of_item=np.repeat(np.arange(n_windows), np.diff(edges)),
        n_postings=n_postings,
        per_window=max(_MIN_CANDIDATES_PER_WINDOW, _MAX_CANDIDATES // n_windows),
    )
    stored = catalogue.fingerprints(np.unique(candidates.track).tolist(), kind=heard.kind)
    progress.add(candidates.track.size, verified_matches(heard.items, candidates, stored, selection_nats=progress.nats))


def _scan_all(query: Query, catalogue: SearchableCatalogue, progress: _Progress, *, until: float) -> bool:
    """Compare a short query with everything in a small catalogue; return False if there was no time for it."""
    items = query.fingerprint.sub_fingerprints
    ordinals = catalogue.all_ordinals(at_most=_EXHAUSTIVE_MAX_TRACKS) if items.size <= _EXHAUSTIVE_MAX_ITEMS else []
    if not ordinals:
        return True
    if time.perf_counter() >= until:
        return False
    progress.begin(Tier.EXHAUSTIVE)
    stored = catalogue.fingerprints(ordinals, kind=FingerprintKind.FULL)
    candidates = scan(items, stored, window_edges(items.size))
    progress.add(candidates.track.size, verified_matches(items, candidates, stored, selection_nats=progress.nats))
    return True


def _rank(match: Match) -> float:
    # A match of a small part of the query comes after one of the whole, if their correlations are near.
    return match.score * min(1.0, match.query_coverage + 0.5)


def _is_sure(match: Match) -> bool:
    at_least = min_correlation(match.overlap_items, selection_nats=_SURE_NATS)
    return match.correlation >= at_least and match.query_coverage >= _SURE_COVERAGE
