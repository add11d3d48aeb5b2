"""What a hostile file is, and what its makers may build it from."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.audio_samples import encode_case, music_samples, write_wav

ACCEPTED = "accepted"
PIECE_S = 8.0
TAGS = {"title": "Kettle", "artist": "Hattie"}


class Workbench:
    """What files are made from: real encodings of one tagged piece, and two places that nobody must go to."""

    def __init__(self, folder: Path, *, canary_url: str, canary_path: Path) -> None:
        self.folder = folder
        self.canary_url = canary_url
        self.canary_path = canary_path
        self._source = write_wav(folder / "piece.wav", music_samples(PIECE_S))
        self.encoded: Callable[[str], bytes] = functools.cache(self._encoded)

    def _encoded(self, case: str) -> bytes:
        return encode_case(case, self._source, self.folder, tags=TAGS).read_bytes()


@dataclass(frozen=True)
class HostileFile:
    """One file: how it is made and under which extension it comes.

    `expected` are the outcomes that are right: codes of problems, or "accepted" for what is harmless. Empty where any
    clear answer will do, as for random damage.
    """

    group: str
    name: str
    extension: str
    build: Callable[[Workbench], bytes]
    expected: frozenset[str] = frozenset()


def expecting(*codes: str) -> frozenset[str]:
    """Return the outcomes that are right."""
    return frozenset(codes)
