"""Fingerprinting stereo whose channels cancel each other out.

Chromaprint hears the sum of the channels, as fpcalc and AcoustID do. Recordings with one channel inverted exist, and
their sum is the noise of the last codec: it matches nothing and changes with every transcode. For those, and only for
those, the louder channel alone is fingerprinted.

What belongs here: choosing what is heard, for samples in pieces. What does not: the library (`chromaprint`).
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.chromaprint import PcmFingerprinter
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint

# The sum of ordinary stereo is at most 6 dB below its louder channel; 20 dB below, what is left is not the music.
CANCELLED_BELOW = 10 ** (-20 / 10)
_NO_PRODUCTS = np.zeros((2, 2))


class Downmix(StrEnum):
    """What of a recording is fingerprinted."""

    SUM = "sum"
    LEFT = "left"
    RIGHT = "right"


def fingerprint_samples(
    chunks: Iterable[NDArray[np.int16]], *, sample_rate_hz: int, n_channels: int, downmix: Downmix | None = None
) -> tuple[Fingerprint, Downmix]:
    """Fingerprint samples to their end.

    Parameters
    ----------
    chunks
        NDArray[np.int16] [shape=(n, n_channels)], any lengths.
    sample_rate_hz
        See `fingerprint_pcm`.
    n_channels
        1 or 2.
    downmix
        What to fingerprint; None chooses by the energies of the whole recording. Pass what was chosen for a source
        when its copies are compared with it.

    Returns
    -------
    tuple[Fingerprint, Downmix]
        The fingerprint and what it is of.
    """
    candidates = [Downmix.SUM] if n_channels == 1 else [downmix] if downmix is not None else list(Downmix)
    fingerprinters = {each: PcmFingerprinter(sample_rate_hz=sample_rate_hz, n_channels=1) for each in candidates}
    products = _NO_PRODUCTS
    for chunk in chunks:
        for each, fingerprinter in fingerprinters.items():
            fingerprinter.feed(mixed(chunk, each).astype("<i2", copy=False).tobytes())
        if len(candidates) > 1:
            products = products + _products(chunk)
    chosen = _choose(products) if len(candidates) > 1 else candidates[0]
    return fingerprinters[chosen].finish(), chosen


def query_of(chunks: Iterable[NDArray[np.int16]], *, n_channels: int, max_samples: int) -> Query:
    """Fingerprint samples at 11025 Hz to their end, and keep what was fingerprinted unless it is too much.

    Parameters
    ----------
    chunks
        NDArray[np.int16] [shape=(n, n_channels)], any lengths.
    n_channels
        1 or 2.
    max_samples
        Of a longer recording the query has no samples.
    """
    kept: list[NDArray[np.int16]] = []
    fingerprint, downmix = fingerprint_samples(
        _keeping(chunks, kept, max_samples=max_samples), sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=n_channels
    )
    is_whole = 0 < sum(len(chunk) for chunk in kept) <= max_samples
    return Query(fingerprint, mixed(np.concatenate(kept), downmix) if is_whole else None)


def choose_downmix(chunks: Iterable[NDArray[np.int16]]) -> Downmix:
    """Return what `fingerprint_samples` would choose for a whole recording in two channels, at a twentieth of the cost.

    Parameters
    ----------
    chunks
        NDArray[np.int16] [shape=(n, 2)], any lengths.
    """
    return _choose(sum((_products(chunk) for chunk in chunks), start=_NO_PRODUCTS))


def mixed(samples: NDArray[np.int16], downmix: Downmix) -> NDArray[np.int16]:
    """Return one channel of samples [shape=(n, n_channels)], or the mean of both, as NDArray[np.int16] [shape=(n,)]."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    if downmix is Downmix.SUM:
        mean: NDArray[np.int16] = ((samples[:, 0].astype(np.int32) + samples[:, 1]) >> 1).astype(np.int16)
        return mean
    return samples[:, 0 if downmix is Downmix.LEFT else 1]


def _keeping(
    chunks: Iterable[NDArray[np.int16]], kept: list[NDArray[np.int16]], *, max_samples: int
) -> Iterator[NDArray[np.int16]]:
    """Pass samples on and keep them in `kept`, until those are too many."""
    n_kept = 0
    for chunk in chunks:
        if n_kept <= max_samples:
            kept.append(chunk)
            n_kept += len(chunk)
        yield chunk


def _products(stereo: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the scalar products of the channels [shape=(2, 2)]: their energies, and how they go together."""
    channels = np.ascontiguousarray(stereo.T, dtype=np.float64)
    return channels @ channels.T


def _choose(products: NDArray[np.float64]) -> Downmix:
    left, right = products.diagonal()
    louder, energy = (Downmix.LEFT, left) if left >= right else (Downmix.RIGHT, right)
    return louder if products.sum() / 4 < CANCELLED_BELOW * energy else Downmix.SUM
