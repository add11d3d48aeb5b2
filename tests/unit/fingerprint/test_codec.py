"""The text codec against the library's own and against hostile text."""

import base64
import time

import chromaprint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from musicfp.errors import InvalidFingerprint
from musicfp.fingerprint import codec
from musicfp.fingerprint.model import Fingerprint

any_items = hnp.arrays(np.uint32, st.integers(1, 60), elements=st.integers(0, 2**32 - 1))
sparse_items = hnp.arrays(np.uint32, st.integers(1, 200), elements=st.sampled_from([0, 1, 1 << 31, 0x257DF977, 0xF000]))


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def to_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def decoded_or_none(text: str, *, max_items: int = codec.MAX_ITEMS) -> Fingerprint | None:
    """Let only InvalidFingerprint pass for an answer."""
    try:
        return codec.decode(text, max_items=max_items)
    except InvalidFingerprint:
        return None


@given(st.one_of(any_items, sparse_items))
def test_the_text_is_the_library_s_and_decodes_to_the_same_items(items: NDArray[np.uint32]) -> None:
    text = codec.encode(Fingerprint.of_items(items))
    assert text == chromaprint.encode_fingerprint(items.astype(np.int32).tolist(), 1).decode()
    assert chromaprint.decode_fingerprint(text.encode()) == (items.tolist(), 1)
    assert codec.decode(text) == Fingerprint.of_items(items)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_fingerprint_or_invalid_fingerprint(data: bytes) -> None:
    for candidate in (data, b"\x01\x00\x00" + data):
        fingerprint = decoded_or_none(to_text(candidate), max_items=100)
        assert fingerprint is None or 1 <= fingerprint.n_items <= 100


@given(st.text(max_size=200))
def test_arbitrary_text_never_raises_anything_else(text: str) -> None:
    fingerprint = decoded_or_none(text)
    assert fingerprint is None or text.strip()


@given(any_items, st.data())
@settings(max_examples=60)
def test_damaging_one_byte_never_raises_anything_else(items: NDArray[np.uint32], data: st.DataObject) -> None:
    damaged = bytearray(to_bytes(codec.encode(Fingerprint.of_items(items))))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    fingerprint = decoded_or_none(to_text(bytes(damaged)))
    assert fingerprint is None or fingerprint.n_items == int.from_bytes(damaged[1:4], "big")


GOOD = to_bytes(codec.encode(Fingerprint.of_items(np.array([0x80000001, 0x00F000F0, 5, 5], dtype=np.uint32))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("AQAA", "header alone"),
        ("not base64!", "URL-safe base64"),
        ("AQAAAAA+/", "URL-safe base64"),
        ("AQAAA=", "URL-safe base64"),
        ("AQAAé", "URL-safe base64"),
        (to_text(b"\x00" + GOOD[1:]), "algorithm 1; only the default, 2"),
        (to_text(b"\x02" + GOOD[1:]), "algorithm 3"),
        (to_text(b"\x01\x00\x00\x00"), "0 items"),
        (to_text(b"\x01\xff\xff\xff" + GOOD[4:]), "16777215 items"),
        (to_text(b"\x01\x00\x10\x00" + GOOD[4:]), "ends before"),
        (to_text(b"\x01\x00\x00\x09" + GOOD[4:]), "are complete"),
        (to_text(GOOD[:-1]), "cut short"),
        (to_text(GOOD + b"\x00"), "followed by something else"),
        (to_text(GOOD + b"\x00" * 16), "followed by something else"),
        # One item, distances 7 + 31 = 38.
        (to_text(b"\x01\x00\x00\x01" + bytes([0b000111]) + bytes([31])), "bit 38 of a 32-bit item"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidFingerprint, match=message):
        codec.decode(text)


def test_text_longer_than_any_accepted_fingerprint_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(InvalidFingerprint, match="characters"):
        codec.decode("A" * 10_000, max_items=100)


def test_the_densest_fingerprint_of_the_most_items_is_still_accepted() -> None:
    items = np.array([0xFFFFFFFF, 0] * 50, dtype=np.uint32)
    assert codec.decode(codec.encode(Fingerprint.of_items(items)), max_items=100).n_items == 100


def test_fewer_items_than_asked_for_are_refused() -> None:
    with pytest.raises(InvalidFingerprint, match="4 items; 8 to"):
        codec.decode(to_text(GOOD), min_items=8)


def test_an_empty_fingerprint_is_accepted_only_where_it_is_allowed() -> None:
    empty = codec.encode(Fingerprint.of_items(np.zeros(0, dtype=np.uint32)))
    assert empty == "AQAAAA"
    assert codec.decode(empty, min_items=0).n_items == 0


def test_surrounding_white_space_is_ignored() -> None:
    assert codec.decode(f" {to_text(GOOD)}\n").n_items == 4


def test_two_minutes_decode_in_a_few_milliseconds() -> None:
    """A loop over bits in Python needs 3 ms and more; the bound leaves room for a busy machine."""
    items = np.random.default_rng(1).integers(0, 2**32, 948, dtype=np.uint32)
    text = codec.encode(Fingerprint.of_items(items))
    times = []
    for _ in range(10):
        began = time.process_time()
        codec.decode(text)
        times.append(time.process_time() - began)
    assert min(times) < 0.0025
