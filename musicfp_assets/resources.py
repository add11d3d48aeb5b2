"""The one resource of the assets: what a stage of the pipeline works with, as plain objects of the domain."""

from functools import cache, partial

import dagster as dg
from dagster_aws.s3 import S3Resource

from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.pauses import Pause, Pauses
from musicfp.settings import Settings
from musicfp.store.connection import make_signing_client, store_connection
from musicfp.store.notifications import NotificationQueue, open_queue
from musicfp.store.objects import ObjectStore


class MusicfpResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens settings, database and object store from the environment of the process that runs the step."""

    def stage(self, run_id: str) -> StageContext:
        """Return the context of a stage that works for this run."""
        settings = Settings.from_env()
        return StageContext(
            settings=settings,
            database=self.database(),
            store=connect_store(settings),
            provenance=Provenance(run_id),
        )

    def pause(self) -> Pause | None:
        """Return why no run should be asked for now, None if one may be."""
        settings = Settings.from_env()
        return _pauses(settings, _open_database(settings.database_url)).current()

    def database(self) -> Database:
        """Return the catalogue's database."""
        return _open_database(Settings.from_env().database_url)

    def queue(self) -> NotificationQueue:
        """Return the queue of the bucket's notifications. Raises QueueUnavailable."""
        return connect_queue(Settings.from_env())


# Sensors tick every few seconds in one long-lived process: a new pool or S3 client each time would cost more than
# the tick.
@cache
def _open_database(url: str) -> Database:
    return Database(url)


@cache
def _pauses(settings: Settings, database: Database) -> Pauses:
    return Pauses(settings, database)


@cache
def connect_store(settings: Settings) -> ObjectStore:
    """Return the store, reached through dagster-aws's S3Resource; by default AWS by its environment."""
    connection = store_connection(settings)
    credentials = connection.credentials
    s3 = S3Resource(
        endpoint_url=connection.endpoint_url,
        region_name=connection.region,
        aws_access_key_id=credentials.access_key if credentials else None,
        aws_secret_access_key=credentials.secret_key if credentials else None,
        max_attempts=4,
    )
    return ObjectStore(s3.get_client(), make_signing_client=partial(make_signing_client, settings, connection))


@cache
def connect_queue(settings: Settings) -> NotificationQueue:
    """Return the queue of the bucket's notifications; dagster-aws has no resource for SQS."""
    return open_queue(settings)
