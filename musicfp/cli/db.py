"""`musicfp db`: bring the database to the newest schema, or tell whether it is there."""

import json
from collections.abc import Callable

import click
from sqlalchemy.exc import SQLAlchemyError

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database
from musicfp.errors import DatabaseUnavailable
from musicfp.settings import Settings


@click.group()
def db() -> None:
    """Migrate or check the database of MUSICFP_DATABASE_URL."""


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def upgrade(*, as_json: bool) -> None:
    """Run all missing migrations. Safe to repeat."""
    before, after = _with_database(_upgrade)
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
    current, head = _with_database(lambda database: (migrate.current_revision(database), migrate.head_revision()))
    is_current = current == head
    if as_json:
        click.echo(json.dumps({"current": current, "newest": head, "isCurrent": is_current}))
    elif is_current:
        click.echo(f"The database is at the newest schema ({head}).")
    else:
        click.echo(f"The database is at {current or 'nothing'}, the newest schema is {head}. Run `musicfp db upgrade`.")
    if not is_current:
        context.exit(1)


def _upgrade(database: Database) -> tuple[str | None, str | None]:
    before = migrate.current_revision(database)
    migrate.upgrade(database)
    return before, migrate.current_revision(database)


def _with_database(
    action: Callable[[Database], tuple[str | None, str | None]],
) -> tuple[str | None, str | None]:
    database = Database(Settings.from_env().database_url)
    try:
        return action(database)
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(
            f"Tried to use the database {database.engine.url.render_as_string(hide_password=True)}: {error}. "
            "Check MUSICFP_DATABASE_URL and that the database server runs."
        ) from error
    finally:
        database.close()
