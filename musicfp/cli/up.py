"""`musicfp up`: start the stack, print where it is when it is ready, serve until Ctrl-C."""

import sys

import click
from rich.console import Console
from rich.table import Table

from musicfp.settings import Settings
from musicfp.supervisor.stack import PARTS, Plan, Ready, run_stack


@click.command()
@click.option("--demo", "with_demo", is_flag=True, help="When the catalogue is empty, fill it with the demo songs.")
@click.option(
    "--without",
    type=click.Choice(PARTS),
    multiple=True,
    help="Leave a part out, to run it yourself (for example with `dagster dev`). May be repeated.",
)
def up(*, with_demo: bool, without: tuple[str, ...]) -> None:
    """Start the object store, Dagster and the API as one group; serve until Ctrl-C.

    The addresses are printed when everything is ready, not before. Data lives in MUSICFP_HOME and survives restarts;
    so do the logs of each part, in MUSICFP_HOME/logs.
    """
    if with_demo and {"api", "dagster"} & set(without):
        raise click.UsageError("--demo needs the API and Dagster.")
    plan = Plan(settings=Settings.from_env(), without=frozenset(without), with_demo=with_demo)
    run_stack(plan, say=_say, on_ready=_show)


def _say(line: str) -> None:
    click.echo(f"musicfp: {line}", err=True)


def _show(ready: Ready) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, url in ready.urls.items():
        table.add_row(name, url)
    Console(file=sys.stdout, soft_wrap=True).print(table)
    click.echo(f"musicfp is ready after {ready.took_s:.1f} s. Ctrl-C stops it.")
    sys.stdout.flush()
