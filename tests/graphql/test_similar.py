"""Track.similar and Query.featureCoverage."""

from collections.abc import Callable
from typing import Any

import pytest

from graphql_api import limits
from musicfp.catalog import deletions, derivations
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import TrackRow
from musicfp.features.registry import load_builtin
from musicfp.pipeline.versions import feature_versions
from tests.graphql.conftest import Api
from tests.support.seeds import SeedTrack, seed_id, seed_track
from tests.support.vectors import store_timbre

SIMILAR = """query($id: ID!, $first: Int!, $by: String! = "timbre") {
  track(id: $id) { similar(first: $first, by: $by) { distance track { id title } } } }"""


def _seed(database: Database, number: int, *numbers: float) -> str:
    track_id = seed_track(database, number, SeedTrack(f"Title {number}", tags=(), features={}))
    if numbers:
        store_timbre(database, track_id, numbers)
    return track_id


def test_similar_tracks_are_the_nearest_first(api: Api, database: Database) -> None:
    asked, near, far = _seed(database, 1, 9.0, 1.0), _seed(database, 2, 9.0, 1.2), _seed(database, 3, -9.0, 4.0)
    found = api.data(SIMILAR, id=asked, first=10)["track"]["similar"]
    assert [each["track"] for each in found] == [{"id": near, "title": "Title 2"}, {"id": far, "title": "Title 3"}]
    assert 0 <= found[0]["distance"] < 0.5
    assert 1 < found[1]["distance"] <= 2
    assert len(api.data(SIMILAR, id=asked, first=1)["track"]["similar"]) == 1


def test_a_track_without_the_vector_has_none_and_is_none(api: Api, database: Database) -> None:
    """Right after it was accepted, say; the feature itself tells why when it is there."""
    asked, other, new = _seed(database, 1, 9.0, 1.0), _seed(database, 2, 8.0, 1.0), _seed(database, 3)
    assert api.data(SIMILAR, id=new, first=10)["track"]["similar"] == []
    store_timbre(database, new, None)
    assert api.data(SIMILAR, id=new, first=10)["track"]["similar"] == []
    assert [each["track"]["id"] for each in api.data(SIMILAR, id=asked, first=9)["track"]["similar"]] == [other]
    reason = api.data('query($id: ID!) { track(id: $id) { feature(name: "timbre.mfcc_mean") { reason } } }', id=new)
    assert reason["track"]["feature"] == {"reason": "silent"}


def test_a_deleted_track_is_similar_to_nothing(api: Api, database: Database) -> None:
    asked, gone, other = (_seed(database, number, float(number), 1.0) for number in (1, 2, 3))
    api.data(SIMILAR, id=asked, first=10)
    with database.exclusive() as session:
        row = session.get(TrackRow, 2)
        assert row is not None
        assert row.id == gone
        deletions.delete_track(session, row, reason=None)
    assert [each["track"]["id"] for each in api.data(SIMILAR, id=asked, first=10)["track"]["similar"]] == [other]


def test_a_page_of_tracks_with_their_neighbours_is_one_search(
    api: Api, database: Database, counted_statements: Callable[[], Any]
) -> None:
    """And one statement for the tracks that are found, however many ask."""
    for number in range(60):
        _seed(database, number, float(number % 7), 1.0, float(number))
    query = "{ tracks(first: 50) { edges { node { id similar(first: 3) { distance track { id } } } } } }"
    api.data(query)
    with counted_statements() as statements:
        edges = api.data(query)["tracks"]["edges"]
    assert [len(edge["node"]["similar"]) for edge in edges] == [3] * 50
    # the page; deletions, newest change and changes; the tracks found
    assert len(statements) == 5, statements


@pytest.mark.parametrize(
    ("variables", "argument", "words"),
    [
        ({"first": 0}, "first", "ask for 1 to 100"),
        ({"first": 101}, "first", "ask for 1 to 100"),
        ({"first": 1, "by": "nonsense"}, "by", "embeddings here are timbre"),
        ({"first": 1, "by": "x" * 10_000}, "by", "xxx"),
        ({"first": 1, "by": ""}, "by", "embeddings here are"),
    ],
)
def test_what_cannot_be_asked_is_a_client_error(
    api: Api, database: Database, variables: dict[str, Any], argument: str, words: str
) -> None:
    error = api.error(SIMILAR, id=_seed(database, 1, 1.0), **variables)
    assert error["extensions"] == {"code": "INVALID_ARGUMENT", "argument": argument}
    assert words in error["message"]
    assert len(error["message"]) < 500


def test_neighbours_of_neighbours_are_bounded_for_the_request(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        _seed(database, number, float(number), 1.0)
    monkeypatch.setattr("graphql_api.types.tracks.MAX_SIMILAR_TRACKS_OF_A_REQUEST", 100)
    query = "query($first: Int!) { tracks(first: 10) { edges { node { similar(first: $first) { distance } } } } }"
    assert len(api.data(query, first=10)["tracks"]["edges"]) == 10
    answer = api.graphql(query, first=11)
    assert {each["extensions"]["code"] for each in answer["errors"]} == {"INVALID_ARGUMENT"}
    assert limits.MAX_SIMILAR_TRACKS_OF_A_REQUEST >= 50 * limits.MAX_SIMILAR_TRACKS


def test_definitions_say_what_they_read_and_cost(api: Api) -> None:
    query = "{ featureDefinitions { name inputs costSecondsPerMinute models } }"
    by_name = {each["name"]: each for each in api.data(query)["featureDefinitions"]}
    timbre = by_name["timbre.mfcc_mean"]
    assert timbre["inputs"] == ["loudness_ebu128", "spectra"]
    assert 0 < timbre["costSecondsPerMinute"] < 0.2
    assert timbre["models"] == []


def test_coverage_counts_what_is_done_waits_and_is_older(api: Api, database: Database) -> None:
    versions = feature_versions(load_builtin(()))
    older = versions | {"feature_timbre": "0"}
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, older)
    for number in range(4):
        _seed(database, number)
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, {})
        derivations.bring_up_to_date(session, older)
        for number in range(3):
            derivations.mark_done(session, {seed_id(number): {"feature_timbre": "0"}})
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)
        derivations.mark_done(session, {seed_id(0): {"feature_timbre": versions["feature_timbre"]}})
        gone = derivations.Failure("gone", "It is gone.", None)
        derivations.mark_failed(session, seed_id(1), {"feature_timbre": versions["feature_timbre"]}, gone)
    query = """{ featureCoverage { extractor version trackCount doneCount pendingCount failedCount outdatedCount share
                 versions { version trackCount } } }"""
    by_extractor = {each["extractor"]: each for each in api.data(query)["featureCoverage"]}
    assert list(by_extractor) == [asset.removeprefix("feature_") for asset in versions]
    assert by_extractor["timbre"] == {
        "extractor": "timbre",
        "version": versions["feature_timbre"],
        "trackCount": 4,
        "doneCount": 1,
        "pendingCount": 2,
        "failedCount": 1,
        "outdatedCount": 2,
        "share": 0.25,
        "versions": [{"version": versions["feature_timbre"], "trackCount": 1}, {"version": "0", "trackCount": 2}],
    }
    assert by_extractor["duration"]["pendingCount"] == 4
    assert by_extractor["duration"]["versions"] == []
