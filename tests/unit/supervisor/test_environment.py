"""What children find in their environment."""

from pathlib import Path

import pytest

from musicfp.settings import Settings
from musicfp.supervisor.environment import child_environment
from musicfp.supervisor.store_keys import ensure_keys


def test_the_embedded_store_is_reached_by_environment_alone(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path / "credentials.json")
    settings = Settings.from_env({"MUSICFP_HOME": str(tmp_path), "MUSICFP_S3_PORT": "8444"})
    environment = child_environment(settings, keys, environ={"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "old"})
    assert environment["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:8444"
    assert environment["AWS_ACCESS_KEY_ID"] == keys.access_key
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(environment)


def test_aws_credentials_are_left_alone_without_the_embedded_store(tmp_path: Path) -> None:
    settings = Settings.from_env({"MUSICFP_HOME": str(tmp_path), "MUSICFP_S3_MANAGED": "0"})
    environment = child_environment(settings, None, environ={"AWS_PROFILE": "work"})
    assert environment["AWS_PROFILE"] == "work"
    assert "AWS_ENDPOINT_URL_S3" not in environment


@pytest.mark.parametrize("present", ["", "example.org", "127.0.0.1,example.org"])
def test_local_servers_are_never_asked_through_a_proxy(tmp_path: Path, present: str) -> None:
    settings = Settings.from_env({"MUSICFP_HOME": str(tmp_path)})
    hosts = child_environment(settings, None, environ={"NO_PROXY": present})["NO_PROXY"].split(",")
    assert {"127.0.0.1", "localhost"} <= set(hosts)
    assert set(filter(None, present.split(","))) <= set(hosts)


def test_settings_become_explicit_and_telemetry_is_off(tmp_path: Path) -> None:
    settings = Settings.from_env({"MUSICFP_HOME": str(tmp_path)})
    environment = child_environment(settings, None, environ={})
    assert environment["MUSICFP_HOME"] == str(tmp_path)
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
    assert environment["DAGSTER_DISABLE_TELEMETRY"] == environment["DO_NOT_TRACK"] == "1"
    assert Settings.from_env(environment).home == settings.home
