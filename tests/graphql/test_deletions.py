"""Deleting tracks through the API, and what it says of them and of their submissions afterwards."""

import pytest
from sqlalchemy import delete

from musicfp.catalog import deletions
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import DeletionRow, FingerprintRow
from musicfp.fingerprint import codec
from tests.graphql.conftest import Api
from tests.support.seeds import music, relate, seed_duplicate, seed_id, seed_submission, seed_track

DELETION = "{ trackId reason requestedAt finishedAt runId removed { kind count sizeBytes } }"
DELETE = f"""mutation($id: ID!, $reason: String) {{
  deleteTrack(id: $id, reason: $reason) {{ __typename
    ... on TrackDeletion {DELETION} ... on InvalidRequest {{ code message field }} }} }}"""
STATE = f"query($id: ID!) {{ trackDeletion(id: $id) {DELETION} }}"
SUBMISSION = """query($id: ID!) { submission(id: $id) { status track { id } duplicateOf { track { id } }
  verdict { outcome reason match { track { id } } } trackDeletion { trackId reason } lineage { assetKey } } }"""
EVERYWHERE = """query($id: ID!, $fingerprint: String!) {
  track(id: $id) { id } tracks { totalCount edges { node { id related { track { id } } } } }
  searchByFingerprint(fingerprint: $fingerprint) { ... on SearchMatches { matches { track { id } } } } }"""


def test_a_deleted_track_is_gone_from_every_answer_at_once(api: Api, database: Database) -> None:
    gone, kept = seed_track(database, 1), seed_track(database, 2)
    relate(database, kept, gone)
    asked = {"id": gone, "fingerprint": codec.encode(music(1))}
    before = api.data(EVERYWHERE, **asked)
    assert [match["track"]["id"] for match in before["searchByFingerprint"]["matches"]] == [gone]
    deletion = api.data(DELETE, id=gone, reason="asked for")["deleteTrack"]
    assert (deletion["__typename"], deletion["trackId"], deletion["reason"]) == ("TrackDeletion", gone, "asked for")
    assert (deletion["finishedAt"], deletion["runId"]) == (None, None)
    counts = {each["kind"]: each["count"] for each in deletion["removed"]}
    assert (counts["track"], counts["transcodes"], counts["relations"]) == (1, 2, 1)
    assert counts["postings"] > 0
    after = api.data(EVERYWHERE, **asked)
    assert after["track"] is None
    assert after["tracks"] == {"totalCount": 1, "edges": [{"node": {"id": kept, "related": []}}]}
    assert after["searchByFingerprint"]["matches"] == []


def test_submissions_say_that_their_track_is_gone(api: Api, database: Database) -> None:
    """They keep status and verdict; those of other tracks say nothing of the kind."""
    gone, kept = seed_track(database, 1), seed_track(database, 2)
    copy, same_file, other = (
        seed_duplicate(database, 3, gone),
        seed_duplicate(database, 4, gone, relation="SAME_FILE"),
        seed_duplicate(database, 5, kept),
    )
    assert api.data(SUBMISSION, id=copy)["submission"]["trackDeletion"] is None
    api.data(DELETE, id=gone, reason="a wish")
    told = {"trackId": gone, "reason": "a wish"}
    found = api.data(SUBMISSION, id=gone)["submission"]
    assert (found["status"], found["track"], found["trackDeletion"], found["lineage"]) == ("ACCEPTED", None, told, [])
    for submission_id in (copy, same_file):
        found = api.data(SUBMISSION, id=submission_id)["submission"]
        assert (found["status"], found["duplicateOf"], found["trackDeletion"]) == ("DUPLICATE", None, told)
        assert found["verdict"] == {"outcome": "DUPLICATE", "reason": "This is a part of a track.", "match": None}
    found = api.data(SUBMISSION, id=other)["submission"]
    assert (found["duplicateOf"], found["trackDeletion"]) == ({"track": {"id": kept}}, None)


def test_how_far_a_deletion_is_can_be_asked(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    assert api.data(STATE, id=track_id)["trackDeletion"] is None
    first = api.data(DELETE, id=track_id)["deleteTrack"]
    del first["__typename"]
    assert api.data(STATE, id=track_id)["trackDeletion"] == first
    objects = [
        {"kind": "source_object", "key": "a", "size_bytes": 5 << 30},
        {"kind": "transcode_objects", "key": "b", "size_bytes": 2},
        {"kind": "transcode_objects", "key": "c", "size_bytes": 3},
    ]
    with database.write() as session:
        deletions.note_found(session, track_id, objects=objects, records={"dagster_events": 4}, run_id="r")
        deletions.finish(session, track_id)
    again = api.data(DELETE, id=track_id, reason="again")["deleteTrack"]
    assert (again["reason"], again["runId"]) == (None, "r")
    assert again["finishedAt"] is not None
    removed = {each["kind"]: (each["count"], each["sizeBytes"]) for each in again["removed"]}
    assert removed["source_object"] == (1, float(5 << 30))
    assert removed["transcode_objects"] == (2, 5)
    assert (removed["upload_object"], removed["dagster_events"]) == ((0, 0), (4, None))


@pytest.mark.parametrize("track_id", ["nonsense", seed_id(9), "\0", ""])
def test_what_is_no_track_cannot_be_deleted(api: Api, database: Database, track_id: str) -> None:
    seed_submission(database, 9, "REJECTED")
    found = api.data(DELETE, id=track_id)["deleteTrack"]
    assert (found["__typename"], found["code"], found["field"]) == ("InvalidRequest", "not_found", "id")
    assert api.data(STATE, id=track_id)["trackDeletion"] is None
    with database.read() as session:
        assert session.get(DeletionRow, seed_id(9)) is None


def test_a_track_that_goes_while_it_is_read_is_named_and_not_masked(api: Api, database: Database) -> None:
    """Its title was there, its fingerprint is not: neither a bug of ours nor one of the client's."""
    track_id = seed_track(database, 1)
    with database.write() as session:
        session.exec(delete(FingerprintRow))
    error = api.error("query($id: ID!) { track(id: $id) { fingerprint { itemCount } } }", id=track_id)
    assert error["extensions"]["code"] == "TRACK_DELETED"
    assert track_id in error["message"]
