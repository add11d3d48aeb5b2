"""Pictures of fingerprints, read back pixel by pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.picture import MAX_PICTURE_BYTES, difference_png, fingerprint_png

PAPER, INK = (250, 250, 247), (31, 58, 95)


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


@pytest.mark.parametrize("n_items", [0, 1, 60, 948, 30_000])
def test_every_length_gives_a_small_picture_of_readable_size(random_items, n_items: int) -> None:
    png = fingerprint_png(Fingerprint.of_items(random_items(1, n_items) if n_items else np.zeros(0, np.uint32)))
    picture = opened(png)
    assert len(png) < MAX_PICTURE_BYTES
    assert picture.height == 128
    assert 1 <= picture.width <= 1024


def test_incompressible_bits_still_give_a_small_picture() -> None:
    noise = np.random.default_rng(1).integers(0, 2**32, 30_000, dtype=np.uint32)
    assert len(fingerprint_png(Fingerprint.of_items(noise))) < MAX_PICTURE_BYTES


def test_the_same_fingerprint_gives_the_same_bytes(random_items) -> None:
    assert fingerprint_png(Fingerprint.of_items(random_items(1))) == fingerprint_png(
        Fingerprint.of_items(random_items(1))
    )


def test_the_highest_bit_is_on_top_and_ones_are_dark() -> None:
    picture = opened(fingerprint_png(Fingerprint.of_items(np.array([0x80000000, 1], dtype=np.uint32))))
    assert picture.size == (16, 128)
    assert picture.getpixel((0, 0)) == INK
    assert picture.getpixel((15, 0)) == PAPER
    assert picture.getpixel((0, 127)) == PAPER
    assert picture.getpixel((15, 127)) == INK


def test_a_difference_is_blank_where_the_aligned_items_agree(random_items) -> None:
    track, query = random_items(1), random_items(1)[100:200].copy()
    query[50] ^= np.uint32(0xFFFFFFFF)
    picture = opened(difference_png(Fingerprint.of_items(query), Fingerprint.of_items(track), offset_items=100))
    assert picture.getpixel((49 * 8, 10)) == PAPER
    assert picture.getpixel((50 * 8, 10)) == (200, 60, 40)


def test_a_difference_without_overlap_is_refused(random_items) -> None:
    fingerprint = Fingerprint.of_items(random_items(1))
    with pytest.raises(ValueError, match="do not overlap"):
        difference_png(fingerprint, fingerprint, offset_items=800)
