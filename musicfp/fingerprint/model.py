"""The value that everything in this package passes around: one whole Chromaprint fingerprint.

What belongs here: the value, its raw byte form and the constants of Chromaprint's default algorithm. What does not:
making fingerprints from audio (`chromaprint`), their text form (`codec`), comparing them (`correlation`, `search`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from musicfp.errors import InvalidFingerprint

# Chromaprint's default algorithm ("test2"). The wire byte is the first byte of the compressed form.
DEFAULT_ALGORITHM = 1
ANALYSIS_RATE_HZ = 11025
HOP_SAMPLES = 1365
# (5 - 1) items of the chroma filter + (16 - 1) of the widest classifier, each one hop, + the rest of one FFT frame.
DELAY_SAMPLES = (4 + 15) * HOP_SAMPLES + 2731
ITEM_DURATION_S = HOP_SAMPLES / ANALYSIS_RATE_HZ
DELAY_S = DELAY_SAMPLES / ANALYSIS_RATE_HZ
ITEM_BITS = 32


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A Chromaprint fingerprint of a whole piece of audio.

    Parameters
    ----------
    sub_fingerprints
        NDArray[np.uint32] [shape=(n_items,)], made read-only. One 32-bit word per `item_duration_s`: 16 classifiers
        of 2 bits each, classifier 0 on top.
    algorithm
        Wire byte of the algorithm; 1 is Chromaprint's default.
    item_duration_s
        Time between two items.
    audio_duration_s
        Length of the audio that was fingerprinted.

    """

    sub_fingerprints: NDArray[np.uint32]
    algorithm: int
    item_duration_s: float
    audio_duration_s: float

    def __post_init__(self) -> None:
        items = np.ascontiguousarray(self.sub_fingerprints, dtype=np.uint32)
        if items.ndim != 1:
            raise ValueError(f"sub_fingerprints must have one dimension, not {items.ndim}")
        if items.flags.writeable:
            items = items.copy()
            items.flags.writeable = False
        object.__setattr__(self, "sub_fingerprints", items)

    @property
    def n_items(self) -> int:
        """Number of 32-bit words."""
        return int(self.sub_fingerprints.size)

    @classmethod
    def of_items(cls, items: NDArray[np.uint32], *, audio_duration_s: float | None = None) -> Self:
        """Wrap raw items of the default algorithm; without a duration, the shortest audio that gives so many items."""
        duration_s = duration_of_items(items.size) if audio_duration_s is None else audio_duration_s
        return cls(items, DEFAULT_ALGORITHM, ITEM_DURATION_S, duration_s)

    def to_bytes(self) -> bytes:
        """Return the items as little-endian unsigned 32-bit words, 4 bytes each."""
        return self.sub_fingerprints.astype("<u4", copy=False).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, audio_duration_s: float | None = None) -> Self:
        """Read what `to_bytes` wrote for a fingerprint of the default algorithm.

        Raises
        ------
        InvalidFingerprint
            The number of bytes is not a multiple of four.

        """
        if len(data) % 4:
            raise InvalidFingerprint(f"A raw fingerprint has 4 bytes for each item; {len(data)} bytes is not that.")
        return cls.of_items(np.frombuffer(data, dtype="<u4").astype(np.uint32), audio_duration_s=audio_duration_s)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fingerprint):
            return NotImplemented
        return (self.algorithm, self.item_duration_s, self.audio_duration_s) == (
            other.algorithm,
            other.item_duration_s,
            other.audio_duration_s,
        ) and np.array_equal(self.sub_fingerprints, other.sub_fingerprints)

    def __hash__(self) -> int:
        return hash((self.algorithm, self.audio_duration_s, self.sub_fingerprints.tobytes()))


def duration_of_items(n_items: int) -> float:
    """Return the seconds of audio that `n_items` need: the delay before the first plus one hop for each."""
    return (DELAY_SAMPLES + n_items * HOP_SAMPLES) / ANALYSIS_RATE_HZ if n_items else 0.0


def items_of_duration(audio_duration_s: float) -> int:
    """Return how many items the default algorithm makes of so many seconds of audio; 0 below about 2.7 s."""
    return max(0, int((audio_duration_s * ANALYSIS_RATE_HZ - DELAY_SAMPLES) // HOP_SAMPLES))


def bit_rows(items: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return the bits of `items` [shape=(..., n)] as zeros and ones [shape=(..., n, 32)], lowest bit first."""
    octets = np.ascontiguousarray(items, dtype="<u4").view(np.uint8).reshape(*items.shape, 4)
    return np.unpackbits(octets, axis=-1, bitorder="little")
