"""Backfills: the documents against Dagster's own schema, and what is made of its answers."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from musicfp.client import dagster
from musicfp.client.dagster import BackfillState, assets_by_name, follow_backfill, launch_backfill
from musicfp.errors import InvalidRequest, RequestFailed
from musicfp.settings import Settings

SETTINGS = Settings.from_env({"MUSICFP_DAGSTER_PORT": "3123"})
GROUPS = {
    "feature_tempo": "derive",
    "fingerprint": "ingest",
    "fingerprint_300_3400": "derive",
    "feature_key": "derive",
}
ASSETS = {"assetNodes": [{"assetKey": {"path": [name]}, "groupName": group} for name, group in GROUPS.items()]}


class Webserver:
    """Answers each operation with the next of its list, the last for ever."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.variables: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        body = json.loads(request.content)
        self.variables.append(body["variables"])
        for field, answers in self.answers.items():
            if field in body["query"]:
                return httpx.Response(200, json={"data": {field: answers[0] if len(answers) == 1 else answers.pop(0)}})
        raise AssertionError(body["query"])


@pytest.fixture
def connect() -> Callable[[Webserver], dagster.Service]:
    return lambda webserver: dagster.open_dagster(SETTINGS, transport=httpx.MockTransport(webserver))


def backfill(status: str, *, counts: tuple[int, int, int] | None = None, error: str | None = None) -> dict[str, Any]:
    names = ("numPartitionsTargeted", "numPartitionsMaterialized", "numPartitionsFailed")
    statuses = [dict(zip(names, counts, strict=True))] if counts else []
    return {
        "__typename": "PartitionBackfill",
        "status": status,
        "error": {"message": error} if error else None,
        "assetBackfillData": {"assetBackfillStatuses": statuses} if counts else None,
    }


@pytest.mark.parametrize("document", [dagster._ASSETS, dagster._LAUNCH, dagster._FOLLOW])
def test_documents_are_valid_for_the_installed_dagster(document: str) -> None:
    assert validate(create_schema().graphql_schema, parse(document)) == []


def test_what_tracks_have_can_be_asked_for_and_nothing_else(connect: Callable[[Webserver], dagster.Service]) -> None:
    assert assets_by_name(connect(Webserver(assetNodes=[ASSETS["assetNodes"]]))) == {
        "key": "feature_key",
        "tempo": "feature_tempo",
        "fingerprint_300_3400": "fingerprint_300_3400",
    }


@pytest.mark.parametrize(
    ("name", "asset"), [("tempo", "feature_tempo"), ("fingerprint_300_3400", "fingerprint_300_3400")]
)
def test_a_launch_names_the_asset_and_all_partitions(
    name: str, asset: str, connect: Callable[[Webserver], dagster.Service]
) -> None:
    webserver = Webserver(assetNodes=[ASSETS["assetNodes"]], launchPartitionBackfill=[{"backfillId": "abc"}])
    assert launch_backfill(connect(webserver), name) == "abc"
    params = webserver.variables[-1]["params"]
    assert params["assetSelection"] == [{"path": [asset]}]
    assert params["allPartitions"] is True


def test_a_wrong_name_is_answered_with_the_right_ones(connect: Callable[[Webserver], dagster.Service]) -> None:
    webserver = Webserver(assetNodes=[ASSETS["assetNodes"]])
    with pytest.raises(InvalidRequest, match=r"no fingerprint .* Known are: key, tempo, fingerprint_300_3400\."):
        launch_backfill(connect(webserver), "fingerprint")


def test_a_refused_launch_says_why(connect: Callable[[Webserver], dagster.Service]) -> None:
    refusal = {"__typename": "PythonError", "message": "no partitions\n"}
    webserver = Webserver(assetNodes=[ASSETS["assetNodes"]], launchPartitionBackfill=[refusal])
    with pytest.raises(RequestFailed, match=r"tempo: no partitions$"):
        launch_backfill(connect(webserver), "tempo")


def test_following_reports_each_state_until_the_end(connect: Callable[[Webserver], dagster.Service]) -> None:
    states = [
        backfill("REQUESTED"),
        backfill("REQUESTED", counts=(5, 2, 0)),
        backfill("COMPLETED_SUCCESS", counts=(5, 5, 0)),
    ]
    seen: list[BackfillState] = []
    pauses: list[float] = []
    webserver = connect(Webserver(partitionBackfillOrError=states))
    last = follow_backfill(webserver, "abc", on_state=seen.append, pause=pauses.append)
    assert [(state.n_done, state.n_targeted) for state in seen] == [(0, 0), (2, 5), (5, 5)]
    assert last.ok
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (backfill("COMPLETED_SUCCESS", counts=(3, 3, 0)), True),
        (backfill("COMPLETED_FAILED", counts=(3, 2, 1)), False),
        (backfill("FAILED", error="the code location did not load"), False),
        (backfill("CANCELED", counts=(3, 1, 0)), False),
    ],
)
def test_only_a_backfill_without_failures_is_ok(
    answer: dict[str, Any], ok: bool, connect: Callable[[Webserver], dagster.Service]
) -> None:
    last = follow_backfill(connect(Webserver(partitionBackfillOrError=[answer])), "abc", on_state=lambda _state: None)
    assert last.is_finished
    assert last.ok is ok
    assert last.error == ("the code location did not load" if answer["error"] else None)
