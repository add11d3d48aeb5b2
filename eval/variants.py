"""Whole tracks as people upload them a second time: coded anew, edited, sped up, inside of something longer.

What belongs here: each kind of variant, what deduplication must say of it, and making it. What does not:
clips under noise (`degrade`), asking the product (`dedupe`).

An edit is a list of parts of the track, of silence and of other music, from which both the audio and the truth follow.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.degrade import QUERY_RATE_HZ, SOURCE_RATE_HZ, Piece, through_ffmpeg
from eval.fingerprints import fingerprint_of
from eval.music import CACHE, Track, decode, decode_at_source_rate, save
from eval.noise import Samples
from musicfp.fingerprint.downmix import choose_downmix, mixed
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.verdict import MatchRelation

_VERSION = "2"
# The contract: less of either side is a part of it.
_MIN_COVERAGE = 0.8
# Halves the time that stretching takes, most of the time of all variants.
_MONO = "pan=mono|c0=0.5*c0+0.5*c1"
# The track at hand and what is put around it: 25 MB a minute.
_N_DECODED = 5
_PCM = ("-f", "s16le", "-ac", "2", "-ar", str(QUERY_RATE_HZ), "-")


@dataclass(frozen=True)
class Part:
    """Seconds `start_s` to `stop_s` of the track; or as much silence, or other music, that is not of the track."""

    start_s: float
    stop_s: float
    source: str = "track"


Edit = Callable[[float], list[Part]]


def _whole(duration_s: float) -> list[Part]:
    return [Part(0.0, duration_s)]


@dataclass(frozen=True)
class Recipe:
    """A kind of variant.

    `edit` says of what parts a track of some duration is put together, `filters` and `codec` what ffmpeg does to them;
    `rate` is how many seconds of the parts pass in one of the result. `is_same_music` is False if it is no copy at all.
    """

    name: str
    edit: Edit = _whole
    filters: str = "anull"
    codec: tuple[str, str] | None = None
    rate: float = 1.0
    is_same_music: bool = True


@dataclass(frozen=True)
class Variant:
    """A made variant as the product hears it. `relation` is what must be said of it and its track."""

    recipe: str
    track: str
    query: Query
    pieces: tuple[Piece, ...] = field(repr=False)
    length_s: float
    relation: MatchRelation | None


def make_variant(track: Track, recipe: Recipe, *, others: Sequence[Track]) -> Variant:
    """Return a variant of a track; its samples are kept, two or three megabytes.

    Parameters
    ----------
    track
        Decoded for each variant that is not there yet.
    recipe
        One of `RECIPES`, or another.
    others
        The music that is put around or into it, one after another as long as needed; must not be catalogued.

    """
    duration_s = track.duration_s
    parts = recipe.edit(duration_s)
    lengths_s = [part.stop_s - part.start_s for part in parts]
    ends_s = np.cumsum(lengths_s) / recipe.rate
    pieces = tuple(
        Piece(end_s - length_s / recipe.rate, part.start_s, recipe.rate)
        for part, length_s, end_s in zip(parts, lengths_s, ends_s.tolist(), strict=True)
        if part.source == "track"
    )
    return Variant(
        recipe=recipe.name,
        track=track.name,
        query=_query(track, recipe, parts, others),
        pieces=pieces,
        length_s=float(ends_s[-1]),
        relation=_relation(parts, duration_s) if recipe.is_same_music else None,
    )


def _relation(parts: Sequence[Part], duration_s: float) -> MatchRelation | None:
    """Return what the contract calls it. Silence is no music and counts on neither side."""
    common_s = sum(part.stop_s - part.start_s for part in parts if part.source == "track")
    music_s = sum(part.stop_s - part.start_s for part in parts if part.source != "silence")
    covers_query, covers_track = common_s >= _MIN_COVERAGE * music_s, common_s >= _MIN_COVERAGE * duration_s
    if covers_query:
        return MatchRelation.SAME_RECORDING if covers_track else MatchRelation.EXCERPT
    return MatchRelation.CONTAINS if covers_track else MatchRelation.SIMILAR


def _query(track: Track, recipe: Recipe, parts: Sequence[Part], others: Sequence[Track]) -> Query:
    needs_others = any(part.source == "other" for part in parts)
    facts = [_VERSION, repr(recipe.codec), recipe.filters, repr(parts), track.content]
    facts += [other.content for other in others] if needs_others else []
    path = CACHE / "variants" / recipe.name / f"{hashlib.sha256('|'.join(facts).encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        made = _decoded(_put_together(track, parts, others if needs_others else ()), recipe)
        save(path, mixed(made, choose_downmix([made])))
    samples: NDArray[np.int16] = np.load(path)
    return Query(fingerprint_of(samples), samples)


def _put_together(track: Track, parts: Sequence[Part], others: Sequence[Track]) -> Samples:
    """Return the parts one after another, stereo [shape=(n, 2)] at `SOURCE_RATE_HZ`."""
    music = _stereo(track)
    other = np.concatenate([_stereo(each) for each in others]) if others else music[:0]
    n_other, made = 0, []
    for part in parts:
        first, last = round(part.start_s * SOURCE_RATE_HZ), round(part.stop_s * SOURCE_RATE_HZ)
        match part.source:
            case "track":
                made.append(music[first:last])
            case "silence":
                made.append(np.zeros((last - first, 2), dtype=np.float32))
            case _:
                made.append(other[np.arange(n_other, n_other + last - first) % len(other)])
                n_other += last - first
    return np.concatenate(made)


@lru_cache(maxsize=_N_DECODED)
def _stereo(track: Track) -> Samples:
    return decode_at_source_rate(track).astype(np.float32) / np.float32(32768)


def _decoded(music: Samples, recipe: Recipe) -> NDArray[np.int16]:
    """Return what somebody would upload, decoded to stereo [shape=(n, 2)] as the product decodes it."""
    if recipe.codec is None:
        pcm = through_ffmpeg(music, "-af", recipe.filters, *_PCM, n_channels=2)
        return np.frombuffer(pcm, dtype="<i2").reshape(-1, 2)
    suffix, codec = recipe.codec
    with tempfile.TemporaryDirectory(prefix="eval-") as folder:
        path = Path(folder) / f"variant.{suffix}"
        through_ffmpeg(music, "-af", recipe.filters, *codec.split(), str(path), n_channels=2)
        return decode(path, rate_hz=QUERY_RATE_HZ, n_channels=2).reshape(-1, 2)


def _trimmed_head(duration_s: float) -> list[Part]:
    return [Part(7.3, duration_s)]


def _trimmed_tail(duration_s: float) -> list[Part]:
    return [Part(0.0, duration_s - 7.3)]


def _padded(duration_s: float) -> list[Part]:
    return [Part(0.0, 5.0, "silence"), Part(0.0, duration_s), Part(0.0, 5.0, "silence")]


def _half(duration_s: float) -> list[Part]:
    return [Part(duration_s / 4, duration_s * 3 / 4)]


def _surrounded(duration_s: float) -> list[Part]:
    return [Part(0.0, duration_s, "other"), Part(0.0, duration_s), Part(0.0, duration_s, "other")]


def _chunks_missing(duration_s: float) -> list[Part]:
    """Leave out four seconds at a fifth, three in the middle, two at four fifths."""
    fifth, middle, last = 0.2 * duration_s, 0.5 * duration_s, 0.8 * duration_s
    return [Part(0.0, fifth), Part(fifth + 4, middle), Part(middle + 3, last), Part(last + 2, duration_s)]


def _inserted(duration_s: float) -> list[Part]:
    middle = duration_s / 2
    return [Part(0.0, middle), Part(0.0, 20.0, "other"), Part(middle, duration_s)]


def _sped(percent: float) -> Recipe:
    rate = 1 + percent / 100
    filters = f"asetrate={SOURCE_RATE_HZ * rate:.3f},aresample={SOURCE_RATE_HZ}"
    return Recipe(f"speed {percent:+g} %", filters=filters, rate=rate)


def _stretched(percent: float) -> Recipe:
    rate = 1 + percent / 100
    return Recipe(f"tempo {percent:+g} %", filters=f"{_MONO},rubberband=tempo={rate}", rate=rate)


def _pitched(semitones: float) -> Recipe:
    return Recipe(f"pitch {semitones:+g} semitone", filters=f"{_MONO},rubberband=pitch={2 ** (semitones / 12)}")


AS_IT_IS = Recipe("as it is")
RECIPES = (
    Recipe("MP3 128 kbit/s", codec=("mp3", "-c:a libmp3lame -b:a 128k")),
    Recipe("MP3 32 kbit/s", codec=("mp3", "-c:a libmp3lame -b:a 32k")),
    Recipe("MP3 64 kbit/s mono 22 kHz", codec=("mp3", "-ac 1 -ar 22050 -c:a libmp3lame -b:a 64k")),
    Recipe("AAC 96 kbit/s", codec=("m4a", "-c:a aac -b:a 96k")),
    Recipe("Opus 48 kbit/s", codec=("opus", "-c:a libopus -b:a 48k")),
    Recipe("Opus 12 kbit/s", codec=("opus", "-c:a libopus -b:a 12k")),
    Recipe("Vorbis q0", codec=("ogg", "-c:a libvorbis -q:a 0")),
    Recipe("12 dB quieter", filters="volume=-12dB"),
    Recipe("12 dB louder, clipped", filters="volume=12dB,asoftclip=type=hard"),
    Recipe("7.3 s of the start missing", _trimmed_head),
    Recipe("7.3 s of the end missing", _trimmed_tail),
    Recipe("5 s of silence around", _padded),
    Recipe("chunks of 4, 3 and 2 s missing", _chunks_missing),
    Recipe("20 s of other music inserted", _inserted),
    Recipe("middle half", _half),
    Recipe("as much other music before and after", _surrounded),
    *(_sped(percent) for percent in (0.5, -0.5, 1, -1, 2, -2)),
    *(_stretched(percent) for percent in (2, -2)),
    *(_pitched(semitones) for semitones in (0.5, -0.5, 1, -1)),
    Recipe("backwards", filters="areverse", is_same_music=False),
)
