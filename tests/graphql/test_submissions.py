"""Query.submission and Query.submissions."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

from graphql_api.readiness import Readiness
from musicfp.catalog import submissions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow, TrackRow
from tests.graphql.conftest import Api
from tests.support.seeds import EPOCH, seed_duplicate, seed_id, seed_problems, seed_submission, seed_track

ONE = """query($id: ID!) { submission(id: $id) {
  id status filename sizeBytes createdAt receivedAt decidedAt
  problems { code message field } track { id title }
  duplicateOf { track { id title } score bitErrorRate offsetSeconds overlapSeconds relation }
  verdict { outcome reason policyVersion decidedAt match { relation } }
  lineage { assetKey }
} }"""


def test_a_duplicate_says_of_what_where_and_how_sure(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    found = api.data(ONE, id=seed_duplicate(database, 2, track_id))["submission"]
    assert found["status"] == "DUPLICATE"
    assert found["track"] is None
    assert found["duplicateOf"] == {
        "track": {"id": track_id, "title": "Title 1"},
        "score": 0.93,
        "bitErrorRate": 0.04,
        "offsetSeconds": 12.5,
        "overlapSeconds": 31.0,
        "relation": "EXCERPT",
    }
    assert found["verdict"]["outcome"] == "DUPLICATE"
    assert found["verdict"]["match"] == {"relation": "EXCERPT"}


def test_the_same_file_overlaps_the_whole_track(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    submission_id = seed_duplicate(database, 2, track_id, relation="SAME_FILE")
    assert api.data(ONE, id=submission_id)["submission"]["duplicateOf"]["overlapSeconds"] == 60.0


def test_a_duplicate_of_a_track_that_is_gone_has_no_match_and_no_error(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    submission_id = seed_duplicate(database, 2, track_id)
    with database.write() as session:
        session.execute(delete(TrackRow).where(TrackRow.id == track_id))  # type: ignore[arg-type]
    found = api.data(ONE, id=submission_id)["submission"]
    assert found["duplicateOf"] is None
    assert found["verdict"]["match"] is None


def test_an_accepted_submission_shows_its_track_and_lineage(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    found = api.data(ONE, id=track_id)["submission"]
    assert found["track"] == {"id": track_id, "title": "Title 1"}
    assert found["lineage"] == [{"assetKey": "fingerprint"}]
    assert found["duplicateOf"] is None


def test_problems_come_in_the_order_in_which_they_were_found(api: Api, database: Database) -> None:
    submission_id = seed_submission(database, 1, "REJECTED")
    seed_problems(database, submission_id, "too_short", "missing_title")
    found = api.data(ONE, id=submission_id)["submission"]
    assert [each["code"] for each in found["problems"]] == ["too_short", "missing_title"]


def test_pages_are_newest_first_and_filtered_by_status(api: Api, database: Database) -> None:
    for number in range(5):
        seed_submission(database, number, "REJECTED" if number % 2 else "RECEIVED")
    query = """query($after: String, $status: SubmissionStatus) {
      submissions(first: 2, after: $after, status: $status) {
        edges { node { id } } pageInfo { hasNextPage endCursor } totalCount } }"""
    first = api.data(query, status="RECEIVED")["submissions"]
    assert [edge["node"]["id"] for edge in first["edges"]] == [seed_id(4), seed_id(2)]
    assert first["totalCount"] == 3
    seed_submission(database, 9, "RECEIVED")
    rest = api.data(query, status="RECEIVED", after=first["pageInfo"]["endCursor"])["submissions"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == [seed_id(0)]
    assert rest["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize("cursor", ["", "dHJhY2s6MQ", "c3VibWlzc2lvbjpub25zZW5zZQ", "\0"])
def test_a_cursor_of_another_list_is_refused(api: Api, cursor: str) -> None:
    error = api.error("query($after: String) { submissions(after: $after) { totalCount } }", after=cursor)
    assert error["extensions"]["code"] == "INVALID_CURSOR"


def test_a_page_of_submissions_costs_one_statement_per_relation(
    api: Api, database: Database, counted_statements: Callable[[], Any]
) -> None:
    track_id = seed_track(database, 0)
    for number in range(1, 21):
        seed_problems(database, seed_duplicate(database, number, track_id), "x")
    query = """{ submissions { edges { node { id problems { code } track { id } lineage { runId }
      duplicateOf { track { id tags { name } } } verdict { reason match { track { id } } } } } } }"""
    with counted_statements() as statements:
        assert len(api.data(query)["submissions"]["edges"]) == 21
    # page, problems, lineage, verdicts, tracks, tags
    assert len(statements) == 6, statements


WAITING = "query($id: ID!) { submission(id: $id) { submitter waiting { code message until ahead } } }"


def _all_parts_work(monkeypatch: pytest.MonkeyPatch, problems: dict[str, str | None]) -> None:
    async def check(_self: Readiness) -> dict[str, str | None]:
        return problems

    monkeypatch.setattr(Readiness, "check", check)


def test_what_waits_says_for_what(api: Api, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn, with the number of those before it; another attempt, with date and cause; its file."""
    _all_parts_work(monkeypatch, {})
    heap = [seed_submission(database, number) for number in (1, 2, 3)]
    mine = seed_submission(database, 4)
    later, awaited = seed_submission(database, 5), seed_submission(database, 6, "AWAITING_UPLOAD")
    with database.write() as session:
        for submission_id in heap:
            session.get_one(SubmissionRow, submission_id).submitter = "heap"
        submissions.try_again_later(
            session, session.get_one(SubmissionRow, later), due_at=EPOCH.replace(year=2099), reason="It was busy."
        )
    found = {each: api.data(WAITING, id=each)["submission"] for each in (*heap, mine, later, awaited)}
    assert [found[each]["waiting"]["ahead"] for each in (heap[0], mine, heap[1], heap[2])] == [0, 1, 2, 3]
    assert {found[each]["waiting"]["code"] for each in (*heap, mine)} == {"QUEUED"}
    assert (found[heap[0]]["submitter"], found[mine]["submitter"]) == ("heap", None)
    assert found[later]["waiting"]["code"] == "PUT_OFF"
    assert "It was busy." in found[later]["waiting"]["message"]
    assert found[later]["waiting"]["until"].startswith("2099")
    assert found[awaited]["waiting"]["code"] == "UPLOAD"
    assert api.data(WAITING, id=seed_submission(database, 7, "REJECTED"))["submission"]["waiting"] is None


def test_a_part_that_does_not_work_is_named_by_what_waits_for_it(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words as in /readyz; a search index that is being built delays nobody."""
    submission_id = seed_submission(database, 1)
    _all_parts_work(monkeypatch, {"searchIndex": "is built", "disk": None, "objectStore": "does not answer"})
    waiting = api.data(WAITING, id=submission_id)["submission"]["waiting"]
    assert waiting["code"] == "PAUSED"
    assert waiting["message"].endswith("objectStore does not answer")
    _all_parts_work(monkeypatch, {"searchIndex": "is built", "disk": None})
    assert api.data(WAITING, id=submission_id)["submission"]["waiting"]["code"] == "QUEUED"


def test_the_place_of_all_that_wait_is_asked_for_once(
    api: Api,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    counted_statements: Callable[[], Any],
) -> None:
    """One query for a page, whatever its length; clients follow thousands of uploads."""
    _all_parts_work(monkeypatch, {})
    for number in range(30):
        seed_submission(database, number)
    with counted_statements() as statements:
        page = api.data("{ submissions { edges { node { waiting { ahead } } } } }")["submissions"]["edges"]
    assert sorted(edge["node"]["waiting"]["ahead"] for edge in page) == list(range(30))
    assert sum("row_number" in each for each in statements) == 1
