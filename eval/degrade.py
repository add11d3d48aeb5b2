"""What happens to music before it is recognised: codecs, noise, rooms, phones, edits, changed tempo, speed and pitch.

What belongs here: each condition of the evaluation, from a stretch of a track to the samples of a query, and where in
the track each moment of the query comes from. What does not: which stretches are taken (`queries`), the noises
themselves (`noise`).

Everything is computed at 44.1 kHz, stereo for the codecs and mono for the rest, and ends at Chromaprint's rate.
"""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from eval import noise
from eval.noise import Samples

DEGRADE_VERSION = "1"
SOURCE_RATE_HZ = 44100
QUERY_RATE_HZ = 11025
# A condition may read this much before the query's first sample; a time-stretcher settles in it.
LEAD_S = 1.0
_FFMPEG_TIMEOUT_S = 120
_PEAK = 0.99

_MUTED_SHARE = 0.15
_MUTE_S = 0.5
_CHUNK_S, _CUT_S = 2.5, 0.3
_RT60_S = 0.8
# The level of the tail's first samples, relative to the direct sound: far from the loudspeaker.
_REVERB_LEVEL = 0.25
_ECHOES = 6
_PHONE_BAND_HZ = (300.0, 3400.0)
_PHONE_RATE_HZ = 8000
_MU = 255.0
_MIXED_SONGS = 6


@dataclass(frozen=True)
class Piece:
    """From `query_s` on, the query plays its source from `source_s` on, at `rate` source seconds a query second."""

    query_s: float
    source_s: float
    rate: float = 1.0


@dataclass(frozen=True)
class Stretch:
    """Part of a track [shape=(n, 2)] that holds `LEAD_S` before the clip and more than any condition reads after it."""

    samples: Samples
    length_s: float

    def stereo(self, length_s: float | None = None) -> Samples:
        """Return the clip [shape=(n, 2)], or another length from where it starts."""
        first = round(LEAD_S * SOURCE_RATE_HZ)
        return self.samples[first : first + _n(self.length_s if length_s is None else length_s)]

    def mono(self, length_s: float | None = None) -> Samples:
        """Return the clip's channels mixed."""
        mixed_down: Samples = self.stereo(length_s).mean(axis=1)
        return mixed_down


@dataclass(frozen=True)
class Surroundings:
    """What else may sound in a query: other music, and speech recordings instead of synthetic babble."""

    songs: Sequence[NDArray[np.int16]]
    speech: NDArray[np.int16] | None = None


Played = tuple[Samples, tuple[Piece, ...]]
Apply = Callable[[Stretch, np.random.Generator, Surroundings], Played]
_AS_IT_IS = (Piece(0.0, 0.0),)


def needed_s(length_s: float) -> float:
    """Return how much of a track a clip of this length may need, the lead included."""
    return LEAD_S + length_s * max(1 + _CUT_S / _CHUNK_S, 1.05) + _CUT_S + 1.0


def degraded(
    stretch: Stretch, condition: str, rng: np.random.Generator, around: Surroundings
) -> tuple[NDArray[np.int16], tuple[Piece, ...]]:
    """Return a query under a condition and where its parts come from.

    Parameters
    ----------
    stretch
        What to degrade.
    condition
        A key of `CONDITIONS`.
    rng
        The only source of chance.
    around
        What may be mixed in.

    Returns
    -------
    tuple[NDArray[np.int16], tuple[Piece, ...]]
        Samples [shape=(n,)] at `QUERY_RATE_HZ`, exactly as long as the clip, and its pieces in seconds after the
        clip's start in the track.

    """
    played, pieces = CONDITIONS[condition](stretch, rng, around)
    n_samples = _n(stretch.length_s)
    if played.size < n_samples:
        played = np.pad(played, (0, n_samples - played.size))
    played = played[:n_samples] / max(1.0, float(np.abs(played).max()) / _PEAK)
    lowered = signal.resample_poly(played, 1, SOURCE_RATE_HZ // QUERY_RATE_HZ)
    query = lowered[: round(stretch.length_s * QUERY_RATE_HZ)]
    return np.clip(np.rint(query * 32767), -32768, 32767).astype(np.int16), pieces


def offset_error_s(offset_s: float, pieces: Sequence[Piece], *, length_s: float) -> float:
    """Return how far an answered offset is from the nearest that is true of any moment of a query of this length.

    An offset is where in the source the query would start. With cuts or a changed tempo it depends on the moment.
    """
    ends_s = [*(piece.query_s for piece in pieces[1:]), length_s]
    errors = []
    for piece, end_s in zip(pieces, ends_s, strict=True):
        first = piece.source_s - piece.query_s
        last = first + (piece.rate - 1) * (end_s - piece.query_s)
        low, high = min(first, last), max(first, last)
        errors.append(max(low - offset_s, offset_s - high, 0.0))
    return min(errors)


def mixed(music: Samples, other: Samples, *, snr_db: float) -> Samples:
    """Return the music with something else so much quieter, by mean power over the whole clip."""
    power, other_power = np.mean(np.square(music)) + 1e-12, np.mean(np.square(other)) + 1e-12
    together: Samples = (music + other * np.sqrt(power / other_power / 10 ** (snr_db / 10))).astype(np.float32)
    return together


def through_ffmpeg(samples: Samples, *arguments: str, n_channels: int) -> bytes:
    """Return what ffmpeg writes to its output when it is given samples at `SOURCE_RATE_HZ` and these arguments."""
    given = ("-f", "f32le", "-ac", str(n_channels), "-ar", str(SOURCE_RATE_HZ), "-i", "-")
    return subprocess.run(
        ["ffmpeg", "-hide_banner", "-v", "error", "-y", *given, *arguments],
        input=samples.astype("<f4").tobytes(),
        check=True,
        capture_output=True,
        timeout=_FFMPEG_TIMEOUT_S,
    ).stdout


def _clean(stretch: Stretch, _rng: np.random.Generator, _around: Surroundings) -> Played:
    return stretch.mono(), _AS_IT_IS


def _encoded(stretch: Stretch, _rng: np.random.Generator, _around: Surroundings, *, suffix: str, codec: str) -> Played:
    with tempfile.TemporaryDirectory(prefix="eval-") as folder:
        path = str(Path(folder) / f"clip.{suffix}")
        through_ffmpeg(stretch.stereo(), "-ac", "2", *codec.split(), path, n_channels=2)
        decode = ("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-f", "f32le", "-ac", "1")
        decoded = subprocess.run(
            [*decode, "-ar", str(SOURCE_RATE_HZ), "-"], check=True, capture_output=True, timeout=_FFMPEG_TIMEOUT_S
        ).stdout
    return np.frombuffer(decoded, dtype="<f4"), _AS_IT_IS


def _noisy(stretch: Stretch, rng: np.random.Generator, around: Surroundings, *, kind: str, snr_db: float) -> Played:
    music = stretch.mono()
    if kind == "pink":
        other = noise.pink(music.size, rng)
    elif kind == "crowd":
        other = noise.crowd(music.size, rng, rate_hz=SOURCE_RATE_HZ)
    elif around.speech is not None:
        other = _somewhere(around.speech, music.size, rng)
    else:
        other = noise.babble(music.size, rng, rate_hz=SOURCE_RATE_HZ)
    return mixed(music, other, snr_db=snr_db), _AS_IT_IS


def _with_songs(
    stretch: Stretch, rng: np.random.Generator, around: Surroundings, *, n_songs: int, snr_db: float
) -> Played:
    music = stretch.mono()
    chosen = rng.permutation(len(around.songs))[:n_songs]
    songs = [_somewhere(around.songs[each], music.size, rng) for each in chosen]
    other = np.sum([song / (song.std() + 1e-6) for song in songs], axis=0)
    return mixed(music, other, snr_db=snr_db), _AS_IT_IS


def _muted(stretch: Stretch, rng: np.random.Generator, _around: Surroundings) -> Played:
    """Silence half a second now and then, `_MUTED_SHARE` of the clip altogether."""
    music = stretch.mono()
    n_mutes = round(stretch.length_s * _MUTED_SHARE / _MUTE_S)
    spare = stretch.length_s - n_mutes * _MUTE_S
    for number, before in enumerate(np.sort(rng.uniform(0, spare, n_mutes))):
        first = _n(before + number * _MUTE_S)
        music[first : first + _n(_MUTE_S)] = 0
    return music, _AS_IT_IS


def _chunks_missing(stretch: Stretch, rng: np.random.Generator, _around: Surroundings) -> Played:
    """Leave out `_CUT_S` after every `_CHUNK_S`, the first after a random part of it."""
    music = stretch.mono(stretch.length_s * (1 + _CUT_S / _CHUNK_S) + _CUT_S)
    pieces = [Piece(0.0, 0.0)]
    parts, source_s, query_s = [], 0.0, 0.0
    chunk_s = rng.uniform(0.2, 1.0) * _CHUNK_S
    while query_s < stretch.length_s:
        parts.append(music[_n(source_s) : _n(source_s + chunk_s)])
        source_s += chunk_s + _CUT_S
        query_s += chunk_s
        chunk_s = _CHUNK_S
        if query_s < stretch.length_s:
            pieces.append(Piece(query_s, source_s))
    return np.concatenate(parts), tuple(pieces)


def _reverberant(stretch: Stretch, rng: np.random.Generator, _around: Surroundings) -> Played:
    n_tail = _n(_RT60_S)
    response = rng.standard_normal(n_tail) * 10 ** (-3 * np.arange(n_tail) / n_tail) * _REVERB_LEVEL
    response[0] = 1.0
    echoes = rng.integers(_n(0.008), _n(0.06), _ECHOES)
    response[echoes] += rng.uniform(0.2, 0.6, _ECHOES) * rng.choice([-1.0, 1.0], _ECHOES)
    return noise.convolve(stretch.mono(), response.astype(np.float32)), _AS_IT_IS


def _phoned(stretch: Stretch, _rng: np.random.Generator, _around: Surroundings) -> Played:
    """Band-limit, quantise by the mu-law of telephony at 8 kHz, and come back."""
    filters = signal.butter(4, _PHONE_BAND_HZ, "bandpass", fs=SOURCE_RATE_HZ, output="sos")
    line = signal.resample_poly(signal.sosfilt(filters, stretch.mono()), _PHONE_RATE_HZ // 100, SOURCE_RATE_HZ // 100)
    line = line / max(1.0, float(np.abs(line).max()) / _PEAK)
    pressed = np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)
    heard = np.rint(pressed * 127) / 127
    opened = np.sign(heard) * np.expm1(np.abs(heard) * np.log1p(_MU)) / _MU
    return signal.resample_poly(opened, SOURCE_RATE_HZ // 100, _PHONE_RATE_HZ // 100), _AS_IT_IS


def _sped(stretch: Stretch, _rng: np.random.Generator, _around: Surroundings, *, percent: int) -> Played:
    """Play faster or slower as a turntable does: pitch and tempo together."""
    rate = 1 + percent / 100
    music = stretch.mono(stretch.length_s * rate + 0.1)
    return signal.resample_poly(music, 100, 100 + percent), (Piece(0.0, 0.0, rate),)


def _stretched(
    stretch: Stretch, _rng: np.random.Generator, _around: Surroundings, *, tempo: float = 1.0, semitones: float = 0.0
) -> Played:
    """Change tempo or pitch alone with Rubber Band, whose output starts within 5 ms of where it should."""
    music = stretch.samples[: _n(LEAD_S + stretch.length_s * tempo + 1.0)].mean(axis=1)
    filters = f"rubberband=tempo={tempo}:pitch={2 ** (semitones / 12)}"
    raw = through_ffmpeg(music, "-af", filters, "-f", "f32le", "-ac", "1", "-", n_channels=1)
    return np.frombuffer(raw, dtype="<f4")[_n(LEAD_S / tempo) :], (Piece(0.0, 0.0, tempo),)


def _somewhere(recording: NDArray[np.int16], n_samples: int, rng: np.random.Generator) -> Samples:
    """Return a random part of a recording at the source rate, which starts again at its end."""
    first = int(rng.integers(0, max(1, recording.size - n_samples)))
    part = np.resize(recording[first:], n_samples) if recording.size - first < n_samples else recording[first:]
    return part[:n_samples].astype(np.float32) / np.float32(32768)


def _n(seconds: float) -> int:
    return round(seconds * SOURCE_RATE_HZ)


CONDITIONS: dict[str, Apply] = {
    "clean": _clean,
    "mp3_32k": partial(_encoded, suffix="mp3", codec="-c:a libmp3lame -b:a 32k"),
    "opus_12k": partial(_encoded, suffix="opus", codec="-c:a libopus -b:a 12k"),
    **{f"pink_{snr_db}": partial(_noisy, kind="pink", snr_db=snr_db) for snr_db in (10, 5, 0, -5)},
    "muted_15": _muted,
    **{f"tempo_{percent:+d}": partial(_stretched, tempo=1 + percent / 100) for percent in (2, -2, 5, -5)},
    "music_5": partial(_with_songs, n_songs=1, snr_db=5),
    "songs6_5": partial(_with_songs, n_songs=_MIXED_SONGS, snr_db=5),
    "babble_5": partial(_noisy, kind="babble", snr_db=5),
    "crowd_5": partial(_noisy, kind="crowd", snr_db=5),
    "reverb_0.8": _reverberant,
    "phone": _phoned,
    "missing_chunks": _chunks_missing,
    **{f"speed_{percent:+d}": partial(_sped, percent=percent) for percent in (1, -1, 2, -2)},
    **{f"pitch_{semitones:+d}": partial(_stretched, semitones=semitones) for semitones in (1, -1)},
}
