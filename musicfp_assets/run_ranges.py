"""Asking Dagster for one run over a batch of partitions.

A run over many partitions is a range: two tags naming its ends in the order in which the partitions were added. Keys
that are not next to each other therefore need several runs, or have to be made neighbours.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

PAUSE_AFTER_FAILURE_S = 15.0
# A run that a person asks for computes, as everywhere in Dagster. The sensors' runs, which may cover what another run
# has made meanwhile, carry this tag: what is there in the current version is only recorded again.
ONLY_MISSING_TAG = "musicfp.only_missing"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Neighbours:
    """How the keys of a batch come to lie next to each other: take `moved` out, then put `added` at the end.

    `keys` is the batch in the order in which the keys then follow each other.
    """

    keys: list[str]
    moved: list[str]
    added: list[str]


def must_wait(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether another run of this job should not be asked for yet.

    One batch at a time keeps a range from being asked for twice, and a pause after a failed run keeps a store that is
    down or a full disk from causing a run at every tick.
    """
    if has_unfinished_run(instance, job_name):
        return True
    records = instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=1)
    return any(
        record.dagster_run.status is dg.DagsterRunStatus.FAILURE
        and time.time() - (record.end_time or 0.0) < PAUSE_AFTER_FAILURE_S
        for record in records
    )


def has_unfinished_run(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Whether a run of this job waits or works."""
    return bool(instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=UNFINISHED), limit=1))


def first_stretch(wanted: Collection[str], ordered: Sequence[str], *, max_keys: int) -> list[str]:
    """Return the first up to `max_keys` wanted keys that follow each other without a gap in `ordered`."""
    stretch: list[str] = []
    for key in ordered:
        if key in wanted:
            stretch.append(key)
            if len(stretch) == max_keys:
                break
        elif stretch:
            break
    return stretch


def as_neighbours(batch: Sequence[str], ordered: Sequence[str]) -> Neighbours:
    """Return what makes one range of this batch, given all partitions in their order.

    Keys that are no partition yet are put at the end in the order of the batch. Those that are, and lie elsewhere, are
    moved there: a partition is a name in a list, and what happened to it is kept under the name.
    """
    wanted = set(batch)
    places = [place for place, key in enumerate(ordered) if key in wanted]
    present = [ordered[place] for place in places]
    new = [key for key in batch if key not in set(present)]
    is_stretch = not places or places[-1] - places[0] + 1 == len(places)
    is_at_the_end = not places or places[-1] == len(ordered) - 1
    if is_stretch and (is_at_the_end or not new):
        return Neighbours([*present, *new], [], new)
    return Neighbours(list(batch), present, list(batch))


def range_request(
    keys: Sequence[str], *, asset_selection: Sequence[dg.AssetKey] | None = None, tags: Mapping[str, str] | None = None
) -> dg.RunRequest:
    """Return the request for one run over these neighbouring partitions."""
    ends = {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}
    return dg.RunRequest(
        asset_selection=list(asset_selection) if asset_selection is not None else None, tags={**(tags or {}), **ends}
    )
