"""The pool of workers with real files, real essentia, a real crash, a real hang and a real want of memory."""

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import synth
from numpy.typing import NDArray
from scipy.io import wavfile

from musicfp.errors import SubmissionRejected, WorkerLost
from musicfp.features.analysis import TrackAnalysis
from musicfp.features.registry import REGISTRY, load_builtin
from musicfp.features.values import FeatureStatus
from musicfp.features.worker import MIN_MEMORY_BYTES, FeaturePool

BUILTIN = ("duration", "silence", "loudness", "true_peak", "tempo", "key")
TROUBLE = """
import os
import numpy as np
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured

def trouble(name):
    spec = FeatureSpec(f"trouble.{name}", unit=None, description="Trouble.")
    return extractor(name=f"trouble_{name}", version="1", description="Trouble.", values=(spec,))

@trouble("abort")
def abort(audio):
    os.abort()

@trouble("hang")
def hang(audio):
    while True:
        pass

@trouble("memory")
def memory(audio):
    yield measured("trouble.memory", np.ones(1 << 30).sum())
"""


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a module with extractors that misbehave, importable here and in workers."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "trouble_features.py").write_text(TROUBLE)
    sys.path.insert(0, str(folder))
    yield "trouble_features"
    sys.path.remove(str(folder))
    for name in ("abort", "hang", "memory"):
        REGISTRY._extractors.pop(f"trouble_{name}", None)
    sys.modules.pop("trouble_features", None)


def wav(folder: Path, name: str, samples: NDArray[np.float32], *, rate_hz: int = synth.RATE_HZ) -> Path:
    path = folder / f"{name}.wav"
    wavfile.write(path, rate_hz, samples)
    return path


def reasons(analysis: TrackAnalysis, *names: str) -> set[str | None]:
    return {value.reason for name in names for value in analysis.values[name]}


def test_good_and_odd_files_are_analysed_side_by_side(tmp_path: Path) -> None:
    """Each gets every declared value, and oddities are unknown rather than invented."""
    song = synth.song(12)
    files = {
        "song": wav(tmp_path, "song", song),
        "phone": wav(tmp_path, "phone", song[:: 44_100 // 8_820], rate_hz=8_820),
        "second": wav(tmp_path, "second", song[:44_100]),
        "sample": wav(tmp_path, "sample", song[100:101]),
        "silence": wav(tmp_path, "silence", synth.silence(12)),
        "nan": wav(tmp_path, "nan", np.where(np.arange(len(song))[:, None] == 5, np.nan, song).astype(np.float32)),
    }
    with FeaturePool(workers=2, timeout_s=120, extra_modules=[]) as pool:
        futures = {name: pool.submit(path, BUILTIN) for name, path in files.items()}
    results = {name: future.result() for name, future in futures.items()}

    registry = load_builtin([])
    declared = [spec.name for name in BUILTIN for spec in registry.get(name).values]
    for result in results.values():
        assert [value.name for name in BUILTIN for value in result.values[name]] == declared
        assert FeatureStatus.FAILED not in {value.status for values in result.values.values() for value in values}
    for name in ("song", "phone"):
        values = {value.name: value for values in results[name].values.values() for value in values}
        assert values["rhythm.tempo"].value == pytest.approx(120, rel=0.01)
        assert (values["tonal.key"].text, values["tonal.mode"].text) == ("A", "minor")
        assert values["audio.duration"].value == pytest.approx(12, abs=0.01)
    assert reasons(results["second"], "tempo", "key") == {"too_short"}
    assert reasons(results["sample"], "tempo", "key", "loudness", "silence") == {"too_short"}
    assert reasons(results["silence"], "tempo", "key", "loudness", "true_peak") == {"silent"}
    assert reasons(results["nan"], "tempo", "key", "loudness", "true_peak", "silence") == {"not_finite"}
    assert results["song"].cpu_s["tempo"] > 0
    assert results["song"].decode_cpu_s > 0
    assert results["song"].peak_rss_bytes > 50 << 20


@pytest.mark.parametrize(
    ("guilty", "timeout_s", "reason"),
    [
        ("trouble_abort", 60, "error:worker crashed, SIGABRT"),
        ("trouble_hang", 6, "timeout"),
        ("trouble_memory", 60, "error:MemoryError"),
    ],
)
def test_a_crash_a_hang_or_want_of_memory_costs_one_extractor_of_one_track(
    trouble: str, tmp_path: Path, guilty: str, timeout_s: float, reason: str
) -> None:
    path = wav(tmp_path, "tone", synth.sine(hz=997, dbfs=-23, duration_s=3))
    with FeaturePool(workers=1, timeout_s=timeout_s, extra_modules=[trouble]) as pool:
        bad: Future[TrackAnalysis] = pool.submit(path, ["duration", guilty, "loudness"])
        good = pool.submit(path, ["loudness"])
    values = bad.result().values
    assert list(values) == ["duration", guilty, "loudness"]
    (failed,) = values[guilty]
    assert failed.status is FeatureStatus.FAILED
    assert str(failed.reason).startswith(reason)
    assert values["duration"][0].value == 3.0
    for loudness in (values["loudness"][0], good.result().values["loudness"][0]):
        assert loudness.value == pytest.approx(-23.0, abs=0.05)


def test_a_file_that_is_not_audio_fails_its_own_future_only(tmp_path: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("These are the words of a song. " * 100)
    path = wav(tmp_path, "tone", synth.sine(hz=997, dbfs=-23, duration_s=1))
    with FeaturePool(workers=1, timeout_s=60, extra_modules=[]) as pool:
        bad, good = pool.submit(text, ["duration", "loudness"]), pool.submit(path, ["duration"])
    with pytest.raises(SubmissionRejected, match="not audio"):
        bad.result()
    assert good.result().values["duration"][0].value == 1.0


def test_leaving_on_an_error_stops_the_pool_and_says_so(trouble: str, tmp_path: Path) -> None:
    path = wav(tmp_path, "tone", synth.sine(hz=997, dbfs=-23, duration_s=1))
    pool = FeaturePool(workers=1, timeout_s=60, extra_modules=[trouble])
    with contextlib.suppress(ZeroDivisionError), pool:
        future = pool.submit(path, ["trouble_hang", "duration"])
        raise ZeroDivisionError
    with pytest.raises(WorkerLost, match="stopped"):
        future.result(timeout=30)
    with pytest.raises(WorkerLost, match="stopped"):
        pool.submit(path, ["duration"]).result(timeout=30)


def test_an_unknown_extractor_and_too_little_memory_are_refused_at_once(tmp_path: Path) -> None:
    with FeaturePool(workers=1, extra_modules=[]) as pool, pytest.raises(KeyError, match="nonsense"):
        pool.submit(tmp_path / "none.wav", ["nonsense"])
    with pytest.raises(ValueError, match="cannot start"):
        FeaturePool(workers=1, memory_bytes=MIN_MEMORY_BYTES - 1, extra_modules=[])
