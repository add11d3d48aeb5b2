"""Vectors in memory follow the catalogue, on SQLite and on PostgreSQL."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import select

from musicfp.catalog import deletions, vectors
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import TrackRow
from musicfp.features.registry import load_builtin
from musicfp.pipeline import similar_tracks
from musicfp.pipeline.similar_tracks import SimilarTracks
from musicfp.similarity.space import ExactSpace
from tests.support.seeds import SeedTrack, seed_track
from tests.support.vectors import store_timbre, store_vectors

PLAIN = SeedTrack(tags=(), features={})


@pytest.fixture
def similar(database: Database) -> SimilarTracks:
    return SimilarTracks(database, load_builtin(()).definitions)


def _seed(database: Database, number: int, numbers: tuple[float, ...] | None, *, version: str = "1") -> str:
    track_id = seed_track(database, number, PLAIN)
    store_timbre(database, track_id, numbers, version=version)
    return track_id


def _nearest(similar: SimilarTracks, track_id: str, *, first: int = 10) -> list[str] | None:
    found = similar.nearest(similar.embeddings()["timbre"], [track_id], first=first)
    return [each.track_id for each in found[track_id]] if track_id in found else None


def _delete(database: Database, track_id: str) -> None:
    with database.exclusive() as session:
        row = session.exec(select(TrackRow).where(TrackRow.id == track_id)).one()
        deletions.delete_track(session, row, reason=None)


def test_the_nearest_come_first(similar: SimilarTracks, database: Database) -> None:
    a = _seed(database, 1, (10.0, 1.0, 0.0))
    b = _seed(database, 2, (10.0, 1.5, 0.0))
    c = _seed(database, 3, (-10.0, 0.0, 5.0))
    assert _nearest(similar, a) == [b, c]
    assert _nearest(similar, a, first=1) == [b]


def test_what_is_stored_later_is_found_by_the_next_question(similar: SimilarTracks, database: Database) -> None:
    """New tracks, new values of old ones, and values that are not there any more."""
    a, b = _seed(database, 1, (5.0,)), _seed(database, 2, (-5.0,))
    assert _nearest(similar, a) == [b]
    c = seed_track(database, 3, PLAIN)
    assert _nearest(similar, c) is None
    store_timbre(database, c, (6.0,))
    assert _nearest(similar, a) == [c, b]
    store_timbre(database, b, (5.0,))
    assert _nearest(similar, a) == [b, c]
    store_timbre(database, b, None)
    assert _nearest(similar, a) == [c]
    assert _nearest(similar, b) is None


def test_a_deleted_track_disappears(similar: SimilarTracks, database: Database) -> None:
    a, b, c = (_seed(database, number, (float(number), 1.0)) for number in (1, 2, 3))
    assert set(_nearest(similar, a) or ()) == {b, c}
    _delete(database, b)
    assert _nearest(similar, a) == [c]
    assert _nearest(similar, b) is None


def test_numbers_of_lineage_that_are_given_again_hide_nothing(
    similar: SimilarTracks, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite gives the numbers of the newest rows a second time after they were deleted with their track."""
    monkeypatch.setattr(similar_tracks, "OVERLAP_ROWS", 0)
    a, b = _seed(database, 1, (5.0, 1.0)), _seed(database, 2, (-5.0, 1.0))
    for _ in range(5):
        store_timbre(database, b, (-5.0, 1.0))
    assert _nearest(similar, a) == [b]
    _delete(database, b)
    c = _seed(database, 3, (4.0, 1.0))
    assert _nearest(similar, a) == [c]


def test_vectors_of_two_versions_are_never_compared(similar: SimilarTracks, database: Database) -> None:
    """While a new version is made the old ones go on finding each other."""
    tracks = [_seed(database, number, (float(number), 1.0)) for number in range(4)]
    assert set(_nearest(similar, tracks[0]) or ()) == set(tracks[1:])
    store_timbre(database, tracks[0], (99.0, 1.0), version="2")
    assert _nearest(similar, tracks[0]) == []
    assert set(_nearest(similar, tracks[1]) or ()) == set(tracks[2:])
    for each in tracks[1:]:
        store_timbre(database, each, (3.0, 7.0), version="2")
    assert set(_nearest(similar, tracks[0]) or ()) == set(tracks[1:])


def test_a_track_that_lacks_a_part_of_the_vector_has_none(similar: SimilarTracks, database: Database) -> None:
    a = _seed(database, 1, (5.0, 1.0))
    half = seed_track(database, 2, PLAIN)
    values: dict[str, list[float] | None] = {"timbre.mfcc_mean": [1.0] * 13, "timbre.mfcc_std": None}
    store_vectors(database, half, values, extractor="timbre", version="1")
    assert _nearest(similar, a) == []
    assert _nearest(similar, half) is None


def test_a_vector_of_another_length_is_left_out(similar: SimilarTracks, database: Database) -> None:
    a, b = _seed(database, 1, (5.0, 1.0)), _seed(database, 2, (6.0, 1.0))
    odd = seed_track(database, 3, PLAIN)
    values: dict[str, list[float] | None] = {"timbre.mfcc_mean": [1.0] * 13, "timbre.mfcc_std": [1.0] * 12}
    store_vectors(database, odd, values, extractor="timbre", version="1")
    assert _nearest(similar, a) == [b]
    assert _nearest(similar, odd) is None


def test_a_question_without_news_reads_no_vector(similar: SimilarTracks, database: Database) -> None:
    """However many tracks there are and are asked for."""
    tracks = [_seed(database, number, (float(number % 5), 1.0, float(number))) for number in range(30)]
    embedding = similar.embeddings()["timbre"]
    similar.nearest(embedding, tracks[:1], first=1)
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    found = similar.nearest(embedding, tracks, first=3)
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(found) == 30
    assert not any("feature.vector" in each for each in statements)
    assert len(statements) == 3


def test_only_embeddings_whose_features_are_computed_are_there(database: Database) -> None:
    definitions = load_builtin(()).definitions()
    without = SimilarTracks(database, lambda: [each for each in definitions if each.name != "timbre.mfcc_std"])
    assert "timbre" not in without.embeddings()
    assert "timbre" in SimilarTracks(database, lambda: definitions).embeddings()


def test_another_kind_of_space_may_take_its_place(database: Database) -> None:
    """The seam for an approximate index or one in the database."""
    made: list[int] = []

    def make(n_dimensions: int) -> ExactSpace:
        made.append(n_dimensions)
        return ExactSpace(n_dimensions)

    similar = SimilarTracks(database, load_builtin(()).definitions, make_space=make)
    a, b = _seed(database, 1, (5.0, 1.0)), _seed(database, 2, (6.0, 1.0))
    assert _nearest(similar, a) == [b]
    assert made == [26]


def test_tracks_are_read_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_TRACKS_AT_ONCE", 2)
    tracks = [_seed(database, number, (float(number), 1.0)) for number in range(5)]
    with database.read() as session:
        assert list(vectors.all_tracks(session)) == [tracks[:2], tracks[2:4], tracks[4:]]
        found = vectors.of_tracks(session, tracks, ["timbre.mfcc_std", "timbre.mfcc_mean"])
    assert [each.track_id for each in found] == tracks
    assert found[3].vector[[0, 1, 13]].tolist() == [3.0, 1.0, 3.0]
