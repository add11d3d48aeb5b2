"""What librosa and essentia's MusicExtractor answer about the same files, each in a process of its own.

What belongs here: driving them. What does not: the processes themselves (`librosa_worker`, `music_extractor_worker`).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.features.answers import Answer, Piece
from eval.features.scoring import Asked
from eval.features.tools import PYTHON, require_tools
from eval.music import PROJECT

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """Another program that answers about music; `key_suffix` chooses among several keys that it gives."""

    name: str
    command: Callable[[], Sequence[str]]
    key_suffixes: tuple[str, ...] = ("",)


def _librosa_command() -> Sequence[str]:
    require_tools()
    return [str(PYTHON), str(_HERE / "librosa_worker.py")]


def _music_extractor_command() -> Sequence[str]:
    return [sys.executable, "-m", "eval.features.music_extractor_worker"]


PEERS = (
    Peer("librosa 0.11", _librosa_command),
    Peer("MusicExtractor", _music_extractor_command, key_suffixes=("", "_krumhansl", "_edma")),
)


def answers(peer: Peer, pieces: Sequence[Piece]) -> Iterator[tuple[str, Asked]]:
    """Yield each piece with what a peer says, under its name; once for each key it gives."""
    # Its own messages go to standard output too, so only lines that are JSON are its answers.
    with subprocess.Popen(
        list(peer.command()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as worker:
        assert worker.stdin is not None  # noqa: S101 (for mypy: PIPE was asked for)
        assert worker.stdout is not None  # noqa: S101
        for piece in pieces:
            worker.stdin.write(f"{piece.path}\n")
            worker.stdin.flush()
            said = json.loads(next(line for line in worker.stdout if line.startswith("{")))
            for suffix in peer.key_suffixes:
                name = f"{peer.name}{suffix.replace('_', ', key ')}"
                answer = Answer(
                    cpu_s=said["cpu_s"],
                    tempo_bpm=said["tempo_bpm"],
                    key=said[f"key{suffix}"],
                    mode=said[f"mode{suffix}"],
                )
                yield name, (piece, answer)
        worker.stdin.close()
