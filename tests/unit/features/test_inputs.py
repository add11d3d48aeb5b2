"""Shared inputs: computed once, resampled, windowed when long."""

from collections.abc import Iterable

import numpy as np
import pytest
import synth

from musicfp.features import inputs
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import FeatureSpec, Registry, extractor, load_builtin
from musicfp.features.values import FeatureValue, measured


def test_shared_inputs_are_computed_once_however_many_extractors_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("measure_loudness", "_track_beats", "_mono"):
        original = getattr(inputs, name)

        def counted(*args: object, _name: str = name, _original: object = original, **kwargs: object) -> object:
            calls.append(_name)
            return _original(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(inputs, name, counted)
    registry = load_builtin([])
    audio = AudioInputs(synth.song(12), sample_rate_hz=synth.RATE_HZ)
    for name in ("tempo", "key", "loudness", "tempo"):
        registry.get(name).run(audio)
    assert sorted(calls) == ["_mono", "_track_beats", "measure_loudness"]


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 96_000])
def test_other_sample_rates_are_resampled(rate_hz: int) -> None:
    audio = AudioInputs(synth.sine(hz=997, dbfs=-23, duration_s=2, rate_hz=rate_hz), sample_rate_hz=rate_hz)
    assert audio.duration_s == 2.0
    assert len(audio.stereo_44k) == 2 * synth.RATE_HZ
    assert audio.loudness_ebu128.integrated_lufs == pytest.approx(-23.0, abs=0.1)


def test_mono_sounds_from_both_sides() -> None:
    mono = synth.sine(hz=997, dbfs=-23, duration_s=2)[:, 0]
    audio = AudioInputs(mono, sample_rate_hz=synth.RATE_HZ)
    assert audio.stereo_44k.shape == (2 * synth.RATE_HZ, 2)
    np.testing.assert_array_equal(audio.mono_44k, mono)
    assert audio.loudness_ebu128.integrated_lufs == pytest.approx(-23.0, abs=0.05)


@pytest.mark.parametrize(
    ("samples", "rate_hz"),
    [
        (np.zeros(10, dtype=np.float64), 44_100),
        (np.zeros((10, 6), dtype=np.float32), 44_100),
        (np.zeros((1, 1, 1), dtype=np.float32), 44_100),
        (np.zeros(10, dtype=np.float32), 0),
    ],
)
def test_other_shapes_types_and_rates_are_refused(samples: np.ndarray, rate_hz: int) -> None:
    with pytest.raises(ValueError, match="got"):
        AudioInputs(samples, sample_rate_hz=rate_hz)


def _whole(audio: AudioInputs) -> Iterable[FeatureValue]:
    yield measured("t.whole", float(len(audio.stereo_44k)))


def _windowed(audio: AudioInputs) -> Iterable[FeatureValue]:
    yield measured("t.windowed", float(len(audio.mono_44k)))


def test_a_long_track_is_read_in_windows_and_only_values_from_windows_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are scaled down a hundredfold: 20 s stand for 33 minutes."""
    monkeypatch.setattr(inputs, "MAX_WHOLE_S", 9)
    monkeypatch.setattr(inputs, "WINDOW_S", 2)
    registry = Registry()
    for function in (_whole, _windowed):
        name = function.__name__.strip("_")
        spec = FeatureSpec(f"t.{name}", unit=None, description=".")
        extractor(name=name, version="1", description=".", values=(spec,), registry=registry)(function)
    track = np.repeat(np.arange(20, dtype=np.float32), synth.RATE_HZ)
    audio = AudioInputs(track, sample_rate_hz=synth.RATE_HZ)
    answers = [registry.get(name).run(audio)[0] for name in ("windowed", "whole", "windowed")]
    assert [(answer.value, answer.reason) for answer in answers] == [
        (6.0 * synth.RATE_HZ, "windows:3x2s"),
        (20.0 * synth.RATE_HZ, None),
        (6.0 * synth.RATE_HZ, "windows:3x2s"),
    ]
    middles = [float(window[len(window) // 2]) for window in audio.mono_windows]
    assert middles == [3.0, 10.0, 16.0]


def test_a_track_just_within_the_limit_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_WHOLE_S", 9)
    audio = AudioInputs(np.zeros(9 * synth.RATE_HZ, dtype=np.float32), sample_rate_hz=synth.RATE_HZ)
    assert len(audio.mono_44k) == 9 * synth.RATE_HZ
    assert audio.windows_note is None
