"""Whole recordings are judged as they are, and if they are no copies so, at other speeds and pitches."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.deduplication import judge_recording
from musicfp.fingerprint.listening import CLOSE_RATES, Query, rates_around
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.verdict import DedupeOutcome, MatchRelation
from tests.support.audio_samples import music_samples

Samples = NDArray[np.int16]
N_TRACKS = 6
SONG_S = 40.0
SEMITONE = 2 ** (1 / 12)


def full(samples: Samples) -> Fingerprint:
    return fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1)


def heard(samples: Samples) -> Query:
    return Query(full(samples), samples)


@cache
def song(seed: int) -> Samples:
    return (music_samples(SONG_S, seed=seed, sample_rate_hz=ANALYSIS_RATE_HZ)[:, 0] * 32767).astype(np.int16)


def tune(factor: float) -> Samples:
    """Notes that can be made any factor higher in the same time."""
    notes = 2 ** (np.random.default_rng(1).integers(0, 24, 160) / 12)
    phase = np.cumsum(np.repeat(440 * factor * notes, ANALYSIS_RATE_HZ // 4)) / ANALYSIS_RATE_HZ
    return (8000 * np.sin(2 * np.pi * phase)).astype(np.int16)


@cache
def catalogue() -> FingerprintCorpus:
    corpus = FingerprintCorpus()
    for name, samples in {**{f"t{seed}": song(seed) for seed in range(N_TRACKS)}, "tune": tune(1.0)}.items():
        corpus.add(name, full(samples))
        corpus.add(name, band_fingerprint(samples), kind=FingerprintKind.BAND)
    return corpus


def played(samples: Samples, *, percent: float) -> Samples:
    """Faster as a record is: higher and shorter."""
    faster = signal.resample_poly(samples.astype(np.float64), 1000, round(1000 + 10 * percent))
    return np.clip(faster, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("percent", [1.0, -1.0, 2.0, -2.0])
def test_a_copy_at_nearly_the_same_speed_is_the_same_recording(percent: float) -> None:
    """By its offset, which drifts, or by hearing it slower."""
    verdict = judge_recording(heard(played(song(3), percent=percent)), catalogue())
    assert (verdict.relation, verdict.track_id) == (MatchRelation.SAME_RECORDING, "t3")


@pytest.mark.parametrize("percent", [2.7, -3.4, -4.5, 5.0, 5.9])
def test_a_copy_at_another_speed_is_the_same_recording(percent: float) -> None:
    verdict = judge_recording(heard(played(song(3), percent=percent)), catalogue())
    assert (verdict.outcome, verdict.relation, verdict.track_id) == (
        DedupeOutcome.DUPLICATE,
        MatchRelation.SAME_RECORDING,
        "t3",
    )
    assert verdict.match is not None
    assert verdict.match.speed == pytest.approx(1 + percent / 100, abs=0.004)
    assert verdict.match.offset_s == pytest.approx(0.0, abs=0.3)
    assert "of its speed" in verdict.reason


def test_a_transposed_copy_is_the_same_recording() -> None:
    verdict = judge_recording(heard(tune(SEMITONE)), catalogue())
    assert (verdict.relation, verdict.track_id) == (MatchRelation.SAME_RECORDING, "tune")
    assert verdict.match is not None
    assert (verdict.match.pitch, verdict.match.speed) == (pytest.approx(SEMITONE, rel=0.003), 1.0)
    assert "transposed by +1.0" in verdict.reason


def test_the_middle_of_a_faster_copy_is_an_excerpt_and_says_from_where() -> None:
    faster = played(song(2), percent=4)
    part = faster[10 * ANALYSIS_RATE_HZ : 24 * ANALYSIS_RATE_HZ]
    verdict = judge_recording(heard(part), catalogue())
    assert (verdict.relation, verdict.track_id) == (MatchRelation.EXCERPT, "t2")
    assert verdict.match is not None
    assert verdict.match.offset_s == pytest.approx(10.4, abs=0.3)


def test_without_samples_a_changed_copy_is_new() -> None:
    changed = played(song(3), percent=5.9)
    assert judge_recording(Query(full(changed)), catalogue()).outcome is DedupeOutcome.UNIQUE


def test_other_music_is_new_at_every_rate() -> None:
    for seed in range(100, 106):
        verdict = judge_recording(heard(song(seed)), catalogue())
        assert (verdict.outcome, verdict.relation) == (DedupeOutcome.UNIQUE, None)


def test_an_unchanged_copy_is_judged_as_it_is() -> None:
    verdict = judge_recording(heard(song(1)), catalogue())
    assert verdict.match is not None
    assert (verdict.track_id, verdict.match.pitch, verdict.match.speed) == ("t1", 1.0, 1.0)


def test_silence_is_not_compared_at_any_rate() -> None:
    silence = np.zeros(30 * ANALYSIS_RATE_HZ, dtype=np.int16)
    verdict = judge_recording(heard(silence), catalogue())
    assert (verdict.outcome, verdict.relation) == (DedupeOutcome.UNIQUE, None)


def test_fine_rates_reach_from_each_rate_to_its_neighbours() -> None:
    """In speed, up to a semitone: what lies between two rates is at most 4 cents from one of the fine ones."""
    tried = np.array(
        [1200 * np.log2(fine.speed) for rate in CLOSE_RATES for fine in rates_around(rate) if fine.speed != 1.0]
    )
    tried = np.append(tried, 0.0)
    wanted = np.arange(-108.0, 108.5, 0.5)
    assert np.abs(wanted[:, None] - tried).min(axis=1).max() <= 4.5
