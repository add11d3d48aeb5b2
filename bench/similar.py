"""What similar tracks cost: reading the vectors, asking, following changes, and memory, at several sizes.

    python -m bench.similar [--tracks 1000 10000 100000] [--dimensions 26 200]

The way of the product: features as rows of an SQLite catalogue, `SimilarTracks` above them. Vectors are random around
random centres, of 26 numbers as for `timbre` (two features) and of 200 as for an embedding of a network (one). Medians
of wall and CPU time; the former depends on what else the machine does.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from bench.index import store_tracks
from bench.processes import resident_bytes
from musicfp.catalog import migrate
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import FeatureRow, MaterializationRow
from musicfp.features.registry import FeatureDefinition
from musicfp.pipeline.similar_tracks import SimilarTracks
from musicfp.similarity.embeddings import EMBEDDINGS, Embedding
from tests.support.seeds import music

_N_CENTRES = 300
_N_ASKED = 40
_PAGE_TRACKS = 50
_FIRST = 10
_AT_ONCE = 5000
_BY_DIMENSIONS = {26: EMBEDDINGS[0], 200: EMBEDDINGS[1]}


@dataclass(frozen=True)
class Catalogue:
    """A database with the vectors of one embedding."""

    database: Database
    embedding: Embedding
    n_tracks: int


def main() -> None:
    """Print a row for each size and length of vectors."""
    options = _options()
    print("| tracks | numbers | first question, s | memory, MB | 1 track | page of 50 | 1 track after a change |")
    print("|---|---|---|---|---|---|---|")
    for n_tracks in options.tracks:
        for n_dimensions in options.dimensions:
            with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
                path = Path(directory) / "catalogue.sqlite"
                filled(path, n_tracks, n_dimensions).database.close()
                # In a process of its own, whose memory grows by this alone.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
                    print(processes.submit(measure, path, n_tracks, n_dimensions).result(), flush=True)


def measure(path: Path, n_tracks: int, n_dimensions: int) -> str:
    """Ask a process that knows nothing yet everything and return the row."""
    catalogue = Catalogue(Database(f"sqlite:///{path}"), _BY_DIMENSIONS[n_dimensions], n_tracks)
    similar = SimilarTracks(catalogue.database, lambda: _definitions(catalogue.embedding))
    rng = np.random.default_rng(2)

    def ask(n: int) -> None:
        asked = [_id(int(each)) for each in rng.integers(1, n_tracks + 1, n)]
        found = similar.nearest(catalogue.embedding, asked, first=_FIRST)
        assert all(len(each) == _FIRST for each in found.values())

    before_bytes = resident_bytes()
    first = _times(lambda _number: ask(1), 1)
    grown_mb = (resident_bytes() - before_bytes) / 1e6
    one = _times(lambda _number: ask(1), _N_ASKED)
    page = _times(lambda _number: ask(_PAGE_TRACKS), _N_ASKED // 4)
    changed = []
    for number in range(_N_ASKED // 2):
        store(catalogue, [number + 1], _vectors(1, n_dimensions, seed=number))
        changed += _times(lambda _number: ask(1), 1)
    catalogue.database.close()
    columns = (
        f"{n_tracks:,}",
        str(n_dimensions),
        f"{first[0][0]:.1f}, {first[0][1]:.1f} CPU",
        f"{grown_mb:.0f}",
        *map(_medians, (one, page, changed)),
    )
    return f"| {' | '.join(columns)} |"


def _times(action: Callable[[int], None], n: int) -> list[tuple[float, float]]:
    """Return wall and CPU seconds of each of `n` calls; other work on the machine makes only the first longer."""
    found = []
    for number in range(n):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        action(number)
        found.append((time.perf_counter() - began_s, time.process_time() - began_cpu_s))
    return found


def _medians(times_s: Sequence[tuple[float, float]]) -> str:
    wall, cpu = np.median(np.array(times_s), axis=0) * 1e3
    return f"{wall:.1f} ms, {cpu:.1f} CPU"


def filled(path: Path, n_tracks: int, n_dimensions: int) -> Catalogue:
    """Return a catalogue of so many tracks with vectors."""
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    store_tracks(database, [music(1, n_items=8).sub_fingerprints] * n_tracks)
    catalogue = Catalogue(database, _BY_DIMENSIONS[n_dimensions], n_tracks)
    for first in range(1, n_tracks + 1, _AT_ONCE):
        ordinals = range(first, min(n_tracks + 1, first + _AT_ONCE))
        store(catalogue, ordinals, _vectors(len(ordinals), n_dimensions, seed=first))
    return catalogue


def store(catalogue: Catalogue, ordinals: Sequence[int], vectors: NDArray[np.float64]) -> None:
    """Store vectors of tracks with their lineage, in place of what they had."""
    tables = FeatureRow.__table__, MaterializationRow.__table__  # type: ignore[attr-defined]
    n_features = len(catalogue.embedding.features)
    with catalogue.database.write() as session:
        connection = session.connection()
        rows = [
            row
            for ordinal, vector in zip(ordinals, vectors, strict=True)
            for row in _rows(catalogue.embedding, _id(ordinal), np.split(vector, n_features))
        ]
        connection.execute(insert(tables[0]).prefix_with("OR REPLACE"), rows)
        lineage = [
            {
                "asset_key": "feature_bench",
                "partition_key": _id(ordinal),
                "run_id": f"{time.time_ns()}",
                "code_version": "1",
                "materialized_at": utc_now(),
            }
            for ordinal in ordinals
        ]
        connection.execute(insert(tables[1]), lineage)


def _rows(embedding: Embedding, track_id: str, parts: Sequence[NDArray[np.float64]]) -> Iterator[dict[str, object]]:
    for name, part in zip(embedding.features, parts, strict=True):
        row = FeatureRow(
            track_id=track_id,
            name=name,
            vector=part.tolist(),
            status="OK",
            extractor="bench",
            version="1",
            computed_at=utc_now(),
        )
        yield row.model_dump()


def _vectors(n: int, n_dimensions: int, *, seed: int) -> NDArray[np.float64]:
    centres = np.random.default_rng(1).normal(size=(_N_CENTRES, n_dimensions))
    rng = np.random.default_rng(seed)
    return np.asarray(centres[rng.integers(_N_CENTRES, size=n)] + 0.7 * rng.normal(size=(n, n_dimensions)))


def _definitions(embedding: Embedding) -> list[FeatureDefinition]:
    return [
        FeatureDefinition(
            name=name,
            unit=None,
            description="",
            extractor="bench",
            version="1",
            range=None,
            inputs=(),
            cost_s_per_min=None,
            models=(),
        )
        for name in embedding.features
    ]


def _id(ordinal: int) -> str:
    return f"{ordinal:026d}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.similar", description="Measure similar tracks.")
    parser.add_argument("--tracks", type=int, nargs="+", default=[1000, 10_000, 100_000], help="sizes of catalogues")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[26, 200], choices=sorted(_BY_DIMENSIONS))
    parser.add_argument("--directory", type=Path, help="where to put the SQLite file; up to 6 KB a track")
    return parser.parse_args()


if __name__ == "__main__":
    main()
