"""Music whose tempo, meter and key are known: rendered scores, and recordings made to a click.

What belongs here: making the sets by the corpus scripts, and reading their truth. What does not: asking about them.

    build/features/sets/scores-SEED/     rendered scores and truth.jsonl
    build/features/sets/metal/           real recordings of a constant tempo

One seed chooses pieces, instruments, keys and tempi. Numbers that are reported come from seeds that nothing was tuned
on, and what was tuned never heard the scores that these chose.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eval.features.answers import Piece
from eval.features.tools import PYTHON, SOUNDFONTS, require_tools
from eval.music import CORPUS_SCRIPTS, PROJECT

SETS = PROJECT / "build" / "features" / "sets"
METAL_PACKAGES = ("fretsonfire-songs-muldjord", "fretsonfire-songs-sectoid")
_RENDER_TIMEOUT_S = 3600
_SOLO_SHARE = 0.15  # of tunes; the others get a band
# Nothing is chosen on the reporting seeds.
TUNING_SEEDS = (11, 12, 13, 14)
REPORTING_SEEDS = (901, 902)


@dataclass(frozen=True)
class Size:
    """How many pieces of each style a seed gives."""

    band: int
    chorale: int
    solo: int
    art: int


TUNING_SIZE = Size(band=60, chorale=50, solo=50, art=10)
REPORTING_SIZE = Size(band=40, chorale=30, solo=25, art=8)


def rendered(seed: int, size: Size, *, without: Iterable[Piece] = ()) -> list[Piece]:
    """Return the pieces of a seed after rendering what is missing, about a second a piece.

    Scores that `without` has are left out. One tune in seven is a bare melody, so many more are written down than are
    rendered.
    """
    folder = SETS / f"scores-{seed}"
    n_tunes = max(math.ceil(size.solo / _SOLO_SHARE), 2 * size.band)
    made = folder / f"complete-{n_tunes}-{2 * size.chorale}-{size.art}"
    if not made.exists():
        require_tools()
        numbers = {"--n-tunes": n_tunes, "--n-chorales": 2 * size.chorale, "--n-art": size.art, "--seed": seed}
        options = [part for name, number in numbers.items() for part in (name, str(number))]
        _run("scorebank.py", str(folder), *options, "--only-midi")
        made.touch()
    chosen = choose(_truth(folder), size, without={piece.source for piece in without})
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # each waits for a process
        list(threads.map(partial(_render, folder), chosen))
    return [_rendered_piece(folder, row) for row in chosen]


def choose(rows: Iterable[dict[str, Any]], size: Size, *, without: Container[str]) -> list[dict[str, Any]]:
    """Return so many rows of each style whose source is not among `without`."""
    others = [row for row in rows if row["source"] not in without]
    return [
        row
        for style, n in vars(size).items()
        for row in _spread([each for each in others if each["style"] == style], n)
    ]


def _spread(rows: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Return up to `n` rows from all over, as the script writes one time signature after the other."""
    return list(rows) if len(rows) <= n else [rows[number * len(rows) // n] for number in range(n)]


def _render(folder: Path, row: dict[str, Any]) -> None:
    """Play a piece's MIDI file by the soundfont that its seed chose, as the script does."""
    path = folder / row["file"]
    if path.exists():
        return
    wav, unfinished = path.with_suffix(".wav"), path.with_suffix(".part.flac")
    synth = ["fluidsynth", "-ni", "-q", "-r", "44100", "-R", "0", "-C", "0", "-g", "0.7", "-F", str(wav)]
    midi = str(path.with_suffix(".mid"))
    _run_quietly([*synth, str(SOUNDFONTS[row["soundfont"]]), midi])
    encode = ["ffmpeg", "-v", "error", "-y", "-i", str(wav), "-t", str(row["seconds"]), "-sample_fmt", "s16"]
    _run_quietly([*encode, str(unfinished)])
    wav.unlink()
    unfinished.rename(path)


def reporting() -> list[Piece]:
    """Return what reports are about."""
    return [piece for seed in REPORTING_SEEDS for piece in rendered(seed, REPORTING_SIZE)]


def tuning(seeds: Iterable[int] = TUNING_SEEDS) -> list[Piece]:
    """Return what everything is chosen and learnt on: other scores than those of `reporting`."""
    reported = reporting()
    return [piece for seed in seeds for piece in rendered(seed, TUNING_SIZE, without=reported)]


def metal() -> list[Piece]:
    """Return the real recordings, after fetching and mixing them if need be."""
    folder = SETS / "metal"
    if not (folder / "truth.jsonl").exists():
        require_tools()
        packages = SETS.parent / "packages"
        _run("fetch_debs.sh", str(packages), *METAL_PACKAGES)
        _run("fof_truth.py", str(packages), str(folder))
    return [
        Piece(
            name=row["file"].removesuffix(".flac"),
            path=folder / row["file"],
            style="metal",
            duration_s=row["seconds"],
            source=row["file"],
            tempo_bpm=row["bpm_dominant"],
        )
        for row in _truth(folder)
    ]


def _run_quietly(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, timeout=_RENDER_TIMEOUT_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _rendered_piece(folder: Path, row: dict[str, Any]) -> Piece:
    return Piece(
        name=f"{folder.name}/{row['id']}",
        path=folder / row["file"],
        style=row["style"],
        duration_s=row["seconds"],
        source=row["source"],
        tempo_bpm=row["beat_bpm"],
        time_signature=row["time_signature"],
        key=row["key_tonic"],
        mode=row["mode"],
        key_is_certain=row["key_strict"],
        beats_s=tuple(row["beats"]),
        downbeats_s=tuple(row["downbeats"]),
    )


def _truth(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


def _run(script: str, *arguments: str) -> None:
    path = CORPUS_SCRIPTS / script
    if not path.exists():
        raise SystemExit(f"The script that makes this music is not there: {path}. It comes with the corpus.")
    interpreter = "bash" if path.suffix == ".sh" else str(PYTHON)
    if shutil.which(interpreter) is None:
        raise SystemExit(f"Cannot make music: {interpreter} is missing.")
    SETS.mkdir(parents=True, exist_ok=True)
    subprocess.run([interpreter, str(path), *arguments], check=True, timeout=_RENDER_TIMEOUT_S, stdout=sys.stderr)
