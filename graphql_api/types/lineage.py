"""Which Dagster run made what: rows of our own, so that no question goes to Dagster."""

from datetime import datetime, timedelta
from urllib.parse import quote

import strawberry

from graphql_api.context import Info
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import MaterializationRow


@strawberry.type(description="One asset that a Dagster run made of one submission or track.")
class Materialization:
    """GraphQL view of a materialization row."""

    asset_key: str = strawberry.field(description="Name of the Dagster asset, such as `fingerprint`.")
    partition_key: str = strawberry.field(description="Key of the partition: the id of the submission or track.")
    run_id: strawberry.ID = strawberry.field(description="Id of the Dagster run that made it.")
    code_version: str | None = strawberry.field(description="Version of the code that made it, if the asset has one.")
    materialized_at: datetime = strawberry.field(description="When it was made.")
    url: str | None = strawberry.field(
        description="The run's page in the Dagster UI; null once Dagster has forgotten the run."
    )


async def load_lineage(partition_key: str, info: Info) -> list[Materialization]:
    """Return everything that Dagster made of a submission or track, oldest first."""
    rows = await info.context.loaders.lineage.load(partition_key)
    settings = info.context.services.settings
    forgotten_before = utc_now() - timedelta(days=settings.dagster_retention_days)
    return [
        _materialization(row, dagster_port=settings.dagster_port if row.materialized_at > forgotten_before else None)
        for row in rows
    ]


def _materialization(row: MaterializationRow, *, dagster_port: int | None) -> Materialization:
    return Materialization(
        asset_key=row.asset_key,
        partition_key=row.partition_key,
        run_id=strawberry.ID(row.run_id),
        code_version=row.code_version,
        materialized_at=row.materialized_at,
        url=f"http://127.0.0.1:{dagster_port}/runs/{quote(row.run_id, safe='')}" if dagster_port else None,
    )
