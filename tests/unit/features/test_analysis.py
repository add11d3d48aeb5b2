"""One track in this process: what is decoded in memory and on disk is the same."""

from pathlib import Path

import numpy as np
import pytest
import synth
from scipy.io import wavfile

from musicfp.errors import SubmissionRejected
from musicfp.features import analysis
from musicfp.features.registry import load_builtin


def test_a_long_recording_goes_through_a_file_that_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is scaled down: 3 s stand for a recording of over 15 minutes."""
    song = synth.song(3)
    path = tmp_path / "song.wav"
    wavfile.write(path, synth.RATE_HZ, song)
    in_memory, _ = analysis.decode(path, max_duration_s=60)
    monkeypatch.setattr(analysis, "MAX_WHOLE_S", 1)
    on_disk, decode_cpu_s = analysis.decode(path, max_duration_s=60)
    assert not isinstance(in_memory, np.memmap)
    assert isinstance(on_disk, np.memmap)
    np.testing.assert_array_equal(on_disk, in_memory)
    np.testing.assert_allclose(on_disk, song, atol=1e-6)
    assert decode_cpu_s > 0
    assert list(tmp_path.iterdir()) == [path]


def test_costs_are_counted_for_each_extractor(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    wavfile.write(path, synth.RATE_HZ, synth.song(3))
    result = analysis.analyse_file(path, ["loudness", "duration"], registry=load_builtin([]), max_duration_s=60)
    assert list(result.cpu_s) == list(result.values) == ["loudness", "duration"]
    assert result.cpu_s["loudness"] > 0


def test_a_file_without_sound_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "nothing.wav"
    wavfile.write(path, synth.RATE_HZ, np.zeros((0, 2), dtype=np.float32))
    with pytest.raises(SubmissionRejected):
        analysis.analyse_file(path, ["duration"], registry=load_builtin([]), max_duration_s=60)


def test_a_mono_file_is_as_loud_as_the_same_sound_on_both_sides(tmp_path: Path) -> None:
    stereo = synth.sine(hz=997, dbfs=-23, duration_s=4)
    values = []
    for name, samples in (("mono", stereo[:, 0]), ("stereo", stereo)):
        path = tmp_path / f"{name}.wav"
        wavfile.write(path, synth.RATE_HZ, samples)
        names = ["loudness", "true_peak", "silence"]
        result = analysis.analyse_file(path, names, registry=load_builtin([]), max_duration_s=60)
        values.append([value.value for name in names for value in result.values[name]])
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)
    assert values[0][0] == pytest.approx(-23.0, abs=0.05)
    assert values[0][5] == pytest.approx(-23.0, abs=0.05)
