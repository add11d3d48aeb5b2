"""`musicfp demo`: show what musicfp makes of songs, copies and broken files, against a running `musicfp up`."""

from pathlib import Path

import click

from musicfp.cli.common import SubmitProgress, api_option, connect, json_option, minutes, print_json, print_table, say
from musicfp.cli.identify import print_matches
from musicfp.demo.run import DemoReport, run_demo


@click.command()
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make the files in this folder and keep them, to listen to.",
)
@api_option
@json_option
@click.pass_context
def demo(context: click.Context, *, keep: Path | None, api_url: str | None, as_json: bool) -> None:
    """Fill the catalogue with synthetic songs and show what becomes of copies and broken files.

    Exit status 1 if any verdict differs from what it should be. May be repeated.
    """
    with connect(api_url) as api, SubmitProgress() as progress:
        report = run_demo(api, keep=keep, progress=progress, say=say)
    if as_json:
        print_json(report_as_json(report))
    else:
        print_report(report)
    if not report.ok:
        n_wrong = sum(not row.ok for row in report.rows) + (not report.query_ok)
        say(f"{n_wrong} of {len(report.rows) + 1} answers differ from what they should be.")
        context.exit(1)


def print_report(report: DemoReport) -> None:
    """Print the verdict table and the answer to the identify query."""
    rows = [
        ("ok" if row.ok else "WRONG", row.file, row.what, row.expected, row.verdict, row.why) for row in report.rows
    ]
    print_table(("", "FILE", "WHAT IT IS", "EXPECTED", "VERDICT", "WHY"), rows)
    n_there = sum(row.was_there for row in report.rows)
    if n_there:
        click.echo(f"\n{n_there} songs were in the catalogue already.")
    query = report.query
    click.echo(f"\nWhich song is {query.path.name}, a noisy clip from {minutes(query.offset_s)} of {query.song.title}?")
    if report.answer["matches"]:
        print_matches(report.answer["matches"])
    else:
        click.echo("No match.")


def report_as_json(report: DemoReport) -> dict[str, object]:
    """Return the report as the command prints it with --json."""
    return {
        "ok": report.ok,
        "files": [
            {
                "file": row.file,
                "what": row.what,
                "expected": row.expected,
                "verdict": row.verdict,
                "why": row.why,
                "ok": row.ok,
            }
            for row in report.rows
        ],
        "query": {"expectedTitle": report.query.song.title, "expectedOffsetSeconds": report.query.offset_s},
        "answer": report.answer,
        "queryOk": report.query_ok,
    }
