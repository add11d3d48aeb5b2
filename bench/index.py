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
from sqlalchemy import insert, text, update

from eval.distractors import pool_of, synthetic_catalogue
from eval.music import fetched, load_music
from musicfp.catalog import index_upkeep, migrate, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import FingerprintRevisionRow, FingerprintRow, SubmissionRow, Table, TrackRow
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_BITS, terms_of
from tests.support.postgres import fresh_database, running_postgres

Items = NDArray[np.uint32]
Fingerprints = Items | tuple[Items, ...]
Values = dict[str, object]

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
    store_tracks(database, tracks[:n_bulk])
    print(f"{name}, {n_bulk} tracks of {_ITEMS_PER_TRACK} items")
    with timed() as took:
        index_upkeep.rebuild(database, progress=lambda _done, _all: None)
    print(f"  built in bulk          {n_bulk / took[0]:8.0f} tracks/s")
    _print_size(database, n_bulk)
    with timed() as took, database.snapshot() as session:
        report = index_upkeep.verify(session)
    print(f"  verified               {took[0]:8.2f} s, {len(report.differences)} differences")
    with timed() as took, database.read() as session:
        index_upkeep.spot_check(session)
    print(f"  spot check             {took[0] * 1e3:8.1f} ms")
    _print_lookups(database, tracks[:n_bulk])
    singles = times(lambda number: _add_one(database, n_bulk + 1 + number, tracks[n_bulk + number]), _N_SINGLE)
    print(f"  one track, committed   {percentiles(singles)}")
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
        queries = [guesses(tracks, n_bits=n_bits, rng=rng) for _ in range(_N_QUERIES)]
        n_found: list[int] = []

        def look_up(number: int, queries: list[Items] = queries, n_found: list[int] = n_found) -> None:
            with database.read() as session:
                n_found.append(DatabaseCatalogue(session).lookup(queries[number], kind=_FULL).probe.size)

        look_up(0)
        took = times(look_up, _N_QUERIES)
        n_terms = _QUERY_ITEMS << n_bits
        print(f"  look up {n_terms:6} terms   {percentiles(took)}; {np.median(n_found):.0f} postings")


def guesses(tracks: Sequence[Items], *, n_bits: int, rng: np.random.Generator) -> Items:
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


def store_tracks(database: Database, tracks: Sequence[Fingerprints], *, first_ordinal: int = 1) -> None:
    """Store tracks with their fingerprints, of each the full one or the full one and that of the band; no postings."""
    tables = [Table.metadata.tables[name] for name in ("submission", "track", "fingerprint")]
    for first in range(0, len(tracks), 1000):
        of_tables: tuple[list[Values], list[Values], list[Values]] = ([], [], [])
        for ordinal, items in enumerate(tracks[first : first + 1000], first_ordinal + first):
            submission, track = _track_values(ordinal)
            of_tables[0].append(submission)
            of_tables[1].append(track)
            of_tables[2].extend(_fingerprint_values(ordinal, items if isinstance(items, tuple) else (items,)))
        with database.write() as session:
            for table, rows in zip(tables, of_tables, strict=True):
                session.connection().execute(insert(table), rows)
            newest = of_tables[2][-1]["revision"]
            session.connection().execute(update(FingerprintRevisionRow).values(newest=newest))


def _track_values(ordinal: int) -> tuple[Values, Values]:
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
    return submission.model_dump(), track.model_dump()


def _fingerprint_values(ordinal: int, items_by_kind: Sequence[Items]) -> Iterator[Values]:
    for number, (kind, items) in enumerate(zip(FingerprintKind, items_by_kind, strict=False), 1):
        row = FingerprintRow(
            track_id=f"{ordinal:026d}",
            kind=kind,
            version="1",
            algorithm=1,
            item_duration_s=0.1238,
            audio_duration_s=120.0,
            n_items=items.size,
            sub_fingerprints=items.astype("<u4").tobytes(),
            revision=(ordinal - 1) * len(items_by_kind) + number,
        )
        yield row.model_dump()


def times(action: Callable[[int], None], n: int) -> list[float]:
    """Return how long each of `n` calls takes, in seconds."""
    found = []
    for number in range(n):
        with timed() as took:
            action(number)
        found.append(took[0])
    return found


@contextmanager
def timed() -> Iterator[list[float]]:
    """Yield a list that has the seconds that the block took when it is done."""
    took: list[float] = []
    began = time.perf_counter()
    yield took
    took.append(time.perf_counter() - began)


def percentiles(times_s: Sequence[float]) -> str:
    """Return the median and the 95th percentile as text, in ms."""
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
