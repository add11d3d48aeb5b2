"""`musicfp models`: licences are shown and accepted first, and only the model itself is installed."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicfp.cli.main import main
from musicfp.features.models import catalogue
from musicfp.features.models.catalogue import JAMENDO_INSTRUMENT, MODELS

CONTENT = b"weights"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of installed models, in which the publisher's file is only seven bytes long."""
    monkeypatch.setenv("MUSICFP_MODELS_DIR", str(tmp_path / "models"))
    small = dataclasses.replace(MODELS[JAMENDO_INSTRUMENT], sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(catalogue.MODELS, JAMENDO_INSTRUMENT, small)
    return tmp_path / "models"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def listed() -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in json.loads(run("list", "--json").stdout)}


def test_the_list_shows_licence_commercial_use_state_and_features() -> None:
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}
    assert set(lines) == {"model", *MODELS}
    assert all(word in lines["musicnn-mtt"] for word in ("ISC", "yes", "comes with musicfp", "instrumentalness"))
    assert all(word in lines[JAMENDO_INSTRUMENT] for word in ("CC BY-NC-SA 4.0", "NO", "no", "tags_instrument"))
    answer = listed()[JAMENDO_INSTRUMENT]
    assert (answer["commercialUse"], answer["installed"], answer["features"]) == (False, False, ["tags_instrument"])


def test_without_acceptance_the_licence_is_shown_and_nothing_is_installed(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "weights.pb"
    file.write_bytes(CONTENT)
    result = run("install", JAMENDO_INSTRUMENT, "--file", str(file))
    assert result.exit_code == 1
    for words in ("CC BY-NC-SA 4.0", "creativecommons.org", "NOT FOR COMMERCIAL USE", "--accept-licence"):
        assert words in result.stderr
    assert not folder.exists()


def test_with_acceptance_the_model_is_installed_once(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "weights.pb"
    file.write_bytes(CONTENT)
    result = run("install", JAMENDO_INSTRUMENT, "--accept-licence", "--file", str(file), "--json")
    assert result.exit_code == 0
    assert "NOT FOR COMMERCIAL USE" in result.stderr
    assert json.loads(result.stdout)["installed"] is True
    assert [path.read_bytes() for path in folder.iterdir()] == [CONTENT]
    assert listed()[JAMENDO_INSTRUMENT]["installed"] is True
    assert "already" in run("install", JAMENDO_INSTRUMENT).stderr


def test_another_file_is_refused_and_not_kept(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "weights.pb"
    file.write_bytes(b"something else")
    result = run("install", JAMENDO_INSTRUMENT, "--accept-licence", "--file", str(file))
    assert result.exit_code == 1
    assert "Checksum mismatch" in result.stderr
    assert list(folder.iterdir()) == []


def test_an_unknown_model_is_named_with_those_that_exist() -> None:
    result = run("install", "nonsense", "--accept-licence")
    assert result.exit_code == 1
    assert "nonsense" in result.stderr
    assert JAMENDO_INSTRUMENT in result.stderr
