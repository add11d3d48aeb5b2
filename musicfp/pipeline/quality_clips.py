"""Clips to measure recognition with, made of the catalogue's own audio: undamaged, in noise, and strangers.

What belongs here: decoding a source and making clips of it. What does not: asking and counting (`recognition_quality`).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.audio.decode import DECODE_LIMITS, decode_pcm
from musicfp.audio.sniff import require_format
from musicfp.catalog.tables import TrackRow
from musicfp.fingerprint.downmix import choose_downmix, mixed
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.derived_tracks import download_source

CLEAN = "clean"
STRANGER = "stranger"
# Signal to noise in dB, by the names that `make eval` uses.
NOISES_DB = {"pink_5": 5.0, "pink_0": 0.0}
CLIP_S = 10.0
# A clip at the very end would be shorter than asked if the file's length is only known roughly.
MIN_TRACK_S = 15.0
# Clips are taken from the first ten minutes: decoding four hours for ten seconds would be all the work.
_MAX_DECODED_S = 600.0
_DECODE_LIMITS = replace(DECODE_LIMITS, wall_s=120.0, cpu_s=60)
# Six and a half semitones: beyond every rate that a search probes.
_SLOWER = 1.45

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class QualityClip:
    """Ten seconds to ask with; `offset_s` is where in the track they begin, `condition` what was done to them."""

    track_id: str
    condition: str
    offset_s: float
    samples: Samples


def clips_of_track(context: StageContext, track: TrackRow, rng: np.random.Generator) -> Iterator[QualityClip]:
    """Download and decode a track's source, and yield clips from one random place of it.

    Raises
    ------
    MusicfpError
        The source is damaged, or the store does not answer.

    """
    context.settings.scratch_path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.settings.scratch_path, prefix="quality-") as directory:
        sound = _decoded(download_source(context, track, Path(directory)), n_channels=min(track.n_channels, 2))
    n_samples = round(CLIP_S * ANALYSIS_RATE_HZ)
    start = int(rng.integers(0, max(1, sound.size - n_samples)))
    clip, offset_s = sound[start : start + n_samples], start / ANALYSIS_RATE_HZ
    yield QualityClip(track.id, CLEAN, offset_s, clip)
    for condition, snr_db in NOISES_DB.items():
        yield QualityClip(track.id, condition, offset_s, in_pink_noise(clip, snr_db=snr_db, rng=rng))
    yield QualityClip(track.id, STRANGER, offset_s, as_stranger(clip))


def in_pink_noise(samples: Samples, *, snr_db: float, rng: np.random.Generator) -> Samples:
    """Return samples [shape=(n,)] with noise whose power falls by 3 dB an octave, quieter than they are by `snr_db`."""
    spectrum = np.fft.rfft(rng.standard_normal(samples.size))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(spectrum.size))), samples.size)
    music = samples.astype(np.float64)
    noise *= np.sqrt(np.mean(music**2) / (np.mean(noise**2) * 10 ** (snr_db / 10)))
    together = music + noise
    together *= min(1.0, 32767 / max(1.0, float(np.abs(together).max())))
    noisy: Samples = np.rint(together).astype(np.int16)
    return noisy


def as_stranger(samples: Samples) -> Samples:
    """Return music [shape=(n,)] that no track holds: backwards and slower by 1.45, cut to the same length.

    It has the sound of the catalogue. Backwards alone is not enough, since music that stands still is its own reversal;
    slower alone leaves its melodies.
    """
    backwards = samples[::-1].astype(np.float64)
    at = np.arange(samples.size) / _SLOWER
    return np.rint(np.interp(at, np.arange(samples.size), backwards)).astype(np.int16)


def _decoded(path: Path, *, n_channels: int) -> Samples:
    """Decode what the source's own fingerprint was made of, its beginning if it is long."""
    stream = decode_pcm(
        path,
        fmt=require_format(path),
        sample_rate_hz=ANALYSIS_RATE_HZ,
        n_channels=n_channels,
        sample_format="s16",
        max_duration_s=_MAX_DECODED_S,
        limits=_DECODE_LIMITS,
    )
    with stream as decoded:
        samples: Samples = np.concatenate([np.zeros((0, n_channels), dtype=np.int16), *decoded])
    downmix = choose_downmix([samples]) if n_channels > 1 else None
    return samples[:, 0] if downmix is None else mixed(samples, downmix)
