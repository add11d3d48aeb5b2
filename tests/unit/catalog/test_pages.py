"""Keyset pages, filters and counts, and the relations of many rows at a time."""

import pytest
from sqlalchemy import delete

from musicfp.catalog import pages, relations
from musicfp.catalog.engine import Database
from musicfp.catalog.pages import FeatureCondition, TagCondition, TrackConditions
from musicfp.catalog.tables import TrackRow
from tests.support.seeds import (
    SeedTrack,
    music,
    relate,
    seed_duplicate,
    seed_id,
    seed_problems,
    seed_submission,
    seed_track,
)


def all_track_ids(database: Database, *, limit: int) -> list[str]:
    """Walk through all pages."""
    ids: list[str] = []
    after: int | None = None
    while True:
        with database.read() as session:
            page = pages.tracks_page(session, after_ordinal=after, limit=limit)
        ids += [row.id for row in page.rows]
        if not page.has_next:
            return ids
        after = page.rows[-1].ordinal


def found_ids(database: Database, conditions: TrackConditions) -> list[str]:
    """Return the ids that fulfil the conditions, and check that the count agrees."""
    with database.read() as session:
        rows = pages.tracks_page(session, after_ordinal=None, limit=100, conditions=conditions).rows
        assert pages.count_tracks(session, conditions=conditions) == len(rows)
    return [row.id for row in rows]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_of_any_size_give_every_track_once_in_order_of_acceptance(database: Database, limit: int) -> None:
    order = [5, 2, 6, 0, 3, 1, 4]
    for number in order:
        seed_track(database, number)
    assert all_track_ids(database, limit=limit) == [seed_id(number) for number in order]


def test_deleting_the_row_of_a_cursor_loses_and_repeats_nothing(database: Database) -> None:
    for number in range(4):
        seed_track(database, number)
    with database.read() as session:
        first = pages.tracks_page(session, after_ordinal=None, limit=2)
    with database.write() as session:
        session.execute(delete(TrackRow).where(TrackRow.id == seed_id(1)))  # type: ignore[arg-type]
    with database.read() as session:
        second = pages.tracks_page(session, after_ordinal=first.rows[-1].ordinal, limit=2)
    assert [row.id for row in second.rows] == [seed_id(2), seed_id(3)]
    assert not second.has_next


def test_submissions_come_newest_first_and_by_status(database: Database) -> None:
    for number in range(5):
        seed_submission(database, number, "FAILED" if number == 2 else "RECEIVED")
    with database.read() as session:
        page = pages.submissions_page(session, after_id=seed_id(3), limit=2)
        assert [row.id for row in page.rows] == [seed_id(2), seed_id(1)]
        assert page.has_next
        failed = pages.submissions_page(session, after_id=None, limit=9, status="FAILED")
        assert [row.id for row in failed.rows] == [seed_id(2)]
        assert pages.count_submissions(session) == 5
        assert pages.count_submissions(session, status="FAILED") == 1
        assert pages.count_submissions_by_status(session) == {"FAILED": 1, "RECEIVED": 4}


@pytest.mark.parametrize("sought", ["Straße", "ABBA%", "a_b", "'; DROP TABLE track; --", "\\"])
def test_text_is_found_literally(database: Database, sought: str) -> None:
    seed_track(database, 1, SeedTrack(title=f"before {sought} after"))
    seed_track(database, 2, SeedTrack(title="something else"))
    assert found_ids(database, TrackConditions(title=sought)) == [seed_id(1)]


@pytest.mark.parametrize(("stored", "sought"), [("ÉTUDE", "étude"), ("étude", "ÉTUDE"), ("Жизнь", "жИЗНЬ"), ("A", "a")])
def test_case_does_not_matter_in_any_alphabet(database: Database, stored: str, sought: str) -> None:
    seed_track(database, 1, SeedTrack(artist=stored, tags=(("composer", stored),)))
    assert found_ids(database, TrackConditions(artist=sought)) == [seed_id(1)]
    assert found_ids(database, TrackConditions(tags=[TagCondition("Composer", sought)])) == [seed_id(1)]
    assert found_ids(database, TrackConditions(text=sought)) == [seed_id(1)]


def test_text_is_looked_for_in_title_artist_album_and_tags(database: Database) -> None:
    seed_track(database, 1, SeedTrack(title="xyz"))
    seed_track(database, 2, SeedTrack(artist="xyz"))
    seed_track(database, 3, SeedTrack(album="xyz"))
    seed_track(database, 4, SeedTrack(album=None, tags=(("comment", "an xyz comment"),)))
    seed_track(database, 5, SeedTrack(album=None))
    assert found_ids(database, TrackConditions(text="xyz")) == [seed_id(number) for number in (1, 2, 3, 4)]


def test_all_conditions_must_hold(database: Database) -> None:
    seed_track(database, 1, SeedTrack(duration_s=50, features={"rhythm.tempo": 120.0, "tonal.key": "C"}))
    seed_track(database, 2, SeedTrack(duration_s=60, features={"rhythm.tempo": 120.0, "tonal.key": "D"}))
    tempo = FeatureCondition("rhythm.tempo", min_value=120, max_value=120)
    assert found_ids(database, TrackConditions(features=[tempo])) == [seed_id(1), seed_id(2)]
    assert found_ids(database, TrackConditions(features=[tempo, FeatureCondition("tonal.key", text="D")])) == [
        seed_id(2)
    ]
    assert found_ids(database, TrackConditions(features=[tempo], max_duration_s=50)) == [seed_id(1)]
    assert found_ids(database, TrackConditions(features=[FeatureCondition("tonal.key", min_value=0)])) == []


def test_relations_are_loaded_for_many_ids_and_absent_ones_are_left_out(database: Database) -> None:
    first, second, absent = seed_track(database, 1), seed_track(database, 2), seed_id(3)
    relate(database, second, first)
    ids = [first, second, absent]
    with database.read() as session:
        assert set(relations.tracks(session, ids)) == {first, second}
        assert [tag.name for tag in relations.tags(session, ids)[first]] == ["title", "genre"]
        assert [each.profile for each in relations.transcodes(session, ids)[second]] == ["mp3_v0", "opus_96"]
        assert [each.name for each in relations.features(session, ids)[first]] == ["rhythm.tempo", "tonal.key"]
        assert {key: len(rows) for key, rows in relations.related(session, ids).items()} == {second: 1}
        assert {key: len(rows) for key, rows in relations.materializations(session, ids).items()} == {
            first: 1,
            second: 1,
        }
        assert relations.fingerprint_facts(session, ids)[first].n_items == music(1).n_items
        assert relations.fingerprints(session, ids)[second].sub_fingerprints == music(2).to_bytes()
        assert absent not in relations.fingerprint_facts(session, ids)


def test_problems_and_verdicts_belong_to_submissions(database: Database) -> None:
    duplicate = seed_duplicate(database, 2, seed_track(database, 1))
    rejected = seed_submission(database, 3, "REJECTED")
    seed_problems(database, rejected, "b", "a")
    with database.read() as session:
        assert [row.code for row in relations.problems(session, [duplicate, rejected])[rejected]] == ["b", "a"]
        assert relations.verdicts(session, [duplicate, rejected])[duplicate].matched_track_id == seed_id(1)


def test_nothing_asked_is_nothing_answered(database: Database) -> None:
    with database.read() as session:
        assert relations.tracks(session, []) == {}
        assert relations.tags(session, []) == {}
