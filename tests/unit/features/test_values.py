"""Feature values: finite, consistent, picklable."""

import math
import pickle

import pytest

from musicfp.features.values import FeatureStatus, FeatureValue, Reason, absent, measured


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        measured("rhythm.tempo", number)
    with pytest.raises(ValueError, match="finite"):
        measured("tonal.hpcp", (0.5, number))


@pytest.mark.parametrize("confidence", [-0.1, 1.1, math.nan])
def test_a_confidence_outside_zero_to_one_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        measured("rhythm.tempo", 120.0, confidence=confidence)


def test_answers_land_in_the_field_of_their_type() -> None:
    assert measured("a.b", 3).value == 3.0
    assert measured("a.b", "C").text == "C"
    assert measured("a.b", (1, 2)).vector == (1.0, 2.0)


@pytest.mark.parametrize("answer", ["", ()])
def test_an_empty_answer_is_refused(answer: str | tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="non-empty"):
        measured("a.b", answer)


@pytest.mark.parametrize("text", ["C\x00", "\ud83d"])
def test_text_that_no_database_takes_is_refused(text: str) -> None:
    """It would stop the stage for all tracks when it is stored."""
    with pytest.raises(ValueError, match="cannot be stored"):
        measured("a.b", text)
    assert Reason.error(f"KeyError:\n {text}!").removeprefix("error:") in {"KeyError: C!", "KeyError: !"}


def _value(*, value: float | None, text: str | None, status: FeatureStatus, reason: str | None) -> FeatureValue:
    return FeatureValue(
        name="a.b", value=value, text=text, vector=None, unit=None, confidence=None, status=status, reason=reason
    )


@pytest.mark.parametrize(
    ("value", "text", "status", "reason"),
    [
        (1.0, "C", FeatureStatus.OK, None),
        (None, None, FeatureStatus.OK, None),
        (1.0, None, FeatureStatus.OK, "too_short"),
        (1.0, None, FeatureStatus.UNKNOWN, "too_short"),
        (None, None, FeatureStatus.UNKNOWN, None),
        (None, None, FeatureStatus.FAILED, ""),
    ],
)
def test_an_answer_that_does_not_fit_its_status_is_refused(
    value: float | None, text: str | None, status: FeatureStatus, reason: str | None
) -> None:
    with pytest.raises(ValueError, match=r"a\.b"):
        _value(value=value, text=text, status=status, reason=reason)


def test_a_note_on_windows_may_stand_beside_a_value_and_never_replaces_a_reason() -> None:
    noted = measured("a.b", 1.0).with_unit_and_note(unit="s", note="windows:3x180s")
    assert (noted.unit, noted.reason) == ("s", "windows:3x180s")
    assert absent("a.b", Reason.SILENT).with_unit_and_note(unit="s", note="windows:3x180s").reason == "silent"


def test_values_survive_pickling() -> None:
    for value in (measured("a.b", (1.0, 2.0), confidence=0.5), absent("a.b", Reason.TIMEOUT)):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 (made one line above)


def test_an_error_reason_is_one_bounded_line() -> None:
    reason = Reason.error("ValueError: first\n\tsecond " + "x" * 1000)
    assert reason.startswith("error:ValueError: first second x")
    assert len(reason) == 200
