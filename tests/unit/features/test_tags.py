"""Tags, embeddings and what is derived of them: on music, and on sound that has no answer."""

from pathlib import Path

import numpy as np
import pytest
import synth
from numpy.typing import NDArray

from musicfp.features import inputs, musicnn
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import AudioInputs
from musicfp.features.models.catalogue import MODELS, MUSICNN_MSD, MUSICNN_MTT
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import load_builtin
from musicfp.features.tag_proxies import (
    ACOUSTIC_TAGS,
    ELECTRIC_TAGS,
    MAX_CONFIDENCE,
    NEGATIVE_TAGS,
    POSITIVE_TAGS,
    VOCAL_TAGS,
    balance,
    instrumentalness_of,
)
from musicfp.features.tags import top_tags
from musicfp.features.values import FeatureStatus, FeatureValue

BUNDLED = ("tags_mtt", "tags_msd", "instrumentalness", "acousticness", "valence")
OPT_IN = ("embedding_effnet", "tags_instrument", "tags_moodtheme", "liveness")
PROXIES = ("vocal.instrumentalness", "timbre.acousticness", "mood.valence")


def run(audio: AudioInputs, *names: str) -> dict[str, FeatureValue]:
    registry = load_builtin([])
    return {value.name: value for name in names for value in registry.get(name).run(audio)}


def of(samples: NDArray[np.float32], *, models: ModelShelf | None = None) -> AudioInputs:
    return AudioInputs(samples, sample_rate_hz=synth.RATE_HZ, models=models)


@pytest.fixture(scope="module")
def song() -> dict[str, FeatureValue]:
    return run(of(synth.song(12)), *BUNDLED)


def test_music_has_tags_embeddings_and_proxies(song: dict[str, FeatureValue]) -> None:
    assert {value.status for value in song.values()} == {FeatureStatus.OK}
    for name, model in (("mtt", MUSICNN_MTT), ("msd", MUSICNN_MSD)):
        tags, embedding = song[f"tags.{name}"].vector, song[f"embedding.musicnn_{name}"].vector
        assert tags is not None
        assert embedding is not None
        assert (len(tags), len(embedding)) == (50, 200)
        best = MODELS[model].classes[int(np.argmax(tags))]
        assert str(song[f"tags.{name}_top"].text).startswith(f"{best} {max(tags):.2f}, ")
    for name in PROXIES:
        assert song[name].confidence is not None
        assert song[name].confidence <= MAX_CONFIDENCE
    assert song["vocal.instrumentalness"].value is not None
    assert song["vocal.instrumentalness"].value > 0.5


def test_tags_are_those_of_essentias_own_musicnn(song: dict[str, FeatureValue], tmp_path: Path) -> None:
    """Which reads the audio by itself: the shared patches are the same as its own."""
    audio = of(synth.song(12))
    path = ModelShelf(tmp_path).path_of(MODELS[MUSICNN_MTT])
    reference = essentia_standard().TensorflowPredictMusiCNN(graphFilename=str(path), patchHopSize=187)
    np.testing.assert_allclose(song["tags.mtt"].vector, reference(audio.mono_16k).mean(axis=0), atol=1e-5)


def test_one_run_of_each_model_serves_all_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("mel_patches", "run_musicnn"):
        original = getattr(musicnn, name)

        def counted(*args: object, _name: str = name, _original: object = original) -> object:
            calls.append(_name)
            return _original(*args)  # type: ignore[operator]

        monkeypatch.setattr(inputs, name, counted)
    run(of(synth.song(4)), *BUNDLED)
    assert sorted(calls) == ["mel_patches", "run_musicnn", "run_musicnn"]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(synth.silence(5), "silent", id="silence"),
        pytest.param(synth.song(2), "too_short", id="2 s"),
        pytest.param(synth.silence(0), "too_short", id="nothing"),
        pytest.param(np.full((5 * synth.RATE_HZ, 2), np.nan, dtype=np.float32), "not_finite", id="NaN"),
    ],
)
def test_sound_without_an_answer_has_none(samples: NDArray[np.float32], reason: str) -> None:
    values = run(of(samples), *BUNDLED, *OPT_IN)
    assert {(value.status, value.reason) for value in values.values()} == {(FeatureStatus.UNKNOWN, reason)}


def test_opposite_channels_are_silent_in_mono() -> None:
    left = synth.song(4)[:, 0]
    values = run(of(np.stack([left, -left], axis=1)), *BUNDLED)
    assert {value.reason for value in values.values()} == {"silent"}


def test_exactly_three_seconds_have_tags() -> None:
    assert run(of(synth.song(3)), "tags_mtt")["tags.mtt"].status is FeatureStatus.OK


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    audio = of(synth.song(4), models=ModelShelf(tmp_path, models={}))
    missing = {name: value.reason for name, value in run(audio, *BUNDLED, *OPT_IN).items()}
    assert {missing["tags.mtt"], missing["vocal.instrumentalness"]} == {"model_missing:musicnn-mtt"}
    assert {missing["tags.msd"], missing["mood.valence"]} == {"model_missing:musicnn-msd"}
    assert missing["event.liveness"] == "model_missing:audioset-yamnet"


def test_models_that_are_not_bundled_are_unavailable_until_installed(tmp_path: Path) -> None:
    values = run(of(synth.song(4), models=ModelShelf(tmp_path)), *OPT_IN)
    assert {value.status for value in values.values()} == {FeatureStatus.UNAVAILABLE}
    assert values["embedding.discogs_effnet"].reason == "model_missing:discogs-effnet"
    assert values["tags.instrument"].reason == "model_missing:jamendo-instrument"


def test_a_damaged_model_fails_loudly(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path)
    shelf.path_of(MODELS["discogs-effnet"]).write_bytes(b"not a graph")
    (value,) = run(of(synth.song(4), models=shelf), "embedding_effnet").values()
    assert value.status is FeatureStatus.FAILED
    assert "ModelDamaged" in str(value.reason)


def test_the_tags_that_proxies_count_exist() -> None:
    assert set(VOCAL_TAGS + ACOUSTIC_TAGS + ELECTRIC_TAGS) <= set(MODELS[MUSICNN_MTT].classes)
    assert set(POSITIVE_TAGS + NEGATIVE_TAGS) <= set(MODELS[MUSICNN_MSD].classes)
    assert not set(ACOUSTIC_TAGS) & set(ELECTRIC_TAGS)
    assert not set(POSITIVE_TAGS) & set(NEGATIVE_TAGS)


@pytest.mark.parametrize(("vocal", "expected"), [(0.0, 1.0), (0.1, 0.8), (0.2, 0.5), (0.4, 0.2)])
def test_instrumentalness_falls_with_the_strongest_vocal_tag(vocal: float, expected: float) -> None:
    tags = dict.fromkeys(VOCAL_TAGS, 0.0) | {"choir": vocal}
    assert instrumentalness_of(tags) == pytest.approx(expected)


def test_a_balance_of_nothing_is_in_the_middle_and_leans_to_what_is_heard() -> None:
    nothing = {"a": 0.0, "b": 0.0}
    assert balance(nothing, ["a"], ["b"]) == 0.5
    assert balance(nothing | {"a": 0.4}, ["a"], ["b"]) == pytest.approx(0.9)
    assert balance(nothing | {"b": 0.4}, ["a"], ["b"]) == pytest.approx(0.1)


def test_top_tags_are_sorted_by_probability() -> None:
    probabilities = np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.05], dtype=np.float32)
    assert top_tags(probabilities, "abcdef") == "b 0.90, e 0.40, d 0.30, c 0.20, a 0.10"
