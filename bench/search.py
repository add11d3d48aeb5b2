"""How recognition and its time change with the size of the catalogue: the product's search on its own database.

    python -m bench.search [--tracks 1000 10000 100000] [--conditions clean pink_0] [--lengths-s 10 30]
                           [--music FOLDER] [--no-table]

The evaluation's sources (`eval`) are hidden among tracks spliced from real music (`eval.distractors`), two minutes
each, all with both fingerprints, in a SQLite file. The evaluation's clips are asked, as a fingerprint and as audio,
from the accelerator, and as a fingerprint from the database's table of terms, which answers the same. A million
tracks take 8 GB of fingerprints and as much for the table, which `--no-table` leaves out. Times depend on what else the
machine does.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from bench.index import percentiles, store_tracks, timed
from eval.clips import clip_of, facts_of_clips
from eval.distractors import pool_of, synthetic_catalogue
from eval.fingerprints import fingerprint_of
from eval.metrics import Asked, row_of
from eval.music import Music, fetched, load_music
from eval.product import answers_of
from eval.queries import Plan, Query, make_queries
from eval.recognisers import Reply
from musicfp.catalog import index_upkeep, migrate, search_index
from musicfp.catalog.accelerated import AcceleratedCatalogue, OpenIndex
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.fingerprint import listening
from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.index_segment import IndexSegment, open_segment
from musicfp.fingerprint.index_segment_writer import SegmentWriter, StoredItems
from musicfp.fingerprint.postings import FingerprintKind, SearchableCatalogue

Items = NDArray[np.uint32]
Both = tuple[Items, Items]
Open = Callable[[Session], SearchableCatalogue]

_ITEMS_PER_TRACK = 948
_BATCH_TRACKS = 5000
_CONDITIONS = ("clean", "mp3_32k", "pink_0", "music_5", "reverb_0.8", "phone", "missing_chunks", "speed_+2", "pitch_-1")


@dataclass(frozen=True)
class Hidden:
    """The catalogue that is asked: a database, its accelerator, and the names of its tracks that are sources."""

    database: Database
    index: OpenIndex
    names: dict[str, str]
    has_table: bool


def main() -> None:
    """Build a catalogue of each size and ask it everything."""
    options = _options()
    music = load_music(options.music or fetched("micro"))
    plan = Plan(
        conditions=tuple(options.conditions),
        lengths_s=tuple(options.lengths_s),
        n_clips=options.clips,
        n_stranger_clips=options.clips,
    )
    queries = make_queries(music, plan)
    pool = pool_of(music.sources)
    for n_tracks in options.tracks:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            hidden = build(music, pool, n_tracks=n_tracks, directory=Path(directory), with_table=options.table)
            ask(music, queries, hidden)
            hidden.database.close()


def build(music: Music, pool: Sequence[Items], *, n_tracks: int, directory: Path, with_table: bool) -> Hidden:
    """Store the sources and so many more tracks, index them, and say what that took."""
    database = Database(f"sqlite:///{directory / 'catalogue.sqlite'}")
    migrate.upgrade(database)
    print(f"\n{n_tracks} tracks of {_ITEMS_PER_TRACK} items and {len(music.sources)} sources")
    writers = {kind: SegmentWriter(kind, scratch=directory) for kind in FingerprintKind}
    n_stored = 0
    with timed() as took, writers[FingerprintKind.FULL] as full, writers[FingerprintKind.BAND] as band:
        for batch in _batches(_tracks(music, pool, n_tracks)):
            store_tracks(database, batch, first_ordinal=n_stored + 1)
            for number, writer in enumerate((full, band)):
                ordinals = range(n_stored + 1, n_stored + 1 + len(batch))
                revisions = [2 * ordinal - 1 + number for ordinal in ordinals]
                writer.add(StoredItems(revisions, ordinals, [items[number] for items in batch]))
            n_stored += len(batch)
        segments = [_written(writer, directory / f"{kind}.segment", n_stored) for kind, writer in writers.items()]
    print(f"  stored, and segments made {n_stored / took[0]:8.0f} tracks/s")
    if with_table:
        with timed() as took:
            index_upkeep.rebuild(database, progress=lambda _done, _all: None)
        print(f"  table of terms            {n_stored / took[0]:8.0f} tracks/s")
    index = OpenIndex.open(database, search_index.new_build("bench", watermark=2 * n_stored, segments=()), segments)
    names = {f"{number:026d}": track.name for number, track in enumerate(music.sources, 1)}
    return Hidden(database, index, names, with_table)


def ask(music: Music, queries: Sequence[Query], hidden: Hidden) -> None:
    """Ask every query in every way and print a row for each condition."""
    facts = facts_of_clips(music, queries)
    families = {track.name: track.family for track in music.sources}
    ways: list[tuple[str, Open, bool]] = [
        ("accelerator, fingerprint", lambda session: AcceleratedCatalogue(session, hidden.index), False),
        ("accelerator, audio", lambda session: AcceleratedCatalogue(session, hidden.index), True),
    ]
    if hidden.has_table:
        ways.append(("table, fingerprint", DatabaseCatalogue, False))
    print(f"  {'asked':26}{'clip':21}   n rank-1 accepted wrong | strangers accepted | ms, clips | ms, strangers")
    for way, open_catalogue, with_samples in ways:
        by_clip: dict[str, list[Asked]] = {}
        for query in queries:
            reply = _reply(query, hidden, open_catalogue, with_samples=with_samples)
            clip = f"{query.condition}, {query.length_s:g} s"
            by_clip.setdefault(clip, []).append(Asked(query, facts[clip_of(query)], reply))
        for clip, asked in by_clip.items():
            row = row_of(way, asked, families=families)
            ours, strangers = (_took([e for e in asked if e.query.is_stranger is which]) for which in (False, True))
            found = f"{row.n:4} {row.rank_1:6.3f} {row.accepted_right:8.3f} {row.accepted_wrong:5.3f}"
            false_accepts = f"{row.n_false_accepts:4} of {row.n_strangers:4}"
            print(f"  {way:26}{clip:21}{found} | {false_accepts} | {ours} | {strangers}", flush=True)


def _reply(query: Query, hidden: Hidden, open_catalogue: Open, *, with_samples: bool) -> Reply:
    samples = query.samples()
    asked = listening.Query(fingerprint_of(samples), samples if with_samples else None)
    with timed() as took, hidden.database.read() as session:
        answers = answers_of(asked, open_catalogue(session), names=hidden.names)
    return Reply(answers, took[0] * 1000)


def _took(asked: Sequence[Asked]) -> str:
    return percentiles([each.reply.took_ms / 1000 for each in asked])


def _tracks(music: Music, pool: Sequence[Items], n_tracks: int) -> Iterator[Both]:
    """Yield both fingerprints of each track; a spliced one has the same items in both, of runs of the full band."""
    for track in music.sources:
        samples = track.samples()
        yield fingerprint_of(samples).sub_fingerprints, band_fingerprint(samples).sub_fingerprints
    made = synthetic_catalogue(
        pool, n_tracks=n_tracks, n_items_per_track=_ITEMS_PER_TRACK, rng=np.random.default_rng(1)
    )
    for items in made:
        yield items, items


def _batches(tracks: Iterable[Both]) -> Iterator[list[Both]]:
    left = iter(tracks)
    while batch := list(islice(left, _BATCH_TRACKS)):
        yield batch


def _written(writer: SegmentWriter, path: Path, n_stored: int) -> IndexSegment:
    made = writer.write(path, first_revision=1, last_revision=2 * n_stored, build_id="bench")
    print(f"  {path.stem:24}  {made.size_bytes / n_stored:8.0f} bytes/track")
    return open_segment(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description="Measure search at several sizes.")
    parser.add_argument("--tracks", type=int, nargs="+", default=[1000, 10_000, 100_000], help="sizes of catalogues")
    parser.add_argument("--conditions", nargs="+", default=_CONDITIONS, help="of eval.degrade")
    parser.add_argument("--clips", type=int, default=1, help="of each length, of each source and each stranger")
    parser.add_argument("--lengths-s", type=float, nargs="+", default=[10.0], help="of the clips")
    parser.add_argument("--music", type=Path, help="a folder of music instead of the corpus")
    parser.add_argument("--directory", type=Path, help="where to put files; 20 KB a track")
    parser.add_argument("--no-table", dest="table", action="store_false", help="make only the accelerator's segments")
    return parser.parse_args()


if __name__ == "__main__":
    main()
