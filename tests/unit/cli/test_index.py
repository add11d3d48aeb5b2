"""`musicfp index`, and what `musicfp doctor` says of the index."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import delete

from musicfp.catalog import migrate, search_index, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.search_index import SegmentRecord
from musicfp.catalog.tables import FingerprintTermRow
from musicfp.cli.main import main
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.settings import Settings
from musicfp.supervisor.checks import check_index
from tests.support.seeds import music, seed_id, seed_track


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database that the commands use, with two tracks."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.delenv("MUSICFP_DATABASE_URL", raising=False)
    opened = Database(Settings.from_env().database_url)
    migrate.upgrade(opened)
    for number in (1, 2):
        seed_track(opened, number)
    return opened


@pytest.mark.usefixtures("database")
def test_a_right_index_is_said_to_be_right() -> None:
    """With its size; status 0."""
    runner = CliRunner()
    told = runner.invoke(main, ["index", "verify"])
    assert (told.exit_code, told.stdout) == (0, "The index is right: 240 postings of 2 fingerprints.\n")
    answer = json.loads(runner.invoke(main, ["index", "verify", "--json"]).stdout)
    assert answer == {"isRight": True, "nFingerprints": 2, "nPostings": 240, "differences": []}
    assert runner.invoke(main, ["index", "rebuild"]).stdout.startswith("Nothing to mend: 240 postings")
    checked = check_index(Settings.from_env())
    assert checked.state == "ok"
    assert checked.found.endswith("no accelerator")


def test_the_accelerator_is_told_of(database: Database) -> None:
    """Without a build and with one, in words and as JSON; doctor has it in one phrase."""
    runner = CliRunner()
    assert runner.invoke(main, ["index", "status"]).stdout.startswith("There is no build. All 2 fingerprints")
    none = {"build": None, "watermark": 0, "lagFingerprints": 2, "segments": []}
    assert json.loads(runner.invoke(main, ["index", "status", "--json"]).stdout) == none
    segment = SegmentRecord("search-index/x.segment", "x", 4711, FingerprintKind.FULL, 1, 1, 1, 120)
    build = search_index.new_build("b" * 26, watermark=1, segments=[segment])
    with database.exclusive() as session:
        search_index.swap_in(session, build, replaces=None)
    told = runner.invoke(main, ["index", "status"]).stdout
    for part in (build.id, "up to revision 1.", "database: 1 fingerprints", "1 to 1", "4711", segment.key):
        assert part in told
    answer = json.loads(runner.invoke(main, ["index", "status", "--json"]).stdout)
    assert (answer["build"], answer["watermark"], answer["lagFingerprints"]) == (build.id, 1, 1)
    assert answer["segments"][0]["nPostings"] == 120
    assert f"accelerator {build.id}, 1 fingerprints newer" in check_index(Settings.from_env()).found


def test_differences_are_listed_mended_and_gone(database: Database) -> None:
    """Status 1 until they are mended; doctor says what to do."""
    with database.write() as session:
        session.exec(delete(FingerprintTermRow))
        terms.add(session, 1, music(1).sub_fingerprints, kind=FingerprintKind.FULL)
        terms.add(session, 9, music(9).sub_fingerprints, kind=FingerprintKind.BAND)
    runner = CliRunner()
    told = runner.invoke(main, ["index", "verify"])
    assert told.exit_code == 1
    assert seed_id(2) in told.stdout
    assert "musicfp index rebuild" in told.stdout
    answer = runner.invoke(main, ["index", "verify", "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["differences"] == [
        {"trackId": seed_id(2), "ordinal": 2, "kind": "full", "nExpected": 120, "nFound": 0},
        {"trackId": None, "ordinal": 9, "kind": "band_300_3400", "nExpected": 0, "nFound": 120},
    ]
    checked = check_index(Settings.from_env())
    assert (checked.state, checked.fix) == ("broken", "Run `musicfp index rebuild`.")
    assert runner.invoke(main, ["index", "rebuild"]).stdout.startswith("Mended the postings of 2 fingerprints.")
    mended = json.loads(runner.invoke(main, ["index", "rebuild", "--json"]).stdout)
    assert mended == {"nMended": 0, "isRight": True, "nFingerprints": 2, "nPostings": 240, "differences": []}


def test_a_database_without_the_index_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was attempted and what to do, not a traceback; doctor leaves it to its check of the database."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.delenv("MUSICFP_DATABASE_URL", raising=False)
    assert check_index(Settings.from_env()).state == "not running"
    told = CliRunner().invoke(main, ["index", "verify"])
    assert told.exit_code == 1
    assert "musicfp db check" in told.stderr
    assert check_index(Settings.from_env()).state == "not running"
