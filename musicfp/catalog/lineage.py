"""Lineage: which run made what. Written in the transaction that stores the thing made."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session

from musicfp.catalog.engine import utc_now
from musicfp.catalog.rows import insert_new
from musicfp.catalog.tables import MaterializationRow


@dataclass(frozen=True)
class Provenance:
    """Who is working: the id of the Dagster run."""

    run_id: str


def record(session: Session, provenance: Provenance, made: Mapping[str, Mapping[str, str | None]]) -> None:
    """Note that this run made these assets, given by submission or track as asset key and code version.

    A run that repeats itself after a crash leaves one row per asset.
    """
    now = utc_now()
    rows = [
        {
            "asset_key": asset_key,
            "partition_key": partition_key,
            "run_id": provenance.run_id,
            "code_version": code_version,
            "materialized_at": now,
        }
        for partition_key, assets in made.items()
        for asset_key, code_version in assets.items()
    ]
    insert_new(session, MaterializationRow, rows)
