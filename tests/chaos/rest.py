"""Waiting until a product has come to rest: nothing is sent any more, nothing is left to do, nothing works.

What belongs here: telling rest, and letting the time pass that retries and expiry wait for. What does not: whether what
is there then is right (`invariants`).
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from musicfp.catalog.engine import Database, utc_now
from tests.chaos import dagster_state, invariants
from tests.chaos.dagster_state import DagsterState
from tests.chaos.invariants import Findings
from tests.chaos.product import Product
from tests.chaos.workload import Workload

_POLL_S = 2.0
_QUIET_S = 25.0
# What a person would wait for, and what a person would do about failures that are nobody's fault (see `_time_passes`).
_WAITING = """SELECT
    (SELECT count(*) FROM submission WHERE status IN ('AWAITING_UPLOAD', 'RECEIVED'))
    + (SELECT count(*) FROM submission WHERE status IN ('ACCEPTED', 'DUPLICATE') AND object_gone_at IS NULL)
    + (SELECT count(*) FROM derivation WHERE status = 'PENDING'
       OR (status = 'FAILED' AND next_attempt_at IS NOT NULL))
    + CASE WHEN (SELECT count(*) FROM derived_asset) = 0 THEN 1 ELSE 0 END"""
_TIME_PASSES = (
    "UPDATE submission SET next_attempt_at = :past WHERE status = 'RECEIVED' AND next_attempt_at > :now",
    "UPDATE submission SET upload_expires_at = :now WHERE status = 'AWAITING_UPLOAD' AND upload_expires_at > :now",
    "UPDATE derivation SET next_attempt_at = :now WHERE status = 'FAILED' AND next_attempt_at > :now",
)

_COUNTS = tuple(f"SELECT status, count(*) AS n FROM {each} GROUP BY status" for each in ("submission", "derivation"))  # noqa: S608


class NoRest(Exception):
    """The product did not come to rest within its time."""


@dataclass
class Rest:
    """What is known of a product at rest, and how long it took."""

    findings: Findings
    state: DagsterState
    took_s: float


def settle(workload: Workload, *, within_s: float) -> Rest:
    """Wait until everything that was sent is decided and derived and nothing moves; then check everything."""
    product, began = workload.product, time.monotonic()
    deadline = began + within_s
    state = None
    while state is None:
        product.mend()
        try:
            state = _state_at_rest(product)
        except (DBAPIError, httpx.HTTPError, RuntimeError):
            state = None  # it is just being started again
        if state is None and time.monotonic() > deadline:
            raise NoRest(f"After {within_s:.0f} s there is still something to do: {_still(product)}")
    took_s = time.monotonic() - began
    settings = product.settings
    buckets = {
        "submission": settings.submission_bucket,
        "source": settings.source_bucket,
        "transcode": settings.transcode_bucket,
    }
    database = Database(settings.database_url)
    try:
        findings = invariants.check(
            database,
            workload.store,
            buckets,
            state,
            workload.sent,
            n_kills=product.kills.total(),
            n_strangers=len(product.strangers()),
        )
    finally:
        database.close()
    return Rest(findings, state, took_s)


def n_waiting(product: Product) -> int:
    """Return how many things wait in the catalogue; many when it cannot be asked."""
    database = Database(product.settings.database_url)
    try:
        with database.engine.connect() as connection:
            return int(connection.execute(text(_WAITING)).scalar_one())
    except DBAPIError:
        return 1 << 20
    finally:
        database.close()


def status_of(product: Product, submission_id: str) -> str:
    """Return the status of a submission, empty while it is not known or the catalogue cannot be asked."""
    database = Database(product.settings.database_url)
    try:
        with database.engine.connect() as connection:
            query = text("SELECT status FROM submission WHERE id = :id")
            return str(connection.execute(query, {"id": submission_id}).scalar_one_or_none() or "")
    except DBAPIError:
        return ""
    finally:
        database.close()


def expire_upload(product: Product, submission_id: str) -> None:
    """Let the time pass until an awaited upload is overdue."""
    _execute(product, "UPDATE submission SET upload_expires_at = :past WHERE id = :id", id=submission_id)


def make_old(product: Product, submission_id: str) -> None:
    """Let the time pass until a submission is older than it may become."""
    _execute(product, "UPDATE submission SET received_at = :past WHERE id = :id", id=submission_id)


def _state_at_rest(product: Product) -> DagsterState | None:
    _time_passes(product)
    if n_waiting(product) > 0 or not _is_ready(product):
        time.sleep(_POLL_S)
        return None
    before = _read(product)
    if before.n_unfinished:
        time.sleep(_POLL_S)
        return None
    # Long enough for every sensor to ask for more, if it wants to.
    time.sleep(_QUIET_S)
    after = _read(product)
    return after if before.runs == after.runs and n_waiting(product) == 0 else None


def _read(product: Product) -> DagsterState:
    return dagster_state.read(product.stack.env, product.home)


def _is_ready(product: Product) -> bool:
    return httpx.get(f"{product.stack.api_url}/readyz", timeout=30, trust_env=False).status_code == 200


def _time_passes(product: Product) -> None:
    for statement in _TIME_PASSES:
        _execute(product, statement)


def _execute(product: Product, statement: str, **values: str) -> None:
    database = Database(product.settings.database_url)
    try:
        with database.write() as session:
            asked = {name: when for name, when in _times(database).items() if f":{name}" in statement}
            session.connection().execute(text(statement), {**asked, **values})
    finally:
        database.close()


def _times(database: Database) -> dict[str, datetime | str]:
    """Return now and long ago as the columns keep them: SQLite as text without a zone."""
    times = {"now": utc_now(), "past": utc_now() - timedelta(days=100)}
    if not database.is_sqlite:
        return dict(times)
    return {name: when.strftime("%Y-%m-%d %H:%M:%S.%f") for name, when in times.items()}


def _still(product: Product) -> str:
    database = Database(product.settings.database_url)
    with database.engine.connect() as connection:
        found = [f"{row.n} {row.status}" for query in _COUNTS for row in connection.execute(text(query))]
    database.close()
    return f"{', '.join(found)}; runs {_read(product).runs[:8]}"
