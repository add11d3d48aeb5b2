"""Lineage: which run made what. Written in the transaction that stores the thing made."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import MaterializationRow


@dataclass(frozen=True)
class Provenance:
    """Who is working: the id of the Dagster run."""

    run_id: str


def record(
    session: Session, provenance: Provenance, partition_key: str, assets: Iterable[tuple[str, str | None]]
) -> None:
    """Note that this run made these assets, given as (asset key, code version), of this submission or track.

    A run that repeats itself after a crash leaves one row per asset.
    """
    known = set(
        session.exec(
            select(MaterializationRow.asset_key).where(
                MaterializationRow.partition_key == partition_key, col(MaterializationRow.run_id) == provenance.run_id
            )
        )
    )
    now = utc_now()
    session.add_all(
        MaterializationRow(
            asset_key=asset_key,
            partition_key=partition_key,
            run_id=provenance.run_id,
            code_version=code_version,
            materialized_at=now,
        )
        for asset_key, code_version in assets
        if asset_key not in known
    )
