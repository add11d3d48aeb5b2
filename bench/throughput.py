"""What a whole catalogue costs: CPU seconds per minute of music through the running product, against the floor.

    python -m bench.throughput FOLDER [--floor-every 5]

The floor, on the same files in the same run, is what nobody can leave out: each file decoded once into all encoders by
one ffmpeg, and the extractors called directly on decoded audio. It takes nearly as long as the product; of many files
every fifth tells it as well.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from sqlalchemy import text

from bench.catalogue import drop, tracks_and_minutes, wait_until_complete
from bench.processes import Watch
from musicfp.audio.sniff import require_format
from musicfp.audio.tags import track_tags
from musicfp.audio.transcode import transcode
from musicfp.audio.transcode_profiles import profiles_named
from musicfp.catalog.engine import Database
from musicfp.features.analysis import analyse_file
from musicfp.features.registry import load_builtin
from musicfp.settings import Settings
from tests.support.stack import running_stack


def main() -> None:
    """Measure the product and the floor on the files of a folder and print both."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--floor-every", type=int, default=1, metavar="N", help="the floor of each Nth file")
    options = parser.parse_args()
    files = sorted(path for path in options.folder.iterdir() if path.is_file())
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        product(files, Path(directory), floor_every=options.floor_every)


def product(files: list[Path], directory: Path, *, floor_every: int) -> None:
    """Send the files through a fresh stack, then measure the floor on those that became tracks."""
    with running_stack(directory / "home") as stack:
        began = time.monotonic()
        with Watch(stack.process.pid, stack.pids()) as watch:
            drop(stack.settings, files)
            reached = wait_until_complete(stack.settings, n_files=len(files), within_s=3600)
            time.sleep(5)  # the last run ends after its last track is stored
        wall_s, total_cpu_s = time.monotonic() - began, watch.total_cpu_s
        n_tracks, minutes = tracks_and_minutes(stack.settings)
        durations_s, verdicts = what_became_of(stack.settings)
    if not n_tracks:
        raise SystemExit(
            f"None of the {len(files)} files became a track: {dict(verdicts)}. They need title and artist."
        )
    print(f"files {len(files)}, tracks {n_tracks}, {minutes:.1f} minutes of music; verdicts {dict(verdicts)}")
    print("after   " + ", ".join(f"{name} {at_s:.0f} s" for name, at_s in reached.items()))
    print(f"product {total_cpu_s:8.1f} CPU s  {total_cpu_s / minutes:6.2f} per track-minute")
    print(f"cores   {total_cpu_s / wall_s:8.2f} busy of {os.cpu_count()} over {wall_s:.0f} s")
    print(f"memory  {watch.peak_bytes / 1e6:8.0f} MB at the peak, all processes, shared pages counted in each")
    print("CPU by kind of process:")
    n_processes = watch.n_by_kind()
    for kind, kind_cpu_s in watch.cpu_s_by_kind().items():
        n_seen = f"  {n_processes[kind]:4} seen" if kind in n_processes else ""
        print(f"  {kind:12}{kind_cpu_s:8.1f} CPU s  {kind_cpu_s / minutes:6.2f} per track-minute{n_seen}")
    sys.stdout.flush()  # the floor takes minutes
    accepted = [path for path in files if path.name in durations_s][::floor_every]
    floor_minutes = sum(durations_s[path.name] for path in accepted) / 60
    floor_cpu_s = floor({path: durations_s[path.name] for path in accepted}, directory, stack.settings)
    per_minute = floor_cpu_s / floor_minutes
    print(f"floor   {floor_cpu_s:8.1f} CPU s  {per_minute:6.2f} per track-minute, of {len(accepted)} files")
    print(f"ratio   {total_cpu_s / minutes / per_minute:8.2f}")


def what_became_of(settings: Settings) -> tuple[dict[str, float], Counter[str]]:
    """Return the decoded length in seconds of each accepted file by name, and how many submissions ended how."""
    database = Database(settings.database_url)
    with database.read() as session:
        tracks = session.connection().execute(
            text("SELECT filename, duration_s FROM submission JOIN track ON track.id = submission.id")
        )
        durations_s = {row.filename: row.duration_s for row in tracks}
        verdicts = Counter(session.connection().execute(text("SELECT status FROM submission")).scalars())
    database.close()
    return durations_s, verdicts


def floor(durations_s: Mapping[Path, float], directory: Path, settings: Settings) -> float:
    """Return the CPU seconds of encoding and analysing the files with nothing around it: no start-up, one decode.

    One file on each core at a time: two cores that share a cache, or are threads of one, cost more when both work, and
    in the product both do.
    """
    n_processes = min(os.cpu_count() or 1, len(durations_s))
    work = partial(_floor_of, directory=directory, settings=settings)
    with ProcessPoolExecutor(n_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        shortest = min(durations_s, key=durations_s.__getitem__)
        # What a process loads once, models and codecs, is start-up.
        list(pool.map(work, *zip(*[(shortest, durations_s[shortest])] * n_processes, strict=True)))
        return sum(pool.map(work, durations_s.keys(), durations_s.values()))


def _floor_of(path: Path, duration_s: float, *, directory: Path, settings: Settings) -> float:
    registry = load_builtin()
    extractors = [each.name for each in registry.all()]
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        made = transcode(
            path,
            fmt=require_format(path),
            profiles=profiles_named(settings.transcode_profiles),
            tags=track_tags([]),
            out_dir=Path(scratch),
            decoded_s=duration_s,
        )
    analysed = analyse_file(path, extractors, registry=registry, max_duration_s=settings.max_duration_s)
    return made.cpu_s + sum(analysed.cpu_s.values())


if __name__ == "__main__":
    main()
