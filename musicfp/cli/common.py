"""What the client commands share: options, tables, progress bars.

What belongs here: how things are asked for and shown. What does not: what they mean.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from musicfp.client import submit
from musicfp.client.api import open_api
from musicfp.client.http import Service
from musicfp.settings import Settings

# Wide enough that no cell is cut when the output goes into a file or a pipe.
_PIPE_COLUMNS = 400

Command = TypeVar("Command", bound=Callable[..., Any])

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def json_option(command: Command) -> Command:
    """Add `--json` to a command, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(command)


def api_option(command: Command) -> Command:
    """Add `--api-url` to a command, as `api_url`."""
    return click.option(
        "--api-url",
        metavar="URL",
        help="Address of the API; by default MUSICFP_API_URL, or this machine's port MUSICFP_API_PORT.",
    )(command)


def connect(api_url: str | None) -> Service:
    """Return a connection to the API that was asked for, or to that of the settings."""
    return open_api(api_url or Settings.from_env().api_url)


def print_json(answer: object) -> None:
    """Print data as JSON to stdout."""
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to stdout; cells are shown as they are, never as markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    is_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if is_terminal else _PIPE_COLUMNS, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def say(message: str) -> None:
    """Print a message for people to stderr."""
    click.echo(visible(message), err=True)


def visible(text: str) -> str:
    """Return `text` without characters that could act on a terminal; tags and file names come from anywhere."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes in MB, as file managers show it."""
    return f"{n_bytes / 1e6:.1f} MB"


def minutes(seconds: float) -> str:
    """Return seconds as m:ss.s, with a sign when negative."""
    tenths = round(abs(seconds) * 10)
    sign = "-" if seconds < 0 and tenths else ""
    return f"{sign}{tenths // 600}:{tenths % 600 / 10:04.1f}"


class Bar:
    """One progress bar on stderr, or nothing if stderr is not a terminal. A context manager."""

    def __init__(self, description: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(description, total=None, amount="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, *, done: float, total: float, amount: str, description: str | None = None) -> None:
        """Move the bar; `amount` stands beside it."""
        self._progress.update(self._task, completed=done, total=total, amount=amount, description=description)


class SubmitProgress(submit.Progress):
    """Shows uploads, then verdicts, on one bar. A context manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bar = Bar("Uploading")
        self._n_files = self._n_done = 0
        self._total_bytes = self._sent_bytes = 0

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.__exit__(kind, error, tb)

    def begin(self, *, n_files: int, total_bytes: int) -> None:
        """Start the bar of bytes."""
        with self._lock:
            self._n_files, self._n_done = n_files, 0
            self._total_bytes, self._sent_bytes = total_bytes, 0
            self._show_upload()

    def sent(self, n_bytes: int) -> None:
        """Move the bar of bytes."""
        with self._lock:
            self._sent_bytes += n_bytes
            self._show_upload()

    def uploaded(self, upload: submit.Upload) -> None:  # noqa: ARG002 - the base class has it
        """Count the file."""
        with self._lock:
            self._n_done += 1
            self._show_upload()

    def begin_waiting(self, *, n_files: int) -> None:
        """Start the bar of verdicts."""
        with self._lock:
            self._n_files, self._n_done = n_files, 0
            self._show_verdicts()

    def decided(self, upload: submit.Upload) -> None:  # noqa: ARG002 - the base class has it
        """Count the verdict."""
        with self._lock:
            self._n_done += 1
            self._show_verdicts()

    def _show_upload(self) -> None:
        self._bar.show(
            done=self._sent_bytes,
            total=max(self._total_bytes, 1),
            amount=f"{self._n_done} of {self._n_files} files, {megabytes(self._total_bytes)}",
            description="Uploading",
        )

    def _show_verdicts(self) -> None:
        self._bar.show(
            done=self._n_done,
            total=max(self._n_files, 1),
            amount=f"{self._n_done} of {self._n_files} verdicts",
            description="Waiting",
        )
