"""What all asset specs and materializations have in common."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG, DATA_VERSION_TAG

OWNERS = ["team:catalogue"]
INGEST_GROUP = "ingest"
DERIVE_GROUP = "derive"
MAX_BATCH_PARTITIONS = 500


def batched(max_partitions: int) -> dg.BackfillPolicy:
    """Return the policy that lets one run cover up to so many partitions."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=max_partitions)


def same_key(asset: str) -> dg.AssetDep:
    """Return a dependency on the partition of the same key, also across the two sets of partitions."""
    return dg.AssetDep(asset, partition_mapping=dg.IdentityPartitionMapping())


def materialized(
    asset: str, partition: str, *, code_version: str, data_version: str | None, metadata: Mapping[str, Any]
) -> dg.AssetMaterialization:
    """Return the event that says that this partition was made.

    Events of a batch are made by hand, so the version tags, which Dagster compares for staleness, are set here.
    """
    tags = {CODE_VERSION_TAG: code_version}
    if data_version is not None:
        tags[DATA_VERSION_TAG] = data_version
    return dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=tags)
