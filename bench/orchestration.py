"""What orchestration costs: CPU seconds per track of Dagster, beyond the work itself, for batches of several sizes.

    python -m bench.orchestration [1 10 60]

For each size a fresh stack gets as many short tracks at once. Measured is the CPU time of daemon and code server with
all run workers and their children, less what both use when idle, less the same pipeline called directly on the same
files.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.catalogue import drop, tracks_and_minutes, wait_until_complete
from bench.processes import cpu_s, idle_rate
from musicfp.catalog import acceptance, derivations, migrate
from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.features.registry import load_builtin
from musicfp.pipeline.analysis import analyse_batch
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.discovery import discover
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import feature_versions, transcode_versions
from musicfp.settings import Settings
from musicfp.store.objects import open_store
from tests.support.music import ffmpeg
from tests.support.stack import running_stack

_TRACK_LENGTH_S = 6.0
_IDLE_OVER_S = 20.0
_SAMPLE_RATE_HZ = 22050


def main(sizes: Sequence[int]) -> None:
    """Measure each batch size and print the table."""
    print("tracks  assets/track  Dagster CPU s  direct CPU s  overhead CPU s/track  wall s")
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            measure(size, Path(directory))


def measure(size: int, directory: Path) -> None:
    """Measure one batch size."""
    files = [make_track(directory / f"{number:04d}.flac", number) for number in range(size)]
    with running_stack(directory / "home") as stack:
        parts = [stack.pid_of("daemon"), stack.pid_of("code-server")]
        idle = idle_rate(parts, over_s=_IDLE_OVER_S)
        before, began = sum(map(cpu_s, parts)), time.monotonic()
        drop(stack.settings, files)
        wait_until_complete(stack.settings, n_files=size, within_s=900)
        time.sleep(5)  # the last run ends after its last track is stored
        wall_s = time.monotonic() - began
        dagster_cpu_s = sum(map(cpu_s, parts)) - before - idle * wall_s
        n_tracks, _ = tracks_and_minutes(stack.settings)
        assert n_tracks == size, f"{n_tracks} of {size} were accepted"
        direct_cpu_s = direct(stack.settings, files, directory)
    overhead = (dagster_cpu_s - direct_cpu_s) / size
    n_assets = 4 + len(transcode_versions(stack.settings)) + len(feature_versions(load_builtin()))
    print(f"{size:6d}  {n_assets:12d}  {dagster_cpu_s:13.1f}  {direct_cpu_s:12.1f}  {overhead:20.3f}  {wall_s:6.0f}")


def direct(settings: Settings, files: Sequence[Path], directory: Path) -> float:
    """Run the same pipeline without Dagster on a database of its own; return the CPU seconds of this process tree."""
    own = replace(settings, database_url=f"sqlite:///{directory / 'direct.sqlite'}")
    database, store = Database(own.database_url), open_store(own)
    migrate.upgrade(database)
    transcodes, features = transcode_versions(own), feature_versions(load_builtin())
    with database.write() as session:
        derivations.bring_up_to_date(session, transcodes | features)
    drop(own, files)
    context = StageContext(own, database, store, Provenance("direct"))
    before = _cpu_of_this_process_and_children_s()
    found = discover(database, store, own, after="", complete=True)
    for _ in ingest_batch(context, found.submission_ids):
        pass
    with database.read() as session:
        track_ids = sorted(acceptance.existing_ids(session))
    for _ in transcode_batch(context, track_ids, transcodes):
        pass
    for _ in analyse_batch(context, track_ids, features):
        pass
    database.close()
    return _cpu_of_this_process_and_children_s() - before


def make_track(path: Path, number: int) -> Path:
    """Make a short tagged track of random notes, different for each number."""
    random = np.random.default_rng(number)
    seconds = np.arange(int(_TRACK_LENGTH_S * _SAMPLE_RATE_HZ)) / _SAMPLE_RATE_HZ
    notes = np.zeros_like(seconds)
    for start_s in np.arange(0, _TRACK_LENGTH_S, 0.25):
        since = np.clip(seconds - start_s, 0, None)
        for pitch in random.choice(np.arange(36, 84), 3, replace=False):
            tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * since)
            notes += tone * np.exp(-6 * since) * (since > 0) * 0.15
    samples = (np.clip(notes, -1, 1) * 32767).astype("<i2")
    raw = path.with_suffix(".pcm")
    raw.write_bytes(samples.tobytes())
    tags = ("-metadata", f"title=Track {number}", "-metadata", "artist=Bench")
    ffmpeg("-f", "s16le", "-ar", str(_SAMPLE_RATE_HZ), "-ac", "1", "-i", str(raw), *tags, str(path))
    raw.unlink()
    return path


def _cpu_of_this_process_and_children_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or [1, 10, 60])
