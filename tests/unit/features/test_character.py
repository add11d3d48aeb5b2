"""Energy and danceability have no ground truth: they must rise with each of their parts."""

import dataclasses

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.character import EnergyParts, danceability_blend, energy_parts
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import load_builtin
from musicfp.features.spectra import Spectra, measure_spectra
from musicfp.features.values import FeatureValue


def _run(samples: NDArray[np.float32], name: str) -> dict[str, FeatureValue]:
    audio = AudioInputs(samples, sample_rate_hz=synth.RATE_HZ)
    return {value.name: value for value in load_builtin([]).get(name).run(audio)}


def _energy(samples: NDArray[np.float32]) -> float:
    value = _run(samples, "energy")["character.energy"].value
    assert value is not None
    return value


def _both(mono: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.repeat(mono.astype(np.float32)[:, np.newaxis], 2, axis=1)


def test_energy_rises_with_gain() -> None:
    song = synth.song(8)
    energies = [_energy(song * np.float32(gain)) for gain in (0.05, 0.2, 0.8, 2.0)]
    assert energies == sorted(energies)
    assert energies[-1] - energies[0] > 0.2


def test_energy_rises_from_a_tone_to_chords_to_a_band_at_the_same_loudness() -> None:
    chords = synth.chords(8, bpm=100, progression=("C", "F"))
    sounds = [
        synth.sine(hz=440, dbfs=-20, duration_s=8),
        _both(chords),
        _both(chords + synth.drums(8, bpm=100)),
        _both(chords + synth.drums(8, bpm=170) + 0.3 * synth.noise(8)[:, 0]),
    ]
    levelled = []
    for sound in sounds:
        lufs = AudioInputs(sound, sample_rate_hz=synth.RATE_HZ).loudness_ebu128.integrated_lufs
        assert lufs is not None
        levelled.append(_energy(sound * np.float32(10 ** ((-18 - lufs) / 20))))
    assert levelled == sorted(levelled)
    assert levelled[-1] - levelled[0] > 0.2


@pytest.mark.parametrize("part", [field.name for field in dataclasses.fields(EnergyParts)])
def test_energy_rises_with_each_part_and_stays_within_0_and_1(part: str) -> None:
    middle = EnergyParts(0.5, 0.5, 0.5, 0.5, 0.5)
    low, high = (dataclasses.replace(middle, **{part: value}).blend() for value in (0.0, 1.0))
    assert low < middle.blend() < high
    assert EnergyParts(0, 0, 0, 0, 0).blend() == 0.0
    assert EnergyParts(1, 1, 1, 1, 1).blend() == pytest.approx(1.0)


def _spectra_of(mono: NDArray[np.float32]) -> Spectra:
    return measure_spectra(mono, sample_rate_hz=synth.RATE_HZ)


def test_parts_of_energy_follow_what_they_are_named_after() -> None:
    sounds = (synth.chords(6, bpm=60, progression=("C",)), synth.drums(6, bpm=150))
    quiet, busy = (sound.astype(np.float32) for sound in sounds)
    low = energy_parts(integrated_lufs=-30, range_lu=18, onset_rate=1, spectra=_spectra_of(quiet))
    high = energy_parts(integrated_lufs=-8, range_lu=2, onset_rate=5, spectra=_spectra_of(busy))
    for part in dataclasses.fields(EnergyParts):
        assert 0 <= getattr(low, part.name) < getattr(high, part.name) <= 1, part.name


def test_danceability_rises_with_each_part() -> None:
    steady, loose = np.arange(40) * 0.5, np.arange(40) * 0.5 + np.random.default_rng(1).normal(0, 0.1, 40)
    base = {"dfa": 1.0, "tempo_bpm": 120.0, "beat_times_s": steady, "pulse": 0.5}
    middle = danceability_blend(**base)
    assert danceability_blend(**{**base, "dfa": 1.8}) > middle > danceability_blend(**{**base, "dfa": 0.2})
    assert danceability_blend(**{**base, "pulse": 0.9}) > middle > danceability_blend(**{**base, "pulse": 0.1})
    assert danceability_blend(**{**base, "beat_times_s": loose}) < middle
    assert danceability_blend(**{**base, "tempo_bpm": 85.0}) < middle
    assert danceability_blend(**{**base, "tempo_bpm": 240.0}) == pytest.approx(middle)


def test_a_steady_beat_is_more_danceable_than_chords_and_a_tone_is_not_at_all() -> None:
    beat = _run(synth.song(20, bpm=120), "danceability")["rhythm.danceability"].value
    chords = _run(_both(synth.chords(20, bpm=120, progression=("C", "F", "G", "C"))), "danceability")
    assert beat is not None
    assert beat > 0.7
    assert (chords["rhythm.danceability"].value or 0.0) < beat
    tone = _run(synth.sine(hz=440, dbfs=-20, duration_s=20), "danceability")
    assert {value.reason for value in tone.values()} == {"low_confidence"}
