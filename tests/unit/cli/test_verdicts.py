"""`musicfp verdicts`: the list, and what another policy would flip."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import VerdictRow
from musicfp.cli.main import main
from musicfp.fingerprint.verdict import POLICY_VERSION
from musicfp.settings import Settings
from tests.support.judged import TRACK, store_every_kind


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A verdict of each kind in the database that the command uses; the ids of their submissions by kind."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    for name in ("MUSICFP_DATABASE_URL", "MUSICFP_REVIEW_RELATED"):
        monkeypatch.delenv(name, raising=False)
    database = Database(Settings.from_env().database_url)
    migrate.upgrade(database)
    stored = {kind: submission_id for submission_id, kind in store_every_kind(database).items()}
    with database.write() as session:
        session.get_one(VerdictRow, stored["new"]).evidence = {}
    database.close()
    return stored


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["verdicts", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_verdicts_are_listed_newest_first(kinds: dict[str, str]) -> None:
    lines = run("--limit", "4").splitlines()
    assert len(lines) == 5
    assert [line.split()[0] for line in lines[1:]] == sorted(kinds.values(), reverse=True)[:4]
    answer = json.loads(run("--json", "--outcome", "duplicate", "--limit", "100"))
    assert {each["filename"] for each in answer} == {
        f"{kind}.flac" for kind in ("same file", "same recording", "faster", "just enough", "excerpt")
    }
    same_file = next(each for each in answer if each["filename"] == "same file.flac")
    assert (same_file["relation"], same_file["trackId"]) == ("SAME_FILE", TRACK)
    assert same_file["policyVersion"] == POLICY_VERSION
    assert same_file["reason"].startswith("This is the same file")


def test_a_recheck_tells_changes_and_counts(kinds: dict[str, str]) -> None:
    n = len(kinds)
    lines = run("--recheck").splitlines()
    assert lines[:2] == [
        f"{kinds[kind]} {kind}.flac: NEEDS_REVIEW ({relation} of track {TRACK}) -> "
        f"ACCEPTED ({relation} of track {TRACK}); review_related is false"
        for kind, relation in (("similar, waits", "SIMILAR"), ("contains, waits", "CONTAINS"))
    ]
    assert lines[2] == f"Rechecked {n - 1} verdicts: 2 would change, {n - 3} would not."
    assert lines[3].startswith("1 cannot be rechecked: their evidence was stored by an older version")
    assert len(lines) == 4


def test_a_recheck_of_other_thresholds_as_json(kinds: dict[str, str]) -> None:
    told = run(
        "--recheck", "--json", "--set", "min_duplicate_correlation=0.95", "--set", "review_related=true",
        "--outcome", "DUPLICATE",
    )  # fmt: skip
    answer = json.loads(told)
    assert (answer["nRechecked"], answer["nChanged"], answer["nUnchanged"], answer["nNotRecheckable"]) == (5, 3, 2, 0)
    assert {each["submissionId"] for each in answer["changes"]} == {
        kinds[kind] for kind in ("same recording", "just enough", "excerpt")
    }
    change = next(each for each in answer["changes"] if each["submissionId"] == kinds["same recording"])
    assert change == {
        "submissionId": kinds["same recording"],
        "filename": "same recording.flac",
        "before": {"outcome": "DUPLICATE", "relation": "SAME_RECORDING", "trackId": TRACK},
        "after": {"outcome": "NEEDS_REVIEW", "relation": "SIMILAR", "trackId": TRACK},
        "why": ["correlation 0.9 is below min_duplicate_correlation 0.95"],
    }
    unchanged = json.loads(run("--recheck", "--json", "--outcome", "ACCEPTED"))
    assert unchanged["changes"] == []


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "min_coverage=0.5"], "--set goes with --recheck"),
        (["--recheck", "--limit", "5"], "--limit does not go with --recheck"),
        (["--recheck", "--set", "min_coverage"], "'min_coverage' is not NAME=VALUE"),
        (["--recheck", "--set", "min_coverage=2"], "a number from 0 to 1"),
        (["--recheck", "--set", "coverage=0.5"], "has no 'coverage'"),
        (["--outcome", "REJECTED"], "'REJECTED' is not one of"),
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["verdicts", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_database_without_a_schema_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.delenv("MUSICFP_DATABASE_URL", raising=False)
    result = CliRunner().invoke(main, ["verdicts"])
    assert result.exit_code == 1
    assert "musicfp db check" in result.stderr
