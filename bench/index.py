"""What the index of terms costs in the database: bytes, writing, comparing, and looking up.

    python -m bench.index [--tracks 10000] [--music FOLDER]

Tracks are spliced from real music (`eval.distractors`), two minutes each. Queries are ten seconds of a track, with the
guesses that a noisy query makes: every item with some of its bits flipped in all ways. SQLite syncs to the disk as the
product does; PostgreSQL is the tests' and does not. Times depend on what else the machine does; trust ratios.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, text

from eval.distractors import pool_of, synthetic_catalogue
from eval.music import fetched, load_music
from musicfp.catalog import index_upkeep, migrate, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import FingerprintRow, SubmissionRow, Table, TrackRow
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_BITS, terms_of
from tests.support.postgres import fresh_database, running_postgres

Items = NDArray[np.uint32]

_ITEMS_PER_TRACK = 948
_QUERY_ITEMS = 80
_N_QUERIES = 40
_N_SINGLE = 100
_FULL = FingerprintKind.FULL
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Measure SQLite, then PostgreSQL."""
    options = _options()
    music = load_music(options.music or fetched("micro"))
    made = synthetic_catalogue(
        pool_of(music.sources),
        n_tracks=options.tracks + _N_SINGLE,
        n_items_per_track=_ITEMS_PER_TRACK,
        rng=np.random.default_rng(1),
    )
    tracks = list(made)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
        if "sqlite" in options.databases:
            measure("SQLite", f"sqlite:///{Path(directory) / 'catalogue.sqlite'}", tracks)
    if "postgresql" in options.databases:
        with running_postgres() as url_prefix, fresh_database(url_prefix, "bench") as url:
            measure("PostgreSQL", url, tracks)


def measure(name: str, url: str, tracks: Sequence[Items]) -> None:
    """Fill a database and print what everything costs."""
    database = Database(url)
    migrate.upgrade(database)
    n_bulk = len(tracks) - _N_SINGLE
    _store_tracks(database, tracks[:n_bulk])
    print(f"{name}, {n_bulk} tracks of {_ITEMS_PER_TRACK} items")
    with _timed() as took:
        index_upkeep.rebuild(database, progress=lambda _done, _all: None)
    print(f"  built in bulk          {n_bulk / took[0]:8.0f} tracks/s")
    _print_size(database, n_bulk)
    with _timed() as took, database.snapshot() as session:
        report = index_upkeep.verify(session)
    print(f"  verified               {took[0]:8.2f} s, {len(report.differences)} differences")
    with _timed() as took, database.read() as session:
        index_upkeep.spot_check(session)
    print(f"  spot check             {took[0] * 1e3:8.1f} ms")
    _print_lookups(database, tracks[:n_bulk])
    singles = _times(lambda number: _add_one(database, n_bulk + 1 + number, tracks[n_bulk + number]), _N_SINGLE)
    print(f"  one track, committed   {_percentiles(singles)}")
    _print_size(database, len(tracks))
    database.close()


def _print_size(database: Database, n_tracks: int) -> None:
    with database.read() as session:
        connection = session.connection()
        n_rows = connection.execute(text("SELECT count(*) FROM fingerprint_term")).scalar_one()
        if database.is_sqlite:
            query = "SELECT sum(pgsize) FROM dbstat WHERE name = 'fingerprint_term'"
        else:
            query = "SELECT pg_total_relation_size('fingerprint_term')"
        n_bytes = connection.execute(text(query)).scalar_one()
    print(f"  size                   {n_bytes / n_rows:8.1f} bytes/posting, {n_bytes / n_tracks:.0f} bytes/track")


def _print_lookups(database: Database, tracks: Sequence[Items]) -> None:
    rng = np.random.default_rng(2)
    for n_bits in (0, 6, 8):
        queries = [_guesses(tracks, n_bits=n_bits, rng=rng) for _ in range(_N_QUERIES)]
        n_found: list[int] = []

        def look_up(number: int, queries: list[Items] = queries, n_found: list[int] = n_found) -> None:
            with database.read() as session:
                n_found.append(DatabaseCatalogue(session).lookup(queries[number], kind=_FULL).probe.size)

        look_up(0)
        times = _times(look_up, _N_QUERIES)
        n_terms = _QUERY_ITEMS << n_bits
        print(f"  look up {n_terms:6} terms   {_percentiles(times)}; {np.median(n_found):.0f} postings")


def _guesses(tracks: Sequence[Items], *, n_bits: int, rng: np.random.Generator) -> Items:
    """Return the terms of a part of a track, a tenth of the bits wrong, with `n_bits` of each flipped in all ways."""
    items = tracks[int(rng.integers(len(tracks)))]
    first = int(rng.integers(items.size - _QUERY_ITEMS))
    wanted = terms_of(items[first : first + _QUERY_ITEMS])
    wrong = (rng.random((_QUERY_ITEMS, TERM_BITS)) < 0.1) @ (1 << np.arange(TERM_BITS))
    bits = np.uint32(1) << np.argsort(rng.random((_QUERY_ITEMS, TERM_BITS)))[:, :n_bits].astype(np.uint32)
    subsets = (np.arange(1 << n_bits)[:, None] >> np.arange(n_bits) & 1).astype(np.uint32)
    masks = (subsets @ bits.T).T
    return ((wanted ^ wrong.astype(np.uint32))[:, None] ^ masks).ravel().astype(np.uint32)


def _add_one(database: Database, ordinal: int, items: Items) -> None:
    with database.exclusive() as session:
        terms.add(session, ordinal, items, kind=_FULL)


def _store_tracks(database: Database, tracks: Sequence[Items]) -> None:
    """Store tracks with their fingerprints but without postings."""
    tables = [Table.metadata.tables[name] for name in ("submission", "track", "fingerprint")]
    for first in range(0, len(tracks), 1000):
        rows = [_rows(first + 1 + n, items) for n, items in enumerate(tracks[first : first + 1000])]
        with database.write() as session:
            for number, table in enumerate(tables):
                session.connection().execute(insert(table), [row[number] for row in rows])


def _rows(ordinal: int, items: Items) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    track_id = f"{ordinal:026d}"
    submission = SubmissionRow(id=track_id, status="ACCEPTED", filename="a", object_key=track_id, created_at=_NOW)
    track = TrackRow(
        ordinal=ordinal,
        id=track_id,
        title="Title",
        artist="Artist",
        duration_s=120.0,
        source_sha256=track_id,
        source_key=track_id,
        source_size_bytes=1,
        container="mp3",
        codec="mp3",
        sample_rate_hz=44100,
        n_channels=2,
        accepted_at=_NOW,
    )
    fingerprint = FingerprintRow(
        track_id=track_id,
        kind=_FULL,
        version="1",
        algorithm=1,
        item_duration_s=0.1238,
        audio_duration_s=120.0,
        n_items=items.size,
        sub_fingerprints=items.astype("<u4").tobytes(),
    )
    return submission.model_dump(), track.model_dump(), fingerprint.model_dump()


def _times(action: Callable[[int], None], n: int) -> list[float]:
    times = []
    for number in range(n):
        with _timed() as took:
            action(number)
        times.append(took[0])
    return times


@contextmanager
def _timed() -> Iterator[list[float]]:
    took: list[float] = []
    began = time.perf_counter()
    yield took
    took.append(time.perf_counter() - began)


def _percentiles(times_s: Sequence[float]) -> str:
    p50, p95 = np.percentile(times_s, [50, 95]) * 1e3
    return f"{p50:8.1f} ms p50, {p95:.1f} ms p95"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.index", description="Measure the index of terms.")
    parser.add_argument("--tracks", type=int, default=10_000, help="in the catalogue; 10000 by default")
    parser.add_argument("--music", type=Path, help="a folder of music instead of the corpus")
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--directory", type=Path, help="where to put the SQLite file; it grows to 10 KB a track")
    return parser.parse_args()


if __name__ == "__main__":
    main()
