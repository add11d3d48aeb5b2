"""Tempo, beats, bars and onsets of synthetic music whose answers are known, and of sound that has none."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.beat_grid import find_bar_starts, place_beats
from musicfp.features.inputs import AudioInputs
from musicfp.features.meter_model import BARS, judge_rhythm
from musicfp.features.novelty import FRAME_RATE_HZ, STREAMS, autocorrelations, novelty_of, onsets_s
from musicfp.features.pulse_model import Pulses, hypotheses, judge_pulses, periodicity, recurrence, usualness
from musicfp.features.registry import load_builtin
from musicfp.features.rhythm_weights import rhythm_weights
from musicfp.features.values import FeatureStatus, FeatureValue


def run(samples: NDArray[np.float32], *names: str) -> dict[str, FeatureValue]:
    registry = load_builtin([])
    audio = AudioInputs(samples, sample_rate_hz=synth.RATE_HZ)
    return {value.name: value for name in names for value in registry.get(name).run(audio)}


@pytest.mark.parametrize(
    ("beats_per_bar", "subdivision", "bpm", "signature"),
    [
        (4, 2, 118, "4/4"),
        (3, 2, 140, "3/4"),
        (2, 3, 92, "6/8"),
        (4, 2, 90, "4/4"),
        (3, 2, 108, "3/4"),
        (2, 3, 110, "6/8"),
    ],
)
def test_meter_tempo_beats_and_bars_of_a_band_are_found(
    beats_per_bar: int, subdivision: int, bpm: float, signature: str
) -> None:
    samples = synth.band(40, bpm=bpm, beats_per_bar=beats_per_bar, subdivision=subdivision)
    values = run(samples, "tempo", "beats", "meter")
    assert values["rhythm.tempo"].value == pytest.approx(bpm, rel=0.02)
    assert values["rhythm.time_signature"].text == signature
    assert values["rhythm.beats_per_bar"].value == beats_per_bar
    assert values["rhythm.subdivision"].text == ("ternary" if subdivision == 3 else "binary")
    beats = np.array(values["rhythm.beats"].vector)
    assert len(beats) == pytest.approx(40 * bpm / 60, abs=3)
    away = (beats * bpm / 60 + 0.5) % 1 - 0.5
    assert np.abs(away).max() * 60 / bpm < 0.05
    assert values["rhythm.beats_count"].value == len(beats)
    downbeats = np.array(values["rhythm.downbeats"].vector)
    assert set(downbeats) <= set(beats)
    bars = downbeats * bpm / 60 / beats_per_bar
    assert np.abs((bars + 0.5) % 1 - 0.5).max() < 0.1


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(synth.noise(20), id="white noise"),
        pytest.param(synth.noise(20, colour=1), id="pink noise"),
        pytest.param(synth.sine(hz=440, dbfs=-20, duration_s=20), id="steady tone"),
    ],
)
def test_noise_and_tones_have_no_rhythm(samples: NDArray[np.float32]) -> None:
    values = run(samples, "tempo", "beats", "meter", "onset_rate")
    assert {value.status for value in values.values()} == {FeatureStatus.UNKNOWN}
    assert {value.reason for value in values.values()} == {"low_confidence"}


def test_silence_has_no_rhythm() -> None:
    values = run(synth.silence(20), "tempo", "beats", "meter", "onset_rate")
    assert {value.reason for value in values.values()} == {"silent"}


@pytest.mark.parametrize("rate", [1.0, 3.0, 6.0])
def test_onsets_of_clicks_are_counted(rate: float) -> None:
    value = run(synth.clicks(20, rate_hz=rate), "onset_rate")["rhythm.onset_rate"]
    assert value.value == pytest.approx(rate, rel=0.06)
    assert value.unit == "1/s"


def test_onsets_are_where_the_clicks_are() -> None:
    found = onsets_s(novelty_of(synth.clicks(10, rate_hz=2.0)[:, 0]))
    assert found is not None
    assert np.abs((found * 2.0 + 0.5) % 1 - 0.5).max() / 2.0 < 0.03


def test_the_autocorrelation_of_clicks_comes_back_after_one_interval() -> None:
    returns = autocorrelations(novelty_of(synth.clicks(20, rate_hz=2.0)[:, 0]))
    lag = round(0.5 * FRAME_RATE_HZ)
    assert returns.shape[0] == len(STREAMS)
    assert returns[0, 0] == pytest.approx(1.0)
    assert returns[0, lag - 2 : lag + 3].max() > 0.8 > returns[0, lag // 2]


def test_onsets_of_a_beat_come_back_at_its_tempo_and_those_of_noise_at_none() -> None:
    drums = autocorrelations(novelty_of(synth.drums(20, bpm=120).astype(np.float32)))
    assert recurrence(drums, 120.0)[0] > recurrence(drums, 90.0)[0] + 0.5
    noise = np.random.default_rng(5).normal(0, 0.1, 20 * synth.RATE_HZ).astype(np.float32)
    assert recurrence(autocorrelations(novelty_of(noise)), 120.0)[0] < 0.06


def test_hypotheses_are_multiples_of_both_estimates_within_the_range() -> None:
    returns = autocorrelations(novelty_of(synth.clicks(20, rate_hz=2.0)[:, 0]))
    tempi = hypotheses(returns, tracked_bpm=120.0, second_bpm=60.5)
    assert tempi == pytest.approx([40, 60, 80, 120, 180, 90.75], rel=0.04)
    assert periodicity(returns, tempi).shape == (6, len(rhythm_weights().pulse_mean))
    assert judge_pulses(returns, tracked_bpm=0.0, second_bpm=0.0, confidence=2.0) is None


def test_what_estimators_said_of_a_tempo_is_told_by_multiple_and_confidence() -> None:
    usual = usualness(np.array([60.0, 120.0]), tracked_bpm=121.0, second_bpm=60.0, confidence=5.32)
    assert usual.shape == (2, len(rhythm_weights().pulse_usual))
    half, same = usual[:, 3:]
    assert half.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert same.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0]
    unsure = usualness(np.array([120.0]), tracked_bpm=121.0, second_bpm=60.0, confidence=0.0)
    assert unsure[0, 3:17].tolist() == same[:14].tolist()
    assert not unsure[0, 17:].any()


def test_beats_follow_a_tempo_that_drifts() -> None:
    instants = np.cumsum(np.linspace(0.5, 0.55, 60))
    mono = np.zeros(round((instants[-1] + 1) * synth.RATE_HZ), dtype=np.float32)
    for instant in instants:
        start = round(instant * synth.RATE_HZ)
        mono[start : start + 400] = np.random.default_rng(1).standard_normal(400) * 0.3
    beats = place_beats(novelty_of(mono), period_s=0.525)
    nearest = np.abs(beats[:, None] - instants).min(axis=1)
    assert len(beats) == pytest.approx(60, abs=1)
    assert nearest.max() < 0.04


def test_too_few_beats_make_neither_a_meter_nor_bars() -> None:
    novelty = novelty_of(synth.clicks(8, rate_hz=1.5)[:, 0])
    beats = np.arange(11) / 1.5
    rhythm = judge_rhythm(novelty, Pulses(tempi_bpm=np.array([90.0, 45.0]), log_odds=np.array([[0.0] * 4, [-9.0] * 4])))
    assert (rhythm.tempo_bpm, rhythm.alternative_bpm, rhythm.bar, rhythm.bar_probability) == (90.0, 45.0, None, None)
    assert rhythm.tempo_probability > 0.99
    assert find_bar_starts(novelty, beats, beats_per_bar=3) is None


def test_kinds_of_bars_are_told_by_their_beats_and_subdivision() -> None:
    assert len({bar.time_signature for bar in BARS}) == len(BARS)
    assert len({(bar.beats, bar.subdivision) for bar in BARS}) == len(BARS)
