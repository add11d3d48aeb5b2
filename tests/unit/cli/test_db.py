"""`musicfp db`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicfp.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.delenv("MUSICFP_DATABASE_URL", raising=False)
    return tmp_path


def test_an_empty_database_is_not_current_until_it_is_upgraded() -> None:
    runner = CliRunner()
    before = runner.invoke(main, ["db", "check", "--json"])
    assert (before.exit_code, json.loads(before.stdout)["isCurrent"]) == (1, False)
    assert json.loads(runner.invoke(main, ["db", "upgrade", "--json"]).stdout)["changed"] is True
    assert json.loads(runner.invoke(main, ["db", "upgrade", "--json"]).stdout)["changed"] is False
    after = runner.invoke(main, ["db", "check", "--json"])
    assert (after.exit_code, json.loads(after.stdout)["isCurrent"]) == (0, True)


def test_a_database_that_does_not_answer_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICFP_DATABASE_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/music")
    told = CliRunner().invoke(main, ["db", "check"])
    assert told.exit_code == 1
    assert "MUSICFP_DATABASE_URL" in told.stderr
    assert "hidden" not in told.stderr
