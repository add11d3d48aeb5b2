"""What Dagster's storage says, read by a process of its own that sees the product's environment.

`read` starts `python -m tests.chaos.dagster_state`, which prints JSON: a storage that an earlier look kept open could
hide what a killed database has lost.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
_UNFINISHED = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}


@dataclass(frozen=True)
class DagsterState:
    """Runs by job and status, keys of the partition sets, and by asset the state of each partition that has one."""

    runs: tuple[tuple[str, str], ...]
    keys: Mapping[str, tuple[str, ...]]
    partitions: Mapping[str, Mapping[str, str]]

    @property
    def n_unfinished(self) -> int:
        """How many runs wait or work."""
        return sum(status in _UNFINISHED for _, status in self.runs)

    @property
    def n_runs(self) -> dict[str, int]:
        """How many runs there were, by job."""
        return dict(Counter(job for job, _ in self.runs))


def read(environment: Mapping[str, str], home: Path) -> DagsterState:
    """Ask the storage of the product in `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MUSICFP_", "DAGSTER_"))}
    ours = {name: value for name, value in environment.items() if name.startswith("MUSICFP_")}
    ours.pop("MUSICFP_CHAOS_FOLDER", None)
    answer = subprocess.run(
        [sys.executable, "-m", "tests.chaos.dagster_state"],
        cwd=PROJECT,
        env={**inherited, **ours, "DAGSTER_HOME": str(home / "dagster")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if answer.returncode != 0:
        raise RuntimeError(f"Dagster's storage could not be read: {answer.stderr[-3000:]}")
    found = json.loads(answer.stdout)
    runs = tuple((job, status) for job, status in found["runs"])
    return DagsterState(runs, found["keys"], found["partitions"])


def _main() -> None:
    import dagster as dg

    from musicfp_assets.definitions import defs
    from musicfp_assets.partitions import SUBMISSIONS, TRACKS

    with dg.DagsterInstance.get() as instance:
        sets = {each.name: each for each in (SUBMISSIONS, TRACKS)}
        keys = {name: instance.get_dynamic_partitions(name) for name in sets}
        partitions: dict[str, Any] = {}
        for spec in defs.resolve_all_asset_specs():
            if isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition):
                of = sets[spec.partitions_def.name or ""]
                found = instance.get_status_by_partition(spec.key, keys[of.name or ""], of) or {}
                partitions[spec.key.to_user_string()] = {key: each.value for key, each in found.items() if each}
        runs = [(each.job_name, each.status.value) for each in instance.get_runs()]
    json.dump({"runs": runs, "keys": keys, "partitions": partitions}, sys.stdout)


if __name__ == "__main__":
    _main()
