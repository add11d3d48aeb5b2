"""What an extractor says about one feature: a value, or an honest "unknown" with its reason.

Here: the value type, its states and the reasons. Not here: who computes values (the extractor modules) and where they
are kept (the catalogue).
"""

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from musicfp.text import clean_line

# A reason that may stand beside a value: only these parts of a long recording were analysed.
WINDOWS_NOTE_PREFIX = "windows:"
_MAX_REASON_CHARACTERS = 200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class FeatureStatus(StrEnum):
    """Whether there is a value, and if not, whose fault that is."""

    OK = "ok"
    """There is a value."""
    UNKNOWN = "unknown"
    """The audio does not answer the question: too short, silent, not finite, or the evidence is too weak."""
    UNAVAILABLE = "unavailable"
    """The model that would answer is not installed."""
    FAILED = "failed"
    """The extractor broke, crashed or ran out of time or memory."""


class Reason:
    """Words that `FeatureValue.reason` is made of; stable, because scripts compare them."""

    TOO_SHORT = "too_short"
    SILENT = "silent"
    NOT_FINITE = "not_finite"
    LOW_CONFIDENCE = "low_confidence"
    TIMEOUT = "timeout"

    @staticmethod
    def model_missing(model: str) -> str:
        """Return the reason for a value whose model is not installed."""
        return f"model_missing:{model}"

    @staticmethod
    def error(what: str) -> str:
        """Return the reason for a value whose extractor broke, on one line and bounded in length."""
        return f"error:{clean_line(what, max_characters=_MAX_REASON_CHARACTERS)}"[:_MAX_REASON_CHARACTERS]


class NotMeasurable(Exception):
    """Raised by an extractor when this audio has no answer; all its values become UNKNOWN with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelMissing(Exception):
    """Raised by an extractor whose model is not installed; all its values become UNAVAILABLE."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.reason = Reason.model_missing(model)


@dataclass(frozen=True)
class FeatureValue:
    """One feature of one track.

    Exactly one of `value`, `text` and `vector` is set when `status` is OK, none otherwise. Build with `measured()` or
    `absent()`.

    Parameters
    ----------
    name
        Dotted name, for example ``rhythm.tempo``.
    value, text, vector
        The answer, in `unit`; numbers are finite.
    unit
        Unit of `value` or `vector`; None for pure numbers and text. The registry fills it in from the declaration.
    confidence
        0 (a guess) to 1 (certain), or None where the extractor cannot judge itself.
    reason
        Why there is no value; beside a value only ``windows:...``, the parts of a long recording that were analysed.

    Raises
    ------
    ValueError
        For a number that is not finite, a confidence outside 0..1, text that no database takes, or a value that does
        not fit `status`.

    """

    name: str
    value: float | None
    text: str | None
    vector: tuple[float, ...] | None
    unit: str | None
    confidence: float | None
    status: FeatureStatus
    reason: str | None

    def __post_init__(self) -> None:
        numbers = [number for number in (self.value, *(self.vector or ())) if number is not None]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"{self.name}: a feature value must be finite, got {numbers[:4]}.")
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"{self.name}: confidence must be from 0 to 1, got {self.confidence}.")
        answers = sum(answer is not None for answer in (self.value, self.text, self.vector))
        if self.status is FeatureStatus.OK:
            self._check_ok(answers)
        elif answers or not self.reason:
            raise ValueError(f"{self.name}: status {self.status} needs a reason and no value.")

    def _check_ok(self, answers: int) -> None:
        if self.text is not None and _UNSTORABLE.search(self.text):
            raise ValueError(f"{self.name}: text with a NUL or half a character in it cannot be stored.")
        if answers != 1 or self.text == "" or self.vector == ():
            raise ValueError(f"{self.name}: status ok needs exactly one non-empty value, text or vector.")
        if self.reason is not None and not self.reason.startswith(WINDOWS_NOTE_PREFIX):
            raise ValueError(f"{self.name}: a value may only carry a {WINDOWS_NOTE_PREFIX} note, got {self.reason!r}.")

    def with_unit_and_note(self, *, unit: str | None, note: str | None) -> "FeatureValue":
        """Return this value in `unit`, with `note` as its reason if it has a value and none yet."""
        reason = note if self.status is FeatureStatus.OK and self.reason is None else self.reason
        return replace(self, unit=unit, reason=reason)


def measured(name: str, answer: float | str | tuple[float, ...], *, confidence: float | None = None) -> FeatureValue:
    """Return an OK value for `name`; `answer` is a number, a text or a vector of numbers."""
    return FeatureValue(
        name=name,
        value=None if isinstance(answer, str | tuple) else float(answer),
        text=answer if isinstance(answer, str) else None,
        vector=tuple(float(number) for number in answer) if isinstance(answer, tuple) else None,
        unit=None,
        confidence=None if confidence is None else float(confidence),
        status=FeatureStatus.OK,
        reason=None,
    )


def absent(name: str, reason: str, *, status: FeatureStatus = FeatureStatus.UNKNOWN) -> FeatureValue:
    """Return a value for `name` that is not there, and why."""
    return FeatureValue(
        name=name, value=None, text=None, vector=None, unit=None, confidence=None, status=status, reason=reason
    )
