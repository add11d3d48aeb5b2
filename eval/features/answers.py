"""What is asked about a piece of music: the truth, and what somebody answered.

What belongs here: the two records. What does not: where truth comes from (`material`), judging (`scoring`).
"""

from dataclasses import dataclass
from pathlib import Path

# A pulse in 2 and in 4 sounds alike, and so does 12/8 beside 6/8: the bar line between is the composer's.
CLASSES = ("4/4", "3/4", "6/8", "9/8", "5/4", "7/8")
_CLASS_OF = {"2/4": "4/4", "2/2": "4/4", "4/2": "4/4", "3/8": "3/4", "3/2": "3/4", "12/8": "6/8", "5/8": "5/4"}
DUPLE, TRIPLE = {"4/4", "6/8"}, {"3/4", "9/8"}


@dataclass(frozen=True)
class Piece:
    """A piece of audio with what is known about it; None where nobody knows.

    `key_is_certain` where the written key, the pitches and the last chord agree.
    """

    name: str
    path: Path
    style: str
    duration_s: float
    source: str
    tempo_bpm: float
    time_signature: str | None = None
    key: str | None = None
    mode: str | None = None
    key_is_certain: bool = False
    beats_s: tuple[float, ...] = ()
    downbeats_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What somebody says about a piece, and how sure that is, 0 to 1; None where nothing is said."""

    cpu_s: float
    tempo_bpm: float | None = None
    time_signature: str | None = None
    key: str | None = None
    mode: str | None = None
    beats_s: tuple[float, ...] = ()
    downbeats_s: tuple[float, ...] = ()
    tempo_confidence: float | None = None
    meter_confidence: float | None = None
    key_confidence: float | None = None


def meter_class(time_signature: str | None) -> str | None:
    """Return which of CLASSES a time signature belongs to; None for none and for others."""
    name = _CLASS_OF.get(time_signature or "", time_signature)
    return name if name in CLASSES else None
