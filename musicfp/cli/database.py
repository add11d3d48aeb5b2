"""The catalogue's database for commands that ask it without the API: `db`, `index`, `verdicts`.

What belongs here: opening it and saying what is wrong with it. What does not: what is done with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from musicfp.catalog.engine import Database
from musicfp.errors import DatabaseUnavailable
from musicfp.settings import Settings


@contextmanager
def catalogue_database() -> Iterator[Database]:
    """Open the database of MUSICFP_DATABASE_URL. Raises DatabaseUnavailable for whatever fails in it."""
    database = Database(Settings.from_env().database_url)
    try:
        yield database
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(
            f"Tried to use the database {database.engine.url.render_as_string(hide_password=True)}: {error}. "
            "Check MUSICFP_DATABASE_URL, that the database server runs, and `musicfp db check`."
        ) from error
    finally:
        database.close()
