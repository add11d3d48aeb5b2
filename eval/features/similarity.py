"""Whether the nearest vector is that of the same piece: two excerpts of each track, each asked for the other.

    python -m eval.features.similarity [--music FOLDER]

The first excerpt begins at 15 s, the second at 60 s, 12 s each; of a track that is too short for that they are the
twelve seconds in the middle of its halves (`eval.music` leaves out what is below 45 s). All excerpts are in one space
of the product's search (`musicfp.similarity.space`). R@k: the other excerpt is among the k nearest. Same album P@5: how
many of the five nearest, the other excerpt left out, are of the same package; chance is printed beside it.
"""

import argparse
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.music import fetched, load_tracks
from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import Extractor, load_builtin
from musicfp.similarity.embeddings import Embedding, available
from musicfp.similarity.space import ExactSpace

EXCERPT_S = 12.0
STARTS_S = (15.0, 60.0)
_N_NEAREST = 5
_DECODE_TIMEOUT_S = 120

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Excerpts:
    """Two excerpts of one track, mono at 44.1 kHz. `album` is the folder that the track lies in."""

    name: str
    album: str
    samples: tuple[Samples, Samples]


@dataclass(frozen=True)
class Result:
    """Shares of all excerpts; `chance` is that of `same_album`."""

    n_tracks: int
    recall_1: float
    recall_3: float
    same_album: float
    chance: float


def main() -> None:
    """Print a row for each embedding that is available here."""
    parser = argparse.ArgumentParser(prog="python -m eval.features.similarity", description=__doc__)
    parser.add_argument("--music", type=Path, help="a folder of music, one folder per album, instead of the corpus")
    music = parser.parse_args().music or fetched("micro")
    tracks = load_excerpts(music)
    registry = load_builtin(())
    definitions = {each.name: registry.get(each.extractor) for each in registry.definitions()}
    print("| vector | numbers | tracks | R@1 | R@3 | same album P@5 (chance) |")
    print("|---|---|---|---|---|---|")
    for embedding in available(definitions).values():
        vectors = [vectors_of(each, embedding, definitions) for each in tracks]
        kept = [(each, pair) for each, pair in zip(tracks, vectors, strict=True) if pair is not None]
        result = judge([each for each, _ in kept], [pair for _, pair in kept])
        print(
            f"| `{embedding.name}` | {kept[0][1][0].size} | {result.n_tracks} | {result.recall_1:.2f} "
            f"| {result.recall_3:.2f} | {result.same_album:.2f} ({result.chance:.2f}) |"
        )


def load_excerpts(folder: Path) -> list[Excerpts]:
    """Decode two excerpts of each track below a folder; what is short, broken or there twice is left out."""
    found = []
    for track in load_tracks(folder):
        first, second = (_decode(track.path, start_s) for start_s in starts_s(track.duration_s))
        found.append(Excerpts(track.name, track.path.relative_to(folder).parts[0], (first, second)))
    return found


def starts_s(duration_s: float) -> tuple[float, float]:
    """Return where the excerpts of a track of this duration begin, in seconds."""
    if duration_s >= STARTS_S[1] + EXCERPT_S:
        return STARTS_S
    return (duration_s / 4 - EXCERPT_S / 2, 3 * duration_s / 4 - EXCERPT_S / 2)


def vectors_of(
    track: Excerpts, embedding: Embedding, extractors: Mapping[str, Extractor]
) -> tuple[Samples, Samples] | None:
    """Return the vectors of both excerpts, None if one of them has none."""
    found = [_vector_of(each, embedding, extractors) for each in track.samples]
    first, second = found
    return None if first is None or second is None else (first, second)


def judge(tracks: Sequence[Excerpts], vectors: Sequence[tuple[Samples, Samples]]) -> Result:
    """Ask for the neighbours of each excerpt."""
    space = ExactSpace(vectors[0][0].size)
    album_of: dict[str, str] = {}
    other_of: dict[str, str] = {}
    for number, (track, pair) in enumerate(zip(tracks, vectors, strict=True)):
        for which, vector in enumerate(pair):
            name = f"{number}/{which}"
            space.put(name, vector)
            album_of[name], other_of[name] = track.album, f"{number}/{1 - which}"
    nearest = {
        name: [each.track_id for each in found]
        for name, found in space.nearest(list(other_of), first=_N_NEAREST + 1).items()
    }
    return Result(
        n_tracks=len(tracks),
        recall_1=_share(nearest, lambda name, found: float(other_of[name] in found[:1])),
        recall_3=_share(nearest, lambda name, found: float(other_of[name] in found[:3])),
        same_album=_share(nearest, lambda name, found: _same_album(name, found, album_of, other_of)),
        chance=float(np.mean([_chance(name, album_of) for name in album_of])),
    )


def _vector_of(samples: Samples, embedding: Embedding, extractors: Mapping[str, Extractor]) -> Samples | None:
    audio = AudioInputs(samples, sample_rate_hz=SAMPLE_RATE_HZ)
    needed = dict.fromkeys(extractors[name].name for name in embedding.features)
    owners = {each.name: each for each in extractors.values()}
    values = {value.name: value.vector for name in needed for value in owners[name].run(audio)}
    parts = [values[name] for name in embedding.features]
    if any(part is None for part in parts):
        return None
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _same_album(name: str, found: Sequence[str], album_of: Mapping[str, str], other_of: Mapping[str, str]) -> float:
    others = [each for each in found if each != other_of[name]][:_N_NEAREST]
    return float(np.mean([album_of[each] == album_of[name] for each in others]))


def _chance(name: str, album_of: Mapping[str, str]) -> float:
    same = sum(album == album_of[name] for album in album_of.values())
    return (same - 2) / (len(album_of) - 2)


def _share(nearest: Mapping[str, Sequence[str]], measure: Callable[[str, Sequence[str]], float]) -> float:
    return float(np.mean([measure(name, found) for name, found in nearest.items()]))


def _decode(path: Path, start_s: float) -> Samples:
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-ss", f"{start_s:g}", "-i", str(path), "-map", "0:a:0"]
    argv += ["-t", f"{EXCERPT_S:g}", "-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-"]
    decoded = subprocess.run(argv, check=True, capture_output=True, timeout=_DECODE_TIMEOUT_S).stdout
    return np.frombuffer(decoded, dtype="<f4")


if __name__ == "__main__":
    main()
