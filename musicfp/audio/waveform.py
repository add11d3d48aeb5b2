"""A picture of a recording's loudness over time, for people who look at an asset.

What belongs here: PCM in, PNG bytes out. What does not: decoding, or showing the picture.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH_PX = 800
HEIGHT_PX = 120
_BACKGROUND, _AXIS, _PEAK, _RMS = range(4)
_PALETTE = (255, 255, 255, 203, 213, 225, 147, 197, 253, 29, 78, 216)  # RGB of the four in turn


def waveform_png(samples: NDArray[np.int16], *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> bytes:
    """Draw the waveform of a recording.

    Parameters
    ----------
    samples : NDArray[np.int16] [shape=(n_samples,)]
        Mono. Full scale reaches the edges of the picture, so that loud and quiet recordings can be told apart.
    width_px, height_px : int
        Size of the picture in pixels.

    Returns
    -------
    bytes
        A PNG with four colours: extremes light, root mean square dark. The same samples give the same bytes.
    """
    low, high, rms = _columns(samples, width_px)
    level = np.linspace(1.0, -1.0, height_px)[:, np.newaxis]
    picture = np.full((height_px, width_px), _BACKGROUND, dtype=np.uint8)
    picture[(level <= high) & (level >= low)] = _PEAK
    picture[np.abs(level) <= rms] = _RMS
    middle = picture[height_px // 2]
    middle[middle == _BACKGROUND] = _AXIS
    image = Image.fromarray(picture, mode=None).convert("P")
    image.putpalette(_PALETTE)
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True, bits=2)
    return file.getvalue()


def _columns(
    samples: NDArray[np.int16], n_columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return minimum, maximum and root mean square of each of `n_columns` stretches, full scale at 1."""
    if len(samples) == 0:
        zeros = np.zeros(n_columns)
        return zeros, zeros, zeros
    starts = np.arange(n_columns) * len(samples) // n_columns
    stretch_items = np.diff(np.append(starts, len(samples))).clip(min=1)
    low = np.minimum.reduceat(samples, starts) / 32768
    high = np.maximum.reduceat(samples, starts) / 32768
    # A recording of fewer samples than columns repeats starts; reduceat then answers with the sample itself.
    squares = np.add.reduceat(np.square(samples.astype(np.float64) / 32768), starts)
    return low, high, np.sqrt(squares / stretch_items)
