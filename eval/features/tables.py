"""Markdown tables of an evaluation of features.

What belongs here: formatting. What does not: the numbers (`scoring`, `ebu`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from eval.features.answers import CLASSES, Piece, meter_class
from eval.features.ebu import Reading
from eval.features.scoring import (
    Asked,
    by_confidence,
    confusion,
    duple_triple,
    f_measure,
    key_shares,
    right_class,
    tempo_is_right,
    tempo_shares,
)

_STYLES = ("band", "chorale", "solo", "art")
_NOTHING = "none"
_CONFIDENCES = (0.0, 0.5, 0.7, 0.9, 1.0)


def by_style(asked: Sequence[Asked]) -> str:
    """Return key, tempo, meter, beats and downbeats by style of rendered pieces, and over all."""
    head = (
        "set",
        "n",
        "key weighted",
        "key exact",
        "of",
        "Acc1",
        "Acc2",
        "duple/triple",
        "class",
        "beats F",
        "downbeats F",
        "of",
    )
    rows = [_style_row(style, [each for each in asked if each[0].style == style]) for style in _STYLES]
    return _table(head, [*(row for row in rows if row[1] != "0"), _style_row("all", asked)])


def confusion_table(asked: Iterable[Asked]) -> str:
    """Return true classes of time signatures by answered ones, and what follows from them."""
    counts = confusion(asked)
    answered = [*CLASSES, None]
    truths = [name for name in CLASSES if any(truth == name for truth, _ in counts)]
    rows = [
        [truth, *(str(counts[truth, answer] or "") for answer in answered), str(right_class(counts, of=truth))]
        for truth in truths
    ]
    table = _table(("truth", *(name or _NOTHING for name in answered), "recall"), rows)
    return f"{table}\n\nDuple/triple {duple_triple(counts)}, class {right_class(counts)}."


def confidence_table(asked: Sequence[Asked]) -> str:
    """Return how often answers are right that are so sure, for tempo, time signature and certain keys."""
    certain = [each for each in asked if each[0].key_is_certain]
    judged = {
        "tempo": [
            (answer.tempo_confidence, tempo_is_right(piece.tempo_bpm, answer.tempo_bpm)) for piece, answer in asked
        ],
        "time signature": [
            (answer.meter_confidence, meter_class(piece.time_signature) == meter_class(answer.time_signature))
            for piece, answer in asked
        ],
        "key": [(answer.key_confidence, key_shares([(piece, answer)])[1].right == 1) for piece, answer in certain],
    }
    head = [f"{low:g} to {high:g}" for low, high in pairwise(_CONFIDENCES)]
    rows = [
        [name, *(f"{share} of {share.n}" if share.n else "" for share in by_confidence(each, _CONFIDENCES))]
        for name, each in judged.items()
    ]
    return _table(("right at a confidence of", *head), rows)


def metal_table(asked: Iterable[Asked]) -> str:
    """Return the tempo of each real recording."""
    rows = [
        [
            piece.name,
            f"{piece.tempo_bpm:g}",
            f"{answer.tempo_bpm:.1f}" if answer.tempo_bpm else _NOTHING,
            _yes(tempo_is_right(piece.tempo_bpm, answer.tempo_bpm)),
            _yes(tempo_is_right(piece.tempo_bpm, answer.tempo_bpm, up_to_octave=True)),
            answer.time_signature or _NOTHING,
        ]
        for piece, answer in asked
    ]
    return _table(("recording", "BPM", "answer", "within 4 %", "up to octave", "time signature"), rows)


def loudness_table(readings: Iterable[Reading]) -> str:
    """Return how far readings of test signals are from what they should be, by measure."""
    by_measure: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        by_measure[reading.measure].append(reading)
    rows = []
    for measure, each in by_measure.items():
        errors = [reading.read - reading.expected for reading in each if reading.read is not None]
        wrong = [reading.case for reading in each if not reading.is_right]
        rows.append(
            [
                measure,
                f"{len(each) - len(wrong)} of {len(each)}",
                f"{min(errors):+.3f} to {max(errors):+.3f}",
                ", ".join(wrong),
            ]
        )
    return _table(("measure", "right", "error, LU or dB", "wrong"), rows)


def comparison(answers: Mapping[str, Sequence[Asked]]) -> str:
    """Return accuracy and cost of several programs on the same pieces."""
    rows = []
    for name, asked in answers.items():
        styles = [
            key_shares(each for each in asked if each[0].style == style)[0] for style in ("band", "chorale", "solo")
        ]
        rendered = [each for each in asked if each[0].style != "metal"]
        acc1, acc2 = tempo_shares(rendered)
        _, metal = tempo_shares([each for each in asked if each[0].style == "metal"])
        counts = confusion(rendered)
        says_meter = any(answer for _, answer in counts)
        meters = [duple_triple(counts), right_class(counts)] if says_meter else ["", ""]
        minutes = sum(piece.duration_s for piece, _ in asked) / 60
        cpu = sum(answer.cpu_s for _, answer in asked) / minutes
        rows.append(
            [
                name,
                *map(str, styles),
                str(acc1),
                str(acc2),
                f"{metal.right:g} of {metal.n}",
                *map(str, meters),
                f"{cpu:.2f}",
            ]
        )
    head = (
        "program",
        "key band",
        "chorale",
        "solo",
        "Acc1",
        "Acc2",
        "metal",
        "duple/triple",
        "class",
        "CPU s per minute",
    )
    return _table(head, rows)


def cost_table(cost: Mapping[str, float]) -> str:
    """Return CPU seconds for each minute of audio, by extractor."""
    rows = [[name, f"{cpu_s:.3f}"] for name, cpu_s in cost.items()]
    return _table(("extractor", "CPU s per minute"), [*rows, ["together", f"{sum(cost.values()):.2f}"]])


def mistakes(asked: Iterable[Asked]) -> str:
    """Return a line for each wrong tempo, key or class."""
    lines = []
    for piece, answer in asked:
        wrong = []
        if not tempo_is_right(piece.tempo_bpm, answer.tempo_bpm):
            wrong.append(f"tempo {piece.tempo_bpm:g} answered {answer.tempo_bpm and round(answer.tempo_bpm, 1)}")
        truth = meter_class(piece.time_signature)
        if truth is not None and truth != meter_class(answer.time_signature):
            wrong.append(f"{piece.time_signature} answered {answer.time_signature}")
        if piece.key_is_certain and key_shares([(piece, answer)])[1].right == 0:
            wrong.append(f"{piece.key} {piece.mode} answered {answer.key} {answer.mode}")
        if wrong:
            lines.append(f"{piece.style:8}{piece.name}: {'; '.join(wrong)}")
    return "\n".join(lines)


def _style_row(name: str, asked: Sequence[Asked]) -> list[str]:
    weighted, exact = key_shares(asked)
    counts: Counter[tuple[str, str | None]] = confusion(asked)
    beats = [f_measure(piece.beats_s, answer.beats_s) for piece, answer in asked]
    downbeats = [f_measure(piece.downbeats_s, answer.downbeats_s) for piece, answer in asked if answer.downbeats_s]
    cells = (weighted, exact, weighted.n, *tempo_shares(asked), duple_triple(counts), right_class(counts))
    return [name, str(len(asked)), *map(str, cells), _mean(beats), _mean(downbeats), str(len(downbeats))]


def _mean(numbers: Sequence[float]) -> str:
    return f"{sum(numbers) / len(numbers):.3f}" if numbers else ""


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def heading(text: str, pieces: Sequence[Piece]) -> str:
    """Return a heading with how much music it is about."""
    return f"### {text}: {len(pieces)} pieces, {sum(piece.duration_s for piece in pieces) / 60:.0f} min"
