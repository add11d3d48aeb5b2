"""Metrics: what counts as right, wrong, missed and falsely accepted."""

from pathlib import Path

import pytest

from eval.clips import ClipFacts
from eval.degrade import Piece
from eval.metrics import Asked, Row, row_of
from eval.queries import Query
from eval.recognisers import Answer, Reply

FAMILIES = {"a": "a", "b": "b", "b again": "b"}


def asked(
    track: str, *answers: Answer, stranger: str = "", facts: ClipFacts | None = None, took_ms: float = 1
) -> Asked:
    """A clip of a track, taken at 20 s, and the answers to it."""
    is_stranger = stranger != ""
    query = Query(stranger or track, track, is_stranger, "clean", 10.0, 0, 20.0, (Piece(0, 0),), Path("x"))
    return Asked(query, facts or ClipFacts(is_informative=True), Reply(answers, took_ms))


def answer(track: str, score: float = 0.9, *, offset_s: float = 20.0, accepted: bool = True) -> Answer:
    return Answer(track, score, offset_s, accepted)


def rows(*several: Asked) -> Row:
    return row_of("ours", several, families=FAMILIES)


def test_right_wrong_and_missing_answers_are_told_apart() -> None:
    """One of four is right, one is wrong, one is right without being sure, one is not answered."""
    row = rows(asked("a", answer("a")), asked("a", answer("b")), asked("b", answer("b", accepted=False)), asked("b"))
    assert (row.n, row.rank_1, row.accepted_right, row.accepted_wrong) == (4, 0.5, 0.25, 0.25)
    assert [slip.kind for slip in row.slips] == ["accepted another", "missed", "missed"]


def test_another_recording_of_the_piece_is_right() -> None:
    """A catalogue may hold two encodes."""
    assert rows(asked("b", answer("b again"))).accepted_right == 1.0


def test_the_first_accepted_answer_counts() -> None:
    """A better one that the recogniser is not sure of is no answer."""
    row = rows(asked("a", answer("b", 0.9, accepted=False), answer("a", 0.8)))
    assert (row.rank_1, row.accepted_right, row.accepted_wrong) == (0.0, 1.0, 0.0)


def test_strangers_count_only_as_false_accepts() -> None:
    """And what they score limits what is recalled above them."""
    row = rows(
        asked("a", answer("a", 0.5)),
        asked("a", answer("a", 0.9)),
        asked("", answer("b", 0.6), stranger="x"),
        asked("", answer("b", 0.4, accepted=False), stranger="y"),
    )
    assert (row.n, row.n_strangers, row.n_false_accepts) == (2, 2, 1)
    assert row.recall_above_strangers == 0.5
    assert [(slip.kind, slip.track) for slip in row.slips] == [("false accept", "x")]


def test_a_clip_without_information_lowers_the_ceiling_and_is_no_miss() -> None:
    """Nobody can recognise silence."""
    row = rows(asked("a", facts=ClipFacts(is_informative=False)), asked("a", answer("a")))
    assert (row.ceiling, row.accepted_right, row.slips) == (0.5, 0.5, ())


def test_offsets_are_measured_on_right_answers_only() -> None:
    """Where the track plays the same again, that offset is right as well."""
    again = ClipFacts(is_informative=True, repeats_s=(0.0, 30.0))
    row = rows(
        asked("a", answer("a", offset_s=20.2)),
        asked("a", answer("a", offset_s=50.1), facts=again),
        asked("a", answer("a", offset_s=50.0)),
        asked("a", answer("b", offset_s=90.0)),
    )
    assert row.offset_near == pytest.approx(2 / 3)
    assert row.offset_error_median_s == pytest.approx(0.2)


def test_latency_is_that_of_all_queries() -> None:
    """Strangers take the longest."""
    row = rows(asked("a", took_ms=1), asked("a", took_ms=2), asked("", stranger="x", took_ms=9))
    assert row.took_p50_ms == 2
    assert row.took_p95_ms is not None
    assert row.took_p95_ms > 8


def test_without_an_answer_there_is_no_offset() -> None:
    """None, and not zero seconds."""
    row = rows(asked("a"))
    assert (row.offset_error_median_s, row.offset_near) == (None, None)
