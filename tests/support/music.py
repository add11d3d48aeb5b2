"""Real music for the tests: tracks of Debian packages, fetched by the corpus script and made into ordinary uploads.

The script stands beside the project (`../shared/corpus`). Without it the tests that need music are skipped, which
pytest reports; in CI they fail instead.
"""

import csv
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[2]
_CORPUS_SCRIPTS = _PROJECT.parent / "shared" / "corpus"
_CACHE = _PROJECT / "build" / "corpus"
_MIN_DURATION_S = 60.0
# The same recording as area1-game.mod, played 1 % faster: correlation 0.81 when heard so.
_COPIES = {"area1-game2.mod"}
_ENCODERS = {
    "mp3": ("-c:a", "libmp3lame", "-b:a", "192k"),
    "flac": ("-c:a", "flac", "-sample_fmt", "s16"),
    "opus": ("-c:a", "libopus", "-b:a", "96k"),
}


@dataclass(frozen=True)
class Song:
    """A real track, cut to its first seconds and tagged: an ordinary upload."""

    path: Path
    title: str
    artist: str


def real_songs(directory: Path, *, n_songs: int, length_s: float) -> list[Song]:
    """Make up to `n_songs` uploads of different real tracks, as MP3, FLAC and Opus in turn."""
    if not _CORPUS_SCRIPTS.is_dir():
        message = f"NO REAL MUSIC: {_CORPUS_SCRIPTS.name} scripts are not beside the project; nothing was tested on it."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    directory.mkdir(parents=True, exist_ok=True)
    rows = _manifest_rows()[:n_songs]
    return [_upload(directory, number, row, length_s) for number, row in enumerate(rows)]


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg on files that the tests made themselves."""
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments], check=True, timeout=300)


def _manifest_rows() -> list[dict[str, str]]:
    manifest = _CACHE / "music" / "manifest.tsv"
    if not manifest.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            ["bash", str(_CORPUS_SCRIPTS / "fetch_music.sh"), str(_CACHE / "music"), "micro"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert manifest.exists(), f"fetching the music failed: {fetched.stdout[-500:]} {fetched.stderr[-500:]}"
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    songs = [row for row in rows if not row["dup_of"] and Path(row["path"]).name not in _COPIES]
    return [row for row in songs if float(row["duration_s"]) >= _MIN_DURATION_S]


def _upload(directory: Path, number: int, row: dict[str, str], length_s: float) -> Song:
    extension = list(_ENCODERS)[number % len(_ENCODERS)]
    song = Song(directory / f"{number:03d}.{extension}", f"Song {number}", row["package"])
    tags = ("-map_metadata", "-1", "-metadata", f"title={song.title}", "-metadata", f"artist={song.artist}")
    source = str(_CACHE / "music" / row["path"])
    cut = ("-map", "0:a:0", "-ac", "2", "-t", f"{length_s}")
    rate = ("-ar", "48000" if extension == "opus" else "44100")
    ffmpeg("-i", source, *cut, *rate, *_ENCODERS[extension], *tags, str(song.path))
    return song
