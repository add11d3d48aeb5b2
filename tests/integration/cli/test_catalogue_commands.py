"""`musicfp db check --deep`, `musicfp backup` and `musicfp restore`, as people call them."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.cli.main import main
from musicfp.identity import source_key
from musicfp.pipeline.context import StageContext
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore
from tests.support.ingesting import ingest_all
from tests.support.postgres import free_port
from tests.support.seeds import seed_id, seed_track
from tests.support.songs import SongFolder

N_BROKEN = 21


@pytest.fixture
def stage(own_environment: dict[str, str], object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    """What the commands find in their environment: SQLite in an own home, and nothing that runs but the store."""
    ports = {"MUSICFP_API_PORT": str(free_port()), "MUSICFP_DAGSTER_PORT": str(free_port())}
    for name, value in (own_environment | ports).items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    database = Database(settings.database_url)
    migrate.upgrade(database)
    return StageContext(settings, database, object_store, Provenance("run"))


def _call(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == status, result.output
    return result.stdout


def test_a_catalogue_that_is_right_is_said_to_be(stage: StageContext, songs: SongFolder) -> None:
    """With what was looked at; what is new and has no row yet is mentioned, and told of only when asked."""
    ingest_all(stage, songs.song(1))
    key = source_key("0" * 64, "flac")
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=key, Body=b"new")
    told = _call("db", "check", "--deep", "--hash")
    assert told.startswith("Everything fits.\nLooked at 1 tracks, ")
    assert "2 objects, 1 of them read." in told
    assert "1 objects are new and have no row yet." in told
    answer = json.loads(_call("db", "check", "--deep", "--json"))
    assert (answer["isRight"], answer["findings"], answer["counts"]) == (True, [], {})
    assert (answer["checked"]["nTracks"], answer["checked"]["nRecent"]) == (1, 1)
    answer = json.loads(_call("db", "check", "--deep", "--now", "--json", status=1))
    assert answer["findings"] == [
        {"kind": "orphan_source", "subject": stage.settings.source_bucket, "what": f"{key}, 3 bytes"}
    ]


def test_differences_are_shown_and_counted(stage: StageContext) -> None:
    """Twenty of a kind in the table, all of them as JSON; status 1."""
    for number in range(N_BROKEN):
        seed_track(stage.database, number)
    told = _call("db", "check", "--deep", status=1)
    assert told.count("source_missing") == 20 + 1
    assert "... and 1 more of source_missing; --json lists all." in told
    assert "docs/operations.md" in told
    answer = json.loads(_call("db", "check", "--deep", "--json", status=1))
    assert answer["isRight"] is False
    assert answer["counts"]["source_missing"] == N_BROKEN
    found = [each for each in answer["findings"] if each["kind"] == "source_missing"]
    assert {each["subject"] for each in found} == {seed_id(number) for number in range(N_BROKEN)}


def test_an_old_schema_is_told_first(stage: StageContext) -> None:
    """Nothing deeper can be asked of it."""
    migrate.downgrade(stage.database, "base")
    assert "musicfp db upgrade" in _call("db", "check", "--deep", status=1)
    _call("db", "check", "--hash", status=2)


def test_a_backup_is_made_and_put_back(
    stage: StageContext, songs: SongFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words and as JSON; refused while something else than the store runs, or into a catalogue that is in use."""
    ingest_all(stage, songs.song(1))
    directory = str(tmp_path / "backup")
    assert "with 1 objects" in _call("backup", directory)
    made = json.loads(_call("backup", directory, "--json"))
    assert (made["nObjects"], made["nCopied"], made["missing"]) == (1, 0, [])
    assert "not empty" in _error("restore", directory)
    stage.database.close()
    shutil.rmtree(stage.settings.home / "scratch", ignore_errors=True)
    for path in stage.settings.home.glob("catalogue.sqlite*"):
        path.unlink()
    for each in list(stage.store.list_after(stage.settings.source_bucket)):
        stage.store.delete(stage.settings.source_bucket, each.key)
    with socket.socket() as api:
        api.bind(("127.0.0.1", 0))
        api.listen()
        with monkeypatch.context() as patched:
            patched.setenv("MUSICFP_API_PORT", str(api.getsockname()[1]))
            assert "--without dagster --without api" in _error("restore", directory)
    assert "with 1 objects" in _call("restore", directory)
    _call("db", "check", "--deep", "--hash")
    done = json.loads(_call("restore", directory, "--overwrite", "--json"))
    assert (done["nObjects"], done["nLostUploads"]) == (1, 0)


def test_a_lost_object_makes_a_backup_fail_that_is_made_all_the_same(
    stage: StageContext, songs: SongFolder, tmp_path: Path
) -> None:
    """Better than none; the key is named."""
    ingest_all(stage, songs.song(1))
    [source] = stage.store.list_after(stage.settings.source_bucket)
    stage.store.delete(stage.settings.source_bucket, source.key)
    result = CliRunner().invoke(main, ["backup", str(tmp_path / "backup")])
    assert result.exit_code == 1
    assert source.key in result.stderr


def test_postgresql_is_left_to_its_own_tools(
    stage: StageContext, tmp_path: Path, postgres_url_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a pointer to what to do."""
    assert stage.database.is_sqlite
    monkeypatch.setenv("MUSICFP_DATABASE_URL", f"{postgres_url_prefix}postgres")
    assert "pg_dump" in _error("backup", str(tmp_path / "backup"))


def _error(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 1
    return result.stderr
