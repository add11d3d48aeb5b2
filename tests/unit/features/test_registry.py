"""The registry: declarations are checked, gates come first, and a broken extractor fails alone."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from musicfp.errors import SettingsError
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import Extractor, FeatureSpec, Registry, extractor, load_builtin
from musicfp.features.values import FeatureStatus, FeatureValue, ModelMissing, NotMeasurable, measured

A = FeatureSpec("test.a", unit="s", description="A.", range=(0.0, 10.0))
B = FeatureSpec("test.b", unit=None, description="B.")
SECOND = AudioInputs(np.full(44_100, 0.5, dtype=np.float32), sample_rate_hz=44_100)


def make(
    function: Callable[[AudioInputs], Iterable[FeatureValue]],
    *,
    min_duration_s: float = 0.0,
    audible: bool = False,
    finite: bool = True,
) -> Extractor:
    registry = Registry()
    extractor(
        name="test",
        version="1",
        description="Test.",
        values=(A, B),
        min_duration_s=min_duration_s,
        audible=audible,
        finite=finite,
        registry=registry,
    )(function)
    return registry.get("test")


def outcomes(values: tuple[FeatureValue, ...]) -> list[tuple[str, str | None]]:
    return [(value.status.value, value.reason) for value in values]


def test_values_come_in_the_order_and_unit_of_their_declaration() -> None:
    values = make(lambda _: [measured("test.b", "x"), measured("test.a", 1.0)]).run(SECOND)
    assert [(value.name, value.unit, value.value, value.text) for value in values] == [
        ("test.a", "s", 1.0, None),
        ("test.b", None, None, "x"),
    ]


def test_a_declared_value_that_is_not_returned_fails_alone() -> None:
    values = make(lambda _: [measured("test.a", 1.0)]).run(SECOND)
    assert outcomes(values) == [("ok", None), ("failed", "error:not_returned")]


def test_a_value_outside_its_declared_range_fails_alone() -> None:
    values = make(lambda _: [measured("test.a", 11.0), measured("test.b", 1.0)]).run(SECOND)
    assert outcomes(values) == [("failed", "error:out_of_range 11 not in 0..10"), ("ok", None)]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ([measured("test.c", 1.0)], "does not declare"),
        ([measured("test.a", 1.0), measured("test.a", 2.0)], "twice"),
    ],
)
def test_undeclared_and_repeated_values_fail_the_extractor(returned: list[FeatureValue], words: str) -> None:
    values = make(lambda _: returned).run(SECOND)
    assert {value.status for value in values} == {FeatureStatus.FAILED}
    assert all(words in str(value.reason) for value in values)


@pytest.mark.parametrize(
    ("raised", "status", "reason"),
    [
        (NotMeasurable("low_confidence"), "unknown", "low_confidence"),
        (ModelMissing("yamnet"), "unavailable", "model_missing:yamnet"),
        (RuntimeError("In Key: bad"), "failed", "error:RuntimeError: In Key: bad"),
        (MemoryError(), "failed", "error:MemoryError:"),
    ],
)
def test_what_an_extractor_raises_becomes_status_and_reason(raised: Exception, status: str, reason: str) -> None:
    def function(_: AudioInputs) -> Iterable[FeatureValue]:
        yield measured("test.a", 1.0)
        raise raised

    assert outcomes(make(function).run(SECOND)) == [(status, reason)] * 2


def _never(_: AudioInputs) -> Iterable[FeatureValue]:
    raise AssertionError("a gate should have kept this audio out")


@pytest.mark.parametrize(
    ("samples", "min_duration_s", "audible", "reason"),
    [
        (np.zeros(0, dtype=np.float32), 0.0, False, "too_short"),
        (np.ones(100, dtype=np.float32), 3.0, True, "too_short"),
        (np.zeros(44_100, dtype=np.float32), 0.0, True, "silent"),
        (np.full(44_100, np.nan, dtype=np.float32), 3.0, True, "not_finite"),
        (np.array([0.0, np.inf], dtype=np.float32), 0.0, False, "not_finite"),
    ],
)
def test_gates_answer_before_the_function_is_called(
    samples: np.ndarray, min_duration_s: float, audible: bool, reason: str
) -> None:
    gated = make(_never, min_duration_s=min_duration_s, audible=audible)
    assert outcomes(gated.run(AudioInputs(samples, sample_rate_hz=44_100))) == [("unknown", reason)] * 2


@pytest.mark.parametrize(
    ("name", "version", "value_name", "words"),
    [
        ("Bad-Name", "1", "x.y", "must match"),
        ("good", "", "x.y", "needs a version"),
        ("taken", "1", "x.y", "registered twice"),
        ("g" * 65, "1", "x.y", "must match"),
        ("good", "1", "undotted", "must be dotted"),
        ("good", "1", "x." + "y" * 63, "must be dotted"),
        ("good", "1", "taken.value", "already given by taken"),
    ],
)
def test_a_taken_or_malformed_name_is_refused(name: str, version: str, value_name: str, words: str) -> None:
    registry = Registry()
    spec = FeatureSpec("taken.value", unit=None, description="Taken.")
    extractor(name="taken", version="1", description=".", values=(spec,), registry=registry)(_never)
    other = FeatureSpec(value_name, unit=None, description="Other.")
    with pytest.raises(ValueError, match=words):
        extractor(name=name, version=version, description=".", values=(other,), registry=registry)(_never)
    assert [each.name for each in registry.all()] == ["taken"]


def test_an_unknown_extractor_is_named_with_those_that_exist() -> None:
    with pytest.raises(KeyError, match=r"No feature extractor is called 'nonsense'; known are .*tempo"):
        load_builtin([]).get("nonsense")


def test_the_built_in_set_is_described_completely() -> None:
    registry = load_builtin([])
    definitions = registry.definitions()
    assert {each.name for each in registry.all()} >= {"duration", "silence", "loudness", "true_peak", "tempo", "key"}
    assert {each.name for each in definitions} >= {"rhythm.tempo", "tonal.key", "tonal.mode", "loudness.integrated"}
    assert all(each.description.endswith(".") for each in definitions)
    tempo = next(each for each in definitions if each.name == "rhythm.tempo")
    assert (tempo.unit, tempo.extractor, tempo.range) == ("BPM", "tempo", (30.0, 250.0))
    assert tempo.version == registry.get("tempo").version


def test_importing_the_registry_starts_neither_essentia_nor_scipy_signal() -> None:
    """Dagster and the API import every extractor's declaration; that must not start TensorFlow."""
    code = (
        "import sys; from musicfp.features.registry import load_builtin; load_builtin([]); "
        "print([name for name in ('essentia', 'tensorflow', 'scipy.signal', 'pebble') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


USER_MODULE = """
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured
@extractor(name="peak", version="1", description="Peak.", values=[FeatureSpec("user.peak", unit=None, description="")])
def peak(audio):
    yield measured("user.peak", abs(audio.mono_44k).max())
"""


def test_a_user_adds_a_feature_in_five_lines_without_touching_the_package(tmp_path: Path) -> None:
    (tmp_path / "my_features.py").write_text(USER_MODULE)
    code = (
        "import numpy as np; from musicfp.features.registry import load_builtin; "
        "from musicfp.features.inputs import AudioInputs; "
        "audio = AudioInputs(np.full(10, 0.25, dtype=np.float32), sample_rate_hz=44100); "
        "print(load_builtin().get('peak').run(audio)[0].value)"
    )
    environ = {"PYTHONPATH": str(tmp_path), "MUSICFP_FEATURE_MODULES": "my_features"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environ, cwd=tmp_path
    )
    assert done.stdout.strip() == "0.25"


def test_a_module_that_cannot_be_imported_is_named_with_its_setting() -> None:
    with pytest.raises(SettingsError, match="MUSICFP_FEATURE_MODULES names 'no_such_module_anywhere'"):
        load_builtin(["no_such_module_anywhere"])
