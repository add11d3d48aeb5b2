"""`musicfp db`: bring the database to the newest schema, or tell whether it is there and whether all of it is right."""

import json

import click

from musicfp.catalog import migrate
from musicfp.cli import deep_check
from musicfp.cli.database import catalogue_database


@click.group()
def db() -> None:
    """Migrate or check the database of MUSICFP_DATABASE_URL."""


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def upgrade(*, as_json: bool) -> None:
    """Run all missing migrations. Safe to repeat."""
    with catalogue_database() as database:
        before = migrate.current_revision(database)
        migrate.upgrade(database)
        after = migrate.current_revision(database)
    if as_json:
        click.echo(json.dumps({"before": before, "after": after, "changed": before != after}))
    elif before == after:
        click.echo(f"The database is at the newest schema already ({after}).")
    else:
        click.echo(f"The database went from {before or 'nothing'} to {after}.")


@db.command()
@click.option("--deep", is_flag=True, help="Hold every row against every object, and all rows against each other.")
@click.option("--hash", "hashing", is_flag=True, help="With --deep: read every object and compare its SHA-256.")
@click.option("--now", is_flag=True, help="With --deep: tell of new objects without a row too. Only when nothing runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def check(context: click.Context, *, deep: bool, hashing: bool, now: bool, as_json: bool) -> None:
    """Say whether the database is at the newest schema, or all that is wrong; exit status 1 when something is."""
    if not deep and (hashing or now):
        raise click.UsageError("--hash and --now go with --deep.")
    with catalogue_database() as database:
        current, head = migrate.current_revision(database), migrate.head_revision()
        if deep and current == head:
            if not deep_check.run(database, hashing=hashing, now=now, as_json=as_json):
                context.exit(1)
            return
    is_current = current == head
    if as_json:
        click.echo(json.dumps({"current": current, "newest": head, "isCurrent": is_current}))
    elif is_current:
        click.echo(f"The database is at the newest schema ({head}).")
    else:
        click.echo(f"The database is at {current or 'nothing'}, the newest schema is {head}. Run `musicfp db upgrade`.")
    if not is_current:
        context.exit(1)
