"""Migrations, and buckets that keep objects; in a process that ends, so that the supervisor itself stays small.

Run as `python -m musicfp.supervisor.prepare`. Safe at every start.
"""

import sys

from sqlalchemy.exc import SQLAlchemyError

from musicfp.catalog.engine import Database
from musicfp.catalog.migrate import upgrade
from musicfp.errors import MusicfpError
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets
from musicfp.store.probe import wait_for_objects

_OBJECTS_WITHIN_S = 60.0


def prepare(settings: Settings) -> None:
    """Bring the database to the newest schema, make the buckets with their rules, and see that they keep objects."""
    database = Database(settings.database_url)
    try:
        upgrade(database)
    finally:
        database.close()
    prepare_buckets(settings)
    wait_for_objects(settings, within_s=_OBJECTS_WITHIN_S)


if __name__ == "__main__":
    try:
        prepare(Settings.from_env())
    except (MusicfpError, SQLAlchemyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
