"""The music of the evaluation: finding it, decoding it, and which of it is catalogued.

What belongs here: files, decoded audio, and the split into sources and strangers. What does not: queries (`queries`).

Nothing here trusts names or tags: a file counts if it decodes to enough audio, and is known by the hash of its content.
"""

import hashlib
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval import packages
from eval.degrade import QUERY_RATE_HZ, SOURCE_RATE_HZ
from eval.pieces import piece_of

PROJECT = Path(__file__).parents[1]
CORPUS_SCRIPTS = PROJECT.parent / "shared" / "corpus"
CACHE = PROJECT / "build" / "eval-cache"
# The longest query with all that its condition reads must fit, and leave a choice of where it starts.
MIN_DURATION_S = 45.0
# More of an endless tracker module says nothing new.
MAX_DURATION_S = 600.0
STRANGER_SHARE = 0.3
_MIN_TELLING_NAME = 10
_DECODE_TIMEOUT_S = 300
_FETCH_TIMEOUT_S = 1200
_NO_AUDIO = {"", ".tsv", ".txt", ".md", ".json", ".done", ".packs", ".copyright", ".mid", ".midi", ".py"}


@dataclass(frozen=True)
class Track:
    """A piece of music. `family` is shared by the recordings of one piece, as far as their names tell."""

    name: str
    path: Path
    content: str
    duration_s: float
    family: str

    def samples(self) -> NDArray[np.int16]:
        """Return the whole track, mono at `QUERY_RATE_HZ` [shape=(n,)], from the cache of decoded tracks."""
        decoded: NDArray[np.int16] = np.load(_decoded_path(self.content), mmap_mode="r")
        return decoded


@dataclass(frozen=True)
class Music:
    """The tracks that are catalogued and those that never are."""

    sources: tuple[Track, ...]
    strangers: tuple[Track, ...]


def fetched(set_name: str) -> Path:
    """Return the folder of "micro", "dev" or "full", each with the music of those before, after fetching it if need be.

    By the corpus scripts. Micro are 65 tracks, dev 147, full 753: 37 hours, 3 GB to download.
    """
    folder = PROJECT / "build" / "corpus" / ("music" if set_name == "micro" else f"music-{set_name}")
    is_full = set_name == "full"
    if packages.is_fetched(folder) if is_full else (folder / "manifest.tsv").exists():
        return folder
    script = CORPUS_SCRIPTS / ("fetch_debs.sh" if is_full else "fetch_music.sh")
    if not script.exists():
        raise SystemExit(
            f"No music to evaluate with: {folder} is not there, and neither is the script that fetches it\n"
            f"({script}). Give a folder of at least eight pieces of music instead: python -m eval --music FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if is_full:
        packages.fetch_full(folder, script)
        return folder
    subprocess.run(
        ["bash", str(script), str(folder), set_name], check=True, timeout=_FETCH_TIMEOUT_S, stdout=sys.stderr
    )
    return folder


def load_music(folder: Path, *, max_tracks: int | None = None, max_sources: int | None = None) -> Music:
    """Decode every audio file below a folder and split the tracks; see `load_tracks`.

    Of more sources than `max_sources` some are left out, chosen by hash; the strangers stay the same.
    """
    tracks = load_tracks(folder)
    if max_tracks is not None:
        tracks = sorted(tracks, key=lambda track: rank_by_hash(track.content))[:max_tracks]
    music = split(tracks)
    if len(music.strangers) < 2 or len(music.sources) < 5:
        raise SystemExit(f"{folder} holds {len(tracks)} different pieces of {MIN_DURATION_S:g} s or more: too few.")
    if max_sources is None:
        return music
    kept = sorted(music.sources, key=lambda track: rank_by_hash(track.content))[:max_sources]
    return Music(tuple(sorted(kept, key=lambda track: track.name)), music.strangers)


def load_tracks(folder: Path) -> list[Track]:
    """Decode every audio file below a folder, and return them by name; short, broken and equal files are left out."""
    files = sorted(path for path in folder.rglob("*") if _may_be_audio(path))
    with ThreadPoolExecutor(2) as threads:
        tracks = [each for each in threads.map(lambda path: _load(path, folder), files) if each is not None]
    distinct = {track.content: track for track in reversed(tracks)}.values()
    return sorted(distinct, key=lambda track: track.name)


def split(tracks: Sequence[Track]) -> Music:
    """Divide tracks by the hashes of their names, so that recordings of one piece stay on one side.

    Those that are known to be of one piece under other names do not decide the side, so that learning of some leaves
    all other tracks where they were; a source that is of the same piece as a stranger is left out.
    """
    families: dict[str, list[Track]] = {}
    for track in sorted(tracks, key=lambda track: track.name):
        families.setdefault(_telling_name(track.name), []).append(track)
    wanted = math.ceil(len(tracks) * STRANGER_SHARE)
    strangers: list[Track] = []
    for family in sorted(families, key=rank_by_hash):
        if len(strangers) >= wanted:
            break
        strangers += families[family]
    strange = {track.family for track in strangers}
    sources = sorted((track for track in tracks if track.family not in strange), key=lambda track: track.name)
    return Music(tuple(sources), tuple(sorted(strangers, key=lambda track: track.name)))


def rank_by_hash(text: str) -> str:
    """Return what sorts by chance and always the same way."""
    return hashlib.sha256(text.encode()).hexdigest()


def decode_at_source_rate(track: Track) -> NDArray[np.int16]:
    """Decode a track to stereo [shape=(n, 2)] at `SOURCE_RATE_HZ`; not cached, it is large."""
    return decode(track.path, rate_hz=SOURCE_RATE_HZ, n_channels=2).reshape(-1, 2)


def decode(path: Path, *, rate_hz: int, n_channels: int) -> NDArray[np.int16]:
    """Decode a file to interleaved samples [shape=(n * n_channels,)], at most `MAX_DURATION_S` of it."""
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0", "-t", f"{MAX_DURATION_S:g}"]
    argv += ["-f", "s16le", "-ac", str(n_channels), "-ar", str(rate_hz), "-"]
    decoded = subprocess.run(argv, check=True, capture_output=True, timeout=_DECODE_TIMEOUT_S).stdout
    return np.frombuffer(decoded, dtype="<i2")


def decoded_speech(recording: Path) -> Path:
    """Decode a recording of voices to mono at `SOURCE_RATE_HZ`, and return the .npy file that holds it."""
    path = CACHE / "speech" / f"{hashlib.sha256(recording.read_bytes()).hexdigest()[:24]}.npy"
    if not path.exists():
        save(path, decode(recording, rate_hz=SOURCE_RATE_HZ, n_channels=1))
    return path


def family_of(name: str) -> str:
    """Return what two recordings of one piece share: the piece if it is known (`pieces`), else a telling name."""
    return piece_of(name) or _telling_name(name)


def _telling_name(name: str) -> str:
    """Return a file's name without case, punctuation and extension; all of it if that is short, like "menu"."""
    plain = re.sub(r"[\W_]+", "", Path(name).stem.casefold())
    return plain if len(plain) >= _MIN_TELLING_NAME else name


def _may_be_audio(path: Path) -> bool:
    return (
        path.is_file() and not path.is_symlink() and path.suffix.lower() not in _NO_AUDIO and path.name != "copyright"
    )


def _load(path: Path, folder: Path) -> Track | None:
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:24]
    cached = _decoded_path(content)
    if not cached.exists():
        try:
            samples = decode(path, rate_hz=QUERY_RATE_HZ, n_channels=1)
        except subprocess.SubprocessError:
            samples = np.zeros(0, dtype=np.int16)
        # Short ones are remembered as empty, so that folders of sound effects are decoded once.
        save(cached, samples if samples.size >= MIN_DURATION_S * QUERY_RATE_HZ else samples[:0])
    n_samples = np.load(cached, mmap_mode="r").size
    if not n_samples:
        return None
    name = path.relative_to(folder).as_posix()
    return Track(name, path, content, n_samples / QUERY_RATE_HZ, family_of(name))


def save(path: Path, array: NDArray[np.int16]) -> None:
    """Write an array so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.npy")
    np.save(unfinished, array)
    unfinished.replace(path)


def _decoded_path(content: str) -> Path:
    return CACHE / "tracks" / f"{content}.npy"
