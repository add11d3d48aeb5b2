"""Query.searchByFingerprint and POST /identify with a fingerprint."""

import anyio
import httpx
import pytest

from musicfp.catalog.engine import Database
from musicfp.fingerprint import codec
from musicfp.fingerprint.model import ITEM_DURATION_S, Fingerprint
from musicfp.pipeline.recognition import Identification, Recogniser
from tests.graphql.conftest import Api
from tests.support.seeds import music, seed_id, seed_track

SEARCH = """query($fingerprint: String!, $limit: Int = 10, $minScore: Float) {
  searchByFingerprint(fingerprint: $fingerprint, limit: $limit, minScore: $minScore) {
    ... on SearchMatches { candidatesExamined tookMs
      matches { track { id title artist album durationSeconds }
                score bitErrorRate offsetSeconds overlapSeconds relation } }
    ... on InvalidFingerprint { code message }
  } }"""


def clip(number: int, start: int, n_items: int) -> str:
    """Return the text of a piece of a seeded track's fingerprint."""
    return codec.encode(Fingerprint.of_items(music(number).sub_fingerprints[start : start + n_items]))


def test_a_clip_is_found_with_its_place_in_the_track(api: Api, database: Database) -> None:
    for number in range(3):
        seed_track(database, number)
    found = api.data(SEARCH, fingerprint=clip(1, 200, 120))["searchByFingerprint"]
    assert [match["track"]["id"] for match in found["matches"]] == [seed_id(1)]
    match = found["matches"][0]
    assert match["relation"] == "EXCERPT"
    assert match["offsetSeconds"] == pytest.approx(200 * ITEM_DURATION_S, abs=ITEM_DURATION_S)
    assert match["overlapSeconds"] == pytest.approx(120 * ITEM_DURATION_S, abs=1)
    assert match["bitErrorRate"] < 0.01
    assert found["candidatesExamined"] > 0
    assert found["tookMs"] > 0


def test_what_is_not_in_the_catalogue_gives_an_empty_list(api: Api, database: Database) -> None:
    seed_track(database, 1)
    assert api.data(SEARCH, fingerprint=codec.encode(music(99)))["searchByFingerprint"]["matches"] == []


def test_an_empty_catalogue_gives_an_empty_list(api: Api) -> None:
    assert api.data(SEARCH, fingerprint=codec.encode(music(1)))["searchByFingerprint"]["matches"] == []


def test_a_track_accepted_after_the_first_search_is_found_by_the_next(api: Api, database: Database) -> None:
    assert api.data(SEARCH, fingerprint=clip(7, 0, 120))["searchByFingerprint"]["matches"] == []
    seed_track(database, 7)
    assert len(api.data(SEARCH, fingerprint=clip(7, 0, 120))["searchByFingerprint"]["matches"]) == 1


@pytest.mark.parametrize("text", ["", "nonsense!", "AQ", "\0", "\ud800", "A" * 1_000_000])
def test_a_text_that_is_no_fingerprint_is_a_typed_outcome(api: Api, text: str) -> None:
    found = api.data(SEARCH, fingerprint=text)["searchByFingerprint"]
    assert found["code"] == "invalid_fingerprint"
    assert found["message"]


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("limit", 101), ("minScore", -0.1), ("minScore", 1.5)])
def test_bounds_that_make_no_sense_are_client_errors(api: Api, name: str, value: float) -> None:
    error = api.error(SEARCH, **{"fingerprint": codec.encode(music(1)), name: value})
    assert error["extensions"] == {"code": "INVALID_ARGUMENT", "argument": name}


def test_identify_with_text_answers_what_graphql_answers(api: Api, database: Database) -> None:
    seed_track(database, 1)
    text = clip(1, 100, 200)
    by_graphql = api.data(SEARCH, fingerprint=text)["searchByFingerprint"]
    for content_type in ("text/plain", "application/octet-stream", "application/x-www-form-urlencoded"):
        answer = api.request("POST", "/identify", content=text + "\n", headers={"Content-Type": content_type})
        assert answer.status_code == 200
        assert answer.json()["matches"] == by_graphql["matches"]
        assert answer.json().keys() == by_graphql.keys()


def test_a_slow_search_does_not_delay_other_requests(
    api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_track(database, 1)
    began, may_end = anyio.Event(), False
    original = Recogniser.identify_fingerprint

    def slow(self: Recogniser, query: str, *, limit: int, min_score: float | None) -> Identification:
        anyio.from_thread.run_sync(began.set)
        while not may_end:  # holds its thread, and would hold the event loop if it ran there
            anyio.from_thread.check_cancelled()
        return original(self, query, limit=limit, min_score=min_score)

    monkeypatch.setattr(Recogniser, "identify_fingerprint", slow)

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal may_end
        answers = []

        async def search() -> None:
            body = {"query": SEARCH, "variables": {"fingerprint": clip(1, 0, 120)}}
            answers.append(await client.post("/graphql", json=body))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(search)
                await began.wait()
                assert (await client.get("/healthz")).status_code == 200
                # Reading the catalogue goes on too: searches have threads of their own.
                tracks = await client.post("/graphql", json={"query": "{ tracks { totalCount } }"})
                assert tracks.json()["data"] == {"tracks": {"totalCount": 1}}
                assert not answers
                may_end = True
        assert len(answers[0].json()["data"]["searchByFingerprint"]["matches"]) == 1

    api.run(ask)
