"""Catalogues of any size, made of real fingerprints, for measuring what grows with the number of tracks.

What belongs here: fingerprints alone; there is no audio behind them. What does not: storing or searching them.

Random words would be too easy: in music few codes are frequent and most are rare, and whole runs resemble each other.
So real audio is fingerprinted at other speeds and backwards, which no query resembles, and new tracks are spliced from
it. Backwards alone is not enough: music that stands still is its own reversal, and a query is found in it rightly.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.degrade import QUERY_RATE_HZ
from eval.fingerprints import fingerprint_of
from eval.music import Track

Items = NDArray[np.uint32]

# Six and a half semitones: no tier of search that probes rates reaches it.
_SLOWER = 1.45
_VARIANT_S = 120.0
_RUN_ITEMS = 48
_FLIPPED_SHARE = 0.03
# Distinct patterns of flips; each item takes one at random.
_N_PATTERNS = 1 << 20
_TRACKS_AT_ONCE = 2000


def pool_of(tracks: Iterable[Track]) -> list[Items]:
    """Return the fingerprints [shape=(n_items,)] of each track: slower, slower backwards, faster backwards."""
    pool = []
    n_samples = round(_VARIANT_S * QUERY_RATE_HZ)
    slow_rate_hz, fast_rate_hz = round(QUERY_RATE_HZ / _SLOWER), round(QUERY_RATE_HZ * _SLOWER)
    for track in tracks:
        forwards = track.samples()[:n_samples]
        backwards = forwards[::-1]
        for samples, rate_hz in ((forwards, slow_rate_hz), (backwards, slow_rate_hz), (backwards, fast_rate_hz)):
            pool.append(fingerprint_of(samples, rate_hz=rate_hz).sub_fingerprints)
    return pool


def synthetic_catalogue(
    pool: Sequence[Items], *, n_tracks: int, n_items_per_track: int, rng: np.random.Generator
) -> Iterator[Items]:
    """Yield tracks spliced from runs of the pool, with `_FLIPPED_SHARE` of the bits flipped.

    Parameters
    ----------
    pool
        Arrays [shape=(n_items,)] of real sub-fingerprints, together at least one run.
    n_tracks
        How many to yield. 100,000 take some seconds.
    n_items_per_track
        948 are two minutes.
    rng
        The only source of chance; the same state gives the same tracks.

    Yields
    ------
    NDArray[np.uint32]
        The items of one track [shape=(n_items_per_track,)].

    """
    items = np.concatenate(pool)
    if items.size < _RUN_ITEMS:
        raise ValueError(f"the pool has {items.size} items; one run needs {_RUN_ITEMS}")
    patterns = _flip_patterns(rng)
    n_runs = -(-n_items_per_track // _RUN_ITEMS)
    within_run = np.arange(_RUN_ITEMS)
    for first in range(0, n_tracks, _TRACKS_AT_ONCE):
        n_now = min(_TRACKS_AT_ONCE, n_tracks - first)
        starts = rng.integers(0, items.size - _RUN_ITEMS + 1, (n_now, n_runs, 1))
        tracks = items[starts + within_run].reshape(n_now, -1)[:, :n_items_per_track]
        yield from tracks ^ patterns[rng.integers(0, _N_PATTERNS, tracks.shape, dtype=np.uint32)]


def _flip_patterns(rng: np.random.Generator) -> Items:
    patterns = np.zeros(_N_PATTERNS, dtype=np.uint32)
    for bit in range(32):
        patterns |= (rng.random(_N_PATTERNS, dtype=np.float32) < _FLIPPED_SHARE).astype(np.uint32) << np.uint32(bit)
    return patterns
