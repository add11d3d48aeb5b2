"""What is evaluated, behind one interface, and the article's method as its plainest kind.

What belongs here: the interface. What does not: the product itself (`product`), other programs (`peers`), truth.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eval.distractors import Items
from eval.fingerprints import fingerprint_of
from eval.music import Track
from musicfp.fingerprint.model import ITEM_DURATION_S, bit_rows

# Catalogued under names that no file has; an answer that is one of these is wrong.
DISTRACTOR = "distractor"


@dataclass(frozen=True)
class Answer:
    """A track that may hold the query. `offset_s` is where in the track the query starts."""

    track: str
    score: float
    offset_s: float
    is_accepted: bool


@dataclass(frozen=True)
class Reply:
    """Answers, best first, and what they took; loading the samples is not part of it."""

    answers: tuple[Answer, ...]
    took_ms: float


class Recogniser(Protocol):
    """Something that is told a catalogue once and is then asked which track a clip is of."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def is_shared(self) -> bool:
        """Whether forked processes can ask it at the same time."""

    def index(self, tracks: Sequence[Track], distractors: Iterable[Items]) -> None:
        """Take in the catalogue; distractors have fingerprints only, and one that needs audio refuses them."""

    def query(self, clip: Path) -> Reply:
        """Answer for a clip: a .npy file of 16-bit mono samples at `QUERY_RATE_HZ`."""

    def close(self) -> None:
        """End what was started."""


@dataclass
class ArticleMethod:
    """Raw normalized cross-correlation of fingerprints as pictures, with scikit-image, against every track.

    It ranks and has no rule for when to say yes, so none of its answers counts as accepted.
    """

    name: str = "article (match_template)"
    is_shared: bool = True
    pictures: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def index(self, tracks: Sequence[Track], distractors: Iterable[Items]) -> None:
        """Make the pictures, 32 bits high."""
        for track in tracks:
            self.pictures[track.name] = _picture(fingerprint_of(track.samples()).sub_fingerprints)
        for number, items in enumerate(distractors):
            self.pictures[f"{DISTRACTOR} {number}"] = _picture(items)

    def query(self, clip: Path) -> Reply:
        """Compare with every track."""
        from skimage.feature import match_template  # noqa: PLC0415 - half a second that only this recogniser needs

        samples = np.load(clip)
        began = time.perf_counter()
        template = _picture(fingerprint_of(samples).sub_fingerprints)
        answers = []
        for name, picture in self.pictures.items():
            if picture.shape[0] < template.shape[0]:
                continue
            correlations = match_template(picture, template)[:, 0]  # type: ignore[no-untyped-call]
            at = int(correlations.argmax())
            answers.append(Answer(name, float(correlations[at]), at * ITEM_DURATION_S, is_accepted=False))
        answers.sort(key=lambda answer: -answer.score)
        return Reply(tuple(answers[:10]), (time.perf_counter() - began) * 1000)

    def close(self) -> None:
        """Nothing was started."""


def _picture(items: Items) -> NDArray[np.float64]:
    return bit_rows(items).astype(np.float64)
