"""Whether a track costs as much after 2,000 others, or among 1,000 that came at once, as among the first hundred.

    python -m bench.soak [--hundreds 10] [--backlog 1000]

A fresh stack gets a hundred short tracks, makes everything of them, and gets the next hundred; half way it gets a
backlog at once. Printed for each lot are the CPU seconds of all processes together per track, the memory that is not
given back, and the bytes on disk.

A machine that others use is not equally fast all the time: CPU seconds of the same work differ by a fifth. So those of
the extractors, as Dagster has recorded them, stand beside: they do the same for every track and know nothing of others.
What is compared at the end is also how many times theirs a track costs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np

from bench.catalogue import drop, tracks_and_minutes, wait_until_complete
from bench.orchestration import make_track
from bench.processes import cpu_s, own_bytes, own_cpu_s, tree
from musicfp.features.registry import load_builtin
from musicfp.pipeline.versions import feature_asset
from musicfp.supervisor.environment import dagster_home
from tests.support.stack import Stack, running_stack

_HUNDRED = 100
# The last run ends, and its worker gives its memory back, after its last track is stored.
_RUN_ENDS_WITHIN_S = 5.0
_HEAD = (
    f"{'tracks':>7} {'CPU s a track':>14} {'of which runs':>14} {'extractors':>11} {'wall s a track':>15} "
    f"{'memory MB':>10} {'disk MB':>8}"
)


@dataclass(frozen=True)
class Lot:
    """What tracks that came together cost each. `runs_cpu_s` leaves out processes that live as long as the product."""

    n_tracks: int
    cpu_s: float
    runs_cpu_s: float
    extractors_cpu_s: float
    wall_s: float
    memory_bytes: int
    disk_bytes: int


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--hundreds", type=int, default=10, metavar="N", help="one after the other, half of them last")
    parser.add_argument("--backlog", type=int, default=1000, metavar="TRACKS", help="sent at once, half way")
    options = parser.parse_args()
    n_half = options.hundreds // 2
    lots = [_HUNDRED] * n_half + [options.backlog] + [_HUNDRED] * n_half
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        print(_HEAD)
        costs, relative = [], []
        for each in soak(lots, Path(directory)):
            costs.append(each.cpu_s)
            relative.append(each.cpu_s / each.extractors_cpu_s)
            print(_line(each), flush=True)
    for name, values in (("CPU s a track", costs), ("times the extractors", relative)):
        before, backlog, after = values[:n_half], values[n_half], values[n_half + 1 :]
        print(f"{name}:")
        print(f"  last hundred against the first: {after[-1] / before[0]:.3f}")
        # One hundred alone may be disturbed.
        print(
            f"  last {n_half} hundreds against the first {n_half}, medians: {np.median(after) / np.median(before):.3f}"
        )
        print(f"  {options.backlog} at once against the hundreds, median: {backlog / np.median(before + after):.3f}")


def soak(lots: Sequence[int], directory: Path) -> Iterator[Lot]:
    """Send lots of so many tracks one after the other through a fresh stack; yield what each cost."""
    with running_stack(directory / "home") as stack:
        n_sent = 0
        for n_tracks in lots:
            files = [
                make_track(directory / f"{number:05d}.flac", number) for number in range(n_sent, n_sent + n_tracks)
            ]
            n_sent += n_tracks
            before_s, parts_before_s, began = cpu_s(stack.process.pid), _parts_cpu_s(stack), time.monotonic()
            drop(stack.settings, files)
            wait_until_complete(stack.settings, n_files=n_sent, within_s=3600)
            wall_s = time.monotonic() - began
            time.sleep(_RUN_ENDS_WITHIN_S)
            used_s, used_by_parts_s = cpu_s(stack.process.pid) - before_s, _parts_cpu_s(stack) - parts_before_s
            n_accepted, _ = tracks_and_minutes(stack.settings)
            if n_accepted != n_sent:
                raise SystemExit(f"{n_sent} different tracks were sent, {n_accepted} were accepted.")
            yield Lot(
                n_tracks=n_accepted,
                cpu_s=used_s / n_tracks,
                runs_cpu_s=(used_s - used_by_parts_s) / n_tracks,
                extractors_cpu_s=_extractors_cpu_s(stack, n_tracks) / n_tracks,
                wall_s=wall_s / n_tracks,
                memory_bytes=sum(map(own_bytes, tree(stack.process.pid))),
                disk_bytes=sum(path.stat().st_size for path in (directory / "home").rglob("*") if path.is_file()),
            )
            for path in files:
                path.unlink()


def _parts_cpu_s(stack: Stack) -> float:
    """Return the CPU seconds of the supervisor and its parts themselves, without what they started and waited for."""
    pids = [stack.process.pid, *map(stack.pid_of, ("store", "code-server", "webserver", "daemon", "api"))]
    return sum(own_cpu_s(pid) for pid in pids)


def _extractors_cpu_s(stack: Stack, n_newest: int) -> float:
    """Return what the extractors used on so many tracks, the last that were made, as their materializations say."""
    os.environ["MUSICFP_HOME"] = str(stack.settings.home)
    total_s = 0.0
    with dg.DagsterInstance.from_config(str(dagster_home(stack.settings))) as instance:
        for extractor in load_builtin().all():
            key = dg.AssetKey(feature_asset(extractor))
            for record in instance.fetch_materializations(key, limit=n_newest).records:
                made = record.asset_materialization
                cpu = made.metadata.get("cpu_s") if made is not None else None  # a run that repeats another has none
                total_s += float(cpu.value) if isinstance(cpu, dg.FloatMetadataValue) else 0.0
    return total_s


def _line(each: Lot) -> str:
    return (
        f"{each.n_tracks:7d} {each.cpu_s:14.3f} {each.runs_cpu_s:14.3f} {each.extractors_cpu_s:11.3f} "
        f"{each.wall_s:15.3f} {each.memory_bytes / 1e6:10.0f} {each.disk_bytes / 1e6:8.0f}"
    )


if __name__ == "__main__":
    main()
