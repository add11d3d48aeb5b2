"""Whom a failure in the middle of a batch is held against: the file at work, or the machine beneath it."""

from pathlib import Path

from sqlalchemy.exc import DBAPIError, OperationalError

from musicfp.errors import DatabaseUnavailable, MusicfpError, RetryableError, StoreUnavailable
from musicfp.pipeline.pauses import first_line, require_room

_NEARLY_FULL_BYTES = 16 << 20


class Unforeseen(RetryableError):
    """An error that nobody expected, while one file was worked on."""

    code = "unexpected"


def blamed_on_the_file(error: Exception, directory: Path) -> MusicfpError:
    """Return the error as one of ours, to be recorded of the file; raise it if it would have befallen any other.

    Raises StoreUnavailable or DatabaseUnavailable: the batch ends then, and what is left of it comes again.
    """
    if isinstance(error, StoreUnavailable | DatabaseUnavailable):
        raise error
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        raise DatabaseUnavailable(f"The database did not take what was made: {first_line(error)}") from error
    require_room(directory, _NEARLY_FULL_BYTES)  # a child process that finds the disk full dies of it in its own way
    return error if isinstance(error, MusicfpError) else Unforeseen(f"{type(error).__name__}: {error}")
