"""What another policy of deduplication would have decided: a replay over the stored evidence. It changes nothing.

What belongs here: judging stored verdicts again, and saying which number on which side of which threshold makes the
difference. What does not: the policy (`musicfp.fingerprint.verdict`), what is stored (`evidence`).

Only matches that the search reported then are judged again; what it did not mention is not searched for.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from musicfp.catalog import verdicts
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import VerdictRow
from musicfp.fingerprint.verdict import (
    DEFAULT_POLICY,
    DedupeOutcome,
    DedupeVerdict,
    MatchRelation,
    VerdictPolicy,
    speed_drift,
)
from musicfp.fingerprint.verification import Match
from musicfp.pipeline.evidence import judge_again

STATUS_OF_OUTCOME = {
    DedupeOutcome.UNIQUE: "ACCEPTED",
    DedupeOutcome.DUPLICATE: "DUPLICATE",
    DedupeOutcome.NEEDS_REVIEW: "NEEDS_REVIEW",
}
_Number = tuple[str, Callable[[Match], float]]
_CORRELATION: _Number = ("correlation", lambda match: match.correlation)
# What each threshold of the policy is compared with.
_NUMBERS: Mapping[str, tuple[_Number, ...]] = {
    "min_duplicate_correlation": (_CORRELATION,),
    "min_related_correlation": (_CORRELATION,),
    "min_warped_correlation": (_CORRELATION,),
    "min_coverage": (
        ("coverage of the upload", lambda match: match.query_coverage),
        ("coverage of the track", lambda match: match.track_coverage),
    ),
    "min_related_coverage": (("larger coverage", lambda match: max(match.query_coverage, match.track_coverage)),),
    "min_drift": (("drift of speed", lambda match: abs(speed_drift(match))),),
}


@dataclass(frozen=True)
class Ruling:
    """A verdict in short: the submission's status, and the track that decided with its relation, if one did."""

    outcome: str
    relation: str | None
    track_id: str | None


@dataclass(frozen=True)
class Rechecked:
    """A stored verdict and what the policy would decide now.

    `after` is None if the evidence was stored by a version that kept too little. `why` has the comparisons that make
    the difference, if there is one.
    """

    submission_id: str
    filename: str
    before: Ruling
    after: Ruling | None
    why: tuple[str, ...] = ()

    @property
    def would_change(self) -> bool:
        """Whether the policy would decide otherwise."""
        return self.after is not None and not _agree(self.before, self.after)


def recheck(database: Database, policy: VerdictPolicy, *, outcome: str | None = None) -> Iterator[Rechecked]:
    """Judge every stored verdict again by this policy, the newest submissions first; those with `outcome` only."""
    for kept in verdicts.every(database, outcome=outcome):
        row = kept.verdict
        before = Ruling(row.outcome, row.relation, row.matched_track_id or row.deleted_track_id)
        if row.relation == MatchRelation.SAME_FILE:  # no threshold decides about that
            yield Rechecked(row.submission_id, kept.filename, before, before)
            continue
        verdict = judge_again(row.evidence, policy)
        after = None if verdict is None else _ruling(verdict)
        result = Rechecked(row.submission_id, kept.filename, before, after)
        if verdict is not None and result.would_change:
            result = replace(result, why=_why(row, before, verdict, policy))
        yield result


def varied_policy(policy: VerdictPolicy, values: Mapping[str, str]) -> VerdictPolicy:
    """Return the policy with other thresholds, given as text. Raises ValueError that says what is wrong with which."""
    kinds = {each.name: each.type for each in fields(VerdictPolicy) if each.name != "version"}
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in kinds:
            raise ValueError(f"the policy has no {name!r}; it has {', '.join(kinds)}")
        parsed[name] = _flag(name, value) if kinds[name] is bool else _share(name, value)
    return replace(policy, **parsed)


def _flag(name: str, value: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise ValueError(f"{name} is true or false, not {value!r}")
    return known[value.lower()]


def _share(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is a number from 0 to 1, not {value!r}")
    return number


def _ruling(verdict: DedupeVerdict) -> Ruling:
    return Ruling(STATUS_OF_OUTCOME[verdict.outcome], verdict.relation, verdict.track_id)


def _agree(before: Ruling, after: Ruling) -> bool:
    # A track that was deleted since is no longer named.
    same_track = before.track_id in {None, after.track_id}
    return (before.outcome, before.relation) == (after.outcome, after.relation) and same_track


def _why(row: VerdictRow, before: Ruling, after: DedupeVerdict, policy: VerdictPolicy) -> tuple[str, ...]:
    """Return the comparisons of which each alone, had it gone the other way, would have kept the verdict.

    Those with a threshold that is not the usual one; if there are none, the closest.
    """
    found = [
        each
        for each in _comparisons(after, before, policy)
        if (verdict := judge_again(row.evidence, replace(policy, **each.other_side)))
        and _agree(before, _ruling(verdict))
    ]
    chosen = [each for each in found if each.is_varied] or sorted(found, key=lambda each: each.distance)[:1]
    # Several thresholds together, or other rules than when it was decided.
    return tuple(each.text for each in chosen) or (after.reason,)


@dataclass(frozen=True)
class _Comparison:
    """A number against a threshold: how far it is from it, and what of the policy would put it on the other side."""

    text: str
    is_varied: bool
    distance: float
    other_side: dict[str, Any]


def _comparisons(after: DedupeVerdict, before: Ruling, policy: VerdictPolicy) -> Iterator[_Comparison]:
    """Yield what the policy compares with the tracks that decided; of a varied threshold, what the usual one splits."""
    review = policy.review_related
    is_varied = review != DEFAULT_POLICY.review_related
    yield _Comparison(f"review_related is {review}".lower(), is_varied, 0.0, {"review_related": not review})
    matches = after.report.matches if after.report else ()
    involved = [match for match in matches if match.track_id in {before.track_id, after.track_id}]
    for threshold, numbers in _NUMBERS.items():
        limit: float = getattr(policy, threshold)
        usual: float = getattr(DEFAULT_POLICY, threshold)
        is_varied = limit != usual
        for name, number in dict.fromkeys(
            (name, number_of(match)) for name, number_of in numbers for match in involved
        ):
            is_met = number >= limit
            if is_varied and is_met == (number >= usual):
                continue
            just_beyond = math.nextafter(number, math.inf) if is_met else number
            yield _Comparison(
                f"{name} {number:.5g} {'reaches' if is_met else 'is below'} {threshold} {limit:g}",
                is_varied,
                abs(number - limit) / (max(number, limit) or 1.0),
                {threshold: usual if is_varied else just_beyond},
            )
