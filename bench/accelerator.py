"""What the search accelerator costs and gains: building, bytes, memory, look-ups, beside the database where that fits.

    python -m bench.accelerator [--tracks 100000] [--music FOLDER] [--directory FOLDER]

Tracks and queries are those of `bench.index`. Segments are written without a database, so that a million tracks are
possible; up to 100,000 the same tracks are stored in SQLite too, and both must give the same answers. All look-ups are
made once before they are measured: files are in the page cache, as in a server that has run for a while.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from bench.index import guesses, percentiles, store_tracks, timed, times
from eval.distractors import pool_of, synthetic_catalogue
from eval.music import fetched, load_music
from musicfp.catalog import index_upkeep, migrate, search_index
from musicfp.catalog.accelerated import AcceleratedCatalogue, IndexPart, OpenIndex, look_up
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.fingerprint.index_segment import IndexSegment, open_segment
from musicfp.fingerprint.index_segment_writer import SegmentWriter, StoredItems
from musicfp.fingerprint.postings import FingerprintKind, SearchableCatalogue, postings_cap

Items = NDArray[np.uint32]

_ITEMS_PER_TRACK = 948
_BATCH_TRACKS = 500
_N_QUERIES = 40
_N_ASKED = 200
_MAX_DATABASE_TRACKS = 100_000
_FULL = FingerprintKind.FULL


def main() -> None:
    """Build, look up, and compare with SQLite."""
    options = _options()
    pool = pool_of(load_music(options.music or fetched("micro")).sources)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
        segment, asked = build(pool, n_tracks=options.tracks, path=Path(directory) / "all.segment")
        queries = {n_bits: _queries(asked, n_bits=n_bits) for n_bits in (0, 6, 8)}
        print_lookups(segment, queries)
        if options.tracks <= _MAX_DATABASE_TRACKS and not options.files_only:
            print_beside_database(segment, queries, _catalogue(pool, options.tracks), Path(directory))


def build(pool: Sequence[Items], *, n_tracks: int, path: Path) -> tuple[IndexSegment, list[Items]]:
    """Write one segment of all tracks and print what it takes; return it with some tracks to ask for."""
    tracks = _catalogue(pool, n_tracks)
    wanted = set(np.random.default_rng(3).choice(n_tracks, min(n_tracks, _N_ASKED), replace=False).tolist())
    asked: list[Items] = []
    gathering_s = 0.0
    cpu_s = 0.0
    with SegmentWriter(_FULL, scratch=path.parent) as writer:
        for first in range(0, n_tracks, _BATCH_TRACKS):
            batch = list(islice(tracks, _BATCH_TRACKS))
            asked += [items.copy() for number, items in enumerate(batch, first) if number in wanted]
            numbers = range(first + 1, first + 1 + len(batch))
            stored = StoredItems(numbers, numbers, batch)
            with timed() as took:
                cpu_s -= time.process_time()
                writer.add(stored)
                cpu_s += time.process_time()
            gathering_s += took[0]
        cpu_s -= time.process_time()
        with timed() as took:
            made = writer.write(path, first_revision=1, last_revision=n_tracks, build_id="bench")
        cpu_s += time.process_time()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n_tracks} tracks of {_ITEMS_PER_TRACK} items, {made.n_postings} postings")
    print(
        f"  built                  {n_tracks / (gathering_s + took[0]):8.0f} tracks/s, {n_tracks / cpu_s:.0f} per CPU s"
    )
    print(f"    postings gathered    {gathering_s:8.2f} s")
    print(f"    merged and written   {took[0]:8.2f} s")
    print(f"  size                   {made.size_bytes / n_tracks:8.0f} bytes/track, {made.size_bytes / 2**20:.0f} MiB")
    print(f"  peak memory            {peak_mib:8.0f} MiB, the benchmark's music included")
    with timed() as took:
        segment = open_segment(path)
    print(f"  opened                 {took[0] * 1e3:8.2f} ms, directory {type(segment.directory).__name__}")
    return segment, asked


def print_lookups(segment: IndexSegment, queries: dict[int, list[Items]]) -> None:
    """Print how long looking terms up in the segment alone takes."""
    parts = [IndexPart(segment, None)]
    cap = postings_cap(segment.postings.size)
    for each in queries.values():
        n_found: list[int] = []

        def ask(number: int, each: list[Items] = each, n_found: list[int] = n_found) -> None:
            n_found.append(look_up(parts, each[number], cap=cap).probe.size)

        for number in range(_N_QUERIES):
            ask(number)
        took = times(ask, _N_QUERIES)
        print(f"  look up {each[0].size:6} terms   {percentiles(took)}; {np.median(n_found):.0f} postings")


def print_beside_database(
    segment: IndexSegment, queries: dict[int, list[Items]], tracks: Iterable[Items], directory: Path
) -> None:
    """Store the same tracks in SQLite, and print what whole look-ups take by either way."""
    database = Database(f"sqlite:///{directory / 'catalogue.sqlite'}")
    migrate.upgrade(database)
    store_tracks(database, list(tracks))
    index_upkeep.rebuild(database, progress=lambda _done, _all: None)
    build = search_index.new_build("bench", watermark=segment.last_revision, segments=())
    with timed() as took:
        index = OpenIndex.open(database, build, [segment])
    print(f"  held against SQLite    {took[0] * 1e3:8.1f} ms")
    for each in queries.values():
        for number in range(_N_QUERIES):
            with database.read() as session:
                same = [_triples(catalogue, each[number]) for catalogue in _both(session, index)]
            assert (same[0] == same[1]).all()
        for which, name in enumerate(("accelerator", "SQLite")):

            def ask(number: int, each: list[Items] = each, which: int = which) -> None:
                with database.read() as session:
                    _both(session, index)[which].lookup(each[number], kind=_FULL)

            print(f"  {name:11} {each[0].size:6} terms {percentiles(times(ask, _N_QUERIES))}")
    database.close()


def _both(session: Session, index: OpenIndex) -> tuple[SearchableCatalogue, SearchableCatalogue]:
    return AcceleratedCatalogue(session, index), DatabaseCatalogue(session)


def _triples(catalogue: SearchableCatalogue, terms: Items) -> NDArray[np.int64]:
    found = catalogue.lookup(terms, kind=_FULL)
    order = np.lexsort((found.position_items, found.track, found.probe))
    return np.stack((found.probe, found.track, found.position_items))[:, order]


def _queries(asked: Sequence[Items], *, n_bits: int) -> list[Items]:
    rng = np.random.default_rng(2)
    return [guesses(asked, n_bits=n_bits, rng=rng) for _ in range(_N_QUERIES)]


def _catalogue(pool: Sequence[Items], n_tracks: int) -> Iterator[Items]:
    return synthetic_catalogue(
        pool, n_tracks=n_tracks, n_items_per_track=_ITEMS_PER_TRACK, rng=np.random.default_rng(1)
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accelerator", description="Measure the accelerator.")
    parser.add_argument("--tracks", type=int, default=100_000, help="in the catalogue; 100000 by default")
    parser.add_argument("--files-only", action="store_true", help="do not compare with SQLite")
    parser.add_argument("--music", type=Path, help="a folder of music instead of the corpus")
    parser.add_argument("--directory", type=Path, help="where to put files; 3 KB a track, 15 with the database")
    return parser.parse_args()


if __name__ == "__main__":
    main()
