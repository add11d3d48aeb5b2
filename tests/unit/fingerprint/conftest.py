"""Synthetic fingerprints whose bits behave like music's: neighbours resemble each other, strangers do not."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.model import Fingerprint

MakeItems = Callable[..., NDArray[np.uint32]]


def flip_bits(items: NDArray[np.uint32], share: float, *, seed: int = 0) -> NDArray[np.uint32]:
    """Flip this share of all bits."""
    rng = np.random.default_rng([seed, 77])
    flips = np.packbits(rng.random((items.size, 32)) < share, axis=1).view(">u4")[:, 0].astype(np.uint32)
    return items ^ flips


def random_items(seed: int, n_items: int = 800) -> NDArray[np.uint32]:
    """Walk at random through the codes: each item flips about 8 % of the bits of the one before."""
    start = np.random.default_rng([seed, 1]).integers(0, 2**32, 1, dtype=np.uint32)
    steps = flip_bits(np.zeros(n_items, dtype=np.uint32), 0.08, seed=seed)
    steps[0] = start[0]
    return np.bitwise_xor.accumulate(steps)


@pytest.fixture(name="random_items")
def _random_items() -> MakeItems:
    return random_items


@pytest.fixture(name="flip_bits")
def _flip_bits() -> MakeItems:
    return flip_bits


@pytest.fixture(scope="module")
def corpus() -> FingerprintCorpus:
    """Forty tracks, "t0" to "t39", of 800 items each."""
    corpus = FingerprintCorpus()
    for seed in range(40):
        corpus.add(f"t{seed}", Fingerprint.of_items(random_items(seed)))
    return corpus
