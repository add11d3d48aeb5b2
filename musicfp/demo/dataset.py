"""The demo files: tagged songs, damaged and disguised copies of them, and what should become of each.

What belongs here: making files, and expectations. What does not: composing (`songs`), submitting (`run`).
"""

import wave
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.audio.limits import ProcessLimits, run_limited
from musicfp.demo import songs
from musicfp.demo.instruments import RATE_HZ
from musicfp.demo.mix import render
from musicfp.demo.score import Song
from musicfp.errors import DependencyMissing

_ENCODE_LIMITS = ProcessLimits(
    wall_s=60, cpu_s=60, address_space_bytes=2 << 30, output_file_bytes=64 << 20, stdout_bytes=1 << 16
)
_WORKERS = 2
_TRIM_HEAD_S, _TRIM_TAIL_S = 2.6, 3.1
_EXCERPT_FROM_S, _EXCERPT_S = 9.7, 15.0
_QUIETER_DB = -12.0
_QUERY_FROM_S, _QUERY_S = 17.3, 10.0
_QUERY_SNR_DB = 10.0
_QUERY_SONG = songs.BLUE_KETTLE

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Expectation:
    """What should become of a demo file: a status, with a relation for duplicates and a problem for rejects."""

    status: str
    relation: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class DemoFile:
    """One file of the demo. `song` is the one whose audio is in it, if any."""

    path: Path
    what: str
    expected: Expectation
    song: Song | None = None


@dataclass(frozen=True)
class DemoQuery:
    """A noisy clip that the catalogue should recognise: `offset_s` into `song`."""

    path: Path
    song: Song
    offset_s: float


@dataclass(frozen=True)
class DemoSet:
    """All files. `originals` have to be in the catalogue before `variants` are sent, or the first copy would win."""

    originals: tuple[DemoFile, ...]
    variants: tuple[DemoFile, ...]
    query: DemoQuery


def make_demo_set(folder: Path) -> DemoSet:
    """Write all demo files into `folder`, the same bytes every time with the same ffmpeg. Raises DependencyMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    originals = tuple(_original(folder, song) for song in songs.CATALOGUE_SONGS)
    paper, waltz, neon, _, glacier, copper = songs.CATALOGUE_SONGS
    sunday = songs.SUNDAY_VERANDA
    sounds = _render_all((*songs.CATALOGUE_SONGS, sunday))
    same = Expectation("DUPLICATE", "SAME_RECORDING")
    excerpt, twin = Expectation("DUPLICATE", "EXCERPT"), Expectation("DUPLICATE", "SAME_FILE")
    variants = (
        DemoFile(folder / "paper-lanterns-64k.mp3", "MP3 at 64 kbit/s", same, paper),
        DemoFile(folder / "harbour-waltz-trimmed.flac", "start and end cut off", same, waltz),
        DemoFile(folder / "neon-tide-quiet.opus", "12 dB quieter, Opus", same, neon),
        DemoFile(folder / "copper-canyon-excerpt.ogg", "15 s of it, Vorbis", excerpt, copper),
        DemoFile(folder / "slow-glacier-copy.flac", "the same file again", twin, glacier),
        DemoFile(folder / "untitled.flac", "a new song without tags", _rejected("missing_tag"), sunday),
        DemoFile(folder / "shopping-list.mp3", "a text file named .mp3", _rejected("unsupported_format")),
        DemoFile(folder / "one-second.wav", "one second long", _rejected("too_short")),
        DemoFile(folder / "silence.flac", "nothing but silence", _rejected("silent")),
    )
    query = DemoQuery(folder / "query.wav", _QUERY_SONG, _QUERY_FROM_S)
    _write_wav(query.path, _noisy_clip(sounds[_QUERY_SONG.title]))
    (folder / "shopping-list.mp3").write_text("strings, size 0.10\nvalve oil\ncoffee\n")
    _encode_all(folder, [*_original_jobs(originals, sounds), *_variant_jobs(variants, sounds)])
    (folder / "slow-glacier-copy.flac").write_bytes(_path_of(folder, glacier).read_bytes())
    return DemoSet(originals, variants, query)


@dataclass(frozen=True)
class _Job:
    path: Path
    pcm: Pcm
    options: tuple[str, ...]
    tags: Mapping[str, str]


def _original(folder: Path, song: Song) -> DemoFile:
    return DemoFile(_path_of(folder, song), "original", Expectation("ACCEPTED"), song)


def _rejected(problem: str) -> Expectation:
    return Expectation("REJECTED", problem=problem)


def _path_of(folder: Path, song: Song) -> Path:
    return folder / f"{song.title.lower().replace(' ', '-')}.flac"


def _original_jobs(originals: Sequence[DemoFile], sounds: Mapping[str, Pcm]) -> Iterator[_Job]:
    for file in originals:
        if file.song is not None:
            yield _Job(file.path, sounds[file.song.title], _FLAC, file.song.tags)


def _variant_jobs(variants: Sequence[DemoFile], sounds: Mapping[str, Pcm]) -> Iterator[_Job]:
    by_name = {file.path.name: file for file in variants}

    def job(name: str, pcm: Pcm, options: tuple[str, ...], *, title: str = "") -> _Job:
        file = by_name[name]
        tags = file.song.tags if file.song else {"title": title, "artist": "Nobody"}
        return _Job(file.path, pcm, options, tags)

    paper, waltz, neon, _, _, copper = (sounds[song.title] for song in songs.CATALOGUE_SONGS)
    yield job("paper-lanterns-64k.mp3", paper, ("-c:a", "libmp3lame", "-b:a", "64k"))
    yield job("harbour-waltz-trimmed.flac", _stretch(waltz, _TRIM_HEAD_S, len(waltz) / RATE_HZ - _TRIM_TAIL_S), _FLAC)
    quieter = np.rint(neon * 10 ** (_QUIETER_DB / 20)).astype(np.int16)
    yield job("neon-tide-quiet.opus", quieter, ("-c:a", "libopus", "-b:a", "96k"))
    excerpt = _stretch(copper, _EXCERPT_FROM_S, _EXCERPT_FROM_S + _EXCERPT_S)
    yield job("copper-canyon-excerpt.ogg", excerpt, ("-c:a", "libvorbis", "-q:a", "4"))
    yield _Job(by_name["untitled.flac"].path, sounds[songs.SUNDAY_VERANDA.title], _FLAC, {})
    yield job("one-second.wav", _stretch(paper, 10.0, 11.0), ("-c:a", "pcm_s16le"), title="Count-in")
    yield job("silence.flac", np.zeros((8 * RATE_HZ, 2), np.int16), _FLAC, title="Tacet")


def _stretch(pcm: Pcm, from_s: float, to_s: float) -> Pcm:
    return pcm[int(from_s * RATE_HZ) : int(to_s * RATE_HZ)]


def _noisy_clip(pcm: Pcm) -> Pcm:
    clip = _stretch(pcm, _QUERY_FROM_S, _QUERY_FROM_S + _QUERY_S).astype(np.float64) / 2
    noise = np.random.default_rng(7).uniform(-1.0, 1.0, clip.shape)
    wanted = np.sqrt(np.mean(clip**2)) * 10 ** (-_QUERY_SNR_DB / 20)
    noisy: Pcm = np.clip(np.rint(clip + noise * wanted / np.sqrt(np.mean(noise**2))), -32768, 32767).astype(np.int16)
    return noisy


def _render_all(all_songs: Sequence[Song]) -> dict[str, Pcm]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(zip((song.title for song in all_songs), pool.map(render, all_songs), strict=True))


def _encode_all(folder: Path, jobs: Sequence[_Job]) -> None:
    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in pool.map(lambda job: _encode(folder, job), jobs):
            pass


def _encode(folder: Path, job: _Job) -> None:
    source = folder / f".{job.path.name}.pcm.wav"
    _write_wav(source, job.pcm)
    # bitexact leaves out the encoder's version and, for Ogg, the random serial number of the stream.
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"file:{source}", "-map_metadata", "-1"]
    argv += ["-fflags", "+bitexact", "-flags:a", "+bitexact", *job.options]
    for name, value in job.tags.items():
        argv += ["-metadata", f"{name}={value}"]
    finished = run_limited([*argv, f"file:{job.path}"], _ENCODE_LIMITS)
    source.unlink()
    if finished.returncode != 0:
        raise DependencyMissing(
            f"ffmpeg could not write {job.path.name}: {finished.stderr}. "
            "Install an ffmpeg that can encode FLAC, MP3, Opus and Vorbis, as those of Debian and Homebrew can."
        )


def _write_wav(path: Path, pcm: Pcm) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.astype("<i2", copy=False).tobytes())


_FLAC = ("-c:a", "flac", "-compression_level", "5", "-sample_fmt", "s16")
