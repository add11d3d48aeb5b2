"""Small PNG pictures of fingerprints for people: what a fingerprint looks like, and where two of them differ.

What belongs here: bitmaps to pictures. What does not: measuring anything (`correlation`). The same fingerprint gives
the same bytes.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from musicfp.fingerprint.model import ITEM_BITS, Fingerprint, bit_rows

MAX_PICTURE_BYTES = 20_000
_WIDTH_PX = 1024
_ROW_HEIGHT_PX = 4
_MAX_ITEM_WIDTH_PX = 8
# Fewer columns until the file is small enough: noise is hard to compress, and hours of it are many columns.
_SHRINK = 0.8
_PAPER = (250, 250, 247)
_INK = (31, 58, 95)
_DIFFERENT = (200, 60, 40)


def fingerprint_png(fingerprint: Fingerprint) -> bytes:
    """Draw a fingerprint: time to the right, the highest bit on top, ones dark.

    Returns
    -------
    bytes
        A PNG of less than 20,000 bytes, 128 pixels high and at most 1024 wide. Long fingerprints are averaged.

    """
    return _draw(bit_rows(fingerprint.sub_fingerprints), ink=_INK)


def difference_png(query: Fingerprint, track: Fingerprint, *, offset_items: int) -> bytes:
    """Draw where two fingerprints differ over their overlap, different bits red; track item = query item + offset.

    Raises
    ------
    ValueError
        They do not overlap at this offset.

    """
    start = max(0, -offset_items)
    stop = min(query.n_items, track.n_items - offset_items)
    if stop <= start:
        raise ValueError(f"fingerprints of {query.n_items} and {track.n_items} items do not overlap at {offset_items}")
    there = track.sub_fingerprints[start + offset_items : stop + offset_items]
    return _draw(bit_rows(query.sub_fingerprints[start:stop] ^ there), ink=_DIFFERENT)


def _draw(bits: NDArray[np.uint8], *, ink: tuple[int, int, int]) -> bytes:
    columns = _WIDTH_PX
    while True:
        png = _png(bits, ink=ink, max_columns=columns)
        if len(png) < MAX_PICTURE_BYTES:
            return png
        columns = int(columns * _SHRINK)


def _png(bits: NDArray[np.uint8], *, ink: tuple[int, int, int], max_columns: int) -> bytes:
    shades = _averaged(bits, max_columns) if bits.size else np.zeros((1, ITEM_BITS))
    # Four bits of grey are enough for the eye and halve the file.
    grey = np.ascontiguousarray(np.rint(shades[:, ::-1].T * 15), dtype=np.uint8)
    width = max(1, min(_MAX_ITEM_WIDTH_PX, max_columns // grey.shape[1]))
    image = Image.fromarray(np.kron(grey, np.ones((_ROW_HEIGHT_PX, width), dtype=np.uint8)))
    image = image.convert("P")
    image.putpalette(
        [
            round(paper + (dark - paper) * level / 15)
            for level in range(16)
            for paper, dark in zip(_PAPER, ink, strict=True)
        ]
    )
    file = io.BytesIO()
    image.save(file, format="PNG", bits=4, optimize=True)
    return file.getvalue()


def _averaged(bits: NDArray[np.uint8], max_columns: int) -> NDArray[np.float64]:
    """Return shades of 0 to 1 [shape=(n_columns, 32)], neighbouring items averaged if there are too many."""
    n_columns = min(bits.shape[0], max_columns)
    edges = np.linspace(0, bits.shape[0], n_columns + 1).astype(np.int64)
    sums: NDArray[np.float64] = np.add.reduceat(bits, edges[:-1], axis=0, dtype=np.float64)
    return sums / np.diff(edges)[:, None]
