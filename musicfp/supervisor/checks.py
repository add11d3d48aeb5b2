"""What `musicfp doctor` looks at. Each check says what was found and, when it is not right, how to fix it.

What belongs here: the running stack, settings and data. Installed programs are `dependency_checks`'. Showing is
`musicfp.cli.doctor`'s.
"""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from musicfp.catalog import index_upkeep, migrate, search_index
from musicfp.catalog.engine import Database
from musicfp.errors import MusicfpError
from musicfp.settings import Settings
from musicfp.store.buckets import missing_buckets, notified_share
from musicfp.store.notifications import open_queue
from musicfp.store.probe import make_probe_client, require_objects
from musicfp.supervisor import dependency_checks
from musicfp.supervisor.check import Check, broken, not_running, ok
from musicfp.supervisor.dagster_processes import silent_daemons
from musicfp.supervisor.lock import holder_of
from musicfp.supervisor.ports import is_free, owner_of
from musicfp.supervisor.readiness import request, run_now

_MIN_FREE_BYTES = 2 << 30
_HEARTBEAT_AGE_S = 90.0  # the daemon's parts report every 30 s
_START = "Start it with `musicfp up`."


def run_checks() -> list[Check]:
    """Run all checks, side by side."""
    try:
        settings = Settings.from_env()
    except MusicfpError as error:
        return [broken("settings", str(error), "Correct the variable in the environment or in .env.")]
    checks: list[Callable[[Settings], Check]] = [
        *dependency_checks.ALL,
        check_disk,
        check_ports,
        check_store,
        check_notifications,
        check_database,
        check_index,
        check_dagster,
        check_api,
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        return [check_settings(settings), *pool.map(lambda check: check(settings), checks)]


def check_settings(settings: Settings) -> Check:
    """Say which home the settings lead to, and whether a stack runs from it."""
    pid = holder_of(settings.home)
    return ok("settings", f"home {settings.home}; " + (f"served by process {pid}" if pid else "nothing runs from it"))


def check_disk(settings: Settings) -> Check:
    """Whether there is room for uploads, transcodes and the store's volumes."""
    folder = _nearest_existing(settings.home)
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / 2**30:.1f} GiB free at {folder}"
    if free_bytes < _MIN_FREE_BYTES:
        return broken("disk space", found, "Free at least 2 GiB there, or set MUSICFP_HOME to a bigger disk.")
    return ok("disk space", found)


def check_ports(settings: Settings) -> Check:
    """Whether the ports are free for `musicfp up`, or used by it."""
    if holder_of(settings.home) is not None:
        return ok("ports", "in use by the running musicfp")
    ports = {"MUSICFP_API_PORT": settings.api_port, "MUSICFP_DAGSTER_PORT": settings.dagster_port}
    if settings.s3_managed:
        ports["MUSICFP_S3_PORT"] = settings.s3_port
    busy = {variable: port for variable, port in ports.items() if not is_free(port)}
    if not busy:
        return ok("ports", f"{', '.join(map(str, ports.values()))} are free")
    found = "; ".join(f"{port} is in use by {owner_of(port) or 'another process'}" for port in busy.values())
    return broken("ports", found, f"Stop what uses them, or set {', '.join(busy)} to free ports.")


def check_store(settings: Settings) -> Check:
    """Whether the object store answers, accepts our credentials, has the buckets and keeps objects in them."""
    where = settings.s3_endpoint_url or "AWS"
    if settings.s3_managed and is_free(settings.s3_port):
        return not_running("object store", f"nothing answers at {where}", _START)
    try:
        client = make_probe_client(settings)
        missing = missing_buckets(settings, client=client)
        if not missing:
            require_objects(client, settings)
    except MusicfpError as error:
        return broken("object store", str(error), "Check that it runs, its address and its credentials.")
    if missing:
        found = f"{where} has no bucket {', '.join(missing)}"
        return broken(
            "object store", found, "`musicfp up` makes them; otherwise create them or correct MUSICFP_*_BUCKET."
        )
    return ok("object store", f"{where} answers; all buckets are there and keep objects")


def check_notifications(settings: Settings) -> Check:
    """Whether the queue of the bucket's notifications answers, is fed by the bucket, and has no dead letters."""
    name = "notifications"
    if settings.sqs_queue_url is None:
        return ok(name, "no queue is set: the bucket is listed")
    try:
        queue = open_queue(settings, max_attempts=1)
        status = queue.status()
        if status.problem is not None:
            return broken(
                name, status.problem, "Correct MUSICFP_SQS_QUEUE_URL, the AWS_* variables or the permissions."
            )
        share = notified_share(settings, queue.arn(), client=make_probe_client(settings))
    except MusicfpError as error:
        return broken(name, str(error), "Correct MUSICFP_SQS_QUEUE_URL, the AWS_* variables or the permissions.")
    found = f"{settings.sqs_queue_url} answers; {status.n_waiting} messages wait"
    if share == "none":
        said = f"{settings.submission_bucket} tells {settings.sqs_queue_url} nothing of new objects"
        return broken(name, said, "Set the bucket's notifications as docs/operations.md says.")
    if share == "some":
        found += "; not all new objects are told of directly, so that some may be found by listing only"
    if status.n_dead_letters:
        fix = "Look at them in the dead letter queue, then purge it: a listing finds the files they are about, if any."
        return broken(name, f"{found}; {status.n_dead_letters} dead letters", fix)
    return ok(name, f"{found}; {'no dead letters' if status.has_dead_letter_queue else 'no dead letter queue'}")


def check_database(settings: Settings) -> Check:
    """Whether the database answers and is at the newest schema."""
    where = make_url(settings.database_url).render_as_string(hide_password=True)
    database = _existing_database(settings)
    if database is None:
        return not_running("database", f"{where} does not exist yet", "`musicfp up` or `musicfp db upgrade` makes it.")
    try:
        current, head = migrate.current_revision(database), migrate.head_revision()
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        return broken("database", f"{where}: {reason}", "Start the database server, or correct MUSICFP_DATABASE_URL.")
    finally:
        database.close()
    if current != head:
        return broken("database", f"{where} is at {current or 'nothing'}, not {head}", "Run `musicfp db upgrade`.")
    return ok("database", f"{where} is at the newest schema ({head})")


def check_index(settings: Settings) -> Check:
    """Whether a sample of tracks, from the oldest to the newest, can be found through the search index."""
    database = _existing_database(settings)
    if database is None:
        return not_running("search index", "there is no database yet", _START)
    try:
        with database.read() as session:
            found = index_upkeep.spot_check(session)
            build = search_index.newest_build(session)
            lag = search_index.lag_fingerprints(session, watermark=build.watermark if build else 0)
    except SQLAlchemyError:
        return not_running("search index", "cannot be read", "See what is said of the database.")
    finally:
        database.close()
    if found.n_incomplete:
        said = f"postings are missing of {found.n_incomplete} of {found.n_fingerprints} sampled fingerprints"
        return broken("search index", said, "Run `musicfp index rebuild`.")
    accelerator = f"accelerator {build.id}, {lag} fingerprints newer" if build else "no accelerator"
    return ok("search index", f"has all postings of {found.n_fingerprints} sampled fingerprints; {accelerator}")


def check_dagster(settings: Settings) -> Check:
    """Whether all parts of the Dagster daemon have reported lately."""
    if is_free(settings.dagster_port):
        return not_running("Dagster daemon", f"nothing answers at port {settings.dagster_port}", _START)
    silent = run_now(silent_daemons(settings.dagster_port, since=time.time() - _HEARTBEAT_AGE_S))
    log = settings.home / "logs" / "daemon.log"
    if silent is None:
        found = f"port {settings.dagster_port} is taken, but Dagster does not answer there"
        return broken(
            "Dagster daemon", found, f"Look into {log.with_name('webserver.log')} or set MUSICFP_DAGSTER_PORT."
        )
    if silent:
        return broken(
            "Dagster daemon", f"no heartbeat of {', '.join(silent)}", f"Look into {log}; restart `musicfp up`."
        )
    return ok("Dagster daemon", "all its parts have a recent heartbeat")


def check_api(settings: Settings) -> Check:
    """Whether the API says that it is ready."""
    if is_free(settings.api_port):
        return not_running("API", f"nothing answers at port {settings.api_port}", _START)
    answer = request(settings.api_port, "/readyz")
    if answer is None or answer[0] != 200:
        said = "no answer" if answer is None else f"status {answer[0]}: {answer[1][:300].decode('utf-8', 'replace')}"
        return broken("API", f"/readyz gives {said}", f"Look into {settings.home / 'logs' / 'api.log'}.")
    return ok("API", f"http://127.0.0.1:{settings.api_port} is ready")


def _existing_database(settings: Settings) -> Database | None:
    """Return the database, None if opening it would make a new file."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return None
    return Database(settings.database_url)


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
