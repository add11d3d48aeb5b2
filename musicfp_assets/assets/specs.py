"""What all asset specs and materializations have in common."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from musicfp.pipeline.versions import INGEST_ASSET_VERSIONS

OWNERS = ["team:catalogue"]
INGEST_GROUP = "ingest"
DERIVE_GROUP = "derive"
SEARCH_GROUP = "search"
MAX_BATCH_PARTITIONS = 500
_NO_VERSION = "none"


def batched(max_partitions: int) -> dg.BackfillPolicy:
    """Return the policy that lets one run cover up to so many partitions."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=max_partitions)


def same_key(asset: str) -> dg.AssetDep:
    """Return a dependency on the partition of the same key, also across the two sets of partitions."""
    return dg.AssetDep(asset, partition_mapping=dg.IdentityPartitionMapping())


def materialized(
    asset: str,
    partition: str,
    *,
    code_version: str,
    data_version: str | None,
    made_of: tuple[str, str | None],
    metadata: Mapping[str, Any],
) -> dg.AssetMaterialization:
    """Return the event that says that this partition was made.

    Events of a batch are made by hand, so the tags that Dagster compares for staleness are set here. `made_of` names
    the asset that this one was made of, with its data version; None for an input that does not exist, such as the
    fingerprint of a file that could not be read.
    """
    upstream, upstream_version = made_of
    upstream_key = dg.AssetKey(upstream)
    tags = {
        CODE_VERSION_TAG: code_version,
        get_input_data_version_tag(upstream_key): upstream_version or _NO_VERSION,
        get_input_event_pointer_tag(upstream_key): NULL_EVENT_POINTER,
    }
    if data_version is not None:
        tags[DATA_VERSION_TAG] = data_version
    return dg.AssetMaterialization(asset, partition=partition, metadata=metadata, tags=tags)


def ingest_data_version(asset: str, source_sha256: str | None) -> str | None:
    """Return the data version of an ingest asset: what was computed, from which bytes."""
    return f"{INGEST_ASSET_VERSIONS[asset]}-{source_sha256}" if source_sha256 else None
