"""How much a catalogue grows: bytes per track of each database and folder, and what retention takes away again.

    python -m bench.growth [60]

A fresh stack gets half of the short tracks, then the other half: the growth is the difference, without what is there
for an empty catalogue. SQLite for catalogue and Dagster; pages of a file that are free count as used.
"""

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from bench.catalogue import drop, tracks_and_minutes, wait_until_complete
from bench.orchestration import make_track
from musicfp.settings import Settings
from musicfp.supervisor.environment import dagster_home
from musicfp_assets.retention import forget_old_runs
from tests.support.stack import running_stack

# What belongs to the search for fingerprints grows with the length of the music, the rest with the number of tracks.
_INDEX_TABLES = ("fingerprint", "fingerprint_term")


def main(n_tracks: int) -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        measure(n_tracks, Path(directory))


def measure(n_tracks: int, directory: Path) -> None:
    """Fill a catalogue in two halves and print the difference per track."""
    files = [make_track(directory / f"{number:04d}.flac", number) for number in range(n_tracks)]
    half = n_tracks // 2
    with running_stack(directory / "home") as stack:
        settings = stack.settings
        drop(settings, files[:half])
        wait_until_complete(settings, n_files=half, within_s=3600)
        time.sleep(5)  # the last run ends after its last track is stored
        before = sizes_bytes(settings)
        drop(settings, files[half:])
        wait_until_complete(settings, n_files=n_tracks, within_s=3600)
        time.sleep(5)
        n_accepted, minutes = tracks_and_minutes(settings)
    after = sizes_bytes(settings)
    growth = {name: (after[name] - before.get(name, 0)) / (n_accepted - half) for name in after}
    seconds_each = minutes * 60 / n_accepted
    print(f"{n_accepted} tracks of {seconds_each:.0f} s, the last {n_accepted - half} measured; bytes per track:")
    show(growth)
    index_bytes = sum(growth[f"catalogue: {table}"] for table in _INDEX_TABLES)
    print(f"fingerprints and index: {index_bytes / seconds_each * 60:,.0f} bytes per minute of music")
    n_forgotten = retain(settings)
    print(f"after retention of all {n_forgotten} runs, bytes per track:")
    kept = sizes_bytes(settings)
    show({name: size / n_accepted for name, size in kept.items() if name.startswith("Dagster")})


def sizes_bytes(settings: Settings) -> dict[str, float]:
    """Return the size of each table group and folder."""
    storage = dagster_home(settings) / "storage"
    history = storage / "history"
    tables = table_bytes(settings.home / "catalogue.sqlite")
    found: dict[str, float] = {f"catalogue: {table}": tables.pop(table) for table in _INDEX_TABLES}
    found["catalogue: all else"] = sum(tables.values())
    found["Dagster: events of assets, used"] = sum(table_bytes(history / "runs" / "index.db").values())
    found["Dagster: logs of runs"] = sum(
        path.stat().st_size for path in (history / "runs").iterdir() if not path.name.startswith("index.db")
    )
    found["Dagster: runs, ticks"] = sum(table_bytes(history / "runs.db").values()) + sum(
        table_bytes(storage / "schedules" / "schedules.db").values()
    )
    found["Dagster: output of runs"] = sum(
        path.stat().st_size for path in storage.rglob("*") if path.is_file() and "compute_logs" in path.parts
    )
    return found


def table_bytes(path: Path) -> dict[str, float]:
    """Return the bytes of each table of an SQLite file, its indexes included."""
    with closing(sqlite3.connect(path)) as connection:
        owners = dict(connection.execute("SELECT name, tbl_name FROM sqlite_master"))
        found: dict[str, float] = {}
        for name, size in connection.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"):
            table = owners.get(name, name)
            found[table] = found.get(table, 0) + size
    return found


def retain(settings: Settings) -> int:
    """Forget all runs and return how many."""
    os.environ["MUSICFP_HOME"] = str(settings.home)
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        return forget_old_runs(instance, ended_before=datetime.now(UTC) + timedelta(minutes=1))


def show(per_track: Mapping[str, float]) -> None:
    """Print one line for each."""
    for name, size in per_track.items():
        print(f"  {name:32}{size:12,.0f}")
    print(f"  {'together':32}{sum(per_track.values()):12,.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
