"""Bounded codec of Chromaprint's compressed text, the form that fingerprints travel in.

What belongs here: text to items and back, for text that anybody may have sent. The library's own decoder is not used
for that: libchromaprint 1.5.1, which Debian 12 ships, crashes the process on a valid fingerprint with a few bytes
appended. What does not belong here: making fingerprints from audio.

The format (github.com/acoustid/chromaprint, `fingerprint_compressor.cpp`): byte 0 is the algorithm, bytes 1-3 the item
count, big-endian. Each item is XORed with the one before it, and the distances between its set bits (counted from 1)
are written as 3-bit values ended by a 0; a distance of 7 or more is written as 7 and the rest goes to a list of 5-bit
values, one for each 7, which starts on the next byte. Both lists are packed from the lowest bit. The text is URL-safe
base64 without padding.
"""

import binascii
import re

import numpy as np
from numpy.typing import NDArray

from musicfp.errors import InvalidFingerprint
from musicfp.fingerprint.model import DEFAULT_ALGORITHM, ITEM_BITS, Fingerprint, bit_rows

# 24 h of audio; the header could declare 16.7 million items.
MAX_ITEMS = 700_000
_HEADER_BYTES = 4
_GAP_BITS = 3
_EXCEPTION_BITS = 5
_LARGEST_GAP = 7
# At most 32 distances and the 0 for an item, and at most 4 of its distances (4 * 7 = 28 bits) can be exceptional.
_MAX_BITS_PER_ITEM = 33 * _GAP_BITS + 4 * _EXCEPTION_BITS
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def encode(fingerprint: Fingerprint) -> str:
    """Return the compressed base64 text of a fingerprint, identical to the library's.

    Raises
    ------
    InvalidFingerprint
        There are more items than the format's 24-bit count can say.

    """
    items = fingerprint.sub_fingerprints
    if items.size >= 1 << 24:
        raise InvalidFingerprint(f"A fingerprint of {items.size} items is longer than its text form can express.")
    changes = items.copy()
    changes[1:] ^= items[:-1]
    item_of_bit, position = np.nonzero(bit_rows(changes))
    gaps = position + 1
    follows = np.flatnonzero(item_of_bit[1:] == item_of_bit[:-1]) + 1
    gaps[follows] = position[follows] - position[follows - 1]
    values = np.zeros(gaps.size + items.size, dtype=np.uint8)
    # Every item before this one has put one terminating 0 in front.
    values[np.arange(gaps.size) + item_of_bit] = np.minimum(gaps, _LARGEST_GAP)
    exceptions = (gaps[gaps >= _LARGEST_GAP] - _LARGEST_GAP).astype(np.uint8)
    header = bytes([fingerprint.algorithm]) + int(items.size).to_bytes(3, "big")
    data = header + _pack(values, _GAP_BITS) + _pack(exceptions, _EXCEPTION_BITS)
    return binascii.b2a_base64(data, newline=False).decode("ascii").translate(_TO_URL_SAFE).rstrip("=")


def decode(text: str, *, max_items: int = MAX_ITEMS, min_items: int = 1) -> Fingerprint:
    """Decode compressed base64 text from anywhere.

    Time and memory are bounded by `max_items`, whatever the text says.

    Parameters
    ----------
    text
        What `fpcalc` prints as FINGERPRINT, surrounding white space ignored.
    max_items, min_items
        Longest and shortest fingerprint to accept.

    Returns
    -------
    Fingerprint
        Of the default algorithm; `audio_duration_s` is computed from the number of items, because the text does not
        hold it.

    Raises
    ------
    InvalidFingerprint
        For everything that is not exactly one complete fingerprint of the default algorithm.

    """
    data = _from_base64(text, max_items=max_items)
    n_items = _declared_items(data, max_items=max_items, min_items=min_items)
    if n_items == 0:
        return Fingerprint.of_items(np.zeros(0, dtype=np.uint32))
    values, n_body_bytes = _gap_values(data, n_items)
    gaps = _add_exceptions(values, data, start=_HEADER_BYTES + n_body_bytes)
    return Fingerprint.of_items(_items_of_gaps(gaps, n_items))


def _from_base64(text: str, *, max_items: int) -> bytes:
    stripped = text.strip()
    longest = (_HEADER_BYTES + 2 + max_items * _MAX_BITS_PER_ITEM // 8) * 4 // 3 + 4
    if len(stripped) > longest:
        raise InvalidFingerprint(
            f"The fingerprint text has {len(stripped)} characters; the most accepted is {longest}."
        )
    if not stripped:
        raise InvalidFingerprint("The fingerprint is empty.")
    if _BASE64URL.fullmatch(stripped) is None or len(stripped) % 4 == 1:
        raise InvalidFingerprint(
            "The fingerprint is not URL-safe base64 without padding. Send the FINGERPRINT value that fpcalc prints."
        )
    return binascii.a2b_base64(stripped.translate(_FROM_URL_SAFE) + "=" * (-len(stripped) % 4))


def _declared_items(data: bytes, *, max_items: int, min_items: int) -> int:
    if len(data) < _HEADER_BYTES:
        raise InvalidFingerprint(f"The fingerprint has {len(data)} bytes; its header alone needs {_HEADER_BYTES}.")
    if data[0] != DEFAULT_ALGORITHM:
        raise InvalidFingerprint(
            f"The fingerprint was made with Chromaprint's algorithm {data[0] + 1}; only the default, 2, is supported."
        )
    n_items = int.from_bytes(data[1:4], "big")
    if not min_items <= n_items <= max_items:
        raise InvalidFingerprint(
            f"The fingerprint says it has {n_items} items; {min_items} to {max_items} are accepted."
        )
    if (len(data) - _HEADER_BYTES) * 8 < n_items * _GAP_BITS:
        raise InvalidFingerprint(f"The fingerprint says it has {n_items} items but ends before they do.")
    return n_items


def _gap_values(data: bytes, n_items: int) -> tuple[NDArray[np.uint8], int]:
    """Return the 3-bit values up to the 0 that ends the last item, and the number of bytes that they fill."""
    values = _unpack(data[_HEADER_BYTES:], _GAP_BITS)
    ends = np.flatnonzero(values == 0)
    if ends.size < n_items:
        raise InvalidFingerprint(f"The fingerprint says it has {n_items} items; only {ends.size} are complete.")
    n_values = int(ends[n_items - 1]) + 1
    return values[:n_values], -(-n_values * _GAP_BITS // 8)


def _add_exceptions(values: NDArray[np.uint8], data: bytes, *, start: int) -> NDArray[np.int64]:
    exceptional = np.flatnonzero(values == _LARGEST_GAP)
    n_bytes = -(-exceptional.size * _EXCEPTION_BITS // 8)
    present = len(data) - start
    if present != n_bytes:
        what = "is cut short" if present < n_bytes else "is followed by something else"
        raise InvalidFingerprint(
            f"The fingerprint {what}: {n_bytes} bytes should come after its items, {max(0, present)} do."
        )
    gaps = values.astype(np.int64)
    gaps[exceptional] += _unpack(data[start:], _EXCEPTION_BITS)[: exceptional.size]
    return gaps


def _items_of_gaps(gaps: NDArray[np.int64], n_items: int) -> NDArray[np.uint32]:
    is_end = gaps == 0
    item_of_value = np.cumsum(is_end) - is_end
    total = np.cumsum(gaps)
    before_item = np.concatenate(([0], total[is_end][:-1]))
    position = (total - before_item[item_of_value])[~is_end]
    if position.size and int(position.max()) > ITEM_BITS:
        raise InvalidFingerprint(f"The fingerprint sets bit {int(position.max())} of a {ITEM_BITS}-bit item.")
    # Distances are at least 1, so no bit is set twice and adding the bits is the same as or-ing them; float64 is exact.
    changes = np.bincount(item_of_value[~is_end], weights=np.exp2(position - 1), minlength=n_items)
    return np.bitwise_xor.accumulate(changes.astype(np.uint32))


def _pack(values: NDArray[np.uint8], n_bits: int) -> bytes:
    bits = np.unpackbits(values[:, None], axis=1, bitorder="little", count=n_bits)
    return np.packbits(bits, bitorder="little").tobytes()


def _unpack(data: bytes, n_bits: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
    whole = bits[: bits.size // n_bits * n_bits].reshape(-1, n_bits)
    return np.packbits(whole, axis=1, bitorder="little")[:, 0] if whole.size else np.zeros(0, dtype=np.uint8)


_TO_URL_SAFE = str.maketrans("+/", "-_")
_FROM_URL_SAFE = str.maketrans("-_", "+/")
