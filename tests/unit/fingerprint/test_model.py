"""The fingerprint value and its raw bytes."""

import numpy as np
import pytest

from musicfp.errors import InvalidFingerprint
from musicfp.fingerprint.model import Fingerprint, bit_rows, duration_of_items, items_of_duration

ITEMS = np.array([1, 0x80000000, 0xFFFFFFFF], dtype=np.uint32)


def test_bytes_are_little_endian_and_round_trip() -> None:
    fingerprint = Fingerprint.of_items(ITEMS, audio_duration_s=3.5)
    assert fingerprint.to_bytes() == bytes.fromhex("01000000 00000080 ffffffff")
    assert Fingerprint.from_bytes(fingerprint.to_bytes(), audio_duration_s=3.5) == fingerprint


def test_bytes_that_are_not_whole_items_are_refused() -> None:
    with pytest.raises(InvalidFingerprint, match="7 bytes"):
        Fingerprint.from_bytes(b"1234567")


def test_equality_and_hash_are_by_content() -> None:
    fingerprint = Fingerprint.of_items(ITEMS)
    assert fingerprint == Fingerprint.of_items(ITEMS.copy())
    assert hash(fingerprint) == hash(Fingerprint.of_items(ITEMS.copy()))
    assert fingerprint != Fingerprint.of_items(ITEMS[:2])
    assert fingerprint != Fingerprint.of_items(ITEMS, audio_duration_s=9.0)
    assert fingerprint != "a fingerprint"


def test_a_fingerprint_does_not_change_with_the_array_it_was_made_of() -> None:
    items = ITEMS.copy()
    fingerprint = Fingerprint.of_items(items)
    items[0] = 7
    assert fingerprint.sub_fingerprints[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        fingerprint.sub_fingerprints[0] = 7


def test_two_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        Fingerprint.of_items(np.zeros((2, 2), dtype=np.uint32))


@pytest.mark.parametrize(("duration_s", "n_items"), [(60.0, 463), (120.0, 948), (3.0, 3), (2.6, 0), (0.0, 0)])
def test_items_of_a_duration_are_those_that_fpcalc_makes(duration_s: float, n_items: int) -> None:
    assert items_of_duration(duration_s) == n_items
    assert items_of_duration(duration_of_items(n_items) + 1e-6) == n_items


def test_bit_rows_start_with_the_lowest_bit() -> None:
    rows = bit_rows(ITEMS)
    assert rows.shape == (3, 32)
    assert rows[0].tolist() == [1] + [0] * 31
    assert rows[1].tolist() == [0] * 31 + [1]
