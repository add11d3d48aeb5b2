"""Tempo, key, silence and duration of music whose answers are known, and of sound that has no answer."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.key_profiles import KEY_PROFILES, KEYS, PITCH_CLASSES, key_features, key_fits, key_probabilities
from musicfp.features.novelty import novelty_of
from musicfp.features.registry import load_builtin
from musicfp.features.stretches import BeatTrack, has_pulse, judge_stretch, tempo_agreement, tempo_alternative
from musicfp.features.tonal import camelot
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
    assert values["tonal.key"].reason == "silent"


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
    "odd",
    [
        pytest.param(BeatTrack(tempo_bpm=738.3, confidence=4.6), id="the tracker's answer to silence"),
        pytest.param(BeatTrack(tempo_bpm=0.0, confidence=0.0), id="no beats"),
    ],
)
def test_an_odd_answer_of_both_estimators_makes_no_tempo(odd: BeatTrack) -> None:
    clicks = novelty_of(synth.clicks(15, rate_hz=2.0)[:, 0])
    assert judge_stretch(0.0, odd, odd.tempo_bpm, clicks, tuning=0.0) is None
    sensible = judge_stretch(0.0, odd, 120.0, clicks, tuning=0.0)
    assert sensible is not None
    assert sensible.rhythm.tempo_bpm == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize(
    ("sound", "contrast", "tuning", "onsets", "harmony", "expected"),
    [
        ("drums", 12.0, 0.05, 0.6, 0.3, True),
        ("metal", 1.5, 0.05, 0.2, 0.2, True),
        ("a plain game tune", 2.0, 0.3, 0.24, 0.7, True),
        ("strings", 0.7, 0.6, 0.09, 0.2, True),
        ("a choir", 3.5, 0.89, 0.046, 0.15, True),
        ("notes at random instants over others", 3.5, 0.89, 0.02, 0.4, False),
        ("chimes in the wind", 48.0, 0.98, 0.08, 0.45, False),
        ("speech", 6.5, 0.02, 0.11, 0.08, False),
        ("applause", 0.8, 0.0, 0.072, 0.17, False),
        ("a drone that beats", 0.6, 0.9, 0.4, 0.83, False),
        ("noise", 0.45, 0.0, 0.1, 0.02, False),
    ],
)
def test_what_comes_back_makes_a_pulse(
    sound: str, contrast: float, tuning: float, onsets: float, harmony: float, *, expected: bool
) -> None:
    assert has_pulse(contrast, tuning, onsets=onsets, harmony=harmony) is expected, sound


def test_a_drone_that_beats_has_no_tempo() -> None:
    time_s = np.arange(30 * synth.RATE_HZ) / synth.RATE_HZ
    tones = [
        np.sin(2 * np.pi * hz * time_s + part) * (1 + 0.5 * np.sin(2 * np.pi * time_s * (0.07 + 0.031 * part)))
        for part, hz in enumerate((110.0, 165.0, 220.7, 331.0))
    ]
    mono = (0.05 * np.sum(tones, axis=0)).astype(np.float32)
    assert reasons(run(np.stack([mono, mono], axis=1), "tempo", "meter", "danceability")) == {"low_confidence"}


def test_sound_that_does_not_come_back_has_no_tempo_however_sure_the_tracker_is() -> None:
    """Clicks at random instants: they stand out, but no tempo is theirs."""
    rng = np.random.default_rng(2)
    mono = np.zeros(30 * synth.RATE_HZ, dtype=np.float32)
    for instant in rng.uniform(0, 29, 70):
        start = round(instant * synth.RATE_HZ)
        mono[start : start + 1000] += 0.3 * rng.standard_normal(1000)
    assert judge_stretch(0.0, BeatTrack(tempo_bpm=120.0, confidence=5.0), 120.0, novelty_of(mono), tuning=0.0) is None


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_applause_has_no_tempo(seed: int) -> None:
    """Sixty people clap, each at a pace of his own: two of these three had a tempo before tuning was asked."""
    values = run(synth.applause(30, seed=seed), "tempo", "beats", "meter", "danceability")
    assert reasons(values) == {"low_confidence"}


@pytest.mark.parametrize("duration_s", [12, 20])
@pytest.mark.parametrize("transpose", [0, 3, 8])
def test_a_minor_song_is_not_taken_for_its_subdominant(duration_s: float, transpose: int) -> None:
    values = run(synth.song(duration_s, transpose=transpose), "key")
    assert values["tonal.key"].text == PITCH_CLASSES[(9 + transpose) % 12]
    assert values["tonal.mode"].text == "minor"


@pytest.mark.parametrize("tonic", [0, 4, 11])
@pytest.mark.parametrize(("mode", "chords"), [("major", (0, 5, 7)), ("minor", (12, 17, 19))])
def test_notes_and_triads_of_a_key_make_it_likeliest(tonic: int, mode: str, chords: tuple[int, ...]) -> None:
    notes = np.roll(KEY_PROFILES["krumhansl"][mode == "minor"], tonic)
    shares = np.zeros(24)
    for chord, share in zip(chords, (0.5, 0.25, 0.25), strict=True):
        shares[chord // 12 * 12 + (chord + tonic) % 12] = share
    probabilities = key_probabilities(key_features(key_fits(notes), shares))
    assert KEYS[int(probabilities.argmax())] == f"{PITCH_CLASSES[tonic]} {mode}"
    assert probabilities.max() > 0.8
    assert probabilities.sum() == pytest.approx(1.0)


def test_where_all_notes_and_triads_sound_alike_no_tonic_is_likelier_than_others() -> None:
    probabilities = key_probabilities(key_features(key_fits(np.ones(12)), np.full(24, 1 / 24)))
    assert probabilities[:12] == pytest.approx(probabilities[0])
    assert probabilities[12:] == pytest.approx(probabilities[12])


def test_camelot_neighbours_are_a_fifth_apart_and_all_24_names_are_used() -> None:
    names = {(key_name, mode): camelot(key_name, mode) for key_name in PITCH_CLASSES for mode in ("major", "minor")}
    assert len(set(names.values())) == 24
    assert (names["C", "major"], names["G", "major"], names["B", "major"]) == ("8B", "9B", "1B")
    assert (names["A", "minor"], names["E", "minor"], names["Ab", "minor"]) == ("8A", "9A", "1A")
