"""What a search result means for an upload: the pure policy of deduplication.

What belongs here: relations, thresholds with their reasons, and the sentence that a person reads. What does not:
searching, storing, deleting. Nothing here reads a clock, a file or a database, so a changed policy can be replayed over
stored matches.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from musicfp.fingerprint.calibration import min_correlation
from musicfp.fingerprint.search import SearchReport
from musicfp.fingerprint.verification import Match

POLICY_VERSION = "2"
# A line through fewer points proves nothing; offsets are whole items and noise moves them by one.
_MIN_DRIFT_SEGMENTS = 4
_MAX_DRIFT_RESIDUAL_ITEMS = 1.5
_MIN_DRIFT_SHARE = 0.8


class MatchRelation(StrEnum):
    """How an upload relates to a stored track, strongest first."""

    SAME_FILE = "SAME_FILE"
    """Byte for byte the same file."""
    SAME_RECORDING = "SAME_RECORDING"
    """The same audio in whatever coding; at least 80 % of each is in the other."""
    EXCERPT = "EXCERPT"
    """The upload is a part of the stored track."""
    CONTAINS = "CONTAINS"
    """The stored track is a part of the upload."""
    SIMILAR = "SIMILAR"
    """They share layers or passages: another mix, a remix, the same samples."""


class DedupeOutcome(StrEnum):
    """What happens to the upload."""

    UNIQUE = "UNIQUE"
    DUPLICATE = "DUPLICATE"
    NEEDS_REVIEW = "NEEDS_REVIEW"


@dataclass(frozen=True)
class VerdictPolicy:
    """Thresholds of deduplication, each with where it comes from.

    `min_duplicate_correlation`: 283,128 pairs of 753 real tracks: mixes of one piece with other layers reach 0.69, one
    pair 0.74; copies in any codec, trimmed or padded, have 0.76 and more. 0.70 lies below every copy.
    `min_related_correlation`: above the 10^-6 tail (0.31). Of those pairs, aligned in every way over 30 s and more, no
    unrelated one reaches 0.23 once silence on silence is left out.
    `min_coverage`: the contract's 80 %.
    `min_related_coverage`: a shared passage below a quarter of both sides is a sample, a loop or a sound effect; pieces
    played backwards share that much with themselves (measured on 9 tracks).
    `min_warped_correlation`: a copy played faster or slower shifts every note a little and correlates 0.40 to 0.86 at
    1 %. Its offset drifts steadily, which another mix at the same tempo (0.58) does not: together they suffice. So does
    being found at another speed or pitch only, where another mix would be found as it is.
    `min_drift`: 0.3 % of speed; less drifts too little within a track to be told from noise.
    `review_related`: the setting MUSICFP_REVIEW_RELATED.
    """

    min_duplicate_correlation: float = 0.70
    min_related_correlation: float = 0.40
    min_coverage: float = 0.80
    min_related_coverage: float = 0.25
    min_warped_correlation: float = 0.50
    min_drift: float = 0.003
    review_related: bool = False
    version: str = POLICY_VERSION


DEFAULT_POLICY = VerdictPolicy()


@dataclass(frozen=True)
class RelatedMatch:
    """A stored track that the upload relates to, with the evidence."""

    relation: MatchRelation
    match: Match


@dataclass(frozen=True)
class DedupeVerdict:
    """The decision about one upload.

    `track_id`, `relation` and `match` name the track that decided, if one did; `match` is None for SAME_FILE, where
    there was nothing to compare. `related` holds every other relation, strongest first, and the deciding one when the
    upload is accepted all the same. `report` and `query_items` are what was judged, so that it can be judged again
    (None for SAME_FILE); `is_accepted_in_review` tells that a reviewer let the upload in whatever the policy says.
    """

    outcome: DedupeOutcome
    reason: str
    policy_version: str
    relation: MatchRelation | None = None
    track_id: str | None = None
    match: Match | None = None
    related: tuple[RelatedMatch, ...] = ()
    report: SearchReport | None = None
    query_items: int = 0
    is_accepted_in_review: bool = False


def judge(report: SearchReport, *, query_items: int, policy: VerdictPolicy = DEFAULT_POLICY) -> DedupeVerdict:
    """Decide about an upload from the search for its whole fingerprint.

    Parameters
    ----------
    report
        Of a search with the upload's whole fingerprint.
    query_items
        Number of items of that fingerprint.
    policy
        Thresholds.

    Returns
    -------
    DedupeVerdict
        DUPLICATE for SAME_RECORDING and EXCERPT; UNIQUE, or NEEDS_REVIEW if the policy says so, for CONTAINS and
        SIMILAR; UNIQUE for everything else, also when the fingerprint is too short or too monotonous to compare.

    """
    related = _relations(report, policy)
    if not related:
        reason = _reason_without_match(report, query_items)
        return DedupeVerdict(DedupeOutcome.UNIQUE, reason, policy.version, report=report, query_items=query_items)
    strongest = related[0]
    is_duplicate = strongest.relation in {MatchRelation.SAME_RECORDING, MatchRelation.EXCERPT}
    if is_duplicate:
        outcome, others = DedupeOutcome.DUPLICATE, related[1:]
    else:
        outcome = DedupeOutcome.NEEDS_REVIEW if policy.review_related else DedupeOutcome.UNIQUE
        others = related
    return DedupeVerdict(
        outcome=outcome,
        reason=_reason(strongest, outcome),
        policy_version=policy.version,
        relation=strongest.relation,
        track_id=strongest.match.track_id,
        match=strongest.match,
        related=others,
        report=report,
        query_items=query_items,
    )


def same_file_verdict(track_id: str, *, policy: VerdictPolicy = DEFAULT_POLICY) -> DedupeVerdict:
    """Return the verdict on an upload whose sha256 is that of a stored source; needs no fingerprint."""
    return DedupeVerdict(
        outcome=DedupeOutcome.DUPLICATE,
        reason=f"This is the same file, byte for byte, as the source of track {track_id}.",
        policy_version=policy.version,
        relation=MatchRelation.SAME_FILE,
        track_id=track_id,
    )


def accepted_in_review(verdict: DedupeVerdict) -> DedupeVerdict:
    """Return the verdict after a reviewer's word to let the upload in; its relations are kept as such."""
    if verdict.outcome is DedupeOutcome.UNIQUE:
        return replace(verdict, is_accepted_in_review=True)
    related = verdict.related
    if verdict.outcome is DedupeOutcome.DUPLICATE and verdict.match is not None and verdict.relation is not None:
        related = (RelatedMatch(verdict.relation, verdict.match), *related)  # of others it is among them already
    return replace(
        verdict,
        outcome=DedupeOutcome.UNIQUE,
        reason=f"Accepted in review. {verdict.reason}",
        related=related,
        is_accepted_in_review=True,
    )


def relation_of(match: Match, *, policy: VerdictPolicy = DEFAULT_POLICY) -> MatchRelation | None:
    """Return how the query relates to the matched track; None if too weakly to mention."""
    covers_query = match.query_coverage >= policy.min_coverage
    covers_track = match.track_coverage >= policy.min_coverage
    is_warped = match.pitch != 1.0 or abs(speed_drift(match)) >= policy.min_drift
    is_copy = match.correlation >= (policy.min_warped_correlation if is_warped else policy.min_duplicate_correlation)
    if is_copy:
        if covers_query:
            return MatchRelation.SAME_RECORDING if covers_track else MatchRelation.EXCERPT
        if covers_track:
            return MatchRelation.CONTAINS
    is_mentionable = max(match.query_coverage, match.track_coverage) >= policy.min_related_coverage
    if match.correlation >= policy.min_related_correlation and is_mentionable:
        return MatchRelation.SIMILAR
    return None


def speed_drift(match: Match) -> float:
    """Return how fast the offset grows along the query, if it does so steadily; else 0. 0.01 = query 1 % faster.

    A robust line (Theil 1950, Sen 1968), because where music repeats itself single segments lie elsewhere.
    """
    segments = match.segments
    middle = np.array([(segment.query_start + segment.query_stop) / 2 for segment in segments])
    offset = np.array([segment.offset_items for segment in segments], dtype=np.float64)
    if offset.size < _MIN_DRIFT_SEGMENTS:
        return 0.0
    one, other = np.triu_indices(offset.size, k=1)
    slope = np.median((offset[other] - offset[one]) / (middle[other] - middle[one]))
    start = np.median(offset - slope * middle)
    on_line = np.abs(offset - (slope * middle + start)) <= _MAX_DRIFT_RESIDUAL_ITEMS
    n_items = np.array([segment.n_items for segment in segments])
    is_steady = on_line.sum() >= _MIN_DRIFT_SEGMENTS and n_items[on_line].sum() >= _MIN_DRIFT_SHARE * n_items.sum()
    return float(slope) if is_steady else 0.0


def _relations(report: SearchReport, policy: VerdictPolicy) -> tuple[RelatedMatch, ...]:
    found = [
        RelatedMatch(relation, match)
        for match in report.matches
        if (relation := relation_of(match, policy=policy)) is not None
    ]
    strength = list(MatchRelation)
    found.sort(
        key=lambda one: (
            strength.index(one.relation),
            -one.match.correlation * (one.match.query_coverage + one.match.track_coverage),
            one.match.track_id,
        )
    )
    return tuple(found)


_MEANING = {
    MatchRelation.SAME_RECORDING: "This is the same recording as track {track_id}",
    MatchRelation.EXCERPT: "This is a part of track {track_id}",
    MatchRelation.CONTAINS: "This contains track {track_id}",
    MatchRelation.SIMILAR: "This shares music with track {track_id}",
}
_CONSEQUENCE = {
    DedupeOutcome.DUPLICATE: "It was not added again.",
    DedupeOutcome.NEEDS_REVIEW: "It waits for somebody to decide.",
    DedupeOutcome.UNIQUE: "It was added, and the relation is kept.",
}


def _reason(strongest: RelatedMatch, outcome: DedupeOutcome) -> str:
    match = strongest.match
    where = (
        f"starting {match.offset_s:.1f} s into it"
        if match.offset_s >= 0
        else f"which starts {-match.offset_s:.1f} s into this upload"
    )
    pieces = "" if len(match.segments) == 1 else f" in {len(match.segments)} pieces"
    changed = _changed(match)
    return (
        f"{_MEANING[strongest.relation].format(track_id=match.track_id)}{changed}, {where}: "
        f"{match.overlap_s:.1f} s agree{pieces} ({match.query_coverage:.0%} of the upload, "
        f"{match.track_coverage:.0%} of the track), correlation {match.correlation:.2f}, "
        f"{match.bit_error_rate:.1%} of the bits differ. {_CONSEQUENCE[outcome]}"
    )


def _changed(match: Match) -> str:
    """Say how the upload differs in speed and pitch, as far as the search undid it."""
    if match.speed != 1.0:
        return f", played at {match.speed:.1%} of its speed"
    if match.pitch != 1.0:
        return f", transposed by {12 * math.log2(match.pitch):+.2f} semitones"
    return ""


def _reason_without_match(report: SearchReport, query_items: int) -> str:
    only_files = "so only an identical file would have been recognised"
    if min_correlation(query_items) >= 1.0:
        return f"Too short to be compared with other tracks ({query_items} fingerprint items), {only_files}."
    if not report.information_ok:
        return f"Too monotonous to be compared with other tracks (silence, a held tone or a drone), {only_files}."
    if report.matches:
        best = report.matches[0]
        return f"New: nothing more than {best.overlap_s:.1f} s in common with track {best.track_id}."
    return "New: no stored track sounds like it."
