"""Tempo, key, silence and duration of music whose answers are known, and of sound that has no answer."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs, BeatTrack
from musicfp.features.registry import load_builtin
from musicfp.features.rhythm import is_credible, tempo_agreement, tempo_alternative
from musicfp.features.tonal import PITCH_CLASSES, KeyVote, camelot, decide
from musicfp.features.values import FeatureStatus, FeatureValue


def run(samples: NDArray[np.float32], *names: str) -> dict[str, FeatureValue]:
    registry = load_builtin([])
    audio = AudioInputs(samples, sample_rate_hz=synth.RATE_HZ)
    return {value.name: value for name in names for value in registry.get(name).run(audio)}


def reasons(values: dict[str, FeatureValue]) -> set[str | None]:
    assert {value.status for value in values.values()} == {FeatureStatus.UNKNOWN}
    return {value.reason for value in values.values()}


@pytest.mark.parametrize(
    ("bpm", "progression", "transpose", "expected"),
    [
        (120, ("Am", "Dm", "Em", "Am"), 0, ("A", "minor", "8A")),
        (97, ("C", "F", "G", "C"), 0, ("C", "major", "8B")),
        (140, ("C", "F", "G", "C"), 6, ("F#", "major", "2B")),
    ],
)
def test_tempo_and_key_of_a_song_are_found(
    bpm: float, progression: tuple[str, ...], transpose: int, expected: tuple[str, str, str]
) -> None:
    values = run(synth.song(20, bpm=bpm, progression=progression, transpose=transpose), "tempo", "key")
    assert values["rhythm.tempo"].value == pytest.approx(bpm, rel=0.01)
    assert values["rhythm.tempo"].confidence is not None
    assert values["rhythm.tempo"].confidence > 0.5
    assert values["rhythm.tempo_agreement"].value == 1.0
    assert values["rhythm.beats_count"].value == pytest.approx(20 * bpm / 60, abs=2)
    assert tuple(values[f"tonal.{name}"].text for name in ("key", "mode", "camelot")) == expected


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_noise_has_neither_tempo_nor_key(colour: float) -> None:
    assert reasons(run(synth.noise(15, colour=colour), "tempo", "key")) == {"low_confidence"}


def test_bare_drums_have_a_tempo_and_no_key() -> None:
    beat = synth.drums(20, bpm=120).astype(np.float32)
    values = run(np.stack([beat, beat], axis=1), "tempo", "key")
    assert values["rhythm.tempo"].value == pytest.approx(120, rel=0.01)
    assert values["tonal.key"].reason == "low_confidence"


def test_a_steady_tone_has_no_tempo() -> None:
    assert reasons(run(synth.sine(hz=440, dbfs=-20, duration_s=20), "tempo")) == {"low_confidence"}


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(synth.silence(20), "silent", id="silence"),
        pytest.param(synth.song(12) * np.float32(1e-4), "silent", id="below -60 LUFS"),
        pytest.param(synth.song(2), "too_short", id="2 s"),
        pytest.param(synth.silence(0), "too_short", id="nothing"),
        pytest.param(np.ones((1, 2), dtype=np.float32), "too_short", id="1 sample"),
        pytest.param(np.full((20 * synth.RATE_HZ, 2), np.nan, dtype=np.float32), "not_finite", id="NaN"),
    ],
)
def test_music_features_of_what_is_no_music_are_unknown(samples: NDArray[np.float32], reason: str) -> None:
    assert reasons(run(samples, "tempo", "key")) == {reason}


def test_opposite_channels_cancel_out_and_have_no_invented_answer() -> None:
    song = synth.song(12)
    values = run(np.stack([song[:, 0], -song[:, 0]], axis=1), "tempo", "key", "loudness")
    assert values["loudness.integrated"].value is not None
    assert values["rhythm.tempo"].reason == "silent"
    assert values["tonal.key"].reason == "low_confidence"


def test_a_second_of_music_has_duration_loudness_and_silence_but_no_tempo_or_key() -> None:
    values = run(synth.song(1), "duration", "silence", "loudness", "true_peak", "tempo", "key")
    assert values["audio.duration"].value == 1.0
    assert values["loudness.integrated"].value is not None
    assert values["silence.rate"].value == 0.0
    assert {values["rhythm.tempo"].reason, values["tonal.key"].reason} == {"too_short"}


def test_duration_does_not_need_finite_samples() -> None:
    assert run(np.full((44_100, 2), np.nan, dtype=np.float32), "duration")["audio.duration"].value == 1.0


def test_silence_is_counted_at_both_ends_and_between() -> None:
    sound = synth.sine(hz=440, dbfs=-20, duration_s=2)
    quiet = synth.sine(hz=440, dbfs=-70, duration_s=1)
    values = run(np.concatenate([synth.silence(1.5), sound, quiet, sound, synth.silence(0.5)]), "silence")
    assert values["silence.leading"].value == pytest.approx(1.5)
    assert values["silence.trailing"].value == pytest.approx(0.5)
    assert values["silence.rate"].value == pytest.approx(3 / 7, abs=0.001)


def test_a_silent_track_is_silent_from_both_ends() -> None:
    values = run(synth.silence(2), "silence")
    assert [value.value for value in values.values()] == [1.0, pytest.approx(2.0), pytest.approx(2.0)]


@pytest.mark.parametrize(
    ("second_bpm", "agreement", "alternative"),
    [(101, 1.0, 200), (50, 0.5, 50), (200, 0.5, 200), (33.4, 0.5, 33.4), (140, 0.0, 140), (400, 0.0, 200)],
)
def test_agreement_and_alternative_of_100_bpm(second_bpm: float, agreement: float, alternative: float) -> None:
    assert tempo_agreement(100, second_bpm) == agreement
    assert tempo_alternative(100, second_bpm) == alternative


def test_the_alternative_of_an_extreme_tempo_stays_within_the_range() -> None:
    assert tempo_alternative(40, 40) == 80
    assert tempo_alternative(160, 160) == 80


@pytest.mark.parametrize(
    ("tempo_bpm", "n_beats", "confidence"), [(738.3, 245, 4.6), (25.0, 20, 3.0), (120.0, 7, 3.0), (120.0, 60, 0.3)]
)
def test_an_odd_beat_track_is_not_credible(tempo_bpm: float, n_beats: int, confidence: float) -> None:
    track = BeatTrack(tempo_bpm=tempo_bpm, beat_times_s=np.zeros(n_beats, dtype=np.float32), confidence=confidence)
    assert not is_credible(track)


def test_two_profiles_outvote_one_by_strength() -> None:
    votes = [KeyVote("A", "minor", 0.9), KeyVote("C", "major", 0.7), KeyVote("C", "major", 0.7)]
    key_name, mode, strength, share = decide(votes)
    assert (key_name, mode) == ("C", "major")
    assert strength == pytest.approx(0.7)
    assert share == pytest.approx(1.4 / 2.3)


def test_camelot_neighbours_are_a_fifth_apart_and_all_24_names_are_used() -> None:
    names = {(key_name, mode): camelot(key_name, mode) for key_name in PITCH_CLASSES for mode in ("major", "minor")}
    assert len(set(names.values())) == 24
    assert (names["C", "major"], names["G", "major"], names["B", "major"]) == ("8B", "9B", "1B")
    assert (names["A", "minor"], names["E", "minor"], names["Ab", "minor"]) == ("8A", "9A", "1A")
