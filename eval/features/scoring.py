"""Judging answers about music by the rules of the field.

What belongs here: scores of one answer and of many. What does not: formatting (`tables`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.features.answers import DUPLE, TRIPLE, Answer, Piece, meter_class

TEMPO_TOLERANCE = 0.04  # MIREX
BEAT_TOLERANCE_S = 0.07  # MIREX, F-measure of beats and downbeats
_OCTAVES = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)
_FIFTH, _RELATIVE, _PARALLEL = 0.5, 0.3, 0.2  # MIREX audio key detection
_PITCH_CLASSES = {
    name: number
    for number, names in enumerate(
        ("C/B#", "C#/Db", "D", "D#/Eb", "E/Fb", "F/E#", "F#/Gb", "G", "G#/Ab", "A", "A#/Bb", "B/Cb")
    )
    for name in names.split("/")
}

Asked = tuple[Piece, Answer]


@dataclass(frozen=True)
class Share:
    """How many of `n` were right; `right` need not be whole."""

    right: float
    n: int

    def __str__(self) -> str:
        return f"{self.right / self.n:.3f}" if self.n else ""


def key_score(truth: tuple[str, str], answer: tuple[str | None, str | None]) -> float:
    """Return the weighted score of MIREX: 1 right, .5 a perfect fifth off, .3 relative, .2 parallel, else 0."""
    if answer[0] is None or answer[1] is None:
        return 0.0
    tonic, answered = _PITCH_CLASSES[truth[0]], _PITCH_CLASSES[answer[0]]
    if truth[1] == answer[1]:
        return {0: 1.0, 5: _FIFTH, 7: _FIFTH}.get((answered - tonic) % 12, 0.0)
    if answered == tonic:
        return _PARALLEL
    relative = tonic - 3 if truth[1] == "major" else tonic + 3
    return _RELATIVE if (answered - relative) % 12 == 0 else 0.0


def tempo_is_right(truth_bpm: float, answer_bpm: float | None, *, up_to_octave: bool = False) -> bool:
    """Whether a tempo is within 4 %; up to an octave: of the truth times 1, 2, 3, 1/2 or 1/3."""
    if answer_bpm is None:
        return False
    factors = _OCTAVES if up_to_octave else (1.0,)
    return any(abs(answer_bpm - truth_bpm * each) <= TEMPO_TOLERANCE * truth_bpm * each for each in factors)


def key_shares(asked: Iterable[Asked]) -> tuple[Share, Share]:
    """Return the weighted and the exact share of right keys, of the pieces whose key is certain."""
    scores = [
        key_score((piece.key, piece.mode), (answer.key, answer.mode))
        for piece, answer in asked
        if piece.key_is_certain and piece.key is not None and piece.mode is not None
    ]
    return Share(sum(scores), len(scores)), Share(scores.count(1.0), len(scores))


def tempo_shares(asked: Sequence[Asked]) -> tuple[Share, Share]:
    """Return Acc1 and Acc2."""
    acc1 = sum(tempo_is_right(piece.tempo_bpm, answer.tempo_bpm) for piece, answer in asked)
    acc2 = sum(tempo_is_right(piece.tempo_bpm, answer.tempo_bpm, up_to_octave=True) for piece, answer in asked)
    return Share(acc1, len(asked)), Share(acc2, len(asked))


def confusion(asked: Iterable[Asked]) -> Counter[tuple[str, str | None]]:
    """Count (true class, answered class) of the pieces whose time signature is known."""
    pairs = ((meter_class(piece.time_signature), meter_class(answer.time_signature)) for piece, answer in asked)
    return Counter((truth, answered) for truth, answered in pairs if truth is not None)


def duple_triple(counts: Counter[tuple[str, str | None]]) -> Share:
    """Return the share of duple bars called duple and of triple bars called triple; no answer is wrong."""
    return _share(counts, {"4/4", "3/4", "6/8", "9/8"}, lambda a, b: b in (DUPLE if a in DUPLE else TRIPLE))


def right_class(counts: Counter[tuple[str, str | None]], *, of: str | None = None) -> Share:
    """Return the share of right classes, of all or of one class (its recall)."""
    return _share(counts, {truth for truth, _ in counts if of in (None, truth)}, lambda truth, answer: truth == answer)


def by_confidence(judged: Iterable[tuple[float | None, bool]], edges: Sequence[float]) -> list[Share]:
    """Return the share of right answers whose confidence is between two edges and the next, the last edge included.

    What has no confidence was not answered and is left out.
    """
    known = [(confidence, is_right) for confidence, is_right in judged if confidence is not None]
    within = [
        [is_right for confidence, is_right in known if low <= confidence < high or confidence == high == edges[-1]]
        for low, high in pairwise(edges)
    ]
    return [Share(sum(each), len(each)) for each in within]


def f_measure(truth_s: Sequence[float], answer_s: Sequence[float]) -> float:
    """Return the F-measure of instants, each matched once and within BEAT_TOLERANCE_S."""
    hits, at = 0, 0
    answers = sorted(answer_s)
    for instant in sorted(truth_s):
        while at < len(answers) and answers[at] < instant - BEAT_TOLERANCE_S:
            at += 1
        if at < len(answers) and answers[at] <= instant + BEAT_TOLERANCE_S:
            hits, at = hits + 1, at + 1
    total = len(truth_s) + len(answer_s)
    return 2 * hits / total if total else 0.0


def _share(
    counts: Counter[tuple[str, str | None]], truths: set[str], is_right: Callable[[str, str | None], bool]
) -> Share:
    asked = {pair: n for pair, n in counts.items() if pair[0] in truths}
    return Share(sum(n for pair, n in asked.items() if is_right(*pair)), sum(asked.values()))
