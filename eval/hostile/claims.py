"""Files whose headers lie or claim what no recording has: sizes, durations, rates, channels, depths."""

import struct
from collections.abc import Iterator

import numpy as np

from eval.hostile.model import ACCEPTED, HostileFile, Workbench, expecting
from eval.hostile.pieces import (
    aiff,
    caf,
    flac_constant_frames,
    flac_file,
    ogg_pages,
    silent_mp3,
    silent_opus,
    vorbis_comments,
    wav,
)
from tests.support.audio_samples import music_samples

_REFUSED = expecting(
    "undecodable", "unsupported_format", "truncated", "too_short", "over_limits", "no_audio", "too_long"
)
_RATE_44100 = bytes.fromhex("400eac44000000000000")
_RATE_1 = bytes.fromhex("3fff8000000000000000")
_RATE_HUGE = bytes.fromhex("7ffeffffffffffffffff")


def _pcm(duration_s: float = 8.0) -> bytes:
    return (music_samples(duration_s) * 32767).astype("<i2").tobytes()


def _floats(values: list[tuple[int, float]]) -> bytes:
    samples = music_samples(8.0)
    for position, value in values:
        samples[position : position + 100] = value
    return wav(samples.astype("<f4").tobytes(), coding=3, bits=32)


def _all_nan(_bench: Workbench) -> bytes:
    return wav(np.full((44100 * 8, 2), np.nan, "<f4").tobytes(), coding=3, bits=32)


def claims() -> Iterator[HostileFile]:
    """Yield all of them."""
    yield from _wav_claims()
    yield from _other_claims()
    yield from _extents()


def _wav_claims() -> Iterator[HostileFile]:
    group = "claims"
    for rate_hz, right in (
        (0, expecting("undecodable")),
        (1, expecting("unsupported_format", "too_long")),
        (655_350, expecting("unsupported_format")),
        (0xFFFFFFFF, expecting("undecodable", "unsupported_format")),
    ):
        yield HostileFile(group, f"WAV of {rate_hz} Hz", "wav", lambda _, r=rate_hz: wav(_pcm(), rate_hz=r), right)
    for n_channels in (0, 64, 255, 65535):
        right = expecting("undecodable", "unsupported_format")
        yield HostileFile(
            group, f"WAV of {n_channels} channels", "wav", lambda _, n=n_channels: wav(_pcm(), n_channels=n), right
        )
    for bits in (0, 1, 7, 64, 65535):
        yield HostileFile(group, f"WAV of {bits} bits", "wav", lambda _, b=bits: wav(_pcm(), bits=b))
    for coding in (0, 2, 0x55, 0x2000, 0x674F, 0xFFFE, 0xFFFF):
        yield HostileFile(group, f"WAV with coding {coding:#x}", "wav", lambda _, c=coding: wav(_pcm(), coding=c))
    yield HostileFile(
        group, "WAV claims 4 GB", "wav", lambda _: wav(_pcm(1.0), data_size=0xFFFFFF00), expecting("truncated")
    )
    yield HostileFile(group, "RF64 claims 2^63 bytes", "wav", _rf64, expecting("truncated", "undecodable", "too_long"))
    yield HostileFile(group, "WAV with 1e5 empty chunks before its data", "wav", _many_chunks, expecting(ACCEPTED))
    yield HostileFile(group, "NaN in a float WAV", "wav", lambda _: _floats([(9000, np.nan)]), expecting("not_finite"))
    yield HostileFile(
        group, "infinity in a float WAV", "wav", lambda _: _floats([(9, np.inf)]), expecting("not_finite")
    )
    yield HostileFile(group, "nothing but NaN", "wav", _all_nan, expecting("not_finite"))
    yield HostileFile(group, "1e38 in a float WAV", "wav", lambda _: _floats([(9, 1e38)]), expecting(ACCEPTED))


def _other_claims() -> Iterator[HostileFile]:
    group = "claims"
    for name, rate in (("1 Hz", _RATE_1), ("2^16000 Hz", _RATE_HUGE), ("0 Hz", bytes(10))):
        yield HostileFile(
            group,
            f"AIFF of {name}",
            "aiff",
            lambda _, r=rate: aiff(_pcm(), rate=r, n_channels=2, bits=16, n_frames=352_800),
            expecting("undecodable", "unsupported_format", "too_long"),
        )
    yield HostileFile(
        group,
        "AIFF claims 4e9 frames",
        "aiff",
        lambda _: aiff(_pcm(), rate=_RATE_44100, n_channels=2, bits=16, n_frames=0xFFFFFFFF),
        _REFUSED | {"missing_tag"},
    )
    yield HostileFile(
        group,
        "CAF claims 2^63-1 bytes",
        "caf",
        lambda _: caf(_pcm(), rate_hz=44100, n_channels=2, bits=16, data_size=(1 << 63) - 1),
        _REFUSED | {"missing_tag"},
    )
    yield HostileFile(
        group,
        "CAF of NaN Hz",
        "caf",
        lambda _: caf(_pcm(), rate_hz=float("nan"), n_channels=2, bits=16, data_size=-1),
        expecting("undecodable", "unsupported_format"),
    )
    yield HostileFile(group, "W64 claims 2^63 bytes", "w64", _w64, _REFUSED | {"missing_tag"})
    yield HostileFile(
        group, "FLAC of 655,350 Hz", "flac", lambda _: _flac(50, rate_hz=655_350), expecting("unsupported_format")
    )
    yield HostileFile(
        group, "FLAC of 1 Hz", "flac", lambda _: _flac(50, rate_hz=1), expecting("unsupported_format", "too_long")
    )
    yield HostileFile(group, "FLAC of 0 Hz", "flac", lambda _: _flac(50, rate_hz=0), _REFUSED)
    yield HostileFile(
        group, "FLAC claims 2^36-1 samples", "flac", lambda _: _flac(5, n_samples=(1 << 36) - 1), expecting("too_long")
    )
    yield HostileFile(
        group, "FLAC claims 1 sample of 3 million", "flac", lambda _: _flac(50, n_samples=1), expecting("silent")
    )
    yield HostileFile(
        group, "MP3 whose Xing header claims 2^32-1 frames", "mp3", _lying_xing, expecting("truncated", "too_long")
    )
    yield HostileFile(group, "Opus of 255 channels", "opus", _opus_of_255_channels, _REFUSED | {"missing_tag"})
    yield HostileFile(group, "MP4 that claims 2^32-2 time units", "m4a", _long_mp4)


def _extents() -> Iterator[HostileFile]:
    group = "extent"
    yield HostileFile(group, "0 bytes", "mp3", lambda _: b"", expecting("empty"))
    yield HostileFile(group, "1 byte", "mp3", lambda _: b"\xff", expecting("unsupported_format"))
    yield HostileFile(group, "0 samples", "wav", lambda _: wav(b""), expecting("too_short", "undecodable"))
    yield HostileFile(group, "1 sample", "wav", lambda _: wav(b"\1\0\1\0"), expecting("too_short"))
    yield HostileFile(group, "a third of a sample", "wav", lambda _: wav(b"\1"), expecting("too_short", "undecodable"))
    yield HostileFile(group, "3 h of silence in FLAC, 160 kB", "flac", lambda _: _flac(7270), expecting("silent"))
    yield HostileFile(group, "3 h of silence in Opus", "opus", lambda _: silent_opus(10_800), expecting("silent"))
    yield HostileFile(group, "3 h of silence in MP3", "mp3", lambda _: silent_mp3(10_800), expecting("silent"))
    yield HostileFile(
        group, "13 h of silence in FLAC, 1 MB", "flac", lambda _: _flac(32_000), expecting("too_long", "silent")
    )
    yield HostileFile(
        group,
        "FLAC bomb: 4 h of 8 channels at 384 kHz, 3 MB",
        "flac",
        lambda _: flac_file(flac_constant_frames(84_400, n_channels=8, value=9000), rate_hz=384_000, n_channels=8),
    )


def _flac(n_frames: int, *, rate_hz: int = 44_100, n_samples: int = 0) -> bytes:
    return flac_file(flac_constant_frames(n_frames, n_channels=2), rate_hz=rate_hz, n_samples=n_samples)


def _many_chunks(_bench: Workbench) -> bytes:
    return wav(_pcm(), extra=b"junk\0\0\0\0" * 100_000)


def _rf64(bench: Workbench) -> bytes:
    data = bytearray(bench.encoded("rf64"))
    start = data.index(b"ds64") + 8
    data[start : start + 24] = struct.pack("<QQQ", 1 << 63, 1 << 63, 1 << 61)
    return bytes(data)


def _w64(bench: Workbench) -> bytes:
    data = bytearray(bench.encoded("w64"))
    start = data.index(b"data\xf3\xac\xd3\x11") + 16
    data[start : start + 8] = struct.pack("<Q", (1 << 63) - 1)
    return bytes(data)


def _lying_xing(bench: Workbench) -> bytes:
    data = bytearray(bench.encoded("mp3_vbr"))
    start = data.index(b"Xing") + 8
    data[start : start + 4] = b"\xff" * 4
    return bytes(data)


def _opus_of_255_channels(_bench: Workbench) -> bytes:
    head = b"OpusHead\1\xff\0\0" + struct.pack("<I", 48000) + b"\0\0\xff\xff\0" + bytes(range(255))
    tags = b"OpusTags" + vorbis_comments([])
    return b"".join(ogg_pages([(head, 0), (tags, 0), *((b"\xf8" * 300, 960 * n) for n in range(500))]))


def _long_mp4(bench: Workbench) -> bytes:
    """Durations in the headers of the movie, the track and the media."""
    data = bytearray(bench.encoded("m4a"))
    for name, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        start = data.index(name) + offset
        data[start : start + 4] = b"\xff\xff\xff\xfe"
    return bytes(data)
