"""Tuning, pitch classes, chords and candidates of keys, of music whose answers are known."""

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.key_profiles import KEYS, by_note, correlations
from musicfp.features.pitch_classes import measure_pitch_classes
from musicfp.features.registry import load_builtin
from musicfp.features.triads import chord_path
from musicfp.features.values import FeatureValue


def _run(samples: NDArray[np.floating], name: str) -> dict[str, FeatureValue]:
    stereo = np.repeat(samples.astype(np.float32)[:, np.newaxis], 2, axis=1)
    audio = AudioInputs(stereo, sample_rate_hz=synth.RATE_HZ)
    return {value.name.removeprefix("tonal."): value for value in load_builtin([]).get(name).run(audio)}


def _chords(*progression: str, duration_s: float = 16, bpm: float = 120, transpose: int = 0) -> NDArray[np.float64]:
    return synth.chords(duration_s, bpm=bpm, progression=progression, transpose=transpose)


def _detuned(samples: NDArray[np.float64], cents: float) -> NDArray[np.float64]:
    """Play the samples faster or slower, which moves all pitches."""
    positions = np.arange(0, len(samples) - 1, 2 ** (cents / 1200))
    return np.interp(positions, np.arange(len(samples)), samples)


@pytest.mark.parametrize("cents", [-35.0, -10.0, 0.0, 20.0, 45.0])
def test_the_tuning_is_found_within_two_cents(cents: float) -> None:
    values = _run(_detuned(_chords("C", "Am", "F", "G"), cents), "tuning")
    assert values["tuning_cents"].value == pytest.approx(cents, abs=2)
    assert values["tuning_frequency"].value == pytest.approx(440 * 2 ** (cents / 1200), abs=0.6)


def test_the_profile_shows_the_notes_of_the_chord_relative_to_the_tuning() -> None:
    """C major: C is 3 semitones above A, E is 7 and G is 10, each in the middle of its three bins."""
    for cents in (0.0, 30.0):
        values = _run(_detuned(_chords("C", duration_s=8), cents), "hpcp")
        profile = np.array(values["hpcp.mean"].vector)
        assert set(np.argsort(profile)[-3:] / 3) == {3.0, 7.0, 10.0}
        turned = np.array(values["thpcp"].vector)
        assert turned[0] == turned.max() == 1.0


def test_a_chord_has_more_entropy_and_less_crest_than_a_note() -> None:
    chord = _run(_chords("C", duration_s=8), "hpcp")
    note = _run(synth.sine(hz=440, dbfs=-20, duration_s=8)[:, 0], "hpcp")
    for name, sign in (("hpcp_entropy.mean", 1), ("hpcp_crest.mean", -1)):
        one, other = chord[name].value, note[name].value
        assert one is not None
        assert other is not None
        assert sign * (one - other) > 1


@pytest.mark.parametrize("transpose", [0, 5])
def test_chords_are_found_with_their_shares_and_changes(transpose: int) -> None:
    """Eight bars of 2 s: Am, Am, F, G twice; so 3 changes in the first four and 3 more with the return to Am."""
    values = _run(_chords("Am", "Am", "F", "G", transpose=transpose), "chords")
    histogram = dict(zip(KEYS, values["chords_histogram"].vector or (), strict=True))
    notes = [name.split()[0] for name in KEYS[:12]]

    def moved(note: str) -> str:
        return notes[(notes.index(note) + transpose) % 12]

    expected = {f"{moved('A')} minor": 0.5, f"{moved('F')} major": 0.25, f"{moved('G')} major": 0.25}
    assert {name: share for name, share in histogram.items() if share > 0.02} == pytest.approx(expected, abs=0.06)
    assert values["chords_changes_rate"].value == pytest.approx(5 / 16, abs=0.07)
    assert values["chords_number_rate"].value == pytest.approx(3 * 60 / 16, rel=0.05)
    assert (values["chords_key"].text, values["chords_scale"].text) == (moved("A"), "minor")


def test_a_single_tone_has_a_tuning_and_neither_chords_nor_key() -> None:
    tone = synth.sine(hz=445, dbfs=-20, duration_s=12)[:, 0]
    assert _run(tone, "tuning")["tuning_frequency"].value == pytest.approx(445, abs=0.5)
    for name in ("chords", "key_candidates"):
        assert {value.reason for value in _run(tone, name).values()} == {"low_confidence"}


@pytest.mark.parametrize(
    ("progression", "best", "runners_up"),
    [
        (("C", "F", "G", "C"), "C major", {"G major", "F major", "A minor", "C minor", "E minor"}),
        (("Am", "Dm", "Em", "Am"), "A minor", {"C major", "D minor", "E minor", "A major", "F major"}),
    ],
)
def test_candidates_rank_the_key_first_and_a_neighbour_second(
    progression: tuple[str, ...], best: str, runners_up: set[str]
) -> None:
    values = _run(_chords(*progression), "key_candidates")
    fits = np.array(values["key_candidates"].vector)
    assert KEYS[int(fits.argmax())] == best
    assert {values[f"key_{profile}"].text for profile in ("krumhansl", "temperley", "aarden")} == {best}
    assert values["key_runner_up"].text in runners_up
    assert values["key_runner_up"].text == KEYS[int(np.argsort(fits)[-2])]


def test_a_short_blip_does_not_change_the_chord() -> None:
    c_major = np.zeros(12)
    c_major[[0, 4, 7]] = 1
    notes = np.tile(c_major, (60, 1))
    notes[30:32] = np.roll(c_major, 1)
    path, fits = chord_path(notes)
    assert set(path.tolist()) == {KEYS.index("C major")}
    assert fits[5] == pytest.approx(1.0)
    notes[30:60] = np.roll(c_major, 1)
    assert np.count_nonzero(np.diff(chord_path(notes)[0])) == 1


def test_rows_without_variation_correlate_with_nothing() -> None:
    assert correlations(np.ones((1, 12)), np.eye(12)).tolist() == [[0.0] * 12]


def test_notes_start_at_c() -> None:
    profile = np.zeros((1, 36))
    profile[0, 9] = 1  # three semitones above A
    assert by_note(profile).argmax() == 0


def test_sound_without_frames_has_no_pitch_classes() -> None:
    assert measure_pitch_classes(np.ones(100, dtype=np.float32), sample_rate_hz=synth.RATE_HZ) is None
    assert measure_pitch_classes(np.zeros(44_100, dtype=np.float32), sample_rate_hz=synth.RATE_HZ) is None


def test_noise_is_noisier_than_music() -> None:
    noise = measure_pitch_classes(synth.noise(5)[:, 0].copy(), sample_rate_hz=synth.RATE_HZ)
    music = measure_pitch_classes(synth.song(5)[:, 0].copy(), sample_rate_hz=synth.RATE_HZ)
    assert noise is not None
    assert music is not None
    assert noise.noisiness > 0.5
    assert music.noisiness < 0.2
