"""How failures of single tracks show in Dagster.

The tracks of a batch that succeeded are materialized before this raises, so that only the failed partitions turn red.
Trying again is the catalogue's business (`derivation` rows with a date), never Dagster's: a run retry would repeat the
whole batch, and an automation condition would ask for the failed partition at every tick.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

import dagster as dg

from musicfp.catalog.derivations import Failure
from musicfp.catalog.tables import TrackRow

_MAX_SHOWN = 20


class TrackOutcome(Protocol):
    """What became of one track in a stage."""

    @property
    def track(self) -> TrackRow:
        """The track."""

    @property
    def failure(self) -> Failure | None:
        """Why it failed; None if it did not."""


Outcome = TypeVar("Outcome", bound=TrackOutcome)


def materialize(
    outcomes: Iterable[Outcome], events: Callable[[Outcome], Iterable[dg.AssetMaterialization]]
) -> Iterator[dg.AssetMaterialization]:
    """Yield the events of each track that succeeded; then end the step as failed if others did not."""
    failures = {}
    for outcome in outcomes:
        if outcome.failure is None:
            yield from events(outcome)
        else:
            failures[outcome.track.id] = outcome.failure
    if failures:
        raise _failure(failures)


def _failure(failures: Mapping[str, Failure]) -> dg.Failure:
    listed = "\n".join(f"- `{track_id}`: {each.message}" for track_id, each in list(failures.items())[:_MAX_SHOWN])
    return dg.Failure(
        description=f"{len(failures)} tracks failed; all others of the batch are done.",
        metadata={"failed_tracks": dg.MetadataValue.md(listed)},
        allow_retries=False,
    )
