"""Real encodings that are cut, flipped and overwritten everywhere, and bytes without any meaning."""

import random
from collections.abc import Iterator

from eval.hostile.model import HostileFile, expecting
from tests.support.audio_samples import ENCODINGS

_ANY = frozenset[str]()
_SEEDS = 3


def damage() -> Iterator[HostileFile]:
    """Yield all of them; each is the same at every run."""
    for case, (extension, _, _) in ENCODINGS.items():
        for seed in range(_SEEDS):
            yield HostileFile(
                "bit flips", f"{case}, {seed}", extension, lambda b, c=case, s=seed: _flipped(b.encoded(c), s), _ANY
            )
        for share in (0.001, 0.02, 0.3, 0.97):
            yield HostileFile(
                "cut", f"{case} at {share:.1%}", extension, lambda b, c=case, s=share: _cut(b.encoded(c), s), _ANY
            )
        yield HostileFile("header fields", case, extension, lambda b, c=case: _fields(b.encoded(c)), _ANY)
    for seed in range(10):
        yield HostileFile(
            "noise",
            f"random bytes, {seed}",
            "mp3",
            lambda _, s=seed: _chance(s).randbytes(200_000),
            _ANY,
        )
    yield HostileFile("noise", "10 MB of zeros", "mp3", lambda _: bytes(10 << 20), expecting("unsupported_format"))
    yield HostileFile("noise", "10 MB of FF", "mp3", lambda _: b"\xff" * (10 << 20), _ANY)
    yield HostileFile("noise", "10 MB of MP3 syncs", "mp3", lambda _: b"\xff\xfb\x90\x64" * (10 << 18), _ANY)
    yield HostileFile("noise", "10 MB of page marks", "ogg", lambda _: b"OggS" * (10 << 18), _ANY)


def _flipped(data: bytes, seed: int) -> bytes:
    """Flip one bit in ten thousand, and ten in the first kilobyte, where headers are."""
    chance = _chance(seed)
    damaged = bytearray(data)
    places = [chance.randrange(len(data)) for _ in range(len(data) // 1250 + 1)]
    for place in [*places, *(chance.randrange(4, min(len(data), 1024)) for _ in range(10))]:
        damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _cut(data: bytes, share: float) -> bytes:
    return data[: max(4, int(len(data) * share))]


def _fields(data: bytes) -> bytes:
    """Set every fourth byte of the first 200, behind the marks of the format, to the largest value."""
    damaged = bytearray(data)
    for place in range(16, min(len(data), 200), 4):
        damaged[place] = 0xFF
    return bytes(damaged)


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311
