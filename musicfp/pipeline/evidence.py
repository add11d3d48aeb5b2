"""What is stored of a search so that its verdict can be replayed: everything that the policy looks at, and no more.

What belongs here: writing it as JSON beside the verdict, and reading it back. What does not: replaying (`recheck`).

Numbers are kept as they are: rounded, one at a threshold could be judged otherwise the next time.
"""

from collections.abc import Mapping
from typing import Any

from musicfp.fingerprint.model import ITEM_DURATION_S
from musicfp.fingerprint.search import SearchReport
from musicfp.fingerprint.segments import Segment
from musicfp.fingerprint.verdict import DedupeVerdict, VerdictPolicy, accepted_in_review, judge
from musicfp.fingerprint.verification import Match


def evidence_of(verdict: DedupeVerdict) -> dict[str, Any]:
    """Return what the verdict was judged from; nothing for the same file, which needs no judging."""
    if verdict.report is None:
        return {}
    return {
        "queryItems": verdict.query_items,
        "informationOk": verdict.report.information_ok,
        "acceptedInReview": verdict.is_accepted_in_review,
        "matches": [_of_match(match) for match in verdict.report.matches],
    }


def judge_again(evidence: Mapping[str, Any], policy: VerdictPolicy) -> DedupeVerdict | None:
    """Judge stored evidence by this policy; None if it was stored by a version that kept too little."""
    if "matches" not in evidence:
        return None
    matches = tuple(_match(stored) for stored in evidence["matches"])
    report = SearchReport(matches, candidates_examined=0, took_ms=0.0, information_ok=evidence["informationOk"])
    verdict = judge(report, query_items=evidence["queryItems"], policy=policy)
    return accepted_in_review(verdict) if evidence["acceptedInReview"] else verdict


def _of_match(match: Match) -> dict[str, Any]:
    return {
        "trackId": match.track_id,
        "score": match.score,
        "correlation": match.correlation,
        "bitErrorRate": match.bit_error_rate,
        "offsetItems": match.offset_items,
        "overlapItems": match.overlap_items,
        "queryCoverage": match.query_coverage,
        "trackCoverage": match.track_coverage,
        "evidenceNats": match.evidence_nats,
        "pitch": match.pitch,
        "speed": match.speed,
        # Where and how far apart they lie tells a steady change of speed.
        "segments": [[each.query_start, each.query_stop, each.offset_items] for each in match.segments],
    }


def _match(stored: Mapping[str, Any]) -> Match:
    correlation = stored["correlation"]
    return Match(
        track_id=stored["trackId"],
        score=stored["score"],
        correlation=correlation,
        bit_error_rate=stored["bitErrorRate"],
        offset_items=stored["offsetItems"],
        offset_s=stored["offsetItems"] * ITEM_DURATION_S,
        overlap_items=stored["overlapItems"],
        overlap_s=stored["overlapItems"] * ITEM_DURATION_S,
        query_coverage=stored["queryCoverage"],
        track_coverage=stored["trackCoverage"],
        segments=tuple(Segment(start, stop, offset, correlation) for start, stop, offset in stored["segments"]),
        evidence_nats=stored["evidenceNats"],
        pitch=stored["pitch"],
        speed=stored["speed"],
    )
