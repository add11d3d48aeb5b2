"""What several benchmarks do with a running stack: put files in, and wait until everything is made of them."""

import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from musicfp.catalog.engine import Database
from musicfp.settings import Settings
from musicfp.store.objects import open_store

_POLL_S = 1.0


def drop(settings: Settings, files: Sequence[Path]) -> None:
    """Put files into the submission bucket as any other tool would."""
    store = open_store(settings)
    for path in files:
        store.client.put_object(Bucket=settings.submission_bucket, Key=f"drop/{path.name}", Body=path.read_bytes())


def wait_until_complete(settings: Settings, *, n_files: int, within_s: float) -> dict[str, float]:
    """Wait until each file has a verdict and each track all its assets; return when these were so, in seconds."""
    database = Database(settings.database_url)
    began = time.monotonic()
    reached: dict[str, float] = {}
    while "derived" not in reached:
        with database.read() as session:
            decided = (
                session.connection()
                .execute(text("SELECT count(*) FROM submission WHERE decided_at IS NOT NULL"))
                .scalar_one()
            )
            left = (
                session.connection()
                .execute(text("SELECT count(*) FROM derivation WHERE status <> 'DONE'"))
                .scalar_one()
            )
        elapsed_s = time.monotonic() - began
        if decided:
            reached.setdefault("first verdict", elapsed_s)
        if decided >= n_files:
            reached.setdefault("last verdict", elapsed_s)
            if not left:
                reached["derived"] = elapsed_s
        if elapsed_s > within_s:
            raise SystemExit(
                f"After {elapsed_s:.0f} s {decided} of {n_files} files are decided, {left} assets are left."
            )
        time.sleep(_POLL_S)
    database.close()
    return reached


def tracks_and_minutes(settings: Settings) -> tuple[int, float]:
    """Return how many tracks there are and their length together in minutes."""
    database = Database(settings.database_url)
    with database.read() as session:
        n, total_s = session.connection().execute(text("SELECT count(*), sum(duration_s) FROM track")).one()
    database.close()
    return n, (total_s or 0.0) / 60
