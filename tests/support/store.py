"""A real object store of our own for the tests: the embedded one, with its flags and secrets, on free ports."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from musicfp.settings import Settings
from musicfp.store.buckets import bucket_names
from musicfp.store.objects import ObjectStore
from musicfp.supervisor.child import ChildSpec
from musicfp.supervisor.lock import home_lock
from musicfp.supervisor.store_keys import ensure_keys
from musicfp.supervisor.weed import weed_spec
from tests.support.postgres import free_port

_START_WITHIN_S = 120
_STOP_WITHIN_S = 60


@contextmanager
def running_store(home: Path) -> Iterator[Settings]:
    """Run `weed` with its data under `home`, exactly as `musicfp up` does; yield the settings that reach it."""
    settings = Settings.from_env({"MUSICFP_HOME": str(home), "MUSICFP_S3_PORT": str(free_port())})
    with home_lock(home) as lock_descriptor:
        spec = weed_spec(settings, ensure_keys(settings.store_credentials_path), lock_descriptor=lock_descriptor)
        with (home / "store.log").open("wb") as log:
            server = subprocess.Popen(
                spec.argv,
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=spec.inherited_descriptors,
            )
        try:
            _wait_until_it_answers(spec, server, home / "store.log")
            yield settings
        finally:
            server.kill()  # asked politely it waits for idle connections; nothing of it is needed any more
            server.wait(timeout=_STOP_WITHIN_S)


def environment_with_own_buckets(
    store: Settings, name: str, *, home: Path, database_url: str, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment that reaches this store with buckets, a database and a home of a test's own."""
    credentials = home / "store" / "credentials.json"
    credentials.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    shutil.copy2(store.store_credentials_path, credentials)
    return {
        "MUSICFP_HOME": str(home),
        "MUSICFP_S3_PORT": str(store.s3_port),
        "MUSICFP_DATABASE_URL": database_url,
        "MUSICFP_SUBMISSION_BUCKET": f"{name}-in",
        # Each bucket takes volumes of the store: these two may share one.
        "MUSICFP_SOURCE_BUCKET": f"{name}-kept",
        "MUSICFP_TRANSCODE_BUCKET": f"{name}-kept",
        "MUSICFP_WORKERS": "2",
        **(more or {}),
    }


def remove_buckets(store: ObjectStore, settings: Settings) -> None:
    """Delete a test's buckets with what is in them."""
    for bucket in bucket_names(settings):
        for each in list(store.list_after(bucket)):
            store.client.delete_object(Bucket=bucket, Key=each.key)
        store.client.delete_bucket(Bucket=bucket)


def _wait_until_it_answers(spec: ChildSpec, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while not _is_ready(spec):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The object store did not start: {log.read_text()[-4000:]}")
        time.sleep(0.1)


def _is_ready(spec: ChildSpec) -> bool:
    async def ask() -> bool:
        return await spec.is_ready(0.0)

    return asyncio.run(ask())
