"""A musicfp of each test's own, as Dagster's processes see it: through the environment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from musicfp.catalog.engine import Database
from musicfp.features.registry import Registry, load_builtin
from musicfp.pipeline.context import StageContext
from musicfp_assets import resources
from musicfp_assets.definitions import build_definitions
from musicfp_assets.run_ranges import ONLY_MISSING_TAG, range_request

# Two profiles and the built-in features: what is tested here is Dagster's side, not the encoders.
PROFILES = "mp3_128,opus_96"


@dataclass(frozen=True)
class Orchestra:
    """Definitions, an instance and the stage that the resource opens."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    stage: StageContext

    def run(
        self, job: str, keys: Sequence[str], *, assets: list[str] | None = None, by_hand: bool = False
    ) -> dg.ExecuteInProcessResult:
        """Run a job over neighbouring partitions, as the daemon does for a sensor's request or for a person."""
        selection = [dg.AssetKey(each) for each in assets] if assets is not None else None
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags=dict(range_request(keys, tags={} if by_hand else {ONLY_MISSING_TAG: "true"}).tags),
            asset_selection=selection,
            raise_on_error=False,
        )

    def statuses(self, asset: str, partitions: dg.DynamicPartitionsDefinition) -> Mapping[str, str]:
        """Return the status of each partition of an asset that has one."""
        found = self.instance.get_status_by_partition(
            dg.AssetKey(asset), partitions.get_partition_keys(dynamic_partitions_store=self.instance), partitions
        )
        return {key: status.value for key, status in (found or {}).items() if status is not None}

    def events(self, asset: str) -> Mapping[str, Any]:
        """Return the newest materialization of each partition of an asset; Any, because metadata may hold anything."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=500, ascending=True).records
        found = [record.asset_materialization for record in records]
        return {each.partition: each for each in found if each is not None and each.partition is not None}


@pytest.fixture
def registry() -> Registry:
    """The features that come with musicfp."""
    return load_builtin(())


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storage of this test's own."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def orchestra(
    stage: StageContext,
    own_environment: dict[str, str],
    registry: Registry,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Orchestra]:
    """Dagster over the stage of this test: SQLite and PostgreSQL catalogues, the real store."""
    environment = own_environment | {
        "MUSICFP_DATABASE_URL": stage.database.url,
        "MUSICFP_TRANSCODE_PROFILES": PROFILES,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    opened = resources.MusicfpResource().stage("test")
    yield Orchestra(build_definitions(opened.settings, registry), instance, opened)
    _close(opened.database)
    opened.store.client.close()
    resources._open_database.cache_clear()
    resources._pauses.cache_clear()
    resources.connect_store.cache_clear()


def _close(database: Database) -> None:
    database.close()
