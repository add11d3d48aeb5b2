"""What a backfill costs: CPU ms per track of every process of the product, beyond decoding and the feature itself.

    python -m bench.backfill [--tracks 500] [--large 100000]

A fresh stack gets a catalogue of short tracks, whose rows and objects are written directly and whose other assets count
as made. Then a cheap feature (`bench.cheap_feature`) becomes new to it, and the daemon makes it for all tracks by
itself; then `musicfp backfill` makes it again. Overhead is the CPU time of the whole process tree, less what it uses
when idle, less that of the decoders that were started, and less what reading their sound and the feature take in Python
when called directly on the same files. With `--large`, also what
queueing an asset and choosing the next batch take in a catalogue of that many tracks, without any stack.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import dagster as dg
import numpy as np
from sqlalchemy import text

from bench.catalogue import tracks_and_minutes
from bench.cheap_feature import EXTRACTOR
from bench.index import percentiles, store_tracks, timed, times
from bench.processes import Watch, idle_rate
from musicfp.catalog import acceptance, derivations, migrate
from musicfp.catalog.acceptance import FULL_FINGERPRINT, AcceptedTrack
from musicfp.catalog.coverage import coverage
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import FingerprintRow, SubmissionRow, TrackRow
from musicfp.features.analysis import analyse_file
from musicfp.features.registry import load_builtin
from musicfp.identity import new_id
from musicfp.pipeline.versions import FEATURE_PREFIX, feature_versions, transcode_versions
from musicfp.settings import Settings
from musicfp.store.objects import open_store
from musicfp.supervisor.environment import dagster_home
from tests.support.accepted import verdict_of
from tests.support.seeds import music
from tests.support.stack import PROJECT, Stack, running_stack

ASSET = f"{FEATURE_PREFIX}{EXTRACTOR}"
_MODULE = "bench.cheap_feature"
_IDLE_OVER_S = 20.0
_SETTLE_S = 5.0
_WITHIN_S = 1800.0
_N_ASKED = 20
_N_CALLED = 100
_DECODING = ("ffmpeg", "unseen")  # mostly over before they are seen; counted by those that wait for them
_TRACK_LENGTH_S = 6.0
_SAMPLE_RATE_HZ = 22050


def main() -> None:
    """Measure through the stack, then the queries of a large catalogue."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        if options.tracks:
            through_the_daemon(options.tracks, Path(directory))
        if options.large:
            in_a_large_catalogue(options.large, Path(directory))


def through_the_daemon(n_tracks: int, directory: Path) -> None:
    """Measure the automatic way and `musicfp backfill` on real processes."""
    files = [make_tone(directory / f"{number:05d}.wav", number) for number in range(n_tracks)]
    env = {"MUSICFP_FEATURE_MODULES": _MODULE, "PYTHONPATH": str(PROJECT)}
    with running_stack(directory / "home", **env) as stack:
        put_sources(stack.settings, files)
        idle = idle_rate([stack.process.pid], over_s=_IDLE_OVER_S)
        fill(stack.settings, files)
        n_accepted, minutes = tracks_and_minutes(stack.settings)
        own_ms = own_cost_s(files[:_N_CALLED], stack.settings) / min(n_tracks, _N_CALLED) * 1e3
        print(f"{n_accepted} tracks of {minutes * 60 / n_accepted:.0f} s; idle {idle:.3f} of a core")
        print(f"reading the sound and the feature, called directly: {own_ms:.1f} CPU ms per track")
        print("CPU ms per track        all  decoders  overhead   wall s", flush=True)
        for name, action in (("by itself", become_new), ("musicfp backfill", backfill)):
            _measure(name, action, stack, n_tracks=n_tracks, idle=idle, own_ms=own_ms)


def _measure(
    name: str, action: Callable[[Stack, int], None], stack: Stack, *, n_tracks: int, idle: float, own_ms: float
) -> None:
    began, client_before = time.monotonic(), _cpu_of_children_s()
    with Watch(stack.process.pid, stack.pids()) as watch:
        action(stack, n_tracks)
        wall_s = time.monotonic() - began
        time.sleep(_SETTLE_S)  # the last run ends after its last track is stored
    used_s = watch.total_cpu_s - idle * (wall_s + _SETTLE_S) + _cpu_of_children_s() - client_before
    each_ms, decoders_ms = used_s / n_tracks * 1e3, watch.waited_cpu_s("workers") / n_tracks * 1e3
    print(f"{name:18} {each_ms:8.1f}  {decoders_ms:8.1f}  {each_ms - decoders_ms - own_ms:8.1f}   {wall_s:6.0f}")
    n_seen = watch.n_by_kind()
    for kind, kind_s in watch.cpu_s_by_kind().items():
        if kind not in _DECODING:
            print(f"  {kind:16} {kind_s / n_tracks * 1e3:8.1f}  {n_seen.get(kind, 0):8} processes")
    sys.stdout.flush()


def become_new(stack: Stack, n_tracks: int) -> None:
    """Make the feature one that the catalogue has never heard of, and wait until the daemon has made it for all."""
    database = Database(stack.settings.database_url)
    with database.exclusive() as session:
        session.connection().execute(text("DELETE FROM derivation WHERE asset = :asset"), {"asset": ASSET})
        session.connection().execute(text("DELETE FROM derived_asset WHERE asset = :asset"), {"asset": ASSET})
    until = time.monotonic() + _WITHIN_S
    while _counts(database).get("DONE", 0) < n_tracks:
        if time.monotonic() > until:
            raise SystemExit(f"After {_WITHIN_S:.0f} s: {_counts(database)} of {n_tracks}.")
        time.sleep(0.5)
    database.close()


def backfill(stack: Stack, n_tracks: int) -> None:
    """Have the command line launch and follow the backfill; its own CPU time counts as well."""
    argv = [sys.executable, "-m", "musicfp.cli.main", "backfill", EXTRACTOR]
    done = subprocess.run(
        argv, cwd=PROJECT, env=stack.env, capture_output=True, text=True, timeout=_WITHIN_S, check=False
    )
    assert f"{n_tracks} of {n_tracks} tracks computed, 0 failed" in done.stdout, done.stdout + done.stderr


def make_tone(path: Path, number: int) -> Path:
    """Make a short WAV file with a tone of its own."""
    seconds = np.arange(int(_TRACK_LENGTH_S * _SAMPLE_RATE_HZ)) / _SAMPLE_RATE_HZ
    samples = (8000 * np.sin(2 * np.pi * (100 + number) * seconds)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE_HZ)
        file.writeframes(samples.tobytes())
    return path


def put_sources(settings: Settings, files: Sequence[Path]) -> None:
    """Store the files as sources."""
    store = open_store(settings)
    for path in files:
        store.client.put_object(Bucket=settings.source_bucket, Key=_source_key(path), Body=path.read_bytes())


def fill(settings: Settings, files: Sequence[Path]) -> None:
    """Accept a track for each file, in one transaction that also says that all its assets are made."""
    database = Database(settings.database_url)
    versions = transcode_versions(settings) | feature_versions(load_builtin((_MODULE,)))
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)
        ids: list[str] = []
        for number, path in enumerate(files):
            submission = SubmissionRow(
                id=new_id(), status="RECEIVED", filename=path.name, object_key=path.name, created_at=utc_now()
            )
            submission.object_gone_at = utc_now()
            session.add(submission)
            session.flush()
            accepted = AcceptedTrack(_track(submission.id, path), [], _fingerprint(submission.id, number), [])
            acceptance.accept(session, submission, accepted, verdict_of(submission.id, "ACCEPTED"))
            ids.append(submission.id)
        session.flush()
        session.connection().execute(text("UPDATE derivation SET status = 'DONE', made_version = version"))
    database.close()
    os.environ["MUSICFP_HOME"] = str(settings.home)
    with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        # Dagster refuses a backfill of partitions whose upstream ones are not there.
        instance.add_dynamic_partitions("submissions", ids)


def own_cost_s(files: Sequence[Path], settings: Settings) -> float:
    """Return the CPU seconds that probing, reading the sound and the feature take in this process."""
    registry = load_builtin((_MODULE,))

    def analyse(path: Path) -> None:
        analyse_file(path, [EXTRACTOR], registry=registry, max_duration_s=settings.max_duration_s)

    analyse(files[0])  # imports what it needs
    before = _cpu_of_this_process_s()
    for path in files:
        analyse(path)
    return _cpu_of_this_process_s() - before


def in_a_large_catalogue(n_tracks: int, directory: Path) -> None:
    """Measure what the sensor asks the database, in a catalogue where everything is missing."""
    database = Database(f"sqlite:///{directory / 'large.sqlite'}")
    migrate.upgrade(database)
    store_tracks(database, [music(1, n_items=8).sub_fingerprints] * n_tracks)
    others = [f"{FEATURE_PREFIX}other_{number}" for number in range(20)]
    for asset in others:
        with database.write() as session:
            rows = "SELECT id, :asset, '1', 'DONE', '1', 0, :now FROM track"
            columns = "track_id, asset, version, status, made_version, attempts, updated_at"
            fill_in = text(f"INSERT INTO derivation ({columns}) {rows}")
            session.connection().execute(fill_in, {"asset": asset, "now": "2026-01-01 00:00:00.000000"})
    versions = dict.fromkeys(others, "1")
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)
    print(f"{n_tracks} tracks with {len(others)} assets each, SQLite")
    for version in ("1", "2"):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with timed() as took, database.exclusive() as session:
            derivations.bring_up_to_date(session, versions | {ASSET: version})
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"  version {version} of an asset queued   {took[0]:7.2f} s, memory + {grown_mb:.0f} MB")

        def choose(_number: int) -> None:
            with database.read() as session:
                assert len(derivations.pending(session, [ASSET], limit_tracks=500)) == min(500, n_tracks)

        def count(_number: int, version: str = version) -> None:
            with database.snapshot() as session:
                counted = coverage(session, versions | {ASSET: version})[-1]
                assert counted.n_pending == n_tracks

        print(f"  the next 500 of them           {percentiles(times(choose, _N_ASKED))}")
        print(f"  coverage, one lacks everywhere {percentiles(times(count, _N_ASKED))}")
        with database.write() as session:
            session.connection().execute(text("UPDATE derivation SET status = 'DONE', made_version = version"))

        def count_done(_number: int, version: str = version) -> None:
            with database.snapshot() as session:
                assert all(each.share == 1 for each in coverage(session, versions | {ASSET: version}))

        print(f"  coverage, all is made          {percentiles(times(count_done, _N_ASKED))}")
    database.close()


def _source_key(path: Path) -> str:
    return f"sources/bench/{path.name}"


def _track(track_id: str, path: Path) -> TrackRow:
    content = path.read_bytes()
    return TrackRow(
        id=track_id,
        title=path.stem,
        artist="Bench",
        duration_s=_TRACK_LENGTH_S,
        source_sha256=sha256(content).hexdigest(),
        source_key=_source_key(path),
        source_size_bytes=len(content),
        container="wav",
        codec="pcm_s16le",
        sample_rate_hz=_SAMPLE_RATE_HZ,
        n_channels=1,
        accepted_at=utc_now(),
    )


def _fingerprint(track_id: str, number: int) -> FingerprintRow:
    items = music(number, n_items=48)
    return FingerprintRow(
        track_id=track_id,
        kind=FULL_FINGERPRINT,
        version="1",
        algorithm=items.algorithm,
        item_duration_s=items.item_duration_s,
        audio_duration_s=_TRACK_LENGTH_S,
        n_items=items.n_items,
        sub_fingerprints=items.to_bytes(),
    )


def _counts(database: Database) -> dict[str, int]:
    with database.read() as session:
        return derivations.counts_by_status(session, ASSET)


def _cpu_of_this_process_s() -> float:
    times = os.times()
    return times.user + times.system


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.backfill", description="Measure what a backfill costs.")
    parser.add_argument("--tracks", type=int, default=500, help="through the daemon; 500 by default, 0 for none")
    parser.add_argument("--large", type=int, default=0, help="tracks of the catalogue whose queries are measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
