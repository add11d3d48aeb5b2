"""Every extractor on sound that is no music: an answer in range or an honest reason, in bounded time."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import BUILTIN_MODULES, Extractor, load_builtin
from musicfp.features.values import FeatureStatus, FeatureValue, Reason

# Of wall-clock time for up to 20 s of sound; a hang is what this finds, so it is far above what a busy machine takes.
LIMIT_S = 90.0
REASONS = {Reason.TOO_SHORT, Reason.SILENT, Reason.NOT_FINITE, Reason.LOW_CONFIDENCE}
Samples = NDArray[np.float32]


def _at(samples: Samples, rate_hz: int) -> tuple[Samples, int]:
    return samples, rate_hz


def _stereo(mono: NDArray[np.floating]) -> Samples:
    return np.repeat(mono.astype(np.float32)[:, np.newaxis], 2, axis=1)


def _clicks() -> Samples:
    mono = np.zeros(12 * synth.RATE_HZ)
    mono[:: synth.RATE_HZ // 2] = 0.9
    return _stereo(mono)


def _opposite() -> Samples:
    song = synth.song(12)
    return np.stack([song[:, 0], -song[:, 0]], axis=1)


def _spoilt(value: float) -> Samples:
    song = synth.song(12)
    song[len(song) // 2, 1] = value
    return song


def _resampled_song(rate_hz: int) -> Samples:
    """The song as if it had been recorded at another rate: its pitch and tempo change, nothing else matters here."""
    return synth.song(12)[: 11 * rate_hz] if rate_hz < synth.RATE_HZ else np.tile(synth.song(12), (2, 1))


SOUNDS: dict[str, Callable[[], tuple[Samples, int]]] = {
    "nothing": lambda: _at(synth.silence(0), synth.RATE_HZ),
    "1 sample": lambda: _at(np.full((1, 2), 0.5, dtype=np.float32), synth.RATE_HZ),
    "100 samples": lambda: _at(synth.noise(1)[:100], synth.RATE_HZ),
    "1 s": lambda: _at(synth.song(1), synth.RATE_HZ),
    "digital silence": lambda: _at(synth.silence(12), synth.RATE_HZ),
    "hiss below -80 LUFS": lambda: _at(synth.noise(12) * np.float32(1e-3), synth.RATE_HZ),
    "NaN": lambda: _at(_spoilt(np.nan), synth.RATE_HZ),
    "infinity": lambda: _at(_spoilt(-np.inf), synth.RATE_HZ),
    "direct current": lambda: _at(np.full((12 * synth.RATE_HZ, 2), 0.5, dtype=np.float32), synth.RATE_HZ),
    "white noise": lambda: _at(synth.noise(12), synth.RATE_HZ),
    "pink noise": lambda: _at(synth.noise(12, colour=1.0, seed=3), synth.RATE_HZ),
    "brown noise": lambda: _at(synth.noise(12, colour=2.0, seed=4), synth.RATE_HZ),
    "tone": lambda: _at(synth.sine(hz=440, dbfs=-20, duration_s=12), synth.RATE_HZ),
    "clicks": lambda: _at(_clicks(), synth.RATE_HZ),
    "clipped": lambda: _at(np.clip(synth.song(12) * 100, -1, 1).astype(np.float32), synth.RATE_HZ),
    "40 dB above full scale": lambda: _at(synth.song(12) * np.float32(100), synth.RATE_HZ),
    "denormal": lambda: _at(np.full((12 * synth.RATE_HZ, 2), 1e-40, dtype=np.float32), synth.RATE_HZ),
    "opposite channels": lambda: _at(_opposite(), synth.RATE_HZ),
    "half silence": lambda: _at(np.concatenate([synth.song(11), synth.silence(9)]), synth.RATE_HZ),
    "8 kHz": lambda: _at(_resampled_song(8_000), 8_000),
    "96 kHz": lambda: _at(_resampled_song(96_000), 96_000),
}
SILENT = {"digital silence", "hiss below -80 LUFS", "denormal"}
NOISES = {"white noise", "pink noise", "brown noise", "direct current"}
# What is true of silence and of noise too.
_LEVELS = ("audio.", "silence.", "loudness.")


def _built_in() -> list[Extractor]:
    return [each for each in load_builtin([]).all() if each.function.__module__ in BUILTIN_MODULES]


def _answers(sound: str) -> dict[str, FeatureValue]:
    samples, rate_hz = SOUNDS[sound]()
    audio = AudioInputs(samples, sample_rate_hz=rate_hz)
    start = time.monotonic()
    values = {value.name: value for each in _built_in() for value in each.run(audio)}
    assert time.monotonic() - start < LIMIT_S
    return values


@pytest.mark.parametrize("sound", SOUNDS)
def test_every_extractor_answers_or_says_why_not(sound: str) -> None:
    """No extractor fails; numbers are finite and in range (the registry turns others into failures)."""
    values = _answers(sound)
    assert set(values) == {spec.name for each in _built_in() for spec in each.values}
    assert {name: value.reason for name, value in values.items() if value.status is FeatureStatus.FAILED} == {}
    unknown = {value.reason for value in values.values() if value.status is FeatureStatus.UNKNOWN}
    assert unknown <= REASONS
    measured = {name for name, value in values.items() if value.status is FeatureStatus.OK}
    if sound in SILENT:
        assert [name for name in measured if not name.startswith(_LEVELS)] == []
    if sound in {"NaN", "infinity"}:
        assert measured == {"audio.duration"}
    if sound in {"nothing", "1 sample", "100 samples", "1 s"}:
        assert [name for name in measured if name.startswith(("tonal.", "rhythm.", "character."))] == []
    if sound in NOISES:
        assert [name for name in measured if name.startswith(("tonal.", "rhythm."))] == []
    if sound == "opposite channels":
        assert [name for name in measured if name.startswith(("tonal.", "rhythm.", "lowlevel."))] == []


def test_music_has_a_value_of_every_extractor() -> None:
    """Gates that let nothing through would pass the test above. Extractors with a model may lack it."""
    song = synth.band(30, bpm=118, beats_per_bar=4, subdivision=2)
    audio = AudioInputs(song, sample_rate_hz=synth.RATE_HZ)
    for each in _built_in():
        statuses = {value.name: value.status for value in each.run(audio)}
        assert FeatureStatus.OK in statuses.values() or FeatureStatus.UNAVAILABLE in statuses.values(), statuses


def test_more_than_two_channels_are_refused_before_extractors_see_them() -> None:
    """The decoder mixes 5.1 to stereo; a caller that did not is told."""
    with pytest.raises(ValueError, match="got"):
        AudioInputs(np.zeros((44_100, 6), dtype=np.float32), sample_rate_hz=synth.RATE_HZ)
