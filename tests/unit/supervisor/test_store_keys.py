"""The embedded store's secrets."""

import json
import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from musicfp.errors import SettingsError
from musicfp.supervisor.store_keys import ensure_keys


def test_keys_are_made_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "store" / "credentials.json"
    keys = ensure_keys(path)
    assert ensure_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(asdict(keys).values())) == 6


def test_two_homes_have_different_keys(tmp_path: Path) -> None:
    assert ensure_keys(tmp_path / "a.json") != ensure_keys(tmp_path / "b.json")


def test_a_key_pair_made_elsewhere_is_kept_and_completed(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"access_key": "known", "secret_key": "secret"}))
    keys = ensure_keys(path)
    assert (keys.access_key, keys.secret_key) == ("known", "secret")
    assert json.loads(path.read_text())["jwt_signing"] == keys.jwt_signing


def test_a_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    ensure_keys(path)
    path.chmod(0o644)
    ensure_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "[]", "{broken"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=r"credentials\.json is not a credentials file"):
        ensure_keys(path)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path / "credentials.json")
    assert keys.secret_key not in repr(keys)
