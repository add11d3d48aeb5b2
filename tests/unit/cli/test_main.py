"""The command group: lazy, and clear about errors."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from musicfp.cli import main as cli
from musicfp.errors import SettingsError


@click.command()
def failing() -> None:
    raise SettingsError("MUSICFP_X is wrong.")


@pytest.fixture
def with_failing_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "failing", ("musicfp.cli.db:failing", "Fails."))
    monkeypatch.setattr("musicfp.cli.db.failing", failing, raising=False)


@pytest.mark.usefixtures("with_failing_command")
def test_an_error_of_ours_is_one_message_on_stderr_and_status_1() -> None:
    told = CliRunner().invoke(cli.main, ["failing"])
    assert told.exit_code == 1
    assert told.stderr == "Error: MUSICFP_X is wrong.\n"
    assert told.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["up", "--without", "nonsense"], ["up", "--demo", "--without", "api"]]
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.main, arguments).exit_code == 2


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_can_be_imported_and_explains_itself(name: str) -> None:
    told = CliRunner().invoke(cli.main, [name, "--help"])
    assert told.exit_code == 0, told.output


def test_help_imports_no_command() -> None:
    """`musicfp --help` must not wait for databases, audio libraries or Dagster."""
    code = (
        "import sys\n"
        "from musicfp.cli.main import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'sqlalchemy', 'boto3', 'dagster', 'httpx', 'rich', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
