"""Search: which tracks hold this audio, where, and how sure. The only entry that other packages call.

What belongs here: going from tier to tier until the answer is sure. What does not: what a tier looks up (`listening`),
counting what is found (`candidates`), verifying it (`verification`), what a match means for an upload (`verdict`).

1. The query is heard in some way and its terms are looked up in the index.
2. The best (track, offset) of each window of at most 10 s are verified by row-centred correlation.
3. Promising tracks are aligned piece by piece, so that cuts, inserts and drifting speed still match.
4. A track is a match if it agrees better than unrelated music does by chance in a catalogue of this size.
5. If no match is sure, the next tier hears better and costs more.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.calibration import PAIR_BAR, Bar, Chance, bar_of, evidence_nats, n_tracks_of
from musicfp.fingerprint.candidates import Candidates, joined_candidates, shortlist, vote
from musicfp.fingerprint.correlation import has_enough_information
from musicfp.fingerprint.exhaustive import scan
from musicfp.fingerprint.listening import (
    AS_IT_IS,
    CLOSE_RATES,
    Listening,
    Query,
    Rate,
    Tier,
    heard_at,
    listenings,
    rates_around,
)
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, SearchableCatalogue
from musicfp.fingerprint.repetition import repetitiveness
from musicfp.fingerprint.verification import Match, verified_matches, window_edges

SEARCH_VERSION = "5"
DEFAULT_LIMIT = 10
DEFAULT_BUDGET_MS = 2000.0
_MAX_CANDIDATES = 200
# Each of the many rates alone: what is heard at its own rate stands out, or else at the next one.
_MAX_CANDIDATES_AT_A_RATE = 64
_MIN_CANDIDATES_PER_WINDOW = 32
# What unrelated music reaches once in 10^9 pairs, over most of the query: no costlier tier can change this answer.
_SURE_NATS = math.log(1e9)
_SURE_COVERAGE = 0.5
# A candidate is worth reading at once with so much of what the best of its window is worth. Of a clean clip, chance
# reaches a tenth, and a copy with a twentieth of its bits wrong a quarter.
_STANDING_OUT = 0.2
# How much of a recording is heard at every rate, with few guesses: it is not noise that such copies suffer from.
_CHANGED_PART_S = 25.0
_CHANGED_PER_ITEM = 16
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
    """What the tiers so far have found, in a catalogue of so many tracks: the best match of each track."""

    bar: Bar
    n_tracks: float
    heeds_repetition: bool = True
    stops_when_sure: bool = True
    matches: dict[str, Match] = field(default_factory=dict)
    candidates_examined: int = 0
    ways_heard: int = 0
    is_sure: bool = False
    tiers: list[Tier] = field(default_factory=list)

    def begin(self, tier: Tier) -> None:
        if tier not in self.tiers:
            self.tiers.append(tier)

    def hear(self, ways: Sequence[Listening], candidates: Candidates, catalogue: SearchableCatalogue) -> None:
        """Verify candidates in every way that found them; those that do not stand out only if the others are unsure."""
        chances = []
        for heard in ways:
            self.ways_heard += 1
            chances.append(self._chance(heard))
        for part in _those_that_stand_out_first(candidates) if self.stops_when_sure else (candidates,):
            for heard, chance in zip(ways, chances, strict=True):
                self._verify(heard, part, catalogue, chance)
            if self.is_sure and self.stops_when_sure:
                return

    def _chance(self, heard: Listening) -> Chance:
        factor = repetitiveness(heard.items) if self.heeds_repetition else 1.0
        return Chance(self.bar, self.n_tracks, selection_nats=math.log(self.ways_heard), repetitiveness=factor)

    def _verify(self, heard: Listening, candidates: Candidates, catalogue: SearchableCatalogue, chance: Chance) -> None:
        self.candidates_examined += candidates.track.size
        stored = catalogue.fingerprints(np.unique(candidates.track).tolist(), kind=heard.kind)
        for match in verified_matches(heard.items, candidates, stored, chance):
            self.is_sure |= self._is_sure(match, chance)
            known = self.matches.get(match.track_id)
            if known is None or self._rank(match) > self._rank(known):
                self.matches[match.track_id] = replace(match, pitch=heard.rate.pitch, speed=heard.rate.speed)

    def ranked(self) -> list[Match]:
        """Return all matches, best first."""
        best_last = sorted(self.matches.values(), key=lambda match: match.track_id, reverse=True)
        return sorted(best_last, key=self._rank)[::-1]

    def _rank(self, match: Match) -> tuple[float, float]:
        # Convincing matches rank by how well they agree, and after them the others by how improbable chance is.
        # A match of a small part of the query comes after one of the whole, if their correlations are near.
        agreement = min(1.0, max(0.0, match.correlation)) * min(1.0, match.query_coverage + 0.5)
        return min(match.evidence_nats, self.bar.convincing_nats), agreement

    @staticmethod
    def _is_sure(match: Match, chance: Chance) -> bool:
        # How many ways were tried cannot make a stranger of what is so much alike; hearing better may still place it
        # better, so a query that hardly repeats itself is not sure any sooner.
        factor = max(1.0, chance.repetitiveness)
        nats = evidence_nats(match.correlation, match.overlap_items, repetitiveness=factor)
        is_convincing = match.evidence_nats >= chance.bar.convincing_nats
        return is_convincing and nats >= _SURE_NATS and match.query_coverage >= _SURE_COVERAGE


def search(
    query: Query | Fingerprint,
    catalogue: SearchableCatalogue,
    *,
    limit: int = DEFAULT_LIMIT,
    min_score: float | None = None,
    by_pair: bool = False,
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
        Drop matches below this score, 0 to 1; by default `calibration.DEFAULT_MIN_SCORE`, which a stranger's query
        passes once in 200 whatever the size of the catalogue. Less yields weaker matches, and with 0 the least bad
        tracks, each with its small score.
    by_pair
        Drop instead what unrelated audio reaches in more than one of 10^6 pairs, however large the catalogue: for a
        policy that judges the matches by their correlation and must not judge otherwise when the catalogue has grown.
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
    n_postings = catalogue.n_postings(FingerprintKind.FULL) if information_ok else 0
    n_tracks = n_tracks_of(n_postings)
    bar = PAIR_BAR if by_pair else bar_of(min_score, n_tracks=n_tracks)
    # A policy judges all that a recording has in common with others; for a clip, the track that it is of is enough.
    progress = _Progress(bar, n_tracks, heeds_repetition=not by_pair, stops_when_sure=not by_pair)
    out_of_time = False
    if n_postings:
        out_of_time = not _run_tiers(asked, catalogue, progress, until=began + budget_ms / 1000)
    return SearchReport(
        matches=tuple(progress.ranked()[:limit]),
        candidates_examined=progress.candidates_examined,
        took_ms=(time.perf_counter() - began) * 1000,
        information_ok=information_ok,
        tiers=tuple(progress.tiers),
        budget_spent=out_of_time,
    )


def search_changed(
    samples: NDArray[np.int16], catalogue: SearchableCatalogue, *, limit: int = DEFAULT_LIMIT
) -> SearchReport:
    """Find the tracks of which a whole recording is a copy at another speed or pitch.

    A part of it is heard at all rates. If a track surely holds that, the rate is made exact, because a few cents beside
    it cost correlation, and the whole recording is heard at it.

    Parameters
    ----------
    samples
        NDArray[np.int16] [shape=(n_samples,)], mono at 11025 Hz.
    catalogue
        What to search.
    limit
        Most matches to return.

    Returns
    -------
    SearchReport
        With matches that unrelated audio reaches in less than one of 10^6 pairs. Their coverages and offsets count the
        recording's items as if it had not been changed.

    """
    began = time.perf_counter()
    n_samples = round(_CHANGED_PART_S * ANALYSIS_RATE_HZ)
    first = max(0, samples.size - n_samples) // 2
    part = samples[first : first + n_samples]
    n_tracks = n_tracks_of(catalogue.n_postings(FingerprintKind.FULL))
    progress = _Progress(PAIR_BAR, n_tracks, heeds_repetition=False, stops_when_sure=False)
    coarse = _best_rate(part, CLOSE_RATES, catalogue, progress)
    if coarse is not None:
        fine = _best_rate(part, rates_around(coarse), catalogue, progress) or coarse
        progress.matches.clear()
        progress.begin(Tier.RATES)
        _look_up([heard_at(samples, fine)], catalogue, progress)
    return SearchReport(
        matches=tuple(progress.ranked()[:limit]) if coarse is not None else (),
        candidates_examined=progress.candidates_examined,
        took_ms=(time.perf_counter() - began) * 1000,
        information_ok=True,
        tiers=(Tier.RATES,),
    )


def _best_rate(
    part: NDArray[np.int16], rates: Iterable[Rate], catalogue: SearchableCatalogue, progress: _Progress
) -> Rate | None:
    """Return the rate at which a part of a recording is surely found and agrees best; None if there is none."""
    best: tuple[float, Rate] | None = None
    for rate in rates:
        progress.begin(Tier.RATES)
        progress.matches.clear()
        progress.is_sure = False
        _look_up([heard_at(part, rate, per_item=_CHANGED_PER_ITEM)], catalogue, progress)
        if progress.is_sure:
            correlation = max(match.correlation for match in progress.matches.values())
            best = max(best or (0.0, rate), (correlation, rate), key=lambda found: found[0])
    return best[1] if best else None


def _run_tiers(query: Query, catalogue: SearchableCatalogue, progress: _Progress, *, until: float) -> bool:
    """Go from tier to tier until a match is sure; return False if time ran out before."""
    for tier in _tiers(query, catalogue):
        for ways in listenings(query, tier):
            if progress.tiers and time.perf_counter() >= until:
                return False
            progress.begin(tier)
            find = _scan_all if tier is Tier.EXHAUSTIVE else _look_up
            find(ways, catalogue, progress)
            if progress.is_sure:
                return True
    return True


def _tiers(query: Query, catalogue: SearchableCatalogue) -> Iterator[Tier]:
    for tier in Tier:
        if tier is not Tier.EXHAUSTIVE or (
            query.fingerprint.n_items <= _EXHAUSTIVE_MAX_ITEMS
            and catalogue.all_ordinals(at_most=_EXHAUSTIVE_MAX_TRACKS)
        ):
            yield tier


def _look_up(ways: Sequence[Listening], catalogue: SearchableCatalogue, progress: _Progress) -> None:
    """Search for the query as it was heard in some ways that count together, and keep what is found."""
    telling = [heard for heard in ways if _may_be_found(heard, catalogue)]
    if not telling:
        return
    edges = window_edges(telling[0].items.size)
    n_windows = edges.size - 1
    at_most = _MAX_CANDIDATES if telling[0].rate == AS_IT_IS else _MAX_CANDIDATES_AT_A_RATE
    per_window = max(_MIN_CANDIDATES_PER_WINDOW, at_most // n_windows)
    votes = [
        vote(
            heard.probes,
            catalogue.lookup(heard.probes.term, kind=heard.kind),
            window_of_item=np.repeat(np.arange(n_windows), np.diff(edges)),
            n_postings=catalogue.n_postings(heard.kind),
            per_window=per_window,
        )
        for heard in telling
    ]
    progress.hear(telling, shortlist(votes, per_window=per_window), catalogue)


def _scan_all(ways: Sequence[Listening], catalogue: SearchableCatalogue, progress: _Progress) -> None:
    """Compare a short query with everything in a small catalogue."""
    telling = [heard for heard in ways if _may_be_found(heard, catalogue)]
    if not telling:
        return
    ordinals = catalogue.all_ordinals(at_most=_EXHAUSTIVE_MAX_TRACKS)
    edges = window_edges(telling[0].items.size)
    found = [scan(heard.items, catalogue.fingerprints(ordinals, kind=heard.kind), edges) for heard in telling]
    progress.hear(telling, joined_candidates(found), catalogue)


def _may_be_found(heard: Listening, catalogue: SearchableCatalogue) -> bool:
    return catalogue.n_postings(heard.kind) > 0 and has_enough_information(Fingerprint.of_items(heard.items))


def _those_that_stand_out_first(candidates: Candidates) -> Iterator[Candidates]:
    """Part the candidates into those that come near the best of their window, and the others."""
    if not candidates.window.size:
        return
    best = np.zeros(int(candidates.window.max()) + 1)
    np.maximum.at(best, candidates.window, candidates.worth)
    stands_out = candidates.worth >= _STANDING_OUT * best[candidates.window]
    for part in (stands_out, ~stands_out):
        if part.any():
            yield candidates.at(np.flatnonzero(part))
