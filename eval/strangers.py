"""What the product answers when it is asked without a threshold, to clips that are in the catalogue and to strangers.

What belongs here: the catalogue, the clips, asking and the cache of answers. What does not: what the answers tell
(`reliability`, `calibration`).

Without a threshold every track is an answer, each with its evidence: those that are wrong are what chance can do.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.degrade import QUERY_RATE_HZ
from eval.distractors import pool_of
from eval.fingerprints import fingerprint_of
from eval.music import CACHE, Music, Track
from eval.queries import Plan, Split, make_queries, split_of
from eval.recognisers import DISTRACTOR
from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.calibration import n_tracks_of
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.search import SEARCH_VERSION, search
from musicfp.fingerprint.verdict import DEFAULT_POLICY

# Clips of 5 and 15 s are the beginnings of those of 10 and 30 s.
LENGTHS_S = {10.0: (10.0, 5.0), 30.0: (30.0, 15.0)}
# As `make eval` makes them, so that they are there.
_CLIPS_OF_A_TRACK = {10.0: 2, 30.0: 1}
FRESH = "fresh"
_LIMIT = 200
_MAX_BUDGET_MS = 1e9


@dataclass(frozen=True)
class Clip:
    """Something to ask. `by_audio` is false for a fingerprint without its samples."""

    track: str
    family: str
    is_stranger: bool
    condition: str
    length_s: float
    number: int
    by_audio: bool
    path: Path | None = None
    first_sample: int = 0

    @property
    def split(self) -> Split:
        """Which half it belongs to."""
        return split_of(self.track, self.number)


@dataclass(frozen=True)
class Answered:
    """One track of an answer without a threshold."""

    track: str
    is_right: bool
    correlation: float
    overlap_items: int
    evidence_nats: float


@dataclass(frozen=True)
class Asked:
    """A clip and all that was answered, tracks that share music with it left out."""

    clip: Clip
    answers: tuple[Answered, ...]


@dataclass(frozen=True)
class World:
    """A catalogue of real audio, and strangers that share none of it.

    The catalogue is the micro corpus's sources, half of what the dev corpus has beyond it, and all of that at other
    speeds and backwards; the other half of the dev corpus are more strangers.
    """

    music: Music
    more_strangers: tuple[Track, ...]
    catalogued: tuple[Track, ...]

    @cached_property
    def corpus(self) -> FingerprintCorpus:
        """The index of the catalogue."""
        corpus = FingerprintCorpus()
        for track in self.catalogued:
            samples = track.samples()
            corpus.add(track.name, fingerprint_of(samples))
            corpus.add(track.name, band_fingerprint(samples), kind=FingerprintKind.BAND)
        for number, items in enumerate(pool_of(self.catalogued)):
            for kind in FingerprintKind:
                corpus.add(f"{DISTRACTOR} {number}", Fingerprint.of_items(items), kind=kind)
        return corpus

    @cached_property
    def n_tracks(self) -> float:
        """The catalogue's size in tracks of two minutes."""
        return n_tracks_of(self.corpus.n_postings(FingerprintKind.FULL))

    @cached_property
    def families(self) -> dict[str, str]:
        """The family of each catalogued track."""
        return {track.name: track.family for track in self.catalogued}

    @cached_property
    def samples(self) -> dict[str, NDArray[np.int16]]:
        """The decoded strangers beyond the micro corpus."""
        return {track.name: track.samples() for track in self.more_strangers}


def world_of(micro: Music, dev: Music) -> World:
    """Divide the music."""
    known = {track.content for track in (*micro.sources, *micro.strangers)}
    families = {track.family for track in (*micro.sources, *micro.strangers)}
    beyond = [t for t in (*dev.sources, *dev.strangers) if t.content not in known and t.family not in families]
    catalogued = [track for track in beyond if _number(track.family) % 2]
    return World(micro, tuple(t for t in beyond if not _number(t.family) % 2), (*micro.sources, *catalogued))


def clips_of(world: World, *, n_each: int, n_fresh: int, seed: int = 1) -> list[Clip]:
    """Return the clips to ask, in an order of which any beginning is a fair sample.

    Parameters
    ----------
    world
        The music.
    n_each
        Clips of sources and as many of strangers for each condition and length, asked with their samples.
    n_fresh
        Undamaged clips of each stranger and length, asked by fingerprint: many, because they cost little.
    seed
        Of the fresh ones.

    """
    clips = [clip for length_s in LENGTHS_S for clip in _degraded(world, length_s, n_each)]
    rng = np.random.default_rng(seed)
    for track in world.more_strangers:
        for number in range(n_fresh):
            for long_s, lengths_s in LENGTHS_S.items():
                latest = round((track.duration_s - long_s) * QUERY_RATE_HZ)
                first = int(rng.integers(0, max(1, latest)))
                clips += [Clip(track.name, track.family, True, FRESH, s, number, False, None, first) for s in lengths_s]
    return sorted(clips, key=lambda clip: _number(str(clip)))


def asked_all(world: World, clips: Iterable[Clip], *, until: float) -> Iterator[Asked]:
    """Yield what is answered to each clip, from the cache or until the time (of time.monotonic) has come."""
    related: dict[str, set[str]] = {}
    for clip in clips:
        path = CACHE / "calibration" / SEARCH_VERSION / f"{hashlib.sha256(str(clip).encode()).hexdigest()[:24]}.json"
        if not path.exists():
            if time.monotonic() >= until:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(json.dumps([asdict(each) for each in _ask(world, clip)]))
            unfinished.replace(path)
        if clip.track not in related:
            related[clip.track] = _related(world, clip)
        answers = (Answered(**each) for each in json.loads(path.read_text()))
        yield Asked(clip, tuple(each for each in answers if each.is_right or each.track not in related[clip.track]))


def _degraded(world: World, length_s: float, n_each: int) -> Iterator[Clip]:
    kept: dict[tuple[str, bool], int] = {}
    n_clips = _CLIPS_OF_A_TRACK[length_s]
    queries = make_queries(world.music, Plan(lengths_s=(length_s,), n_clips=n_clips, n_stranger_clips=n_clips))
    for query in sorted(queries, key=lambda query: _number(f"{query.track}|{query.clip}|{query.condition}")):
        key = query.condition, query.is_stranger
        kept[key] = kept.get(key, 0) + 1
        if kept[key] <= n_each:
            for asked_s in LENGTHS_S[length_s]:
                yield Clip(
                    query.track, query.family, query.is_stranger, query.condition, asked_s, query.clip, True, query.path
                )


def _ask(world: World, clip: Clip) -> list[Answered]:
    samples = world.samples[clip.track][clip.first_sample :] if clip.path is None else np.load(clip.path)
    samples = np.array(samples[: round(clip.length_s * QUERY_RATE_HZ)])
    query = Query(fingerprint_of(samples), samples if clip.by_audio else None)
    report = search(query, world.corpus, limit=_LIMIT, min_score=0.0, budget_ms=_MAX_BUDGET_MS)
    return [
        Answered(
            match.track_id,
            not clip.is_stranger and world.families.get(match.track_id) == clip.family,
            match.correlation,
            match.overlap_items,
            match.evidence_nats,
        )
        for match in report.matches
    ]


def _related(world: World, clip: Clip) -> set[str]:
    """Return the catalogued tracks that share music with a clip's track, by the whole of both: no strangers."""
    tracks = (*world.music.sources, *world.music.strangers, *world.more_strangers)
    whole = next(track for track in tracks if track.name == clip.track)
    report = search(fingerprint_of(whole.samples()), world.corpus, limit=_LIMIT, by_pair=True)
    return {match.track_id for match in report.matches if match.correlation >= DEFAULT_POLICY.min_related_correlation}


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)
