"""`musicfp doctor`: show what works, what does not, and how to fix it."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from musicfp.supervisor.check import Check
from musicfp.supervisor.checks import run_checks

_STYLES = {"ok": "green", "broken": "bold red", "not running": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Check programs, settings, store, database and Dagster, and say how to fix each.

    Exit status 1 when something required is broken; what is merely not running does not count.
    """
    checks = run_checks()
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _show(checks)
    if any(check.state == "broken" for check in checks):
        context.exit(1)


def _show(checks: Sequence[Check]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("check", "state", "found", "what to do"):
        table.add_column(title, overflow="fold")
    for check in checks:
        table.add_row(check.name, f"[{_STYLES[check.state]}]{check.state}[/]", check.found, check.fix or "")
    Console().print(table)
