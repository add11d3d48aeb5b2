"""Queries that come as audio are heard better: through telephones, in noise, at another speed or pitch."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.listening import Query, Tier, listenings
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.search import SearchReport, search
from tests.support.audio_samples import music_samples

Samples = NDArray[np.int16]
N_TRACKS = 12
START_S, CLIP_S = 7.3, 10.0


def full(samples: Samples) -> Fingerprint:
    return fingerprint_pcm([samples.tobytes()], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1)


def as_samples(audio: NDArray[np.float64]) -> Samples:
    return np.clip(audio, -32768, 32767).astype(np.int16)


@cache
def song(seed: int) -> Samples:
    return as_samples(music_samples(30.0, seed=seed, sample_rate_hz=ANALYSIS_RATE_HZ)[:, 0] * 32767.0)


@cache
def catalogue() -> FingerprintCorpus:
    corpus = FingerprintCorpus()
    for seed in range(N_TRACKS):
        corpus.add(f"t{seed}", full(song(seed)))
        corpus.add(f"t{seed}", band_fingerprint(song(seed)), kind=FingerprintKind.BAND)
    return corpus


def clip(seed: int, *, length_s: float = CLIP_S) -> NDArray[np.float64]:
    start = round(START_S * ANALYSIS_RATE_HZ)
    return song(seed)[start : start + round(length_s * ANALYSIS_RATE_HZ)].astype(np.float64)


def noisy(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(0, 1, audio.size)
    return audio + noise * audio.std() * 10 ** (3 / 20)


def telephone(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    filters = signal.butter(6, (300, 3400), "bandpass", fs=ANALYSIS_RATE_HZ, output="sos")
    return signal.sosfilt(filters, audio)


def faster(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    return signal.resample_poly(audio, 50, 52)


def slower(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    return signal.resample_poly(audio, 52, 50)


def ask(samples: Samples, *, with_audio: bool) -> SearchReport:
    return search(Query(full(samples), samples if with_audio else None), catalogue(), budget_ms=60_000.0)


@pytest.mark.parametrize("damage", [noisy, telephone, faster, slower])
def test_a_damaged_clip_is_found_by_its_audio(damage: Callable[..., NDArray[np.float64]]) -> None:
    for seed in (2, 5, 9):
        report = ask(as_samples(damage(clip(seed))), with_audio=True)
        assert [match.track_id for match in report.matches][:1] == [f"t{seed}"], damage.__name__
        assert report.matches[0].offset_s == pytest.approx(START_S, abs=0.3)


def test_faster_clips_are_hard_to_find_without_their_audio() -> None:
    """Else the test above would show nothing."""
    assert sum(bool(ask(as_samples(faster(clip(seed))), with_audio=False).matches) for seed in (2, 5, 9)) < 2


def test_strangers_are_not_found_in_any_way() -> None:
    for seed in range(100, 104):
        report = ask(as_samples(clip(seed)), with_audio=True)
        assert report.matches == ()
        assert report.tiers == tuple(Tier)


def test_a_clean_clip_costs_the_first_tier_only() -> None:
    assert ask(as_samples(clip(3)), with_audio=True).tiers == (Tier.EXACT,)


def test_time_ends_a_search_and_is_reported() -> None:
    samples = as_samples(clip(100))
    report = search(Query(full(samples), samples), catalogue(), budget_ms=0.0)
    assert report.tiers == (Tier.EXACT,)
    assert report.budget_spent


def test_a_long_query_is_heard_in_three_places_by_the_costly_tiers() -> None:
    samples = np.tile(song(1), 3)
    ((band, whole),) = listenings(Query(full(samples), samples), Tier.LIKELY)
    assert (band.kind, whole.kind) == (FingerprintKind.BAND, FingerprintKind.FULL)
    for heard in (band, whole):
        listened = np.unique(heard.probes.item)
        assert listened.size == 240
        assert listened[0] == 0
        assert listened[-1] == heard.items.size - 1


def test_a_fingerprint_alone_is_heard_in_one_way() -> None:
    items = full(song(1))
    ways = [heard for tier in Tier for together in listenings(Query(items), tier) for heard in together]
    assert [heard.probes.term.size // items.n_items for heard in ways] == [1, 25, 301, 1]
    assert all(heard.items is items.sub_fingerprints for heard in ways)
