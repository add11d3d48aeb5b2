"""How failures of single tracks show in Dagster.

The tracks of a batch that succeeded are materialized before this raises, so that only the failed partitions turn red.
Trying again is the catalogue's business (`derivation` rows with a date), never Dagster's: a run retry would repeat the
whole batch, and an automation condition would ask for the failed partition at every tick.
"""

from collections.abc import Mapping

import dagster as dg

from musicfp.catalog.derivations import Failure

_MAX_SHOWN = 20


def raise_if_any(failures: Mapping[str, Failure]) -> None:
    """End the step as failed if tracks failed, naming them with their reasons."""
    if not failures:
        return
    listed = "\n".join(f"- `{track_id}`: {each.message}" for track_id, each in list(failures.items())[:_MAX_SHOWN])
    raise dg.Failure(
        description=f"{len(failures)} tracks failed; all others of the batch are done.",
        metadata={"failed_tracks": dg.MetadataValue.md(listed)},
        allow_retries=False,
    )
