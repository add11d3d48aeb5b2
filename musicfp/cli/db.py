"""`musicfp db`: bring the database to the newest schema, or tell whether it is there."""

import json

import click

from musicfp.catalog import migrate
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
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def check(context: click.Context, *, as_json: bool) -> None:
    """Say whether the database is at the newest schema; exit status 1 when it is not."""
    with catalogue_database() as database:
        current, head = migrate.current_revision(database), migrate.head_revision()
    is_current = current == head
    if as_json:
        click.echo(json.dumps({"current": current, "newest": head, "isCurrent": is_current}))
    elif is_current:
        click.echo(f"The database is at the newest schema ({head}).")
    else:
        click.echo(f"The database is at {current or 'nothing'}, the newest schema is {head}. Run `musicfp db upgrade`.")
    if not is_current:
        context.exit(1)
