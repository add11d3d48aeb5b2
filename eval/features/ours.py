"""The answers of musicfp about pieces of music, each file decoded and analysed once.

What belongs here: asking. What does not: what is asked of others (`peers`) and judging (`scoring`).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from eval.features.answers import Answer, Piece
from eval.features.scoring import Asked
from musicfp.features.analysis import analyse_file
from musicfp.features.registry import Registry, load_builtin
from musicfp.features.values import FeatureValue

NAME = "musicfp"
# All that answers what is judged here, and what these share.
EXTRACTORS = ("tempo", "beats", "meter", "key")
_MAX_DURATION_S = 3600.0


def answers(pieces: Iterable[Piece]) -> Iterator[Asked]:
    """Yield each piece with what musicfp says; essentia's import is paid before the first and not counted."""
    registry = load_builtin([])
    warm = False
    for piece in pieces:
        if not warm:
            _analyse(piece.path, registry)
            warm = True
        yield piece, _analyse(piece.path, registry)


def model_free_cost(pieces: Iterable[Piece]) -> dict[str, float]:
    """Return CPU seconds for each minute of audio of decoding and of every extractor that needs no model.

    In the order of the registry: what extractors share is counted for the first of them.
    """
    registry = load_builtin([])
    names = [each.name for each in registry.all() if not each.models]
    spent: dict[str, float] = {}
    minutes = 0.0
    for piece in pieces:
        analysis = analyse_file(piece.path, names, registry=registry, max_duration_s=_MAX_DURATION_S)
        minutes += piece.duration_s / 60
        for name, cpu_s in {"decoding": analysis.decode_cpu_s, **analysis.cpu_s}.items():
            spent[name] = spent.get(name, 0.0) + cpu_s
    return {name: cpu_s / minutes for name, cpu_s in spent.items()}


def _analyse(path: Path, registry: Registry) -> Answer:
    analysis = analyse_file(path, EXTRACTORS, registry=registry, max_duration_s=_MAX_DURATION_S)
    values = {value.name: value for each in analysis.values.values() for value in each}
    return Answer(
        cpu_s=analysis.decode_cpu_s + sum(analysis.cpu_s.values()),
        tempo_bpm=values["rhythm.tempo"].value,
        time_signature=values["rhythm.time_signature"].text,
        key=values["tonal.key"].text,
        mode=values["tonal.mode"].text,
        beats_s=_instants(values["rhythm.beats"]),
        downbeats_s=_instants(values["rhythm.downbeats"]),
        tempo_confidence=values["rhythm.tempo"].confidence,
        meter_confidence=values["rhythm.time_signature"].confidence,
        key_confidence=values["tonal.key"].confidence,
    )


def _instants(value: FeatureValue) -> tuple[float, ...]:
    return value.vector or ()
