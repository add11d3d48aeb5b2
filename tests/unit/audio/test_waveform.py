"""A small picture of any recording."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from musicfp.audio.waveform import waveform_png
from tests.support.audio_samples import music_samples


def pcm(duration_s: float) -> NDArray[np.int16]:
    return (music_samples(duration_s, sample_rate_hz=11025)[:, 0] * 32767).astype(np.int16)


@pytest.mark.parametrize("duration_s", [0.01, 5.0, 60.0])
def test_the_picture_is_small_and_always_the_same(duration_s: float) -> None:
    picture = waveform_png(pcm(duration_s))
    assert picture == waveform_png(pcm(duration_s))
    assert len(picture) < 20_000
    assert Image.open(io.BytesIO(picture)).size == (800, 120)


def test_noise_the_worst_case_is_small_too() -> None:
    noise = np.random.default_rng(0).integers(-32768, 32768, 11025 * 60).astype(np.int16)
    assert len(waveform_png(noise)) < 20_000


def test_no_samples_give_an_empty_picture() -> None:
    assert Image.open(io.BytesIO(waveform_png(np.zeros(0, np.int16)))).size == (800, 120)


def test_loud_is_drawn_higher_than_quiet() -> None:
    """The first half of the recording is silent, the second at full scale."""
    samples = np.concatenate([np.zeros(11025, np.int16), np.full(11025, 32767, np.int16)])
    picture = np.asarray(Image.open(io.BytesIO(waveform_png(samples))).convert("L"))
    inked = (picture < 255).sum(axis=0)
    assert inked[:390].max() <= 2
    assert inked[410:].min() >= 55
