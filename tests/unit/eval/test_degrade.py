"""Degraded queries: what was done to them is what their condition says, and they come from where they say."""

import numpy as np
import pytest

from eval import degrade, noise
from eval.degrade import CONDITIONS, LEAD_S, QUERY_RATE_HZ, SOURCE_RATE_HZ, Stretch, Surroundings, degraded, needed_s
from eval.noise import Samples

LENGTH_S = 10.0
N_QUERY = round(LENGTH_S * QUERY_RATE_HZ)


@pytest.fixture(scope="module")
def stretch() -> Stretch:
    """Music-like sound that is never the same twice: noise through a filter, in notes of random loudness."""
    rng = np.random.default_rng(5)
    n_samples = round((LEAD_S + needed_s(LENGTH_S)) * SOURCE_RATE_HZ)
    sound = noise.pink(n_samples, rng)
    notes = np.repeat(rng.uniform(0.05, 1.0, -(-n_samples // 5000)), 5000)[:n_samples]
    mono = (sound / np.abs(sound).max() * notes * 0.8).astype(np.float32)
    return Stretch(np.stack([mono, mono], axis=1), LENGTH_S)


@pytest.fixture(scope="module")
def around() -> Surroundings:
    """Seven other songs."""
    rng = np.random.default_rng(6)
    songs = [(noise.pink(20 * SOURCE_RATE_HZ, rng) * 1000).astype(np.int16) for _ in range(7)]
    return Surroundings(songs)


def loudness_of(samples: Samples) -> Samples:
    """Return the level of each 10 ms of samples at the query's rate."""
    n_frame = QUERY_RATE_HZ // 100
    frames = samples[: samples.size // n_frame * n_frame].astype(np.float32).reshape(-1, n_frame)
    level: Samples = np.sqrt(np.mean(np.square(frames), axis=1))
    return level


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_query_has_the_length_of_its_clip_and_is_not_silent(
    stretch: Stretch, around: Surroundings, condition: str
) -> None:
    """Whatever a condition does to time, as many samples come out as were asked for, and sound to the end."""
    query, pieces = degraded(stretch, condition, np.random.default_rng(1), around)
    assert query.shape == (N_QUERY,)
    assert query.dtype == np.int16
    assert np.abs(query[-2 * QUERY_RATE_HZ :].astype(int)).max() > 300
    assert pieces[0].query_s == 0.0


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_same_seed_gives_the_same_query(stretch: Stretch, around: Surroundings, condition: str) -> None:
    """Else two runs of an evaluation could not be compared."""
    first, second = (degraded(stretch, condition, np.random.default_rng(3), around)[0] for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("condition", [each for each in CONDITIONS if each not in ("music_5", "songs6_5", "pink_-5")])
def test_a_query_plays_what_its_pieces_say(stretch: Stretch, around: Surroundings, condition: str) -> None:
    """The loudness of a query follows that of the track at the moments that the truth gives, and not 60 ms beside."""
    query, pieces = degraded(stretch, condition, np.random.default_rng(2), around)
    clean = degrade.signal.resample_poly(stretch.samples.mean(axis=1), 1, SOURCE_RATE_HZ // QUERY_RATE_HZ)
    source_level, level = loudness_of(clean), loudness_of(query)
    moment_s = np.arange(level.size) * 0.01
    piece_of = np.searchsorted([piece.query_s for piece in pieces], moment_s, side="right") - 1
    played_s = np.array(
        [
            pieces[i].source_s + (at - pieces[i].query_s) * pieces[i].rate
            for i, at in zip(piece_of, moment_s, strict=True)
        ]
    )

    def agreement(shift_s: float) -> float:
        index = np.rint((LEAD_S + played_s + shift_s) * 100).astype(int)
        return float(np.corrcoef(level, source_level[np.clip(index, 0, source_level.size - 1)])[0, 1])

    at_truth = agreement(0.0)
    assert at_truth > 0.3
    assert at_truth > agreement(0.06)
    assert at_truth > agreement(-0.06)


@pytest.mark.parametrize("snr_db", [10, 5, 0, -5])
def test_noise_has_the_level_that_its_name_says(snr_db: int) -> None:
    """The difference of the mix and the music is the noise, at the ratio of mean powers asked for."""
    rng = np.random.default_rng(4)
    music = (rng.standard_normal(SOURCE_RATE_HZ) * 0.1).astype(np.float32)
    mix = degrade.mixed(music, noise.pink(music.size, rng), snr_db=snr_db)
    ratio = np.mean(np.square(music)) / np.mean(np.square(mix - music))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize(("condition", "snr_db"), [("pink_0", 0), ("music_5", 5), ("songs6_5", 5), ("babble_5", 5)])
def test_a_condition_mixes_at_its_level(stretch: Stretch, around: Surroundings, condition: str, snr_db: float) -> None:
    """Measured before the query is lowered to Chromaprint's rate, over the whole clip."""
    played, _ = CONDITIONS[condition](stretch, np.random.default_rng(8), around)
    music = stretch.mono()
    ratio = np.mean(np.square(music)) / np.mean(np.square(played - music))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.05)


def test_a_seventh_of_a_muted_clip_is_silent(stretch: Stretch, around: Surroundings) -> None:
    """Exactly 15 %, in pieces of half a second that do not overlap."""
    played, _ = CONDITIONS["muted_15"](stretch, np.random.default_rng(9), around)
    assert np.mean(played == 0) == pytest.approx(0.15, abs=0.001)


def test_chunks_are_missing_every_two_and_a_half_seconds(stretch: Stretch, around: Surroundings) -> None:
    """Each cut lets the track run on by 0.3 s."""
    _, pieces = degraded(stretch, "missing_chunks", np.random.default_rng(10), around)
    cuts_s = np.diff([piece.source_s - piece.query_s for piece in pieces])
    assert np.allclose(cuts_s, 0.3)
    assert np.allclose(np.diff([piece.query_s for piece in pieces[1:]]), 2.5)


def test_a_phone_passes_its_band_only(stretch: Stretch, around: Surroundings) -> None:
    """Below 150 Hz and above 4.5 kHz there is 20 dB less than in the clean query."""
    spectra = [
        np.abs(np.fft.rfft(degraded(stretch, condition, np.random.default_rng(1), around)[0])) ** 2
        for condition in ("clean", "phone")
    ]
    frequency_hz = np.fft.rfftfreq(N_QUERY, 1 / QUERY_RATE_HZ)
    for low_hz, high_hz in ((20, 150), (4500, 5300)):
        band = (frequency_hz > low_hz) & (frequency_hz < high_hz)
        assert spectra[1][band].sum() < spectra[0][band].sum() / 100


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    """So that its power is the same in every octave."""
    power = np.abs(np.fft.rfft(noise.pink(1 << 18, np.random.default_rng(1)))) ** 2
    octaves = [power[1 << n : 2 << n].sum() for n in range(8, 16)]
    assert max(octaves) / min(octaves) < 1.2
