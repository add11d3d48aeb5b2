"""`musicfp fingerprint` and `musicfp compare` on real audio, without a server."""

import json
import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from musicfp.cli.main import main
from musicfp.demo.instruments import RATE_HZ
from musicfp.demo.mix import render
from musicfp.demo.songs import BLUE_KETTLE, SUNDAY_VERANDA

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    kettle, veranda = render(BLUE_KETTLE), render(SUNDAY_VERANDA)
    write(folder / "kettle.wav", kettle)
    write(folder / "middle.wav", kettle[10 * RATE_HZ : 25 * RATE_HZ] // 4)
    write(folder / "veranda.wav", veranda)
    write(folder / "blip.wav", kettle[:RATE_HZ])
    return folder


def write(path: Path, pcm: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.astype("<i2").tobytes())


def test_the_fingerprint_is_that_of_the_reference_program(run: Run, songs: Path) -> None:
    program = shutil.which("fpcalc")
    assert program, "fpcalc is missing: apt install libchromaprint-tools"
    argv = [program, "-plain", "-raw", "-length", "0", str(songs / "kettle.wav")]
    # Debian's fpcalc complains about the end of a WAV file and ends with status 3, after printing everything.
    reference = subprocess.run(argv, capture_output=True, text=True, check=False)
    expected = np.array(reference.stdout.strip().split(","), dtype=np.uint32)
    result = run("fingerprint", songs / "kettle.wav", "--raw")
    items = np.array(result.stdout.strip().split(","), dtype=np.uint32)
    assert items.size == expected.size
    # The program resamples in one step, we in another; the notes measured 0.0002 of the bits.
    assert np.bitwise_count(items ^ expected).sum() / (32 * items.size) < 0.002


def test_the_json_has_the_text_and_its_facts(run: Run, songs: Path) -> None:
    answer = json.loads(run("fingerprint", songs / "kettle.wav", "--json").stdout)
    assert answer["fingerprint"] == run("fingerprint", songs / "kettle.wav").stdout.strip()
    assert answer["durationSeconds"] == pytest.approx(38.9, abs=0.1)


@pytest.mark.parametrize(
    ("a", "b", "relation", "offset_s"),
    [
        ("kettle.wav", "kettle.wav", "SAME_RECORDING", 0.0),
        ("middle.wav", "kettle.wav", "EXCERPT", 10.0),
        ("kettle.wav", "middle.wav", "CONTAINS", -10.0),
    ],
)
def test_compare_finds_the_relation_and_the_place(
    run: Run, songs: Path, a: str, b: str, relation: str, offset_s: float
) -> None:
    result = run("compare", songs / a, songs / b, "--json")
    answer = json.loads(result.stdout)
    assert answer["relation"] == relation
    assert answer["offsetSeconds"] == pytest.approx(offset_s, abs=0.13)
    assert answer["correlation"] > 0.8
    assert relation in run("compare", songs / a, songs / b).stdout


def test_compare_calls_unrelated_songs_unrelated(run: Run, songs: Path) -> None:
    assert json.loads(run("compare", songs / "kettle.wav", songs / "veranda.wav", "--json").stdout)["relation"] is None
    assert "unrelated" in run("compare", songs / "kettle.wav", songs / "veranda.wav").stdout


@pytest.mark.parametrize("name", ["blip.wav", "text.mp3"])
def test_what_has_no_fingerprint_is_refused_with_a_reason(run: Run, songs: Path, name: str) -> None:
    (songs / "text.mp3").write_text("not music")
    result = run("fingerprint", songs / name)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The ")
    assert not result.stdout
