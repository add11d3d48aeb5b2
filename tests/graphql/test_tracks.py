"""Query.track, Query.tracks and everything that hangs on a track."""

from collections.abc import Callable
from typing import Any

import pytest

from musicfp.catalog.engine import Database
from musicfp.fingerprint import codec
from tests.graphql.conftest import Api
from tests.support.seeds import SeedTrack, music, relate, seed_id, seed_track

EVERYTHING = """
fragment Everything on Track {
  id title artist album durationSeconds acceptedAt
  tags { name value }
  source { codec container bitrateBps sizeBytes durationSeconds sampleRateHz channelCount sha256 url urlExpiresAt }
  transcodes { profile codec container bitrateBps sizeBytes durationSeconds sha256 bitErrorRate createdAt
               url urlExpiresAt }
  fingerprint { encoded algorithm itemCount durationSeconds }
  feature(name: "rhythm.tempo") { value unit }
  features { name value text vector unit confidence status reason extractor version computedAt }
  related { score bitErrorRate offsetSeconds overlapSeconds relation track { id title } }
  lineage { assetKey partitionKey runId codeVersion materializedAt url }
}
"""


def test_a_track_shows_everything_that_hangs_on_it(api: Api, database: Database) -> None:
    other_id = seed_track(database, 1)
    track_id = seed_track(database, 2)
    relate(database, track_id, other_id, "CONTAINS")
    track = api.data(EVERYTHING + "query($id: ID!) { track(id: $id) { ...Everything } }", id=track_id)["track"]
    assert track["title"] == "Title 2"
    assert track["tags"] == [{"name": "title", "value": "Title"}, {"name": "genre", "value": "Ambient"}]
    assert track["source"]["url"].startswith("http://127.0.0.1:9/musicfp-sources/sources/")
    assert "X-Amz-Signature=" in track["source"]["url"]
    assert [each["profile"] for each in track["transcodes"]] == ["mp3_v0", "opus_96"]
    assert "/musicfp-transcodes/" in track["transcodes"][0]["url"]
    assert track["fingerprint"]["encoded"] == codec.encode(music(2))
    assert track["fingerprint"]["itemCount"] == music(2).n_items
    assert track["feature"] == {"value": 102.0, "unit": "bpm"}
    assert {each["name"]: each["status"] for each in track["features"]} == {"rhythm.tempo": "OK", "tonal.key": "OK"}
    assert track["related"] == [
        {
            "score": 0.5,
            "bitErrorRate": 0.2,
            "offsetSeconds": -1.5,
            "overlapSeconds": 20.0,
            "relation": "CONTAINS",
            "track": {"id": other_id, "title": "Title 1"},
        }
    ]
    assert track["lineage"][0]["url"] == "http://127.0.0.1:3999/runs/run-2"
    assert track["lineage"][0]["partitionKey"] == track_id


def test_features_are_picked_by_name_and_absent_ones_are_left_out(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    query = """query($id: ID!) { track(id: $id) {
      features(names: ["tonal.key", "no.such"]) { name text }  feature(name: "no.such") { name } } }"""
    assert api.data(query, id=track_id)["track"] == {
        "features": [{"name": "tonal.key", "text": "A"}],
        "feature": None,
    }


@pytest.mark.parametrize("track_id", [seed_id(77), "", "nonsense", "\0", "x" * 10_000, "\ud800"])
def test_an_unknown_id_is_null_and_no_error(api: Api, track_id: str) -> None:
    assert api.data("query($id: ID!) { track(id: $id) { id } submission(id: $id) { id } }", id=track_id) == {
        "track": None,
        "submission": None,
    }


def test_pages_continue_behind_a_cursor_and_new_tracks_come_last(api: Api, database: Database) -> None:
    query = """query($after: String) { tracks(first: 2, after: $after) {
      edges { node { id } cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }"""
    for number in (3, 1, 2):
        seed_track(database, number)
    first = api.data(query)["tracks"]
    assert [edge["node"]["id"] for edge in first["edges"]] == [seed_id(3), seed_id(1)]
    assert first["pageInfo"]["hasNextPage"] is True
    assert first["pageInfo"]["hasPreviousPage"] is False
    assert first["pageInfo"]["endCursor"] == first["edges"][-1]["cursor"]
    assert first["totalCount"] == 3
    seed_track(database, 0)
    second = api.data(query, after=first["pageInfo"]["endCursor"])["tracks"]
    assert [edge["node"]["id"] for edge in second["edges"]] == [seed_id(2), seed_id(0)]
    assert second["pageInfo"]["hasNextPage"] is False
    assert second["totalCount"] == 4


def test_an_empty_catalogue_is_an_empty_page(api: Api) -> None:
    assert api.data("{ tracks { edges { cursor } pageInfo { hasNextPage endCursor } totalCount } }")["tracks"] == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "totalCount": 0,
    }


def test_first_is_clamped_above_and_refused_below(api: Api, database: Database) -> None:
    for number in range(101):
        seed_track(database, number, SeedTrack(tags=(), features={}))
    page = api.data("{ tracks(first: 2000000000) { edges { cursor } } }")["tracks"]
    assert len(page["edges"]) == 100
    for first in (0, -1):
        error = api.error(f"{{ tracks(first: {first}) {{ totalCount }} }}")
        assert error["extensions"] == {"code": "INVALID_ARGUMENT", "argument": "first"}


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "é",
        "c3VibWlzc2lvbjox",
        "dHJhY2s6LTE",
        "dHJhY2s6",
        "dHJhY2s6OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
        "a" * 500,
    ],
)
def test_a_cursor_that_is_none_is_a_typed_client_error(api: Api, cursor: str) -> None:
    error = api.error("query($after: String) { tracks(after: $after) { totalCount } }", after=cursor)
    assert error["extensions"] == {"code": "INVALID_CURSOR", "argument": "after"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": "ÖSTER"}, [1]),
        ({"artist": "björk"}, [2]),
        ({"album": "100%"}, [1]),
        ({"album": "_"}, []),
        ({"text": "shoegaze"}, [2]),
        ({"text": "  "}, [1, 2, 3]),
        ({"minDurationSeconds": 100, "maxDurationSeconds": 200}, [2]),
        ({"tags": [{"name": "Genre"}]}, [2, 3]),
        ({"tags": [{"name": "genre", "value": "SHOE"}]}, [2]),
        ({"features": [{"name": "rhythm.tempo", "minValue": 90, "maxValue": 120}]}, [1]),
        ({"features": [{"name": "tonal.key", "text": "A"}]}, [2]),
        ({"features": [{"name": "tonal.key"}], "text": "zzz"}, []),
    ],
)
def test_filters_find_by_text_duration_tag_and_feature(
    api: Api, database: Database, where: dict[str, Any], expected: list[int]
) -> None:
    seed_track(database, 1, SeedTrack("Österlen", "Nils", "100% pur", 60.0, (), {"rhythm.tempo": 120.0}))
    seed_track(database, 2, SeedTrack("Song", "BJÖRK", None, 150.0, (("genre", "Shoegaze"),), {"tonal.key": "A"}))
    seed_track(database, 3, SeedTrack("Other", "Else", "Alb", 300.0, (("genre", "Pop"),), {"rhythm.tempo": 89.0}))
    query = """query($where: TrackFilter) { tracks(filter: $where) { totalCount edges { node { id } } } }"""
    found = api.data(query, where=where)["tracks"]
    assert [edge["node"]["id"] for edge in found["edges"]] == [seed_id(number) for number in expected]
    assert found["totalCount"] == len(expected)


@pytest.mark.parametrize(
    "where", [{"text": "a\0b"}, {"title": "\ud800"}, {"artist": "x" * 201}, {"tags": [{"name": "a"}] * 11}]
)
def test_a_filter_that_no_database_could_take_is_a_client_error(api: Api, where: dict[str, Any]) -> None:
    error = api.error("query($where: TrackFilter) { tracks(filter: $where) { totalCount } }", where=where)
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"


def test_a_page_of_tracks_with_everything_costs_one_statement_per_relation(
    api: Api, database: Database, counted_statements: Callable[[], Any]
) -> None:
    for number in range(20):
        seed_track(database, number)
    for number in range(1, 20):
        relate(database, seed_id(number), seed_id(number - 1))
    query = EVERYTHING + "{ tracks(first: 20) { edges { node { ...Everything } } totalCount } }"
    with counted_statements() as statements:
        edges = api.data(query)["tracks"]["edges"]
    assert len(edges) == 20
    assert sum(len(edge["node"]["related"]) for edge in edges) == 19
    # page, count, tags, transcodes, facts and items of the fingerprint, features, relations, related tracks, lineage
    assert len(statements) == 10, statements


def test_fingerprint_items_are_not_read_unless_asked_for(
    api: Api, database: Database, counted_statements: Callable[[], Any]
) -> None:
    seed_track(database, 1)
    with counted_statements() as statements:
        api.data("{ tracks { edges { node { fingerprint { itemCount algorithm durationSeconds } } } } }")
    assert not any("sub_fingerprints" in statement for statement in statements)
