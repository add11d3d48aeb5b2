"""Judging answers about music: the rules of the field, and what follows from counts."""

from collections import Counter
from pathlib import Path

import pytest

from eval.features.answers import Answer, Piece, meter_class
from eval.features.ebu import Reading, readings
from eval.features.material import Size, choose
from eval.features.scoring import (
    Share,
    by_confidence,
    confusion,
    duple_triple,
    f_measure,
    key_score,
    key_shares,
    right_class,
    tempo_is_right,
    tempo_shares,
)
from eval.features.tables import by_style, comparison, confidence_table, confusion_table, mistakes


def piece(name: str = "a", **known: object) -> Piece:
    facts = {"style": "band", "tempo_bpm": 100.0, "time_signature": "4/4", "key": "A", "mode": "minor"}
    facts |= {"source": name, "key_is_certain": True, **known}
    return Piece(name=name, path=Path(name), duration_s=60.0, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (("A", "minor"), 1.0),
        (("E", "minor"), 0.5),
        (("D", "minor"), 0.5),
        (("C", "major"), 0.3),
        (("A", "major"), 0.2),
        (("Eb", "minor"), 0.0),
        (("G", "major"), 0.0),
        ((None, None), 0.0),
    ],
)
def test_keys_are_scored_as_mirex_does(answer: tuple[str | None, str | None], score: float) -> None:
    assert key_score(("A", "minor"), answer) == score


def test_a_key_has_one_name_for_each_black_note_and_its_relative_works_both_ways() -> None:
    assert key_score(("D#", "major"), ("Eb", "major")) == 1.0
    assert key_score(("C", "major"), ("A", "minor")) == 0.3


@pytest.mark.parametrize(
    ("answer_bpm", "is_right", "up_to_octave"),
    [(103.9, True, True), (96.1, True, True), (104.5, False, False), (51, False, True), (None, False, False)],
)
def test_tempi_are_right_within_4_percent(answer_bpm: float | None, is_right: bool, up_to_octave: bool) -> None:
    assert tempo_is_right(100, answer_bpm) is is_right
    assert tempo_is_right(100, answer_bpm, up_to_octave=True) is up_to_octave


def test_time_signatures_that_sound_alike_are_one_class() -> None:
    assert [meter_class(name) for name in ("2/4", "12/8", "3/8", "7/8", "11/8", None)] == [
        "4/4",
        "6/8",
        "3/4",
        "7/8",
        None,
        None,
    ]


def test_shares_of_counted_meters() -> None:
    counts = Counter({("4/4", "4/4"): 6, ("4/4", "6/8"): 1, ("3/4", "9/8"): 1, ("6/8", None): 1, ("5/4", "5/4"): 1})
    assert (duple_triple(counts).right, duple_triple(counts).n) == (8, 9)
    assert (right_class(counts).right, right_class(counts).n) == (7, 10)
    assert str(right_class(counts, of="4/4")) == "0.857"


def test_instants_match_once_and_within_70_ms() -> None:
    assert f_measure([1.0, 2.0, 3.0], [1.05, 2.0, 3.2]) == pytest.approx(2 / 3)
    assert f_measure([1.0], [0.99, 1.01]) == pytest.approx(2 / 3)
    assert f_measure([], []) == 0.0


def test_uncertain_keys_are_not_counted_and_missing_answers_are_wrong() -> None:
    asked = [(piece(), Answer(0.0)), (piece(key_is_certain=False), Answer(0.0, key="A", mode="minor"))]
    weighted, exact = key_shares(asked)
    assert (weighted.right, weighted.n, exact.n) == (0.0, 1, 1)
    assert [share.right for share in tempo_shares(asked)] == [0, 0]
    assert confusion(asked) == {("4/4", None): 2}


def test_pieces_are_chosen_by_style_from_all_over_and_without_known_scores() -> None:
    rows = [{"source": str(number), "style": "band" if number < 10 else "solo"} for number in range(20)]
    size = Size(band=3, chorale=2, solo=40, art=0)
    chosen = [row["source"] for row in choose(rows, size, without={"0", "10"})]
    assert chosen[:3] == ["1", "4", "7"]
    assert chosen[3:] == [str(number) for number in range(11, 20)]


def test_answers_are_right_as_often_as_they_are_sure() -> None:
    judged = [(0.2, False), (0.5, True), (0.9, True), (0.95, False), (1.0, True), (None, False)]
    assert by_confidence(judged, (0.0, 0.5, 0.9, 1.0)) == [Share(0, 1), Share(1, 1), Share(2, 3)]
    sure = Answer(0.5, tempo_bpm=100.0, key="A", mode="minor", tempo_confidence=0.95, key_confidence=0.6)
    table = confidence_table([(piece(), sure), (piece(tempo_bpm=70.0, key_is_certain=False), sure)])
    assert "| tempo |  |  |  | 0.500 of 2 |" in table
    assert "| key |  | 1.000 of 1 |  |  |" in table


def test_tables_hold_what_was_counted() -> None:
    right = Answer(0.5, tempo_bpm=100.0, time_signature="4/4", key="A", mode="minor", beats_s=(1.0,))
    asked = [(piece(beats_s=(1.0,)), right), (piece("b"), Answer(1.5, tempo_bpm=50.0, key="E", mode="minor"))]
    assert "| band | 2 | 0.750 | 0.500 | 2 | 0.500 | 1.000 | 0.500 | 0.500 |" in by_style(asked)
    assert "| 4/4 | 1 |  |  |  |  |  | 1 | 0.500 |" in confusion_table(asked)
    assert "| musicfp | 0.750 |" in comparison({"musicfp": asked})
    assert comparison({"musicfp": asked}).endswith("| 1.00 |")
    assert mistakes(asked) == "band    b: tempo 100 answered 50.0; 4/4 answered None; A minor answered E minor"


def test_all_test_signals_of_the_ebu_are_read_within_their_tolerances() -> None:
    measured = list(readings())
    assert [each.case for each in measured if not each.is_right] == []
    assert {each.measure for each in measured} == {
        "integrated",
        "range",
        "short-term max",
        "momentary max",
        "true peak",
    }
    assert len(measured) == 100


def test_a_reading_outside_its_tolerance_is_wrong() -> None:
    assert not Reading("x", "integrated", -23.0, -23.11).is_right
    assert not Reading("x", "true peak", 0.0, 0.21).is_right
    assert Reading("x", "true peak", 0.0, -0.39).is_right
    assert not Reading("x", "integrated", -23.0, None).is_right
