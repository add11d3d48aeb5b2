"""Speechiness of speech and of music, with the speech detector and without."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import load_builtin
from musicfp.features.speech import HEURISTIC_CONFIDENCE
from musicfp.features.values import FeatureStatus, FeatureValue

SPEECH_FILE = Path(__file__).parent / "data" / "speech.opus"


def speechiness(samples: NDArray[np.float32], *, models: ModelShelf | None = None) -> FeatureValue:
    (value,) = (
        load_builtin([]).get("speechiness").run(AudioInputs(samples, sample_rate_hz=synth.RATE_HZ, models=models))
    )
    return value


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    """Synthetic speech at 44.1 kHz."""
    argv = ["ffmpeg", "-v", "error", "-i", SPEECH_FILE, "-ac", "1", "-ar", str(synth.RATE_HZ), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout, dtype=np.float32)


def test_speech_and_music_are_told_apart(speech: NDArray[np.float32]) -> None:
    spoken, played = speechiness(speech), speechiness(synth.song(12))
    assert spoken.value is not None
    assert played.value is not None
    assert spoken.value > 0.8
    assert played.value < 0.1
    assert spoken.confidence == pytest.approx(2 * spoken.value - 1)


def test_pauses_do_not_make_speech_less_of_it(speech: NDArray[np.float32]) -> None:
    silence = np.zeros(len(speech), dtype=np.float32)
    with_pause = speechiness(np.concatenate([speech, silence]))
    assert with_pause.value == pytest.approx(speechiness(speech).value, abs=0.05)


def test_without_the_model_a_heuristic_answers_and_says_how_sure_it_is(
    speech: NDArray[np.float32], tmp_path: Path
) -> None:
    nothing = ModelShelf(tmp_path, models={})
    spoken, played = speechiness(speech, models=nothing), speechiness(synth.song(12), models=nothing)
    assert spoken.value is not None
    assert played.value is not None
    assert spoken.value > 0.5 > played.value
    assert {spoken.confidence, played.confidence} == {HEURISTIC_CONFIDENCE}


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(synth.silence(5), "silent", id="silence"),
        pytest.param(synth.song(2), "too_short", id="2 s"),
        pytest.param(np.full((5 * synth.RATE_HZ, 2), np.inf, dtype=np.float32), "not_finite", id="infinite"),
        pytest.param(synth.song(4) * np.array([1, -1], dtype=np.float32) * 0, "silent", id="zeros"),
    ],
)
def test_sound_without_an_answer_has_none(
    samples: NDArray[np.float32], reason: str, installed: bool, tmp_path: Path
) -> None:
    value = speechiness(samples, models=None if installed else ModelShelf(tmp_path, models={}))
    assert (value.status, value.reason) == (FeatureStatus.UNKNOWN, reason)


@pytest.mark.parametrize("installed", [True, False])
def test_opposite_channels_are_silent_in_mono(installed: bool, tmp_path: Path) -> None:
    left = synth.song(4)[:, 0]
    value = speechiness(np.stack([left, -left], axis=1), models=None if installed else ModelShelf(tmp_path, models={}))
    assert (value.status, value.reason) == (FeatureStatus.UNKNOWN, "silent")
