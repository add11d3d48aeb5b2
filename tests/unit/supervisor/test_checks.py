"""`musicfp doctor`'s checks where something is wrong."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from musicfp.cli.doctor import doctor
from musicfp.features.models.shelf import ModelShelf
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets
from musicfp.store.objects import open_store
from musicfp.supervisor import checks, dependency_checks
from musicfp.supervisor.check import broken, not_running, ok
from musicfp.supervisor.ports import pick_pairs
from tests.support.notifying import TestQueue
from tests.support.store import remove_buckets

LISTING = """Encoders:
 V..... = Video
 A..... = Audio
 ------
 V....D libx264              libx264 H.264
 A....D aac                  AAC (Advanced Audio Coding)
 A....D libmp3lame           libmp3lame MP3
"""


def settings_of(home: Path, **more: str) -> Settings:
    api, dagster, s3 = pick_pairs(3, seed=str(home))
    chosen = {"MUSICFP_API_PORT": str(api), "MUSICFP_DAGSTER_PORT": str(dagster), "MUSICFP_S3_PORT": str(s3)}
    return Settings.from_env({"MUSICFP_HOME": str(home), **chosen, **more})


def test_a_stopped_stack_is_told_from_a_broken_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for check in (checks.check_store, checks.check_database, checks.check_dagster, checks.check_api):
        outcome = check(settings)
        assert outcome.state == "not running", outcome
        assert "musicfp up" in (outcome.fix or "")


def test_a_busy_port_is_broken_while_musicfp_is_not_running(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert checks.check_ports(settings).state == "ok"
    with socket.create_server(("127.0.0.1", settings.dagster_port)):
        outcome = checks.check_ports(settings)
    assert outcome.state == "broken"
    assert "MUSICFP_DAGSTER_PORT" in (outcome.fix or "")


def test_an_old_database_says_how_to_migrate_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    database = Database(settings.database_url)
    migrate.upgrade(database)
    assert checks.check_database(settings).state == "ok"
    migrate.downgrade(database, "base")
    database.close()
    outcome = checks.check_database(settings)
    assert outcome.state == "broken"
    assert outcome.fix == "Run `musicfp db upgrade`."


def test_a_database_that_does_not_answer_is_broken_and_its_password_stays_secret(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MUSICFP_DATABASE_URL="postgresql+psycopg://me:hidden@127.0.0.1:1/music")
    outcome = checks.check_database(settings)
    assert outcome.state == "broken"
    assert "hidden" not in outcome.found


def test_a_store_that_does_not_answer_is_broken_when_it_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = settings_of(tmp_path, MUSICFP_S3_ENDPOINT_URL="http://127.0.0.1:1")
    assert checks.check_store(settings).state == "broken"


def test_only_audio_encoders_are_read_from_the_listing() -> None:
    assert dependency_checks.encoders_in(LISTING) == {"aac", "libmp3lame"}


def test_missing_programs_are_broken_and_say_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for check in (dependency_checks.check_ffmpeg, dependency_checks.check_ffprobe):
        outcome = check(settings_of(tmp_path))
        assert outcome.state == "broken"
        assert "apt install ffmpeg" in (outcome.fix or "")


def test_an_ffmpeg_without_an_encoder_is_broken_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(f"#!/bin/sh\n[ \"$1\" = -version ] && echo ffmpeg 1 || printf '%s' '{LISTING}'\n")
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    outcome = dependency_checks.check_ffmpeg(settings_of(tmp_path, MUSICFP_TRANSCODE_PROFILES="mp3_v0,opus_96"))
    assert outcome.state == "broken"
    assert outcome.found.endswith("no encoder libopus")


def test_installed_programs_are_ok(tmp_path: Path) -> None:
    assert {check(settings_of(tmp_path)).state for check in dependency_checks.ALL} == {"ok"}


def test_a_damaged_model_is_broken_and_one_that_is_not_installed_is_not(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    shelf = ModelShelf(settings.models_path)
    intact = dependency_checks.check_models(settings)
    assert (intact.state, "not installed: discogs-effnet" in intact.found) == ("ok", True)
    path = shelf.path_of(shelf.models["discogs-effnet"])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a downloa")
    damaged = dependency_checks.check_models(settings)
    assert damaged.state == "broken"
    assert str(path) in damaged.found


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([ok("a", "fine")], 0),
        ([ok("a", "fine"), not_running("b", "silence", "start it")], 0),
        ([ok("a", "fine"), broken("b", "smoke", "extinguish")], 1),
    ],
)
def test_exit_status_counts_only_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, outcomes: list[object], status: int
) -> None:
    monkeypatch.setattr("musicfp.cli.doctor.run_checks", lambda: outcomes)
    told = CliRunner().invoke(doctor, ["--json"])
    assert told.exit_code == status
    assert [check["name"] for check in json.loads(told.stdout)] == ["a", "b"][: len(outcomes)]
    assert CliRunner().invoke(doctor, []).exit_code == status


def test_a_wrong_setting_is_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICFP_API_PORT", "nonsense")
    (outcome,) = checks.run_checks()
    assert outcome.state == "broken"
    assert "MUSICFP_API_PORT" in outcome.found


def test_the_queue_of_notifications_is_checked_with_what_feeds_it(
    notified_environment: dict[str, str], test_queue: TestQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_env(notified_environment)
    prepare_buckets(settings)
    store = open_store(settings)
    outcome = checks.check_notifications(settings)
    assert (outcome.state, "nothing of new objects" in outcome.found) == ("broken", True)
    test_queue.notify_of(store, settings.submission_bucket, prefix="submissions/")
    outcome = checks.check_notifications(settings)
    assert (outcome.state, "not all new objects" in outcome.found) == ("ok", True)
    test_queue.notify_of(store, settings.submission_bucket)
    outcome = checks.check_notifications(settings)
    assert (outcome.state, outcome.found.endswith("no dead letters")) == ("ok", True), outcome
    test_queue.client.send_message(QueueUrl=test_queue.dead_letters_url, MessageBody="nonsense")
    outcome = checks.check_notifications(settings)
    assert (outcome.state, "1 dead letters" in outcome.found) == ("broken", True)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    outcome = checks.check_notifications(settings)
    assert (outcome.state, "127.0.0.1:9" in outcome.found) == ("broken", True)
    remove_buckets(store, settings)
    store.client.close()


def test_without_a_queue_the_bucket_is_listed(tmp_path: Path) -> None:
    assert checks.check_notifications(settings_of(tmp_path)).found == "no queue is set: the bucket is listed"
