"""What is done to the catalogue's own audio before it is asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.search import search
from musicfp.pipeline.quality_clips import as_stranger, in_pink_noise
from tests.support.audio_samples import music_samples


def sound(seed: int, length_s: float = 24.0) -> NDArray[np.int16]:
    at_44100 = music_samples(length_s, seed=seed).mean(axis=1)
    return np.rint(at_44100[:: 44100 // ANALYSIS_RATE_HZ] * 20000).astype(np.int16)


def fingerprint(samples: NDArray[np.int16]) -> Fingerprint:
    return fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1)


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -10.0])
def test_noise_is_as_loud_as_asked_and_falls_with_frequency(snr_db: float) -> None:
    music = (sound(1) // 20).astype(np.int16)
    noise = in_pink_noise(music, snr_db=snr_db, rng=np.random.default_rng(1)).astype(float) - music
    assert 10 * np.log10(np.mean(music.astype(float) ** 2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[power.size // 2**n : power.size // 2 ** (n - 1)].mean() for n in range(1, 6)]
    assert 10 * np.log10(np.array(octaves[1:]) / octaves[:-1]) == pytest.approx([3.0] * 4, abs=0.8)


def test_noise_never_overflows() -> None:
    full = (np.sign(np.sin(np.arange(11025) / 9)) * 32767).astype(np.int16)
    noisy = in_pink_noise(full, snr_db=0.0, rng=np.random.default_rng(2))
    assert np.abs(noisy.astype(int)).max() <= 32767
    assert np.corrcoef(full, noisy)[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_a_stranger_is_not_found_where_it_came_from() -> None:
    corpus = FingerprintCorpus()
    for seed in range(1, 6):
        corpus.add(f"t{seed}", fingerprint(sound(seed)))
    for seed in range(1, 6):
        clip = sound(seed)[30_000:140_250]
        stranger = as_stranger(clip)
        assert stranger.size == clip.size
        assert search(Query(fingerprint(clip), clip), corpus).matches[0].track_id == f"t{seed}"
        assert search(Query(fingerprint(stranger), stranger), corpus).matches == ()
