"""Short music-like sounds and one small file of each audio format, for tests of any package.

What belongs here: synthesis and encoding of test audio. What does not: fixtures (conftest) and the demo songs.
"""

import subprocess
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Name of the case -> (file name extension, name that sniff_format must find, ffmpeg output options).
ENCODINGS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mp3_cbr": ("mp3", "mp3", ("-c:a", "libmp3lame", "-b:a", "128k")),
    "mp3_vbr": ("mp3", "mp3", ("-c:a", "libmp3lame", "-q:a", "4")),
    "mp3_vbr_no_xing": ("mp3", "mp3", ("-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0")),
    "mp3_no_id3": ("mp3", "mp3", ("-c:a", "libmp3lame", "-id3v2_version", "0")),
    "mp3_22050": ("mp3", "mp3", ("-c:a", "libmp3lame", "-ar", "22050", "-b:a", "64k")),
    "mp2": ("mp2", "mp2", ("-c:a", "mp2", "-b:a", "192k")),
    "m4a": ("m4a", "mp4", ("-c:a", "aac", "-b:a", "128k")),
    "m4a_faststart": ("m4a", "mp4", ("-c:a", "aac", "-movflags", "+faststart")),
    "m4a_fragmented": ("m4a", "mp4", ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof")),
    "alac": ("m4a", "mp4", ("-c:a", "alac")),
    "mov": ("mov", "mp4", ("-c:a", "pcm_s16be")),
    "flac": ("flac", "flac", ("-c:a", "flac")),
    "flac24_96k": ("flac", "flac", ("-c:a", "flac", "-sample_fmt", "s32", "-ar", "96000")),
    "vorbis": ("ogg", "ogg_vorbis", ("-c:a", "libvorbis", "-q:a", "5")),
    "opus": ("opus", "ogg_opus", ("-c:a", "libopus", "-b:a", "96k")),
    "ogg_flac": ("oga", "ogg_flac", ("-c:a", "flac", "-f", "ogg")),
    "speex": ("spx", "ogg_speex", ("-c:a", "libspeex", "-ar", "32000", "-ac", "1")),
    "wav": ("wav", "wav", ("-c:a", "pcm_s16le")),
    "wav24": ("wav", "wav", ("-c:a", "pcm_s24le")),
    "wav_float": ("wav", "wav", ("-c:a", "pcm_f32le")),
    "wav_mulaw_8k": ("wav", "wav", ("-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1")),
    "rf64": ("wav", "wav", ("-c:a", "pcm_s16le", "-rf64", "always")),
    "w64": ("w64", "w64", ("-c:a", "pcm_s16le")),
    "aiff": ("aiff", "aiff", ("-c:a", "pcm_s16be", "-write_id3v2", "1")),
    "aifc": ("aifc", "aiff", ("-c:a", "pcm_s16le", "-f", "aiff")),
    "wma": ("wma", "asf", ("-c:a", "wmav2", "-b:a", "128k")),
    "wavpack": ("wv", "wavpack", ("-c:a", "wavpack")),
    "tta": ("tta", "tta", ("-c:a", "tta")),
    "aac_adts": ("aac", "aac", ("-c:a", "aac", "-b:a", "128k")),
    "ac3": ("ac3", "ac3", ("-c:a", "ac3", "-b:a", "192k")),
    "eac3": ("eac3", "eac3", ("-c:a", "eac3", "-b:a", "192k")),
    "au": ("au", "au", ("-c:a", "pcm_s16be")),
    "caf": ("caf", "caf", ("-c:a", "pcm_s16be")),
}


def music_samples(duration_s: float = 6.0, *, seed: int = 0, sample_rate_hz: int = 44100) -> NDArray[np.float32]:
    """Return a deterministic little piece: chords, a melody and a noise drum; shape (n_samples, 2), peak 0.5."""
    rng = np.random.default_rng(seed)
    n_samples = round(duration_s * sample_rate_hz)
    time_s = np.arange(n_samples) / sample_rate_hz
    beat = (time_s / 0.25).astype(int)
    beat_phase_s = time_s - beat * 0.25
    melody_hz = 440 * 2 ** (rng.integers(-12, 13, beat[-1] + 1) / 12)
    root_hz = 110 * 2 ** (rng.integers(0, 12, beat[-1] // 8 + 1) / 12)
    melody = np.sin(2 * np.pi * melody_hz[beat] * time_s) * np.exp(-6 * beat_phase_s)
    chord = sum(np.sin(2 * np.pi * root_hz[beat // 8] * ratio * time_s) for ratio in (1, 1.25, 1.5, 2))
    drum = rng.standard_normal(n_samples) * np.exp(-40 * beat_phase_s) * (beat % 2 == 0)
    stereo = np.stack([melody + 0.3 * chord + 0.3 * drum, 0.6 * melody + 0.4 * chord + 0.3 * drum], axis=1)
    samples: NDArray[np.float32] = (0.5 * stereo / np.abs(stereo).max()).astype(np.float32)
    return samples


def write_wav(path: Path, samples: NDArray[np.float32], *, sample_rate_hz: int = 44100) -> Path:
    """Write samples of shape (n_samples, n_channels) in -1..1 as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return path


def write_float_wav(path: Path, samples: NDArray[np.float32], *, sample_rate_hz: int = 44100) -> Path:
    """Write samples of shape (n_samples, n_channels) as 32-bit float WAV, whatever their values are."""
    data = samples.astype("<f4").tobytes()
    n_channels = samples.shape[1]
    block = 4 * n_channels
    fields = (16, 4), (3, 2), (n_channels, 2), (sample_rate_hz, 4), (sample_rate_hz * block, 4), (block, 2), (32, 2)
    fmt_chunk = b"fmt " + b"".join(value.to_bytes(size, "little") for value, size in fields)
    chunks = b"WAVE" + fmt_chunk + b"data" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"RIFF" + len(chunks).to_bytes(4, "little") + chunks)
    return path


def encode(source: Path, target: Path, options: Sequence[str] = (), *, tags: Mapping[str, str] | None = None) -> Path:
    """Encode `source` into `target` with ffmpeg; raise CalledProcessError if it cannot."""
    metadata = [argument for name, value in (tags or {}).items() for argument in ("-metadata", f"{name}={value}")]
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), *options, *metadata, str(target)]
    subprocess.run(argv, check=True, capture_output=True)
    return target


def encode_case(case: str, source: Path, folder: Path, *, tags: Mapping[str, str] | None = None) -> Path:
    """Encode `source` as one of ENCODINGS into `folder`."""
    extension, _, options = ENCODINGS[case]
    return encode(source, folder / f"{case}.{extension}", options, tags=tags)


def write_module(path: Path, *, n_patterns: int = 3, title: str = "module") -> Path:
    """Write a four-channel ProTracker module that plays a melody on a square wave (7.7 s per pattern)."""
    rng = np.random.default_rng(1)
    sample = bytes([64] * 16 + [192] * 16) * 8
    header = title.encode("ascii").ljust(20, b"\0")[:20]
    instruments = b"square".ljust(22, b"\0") + (len(sample) // 2).to_bytes(2, "big") + b"\0\x40\0\0"
    instruments += (len(sample) // 2).to_bytes(2, "big")
    instruments += (b"\0" * 28 + b"\0\x01") * 30
    order = bytes([n_patterns, 127, *range(n_patterns)]).ljust(130, b"\0")
    rows = bytearray()
    for row in range(64 * n_patterns):
        for channel in range(4):
            period = int(rng.choice([428, 381, 339, 320, 285, 254, 226])) if row % 4 == channel else 0
            rows += bytes([period >> 8, period & 255, 0x10 if period else 0, 0])
    path.write_bytes(header + instruments + order + b"M.K." + bytes(rows) + sample)
    return path
