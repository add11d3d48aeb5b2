"""From replies to numbers: one `Row` for each recogniser, condition and clip length.

What belongs here: pure counting. What does not: asking (`run`), printing (`report`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.clips import ClipFacts
from eval.queries import Query
from eval.recognisers import Answer, Reply

NEAR_S = 0.5


@dataclass(frozen=True)
class Asked:
    """A query, what is true of its clip, and what a recogniser replied."""

    query: Query
    facts: ClipFacts
    reply: Reply


@dataclass(frozen=True)
class Slip:
    """A query that was not answered as it should be, for looking at."""

    kind: str
    track: str
    clip: int
    offset_s: float
    answered: str | None
    score: float | None


@dataclass(frozen=True)
class Row:
    """Shares of the clips of sources, except `n_false_accepts`, which counts strangers.

    `ceiling` is the share of clips that carry information. `recall_above_strangers` counts right first answers that
    score higher than every answer to a stranger did: what remains if no false accept at all is allowed. Offsets are of
    right first answers, in seconds; they and latencies are None where there are none.
    """

    recogniser: str
    condition: str
    length_s: float
    n: int
    n_strangers: int
    ceiling: float
    rank_1: float
    accepted_right: float
    accepted_wrong: float
    n_false_accepts: int
    recall_above_strangers: float
    offset_error_median_s: float | None
    offset_error_p95_s: float | None
    offset_near: float | None
    took_p50_ms: float | None
    took_p95_ms: float | None
    slips: tuple[Slip, ...]


def row_of(recogniser: str, asked: Sequence[Asked], *, families: dict[str, str]) -> Row:
    """Count what one recogniser replied under one condition to clips of one length.

    `families` gives the family of each catalogued track: another recording of the same piece is a right answer.
    """
    ours = [each for each in asked if not each.query.is_stranger]
    strangers = [each for each in asked if each.query.is_stranger]
    best_stranger = max((answer.score for each in strangers for answer in each.reply.answers), default=-np.inf)
    first = [(each, answer) for each in ours if (answer := _first(each)) and _is_right(each, answer, families)]
    accepted = [(each, answer) for each in ours if (answer := _first_accepted(each))]
    n_right = sum(_is_right(each, answer, families) for each, answer in accepted)
    errors = [_offset_error_s(each, answer) for each, answer in first]
    took = [each.reply.took_ms for each in asked]
    return Row(
        recogniser=recogniser,
        condition=asked[0].query.condition,
        length_s=asked[0].query.length_s,
        n=len(ours),
        n_strangers=len(strangers),
        ceiling=_share(sum(each.facts.is_informative for each in ours), ours),
        rank_1=_share(len(first), ours),
        accepted_right=_share(n_right, ours),
        accepted_wrong=_share(len(accepted) - n_right, ours),
        n_false_accepts=sum(_first_accepted(each) is not None for each in strangers),
        recall_above_strangers=_share(sum(answer.score > best_stranger for _, answer in first), ours),
        offset_error_median_s=_quantile(errors, 0.5),
        offset_error_p95_s=_quantile(errors, 0.95),
        offset_near=float(np.mean([error <= NEAR_S for error in errors])) if errors else None,
        took_p50_ms=_quantile(took, 0.5),
        took_p95_ms=_quantile(took, 0.95),
        slips=tuple(slip for each in asked if (slip := _slip(each, families)) is not None),
    )


def _slip(asked: Asked, families: dict[str, str]) -> Slip | None:
    answer = _first_accepted(asked)
    if asked.query.is_stranger:
        kind = "false accept" if answer else None
    elif answer is None:
        kind = "missed" if asked.facts.is_informative else None
    else:
        kind = None if _is_right(asked, answer, families) else "accepted another"
    if kind is None:
        return None
    query, shown = asked.query, answer or _first(asked)
    answered, score = (shown.track, round(shown.score, 4)) if shown else (None, None)
    return Slip(kind, query.track, query.clip, round(query.offset_s, 3), answered, score)


def _offset_error_s(asked: Asked, answer: Answer) -> float:
    """Return how far an offset is from where the clip was taken, or from where its track plays the same again."""
    return min(asked.query.offset_error_s(answer.offset_s - later_s) for later_s in asked.facts.repeats_s)


def _first(asked: Asked) -> Answer | None:
    return asked.reply.answers[0] if asked.reply.answers else None


def _first_accepted(asked: Asked) -> Answer | None:
    return next((answer for answer in asked.reply.answers if answer.is_accepted), None)


def _is_right(asked: Asked, answer: Answer, families: dict[str, str]) -> bool:
    return families.get(answer.track) == asked.query.family


def _share(count: int, of: Sequence[object]) -> float:
    return count / len(of) if of else 0.0


def _quantile(values: Sequence[float], at: float) -> float | None:
    return float(np.quantile(values, at)) if values else None
