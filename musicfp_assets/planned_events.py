"""What a run intends to make, as Dagster hands it to an event log: an event for each asset of each partition.

What belongs here: telling such a batch, and what has to be known of it. What does not: how a database stores it
(`sqlite_storage`, `postgres_storage`).
"""

from collections.abc import Collection, Iterable

from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry


def are_planned(events: Iterable[EventLogEntry]) -> bool:
    """Whether all of these say that something is going to be made; Dagster hands over those of one run."""
    return all(each.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION_PLANNED for each in events)


def newest_of_each_asset(events: Iterable[EventLogEntry]) -> Collection[EventLogEntry]:
    """Return the last event of each asset: what an asset's own row tells of them all."""
    return {each.get_dagster_event().asset_key: each for each in events}.values()
