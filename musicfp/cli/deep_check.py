"""`musicfp db check --deep`: show what `musicfp.pipeline.deep_check` finds.

What belongs here: a table, JSON, a bar. Findings are shown as they come or counted, never held: there may be a million.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

import click

from musicfp.catalog.engine import Database
from musicfp.cli.common import Bar, print_table
from musicfp.pipeline.deep_check import IN_FLIGHT_FOR, Checked, DeepCheck, Finding
from musicfp.settings import Settings
from musicfp.store.objects import open_store

_SHOWN_OF_A_KIND = 20
# The clocks of the store and of this machine may differ by so much.
_ANY_AGE = timedelta(minutes=-10)


def run(database: Database, *, hashing: bool, now: bool, as_json: bool) -> bool:
    """Check, show what was found, and return whether all was right."""
    settings = Settings.from_env()
    with Bar("Checking") as bar:
        check = DeepCheck(
            database,
            open_store(settings),
            settings,
            hashing=hashing,
            in_flight_for=_ANY_AGE if now else IN_FLIGHT_FOR,
            on_progress=lambda checked: bar.show(
                done=checked.n_named,
                total=max(checked.n_objects, checked.n_named, 1),
                amount=f"{checked.n_objects} objects, {checked.n_tracks} tracks",
            ),
        )
        counts = _print_json(check) if as_json else _print_table(check)
    return not counts


def _print_json(check: DeepCheck) -> Counter[str]:
    counts: Counter[str] = Counter()
    click.echo('{"findings": [', nl=False)
    for finding in check.findings():
        click.echo(("," if counts else "") + "\n  " + json.dumps(asdict(finding), ensure_ascii=False), nl=False)
        counts[finding.kind] += 1
    rest = {"isRight": not counts, "counts": dict(counts), "checked": _checked_as_json(check.checked)}
    click.echo("\n], " + json.dumps(rest)[1:])
    return counts


def _print_table(check: DeepCheck) -> Counter[str]:
    counts: Counter[str] = Counter()
    shown = list(_first_of_each_kind(check.findings(), counts))
    checked = check.checked
    if shown:
        print_table(("difference", "of", "what"), [(each.kind, each.subject, each.what) for each in shown])
        for kind, n in sorted(counts.items()):
            if n > _SHOWN_OF_A_KIND:
                click.echo(f"... and {n - _SHOWN_OF_A_KIND} more of {kind}; --json lists all.")
        click.echo(f"{counts.total()} differences. What to do is in docs/operations.md, kind by kind.")
    else:
        click.echo("Everything fits.")
    hashed = f", {checked.n_hashed} of them read" if check.hashing else ""
    click.echo(
        f"Looked at {checked.n_tracks} tracks, {checked.n_postings} postings, {checked.n_uploads} kept uploads and "
        f"{checked.n_objects} objects{hashed}."
    )
    if checked.n_recent:
        click.echo(f"{checked.n_recent} objects are new and have no row yet.")
    return counts


def _first_of_each_kind(findings: Iterator[Finding], counts: Counter[str]) -> Iterator[Finding]:
    for finding in findings:
        counts[finding.kind] += 1
        if counts[finding.kind] <= _SHOWN_OF_A_KIND:
            yield finding


def _checked_as_json(checked: Checked) -> dict[str, int]:
    return {
        "nTracks": checked.n_tracks,
        "nNamed": checked.n_named,
        "nObjects": checked.n_objects,
        "nRecent": checked.n_recent,
        "nUploads": checked.n_uploads,
        "nHashed": checked.n_hashed,
        "nPostings": checked.n_postings,
    }
