"""Buckets and migrations, in a process of their own that ends: the supervisor itself stays small.

Run as `python -m musicfp.supervisor.prepare`. Safe at every start.
"""

import sys

from sqlalchemy.exc import SQLAlchemyError

from musicfp.catalog.engine import Database
from musicfp.catalog.migrate import upgrade
from musicfp.errors import MusicfpError
from musicfp.settings import Settings
from musicfp.store.buckets import prepare_buckets


def prepare(settings: Settings) -> None:
    """Bring the database to the newest schema and make the buckets with their rules."""
    database = Database(settings.database_url)
    try:
        upgrade(database)
    finally:
        database.close()
    prepare_buckets(settings)


if __name__ == "__main__":
    try:
        prepare(Settings.from_env())
    except (MusicfpError, SQLAlchemyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
