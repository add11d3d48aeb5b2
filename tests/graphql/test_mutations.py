"""Mutations, and POST /upload, which is one of them."""

from typing import Any

import pytest

from musicfp.catalog import derivations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow
from tests.graphql.conftest import Api
from tests.support.seeds import seed_id, seed_submission, seed_track

REQUEST = """mutation($filename: String!, $sizeBytes: Int!) {
  requestUpload(filename: $filename, sizeBytes: $sizeBytes) { __typename
    ... on UploadTicket { submissionId url method headers { name value } expiresAt
                          parts { partNumber url sizeBytes } }
    ... on InvalidRequest { code message field } } }"""
REVIEW = """mutation($id: ID!, $accept: Boolean!, $reason: String!) {
  reviewSubmission(id: $id, accept: $accept, reason: $reason) { __typename
    ... on Submission { status problems { code message } } ... on InvalidRequest { code field } } }"""
RETRY = """mutation($id: ID!) { retrySubmission(id: $id) { __typename
    ... on Submission { status problems { code } } ... on InvalidRequest { code field } } }"""
RETRY_DERIVATIONS = """mutation($id: ID!) { retryDerivations(trackId: $id) { __typename
    ... on RetriedDerivations { track { id title } assets } ... on InvalidRequest { code field } } }"""
COMPLETE = """mutation($id: ID!, $parts: [CompletedPart!]!) {
  completeUpload(submissionId: $id, parts: $parts) { __typename
    ... on Submission { id } ... on InvalidRequest { code field } } }"""


def test_a_ticket_is_a_signed_put_for_a_key_made_here(api: Api, database: Database) -> None:
    ticket = api.data(REQUEST, filename="../../My Song.FLAC", sizeBytes=1000)["requestUpload"]
    assert ticket["method"] == "PUT"
    assert f"/musicfp-submissions/submissions/{ticket['submissionId']}.flac?" in ticket["url"]
    assert "X-Amz-Signature=" in ticket["url"]
    assert ticket["parts"] is None
    with database.read() as session:
        row = session.get(SubmissionRow, ticket["submissionId"])
        assert row is not None
        assert (row.status, row.filename, row.declared_size_bytes) == ("AWAITING_UPLOAD", "My Song.FLAC", 1000)


@pytest.mark.parametrize(
    ("filename", "size_bytes", "field"),
    [
        ("a.mp3", 0, "sizeBytes"),
        ("a.mp3", -1, "sizeBytes"),
        ("a.mp3", 2**31 - 1, "sizeBytes"),
        ("\0\ud800", 1, "filename"),
    ],
)
def test_an_upload_that_cannot_be_is_a_typed_outcome(api: Api, filename: str, size_bytes: int, field: str) -> None:
    found = api.data(REQUEST, filename=filename, sizeBytes=size_bytes)["requestUpload"]
    assert found["__typename"] == "InvalidRequest"
    assert found["field"] == field
    assert found["message"]


def test_the_store_being_away_is_named_and_not_masked(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    error = api.error(REQUEST, filename="long.wav", sizeBytes=100 << 20)  # in parts, which the store must begin
    assert error["extensions"]["code"] == "STORE_UNAVAILABLE"
    assert error["extensions"]["correlationId"] in caplog.text
    assert "127.0.0.1:9" not in error["message"]


@pytest.mark.parametrize("submission_id", ["nonsense", seed_id(5), "\0"])
def test_mutations_of_what_does_not_exist_are_typed_outcomes(api: Api, submission_id: str) -> None:
    for query, variables in (
        (COMPLETE, {"parts": [{"partNumber": 1, "etag": "x"}]}),
        (REVIEW, {"accept": True, "reason": "because"}),
        (RETRY, {}),
        (RETRY_DERIVATIONS, {}),
    ):
        (found,) = api.data(query, id=submission_id, **variables).values()
        assert found["__typename"] == "InvalidRequest"
        assert found["code"] == "not_found"


def test_a_reviewer_accepts_or_refuses(api: Api, database: Database) -> None:
    accepted, refused = seed_submission(database, 1, "NEEDS_REVIEW"), seed_submission(database, 2, "NEEDS_REVIEW")
    found = api.data(REVIEW, id=accepted, accept=True, reason="another mix")["reviewSubmission"]
    assert found == {"__typename": "Submission", "status": "RECEIVED", "problems": []}
    found = api.data(REVIEW, id=refused, accept=False, reason="a copy")["reviewSubmission"]
    assert found["status"] == "REJECTED"
    assert "a copy" in found["problems"][0]["message"]
    again = api.data(REVIEW, id=refused, accept=True, reason="after all")["reviewSubmission"]
    assert again == {"__typename": "InvalidRequest", "code": "not_in_review", "field": "id"}


def test_a_failed_submission_is_looked_at_again(api: Api, database: Database) -> None:
    failed, waiting = seed_submission(database, 1, "FAILED"), seed_submission(database, 2, "RECEIVED")
    assert api.data(RETRY, id=failed)["retrySubmission"] == {
        "__typename": "Submission",
        "status": "RECEIVED",
        "problems": [],
    }
    assert api.data(RETRY, id=waiting)["retrySubmission"]["code"] == "not_retryable"


def test_what_was_given_up_of_a_track_is_made_again(api: Api, database: Database) -> None:
    track_id = seed_track(database, 1)
    failure = Failure("source_damaged", "The source is damaged.", None)
    with database.write() as session:
        derivations.bring_up_to_date(session, {"transcode_opus_96": "1", "feature_key": "1"})
        derivations.mark_failed(session, track_id, {"transcode_opus_96": "1"}, failure)
    track = {"id": track_id, "title": "Title 1"}
    for assets in (["transcode_opus_96"], []):
        found = api.data(RETRY_DERIVATIONS, id=track_id)["retryDerivations"]
        assert found == {"__typename": "RetriedDerivations", "track": track, "assets": assets}
    with database.read() as session:
        (pending,) = derivations.pending(session, ["transcode_opus_96"], limit_tracks=9)
    assert pending.track_id == track_id


def test_post_upload_gives_the_same_ticket_as_json(api: Api) -> None:
    answer = api.request("POST", "/upload", json={"filename": "a.opus", "sizeBytes": 5, "submitter": "the choir"})
    assert answer.status_code == 201
    by_graphql = api.data(REQUEST, filename="a.opus", sizeBytes=5)["requestUpload"]
    assert answer.json().keys() == by_graphql.keys() - {"__typename"}
    assert answer.json()["headers"] == by_graphql["headers"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"[1]", 400, None),
        (b"[" * 15_000, 400, None),
        (b"\xff", 400, None),
        (b'{"sizeBytes": 1}', 400, "filename"),
        (b'{"filename": "a", "sizeBytes": true}', 400, "sizeBytes"),
        (b'{"filename": "a", "sizeBytes": 1.5}', 400, "sizeBytes"),
        (b'{"filename": "a", "sizeBytes": 0}', 422, "sizeBytes"),
        (b'{"filename": "a", "sizeBytes": 1e999}', 400, "sizeBytes"),
        (b'{"filename": "a", "sizeBytes": ' + b"9" * 100 + b"}", 422, "sizeBytes"),
        (b'{"filename": "", "sizeBytes": 1}', 422, "filename"),
        (b"x" * 20_000, 413, None),
    ],
)
def test_post_upload_answers_nonsense_with_typed_json(api: Api, body: bytes, status: int, field: str | None) -> None:
    answer = api.request("POST", "/upload", content=body, headers={"Content-Type": "application/json"})
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem.get("field")) == (status, field)
    assert problem["code"]
    assert problem["message"]


def test_post_upload_takes_only_json_which_no_foreign_page_may_send(api: Api) -> None:
    answer = api.request("POST", "/upload", content=b'{"filename": "a", "sizeBytes": 1}')
    assert answer.status_code == 415
