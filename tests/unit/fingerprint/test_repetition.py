"""How far strangers agree with music that repeats itself."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.correlation import correlate_pairs
from musicfp.fingerprint.repetition import repetitiveness

SILENCE = np.full(200, 0x256DF977, dtype=np.uint32)


def noise(seed: int, n_items: int = 100) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, 2**32, n_items, dtype=np.uint32)


@pytest.mark.parametrize("period", [2, 4, 8, 16])
def test_a_loop_repeats_itself_more_than_what_goes_on(flip_bits, period: int) -> None:
    going_on = noise(1)
    loop = flip_bits(np.tile(noise(2, period), 100 // period + 1)[:100], 0.05)
    assert repetitiveness(loop) > 1.3 * repetitiveness(going_on)


def test_it_is_what_strangers_of_the_same_kind_show(flip_bits) -> None:
    """The correlation of unrelated loops scatters more than that of unrelated noise."""

    def scatter(make: Callable[[int], NDArray[np.uint32]]) -> tuple[float, float]:
        clips = [make(seed) for seed in range(120)]
        pairs = [correlate_pairs(one, other)[0] for one, other in zip(clips[::2], clips[1::2], strict=True)]
        return float(np.std(pairs)), float(np.median([repetitiveness(clip) for clip in clips]))

    ever_new = scatter(noise)
    loops = scatter(lambda seed: flip_bits(np.tile(noise(seed, 10), 10), 0.05, seed=seed))
    assert loops[0] > 1.5 * ever_new[0]
    assert loops[1] > 1.5 * ever_new[1]


@pytest.mark.parametrize("n", [0, 1, 2, 8, 19, 60, 221, 3000])
def test_every_length_has_a_value(random_items, n: int) -> None:
    assert 0.8 < repetitiveness(random_items(3, n) if n else np.zeros(0, dtype=np.uint32)) < 2.5


def test_silence_has_none_to_speak_of() -> None:
    """It is refused before; here it only must not fail."""
    assert repetitiveness(SILENCE) == 1.0
