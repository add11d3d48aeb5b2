"""Queries with known truth: clips of sources and strangers at random offsets, degraded, made once and kept.

What belongs here: which clips are taken, their cache, what is true of each. What does not: what degrades them
(`degrade`), who answers them (`recognisers`).

    music = load_music(fetched("micro"))
    for query in make_queries(music, Plan(conditions=("pink_0",))):
        query.samples()                  # NDArray[np.int16] [shape=(110250,)] at 11025 Hz
        query.track, query.offset_s      # the truth; `query.is_stranger` says that no answer is right
"""

import hashlib
import json
import os
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.degrade import (
    CONDITIONS,
    DEGRADE_VERSION,
    LEAD_S,
    SOURCE_RATE_HZ,
    Piece,
    Stretch,
    Surroundings,
    degraded,
    needed_s,
    offset_error_s,
)
from eval.music import CACHE, Music, Track, decode_at_source_rate, save

# What other music is mixed in is taken from here: the first minute of each stranger.
_SONG_S = 60.0
# A clip quieter than this part of its track's level is drawn again, so that fades and pauses do not count as music.
_MIN_RELATIVE_LEVEL = 0.2
_MAX_DRAWS = 20
_WITH_SONGS = ("music_5", "songs6_5")
_WITH_SPEECH = ("babble_5",)


class Split(StrEnum):
    """Which half of the clips: tune on one, report the other."""

    TUNE = "tune"
    REPORT = "report"


@dataclass(frozen=True)
class Plan:
    """Which queries there are. `n_clips` are taken of each source and each length, `n_stranger_clips` of a stranger."""

    conditions: tuple[str, ...] = tuple(CONDITIONS)
    lengths_s: tuple[float, ...] = (10.0,)
    n_clips: int = 2
    n_stranger_clips: int = 2
    seed: int = 1
    split: Split | None = None


@dataclass(frozen=True)
class Query:
    """A degraded clip and what is true of it: moment t of the query plays moment `at(t)` of the track."""

    track: str
    family: str
    is_stranger: bool
    condition: str
    length_s: float
    clip: int
    offset_s: float
    pieces: tuple[Piece, ...]
    path: Path

    def samples(self) -> NDArray[np.int16]:
        """Return the query [shape=(n,)], mono at 11025 Hz."""
        loaded: NDArray[np.int16] = np.load(self.path)
        return loaded

    @property
    def rate(self) -> float:
        """Seconds of the track that pass in one second of the query."""
        return self.pieces[0].rate

    def offset_error_s(self, offset_s: float) -> float:
        """Return how far an answered offset is from the nearest that is true of any moment of the query."""
        return offset_error_s(offset_s - self.offset_s, self.pieces, length_s=self.length_s)


@dataclass(frozen=True)
class _Wanted:
    """A query that is to be made or read."""

    track: Track
    is_stranger: bool
    condition: str
    length_s: float
    clip: int
    key: str

    @property
    def path(self) -> Path:
        return CACHE / "queries" / self.condition / f"{self.key}.npy"


@dataclass(frozen=True)
class _Around:
    """Where a worker process finds what is mixed in, by the family that must not be mixed with itself."""

    songs: tuple[tuple[str, Path], ...]
    speech: Path | None


def make_queries(
    music: Music, plan: Plan, *, speech: Path | None = None, n_processes: int | None = None
) -> list[Query]:
    """Return the queries of a plan, ordered by condition, length, track and clip; the missing ones are made first.

    Parameters
    ----------
    music
        Sources and strangers; other music to mix in is taken of the strangers, so that it is no right answer.
    plan
        Which.
    speech
        A recording of many voices for "babble_5", from `music.decoded_speech`; without it, voices are synthesised.
    n_processes
        That make queries at once; as many as there are processors if None.

    Returns
    -------
    list[Query]
        Their samples are read when they are asked for.

    """
    needs_songs = any(condition in _WITH_SONGS for condition in plan.conditions)
    around = _Around(_songs(music.strangers) if needs_songs else (), speech)
    wanted = list(_wanted(music, plan, around))
    missing: dict[Track, list[_Wanted]] = {}
    for each in wanted:
        if not each.path.with_suffix(".json").exists():
            missing.setdefault(each.track, []).append(each)
    if missing:
        with ProcessPoolExecutor(n_processes or os.cpu_count(), initializer=_leave_interrupts_to_the_parent) as pool:
            for _ in pool.map(_make, missing.values(), [around] * len(missing)):
                pass
    return [_read(each) for each in wanted]


def split_of(track: str, clip: int) -> Split:
    """Return the half that a clip belongs to, the same under every condition."""
    return Split.TUNE if _hash(f"{track}|{clip}")[0] % 2 else Split.REPORT


def _wanted(music: Music, plan: Plan, around: _Around) -> Iterable[_Wanted]:
    tracks = [(track, False) for track in music.sources] + [(track, True) for track in music.strangers]
    songs = ",".join(path.stem for _, path in around.songs)
    speech = str(around.speech and around.speech.stem)
    for condition in plan.conditions:
        surroundings = songs if condition in _WITH_SONGS else speech if condition in _WITH_SPEECH else ""
        for length_s in plan.lengths_s:
            for track, is_stranger in tracks:
                for clip in range(plan.n_stranger_clips if is_stranger else plan.n_clips):
                    if plan.split is not None and split_of(track.name, clip) != plan.split:
                        continue
                    facts = (DEGRADE_VERSION, condition, length_s, track.content, clip, plan.seed, surroundings)
                    key = _hash("|".join(map(str, facts))).hex()[:24]
                    yield _Wanted(track, is_stranger, condition, length_s, clip, f"{key}-{plan.seed}")


def _make(wanted: Sequence[_Wanted], around: _Around) -> None:
    """Make all missing queries of one track, which is decoded once for them."""
    track = wanted[0].track
    audio = decode_at_source_rate(track)
    songs = [_mapped(path) for family, path in around.songs if family != track.family]
    surroundings = Surroundings(songs, None if around.speech is None else _mapped(around.speech))
    for each in wanted:
        seed = each.key.rpartition("-")[2]
        place = np.random.default_rng(list(_hash(f"{track.content}|{each.length_s}|{each.clip}|{seed}")))
        start = _start(audio, each.length_s, place)
        first = start - round(LEAD_S * SOURCE_RATE_HZ)
        n_samples = round((LEAD_S + needed_s(each.length_s)) * SOURCE_RATE_HZ)
        stretch = Stretch(audio[first : first + n_samples].astype(np.float32) / np.float32(32768), each.length_s)
        query, pieces = degraded(stretch, each.condition, np.random.default_rng(list(_hash(each.key))), surroundings)
        save(each.path, query)
        truth = {
            "offset_s": start / SOURCE_RATE_HZ,
            "pieces": [[piece.query_s, piece.source_s, piece.rate] for piece in pieces],
        }
        unfinished = each.path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(truth))
        unfinished.replace(each.path.with_suffix(".json"))


def _start(audio: NDArray[np.int16], length_s: float, rng: np.random.Generator) -> int:
    """Return the first sample of a clip that is not near silence, if one is found."""
    earliest = round(LEAD_S * SOURCE_RATE_HZ)
    latest = audio.shape[0] - round(needed_s(length_s) * SOURCE_RATE_HZ)
    level = _level(audio)
    for _ in range(_MAX_DRAWS):
        start = int(rng.integers(earliest, max(latest, earliest + 1)))
        if _level(audio[start : start + round(length_s * SOURCE_RATE_HZ)]) > _MIN_RELATIVE_LEVEL * level:
            break
    return start


def _level(samples: NDArray[np.int16]) -> float:
    # Every 7th sample is enough for a level and saves most of the time.
    return float(np.sqrt(np.mean(np.square(samples[::7], dtype=np.float64))))


def _read(wanted: _Wanted) -> Query:
    truth = json.loads(wanted.path.with_suffix(".json").read_text())
    return Query(
        track=wanted.track.name,
        family=wanted.track.family,
        is_stranger=wanted.is_stranger,
        condition=wanted.condition,
        length_s=wanted.length_s,
        clip=wanted.clip,
        offset_s=truth["offset_s"],
        pieces=tuple(Piece(*piece) for piece in truth["pieces"]),
        path=wanted.path,
    )


def _songs(strangers: Sequence[Track]) -> tuple[tuple[str, Path], ...]:
    songs = []
    for track in strangers:
        path = CACHE / "songs" / f"{track.content}.npy"
        if not path.exists():
            mono = decode_at_source_rate(track).mean(axis=1, dtype=np.float32)
            save(path, mono[: round(_SONG_S * SOURCE_RATE_HZ)].astype(np.int16))
        songs.append((track.family, path))
    return tuple(songs)


@cache
def _mapped(path: Path) -> NDArray[np.int16]:
    array: NDArray[np.int16] = np.load(path, mmap_mode="r")
    return array


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
