"""Health, readiness, metrics, the IDE page, and /identify with audio."""

import json
import re
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import numpy as np
import pytest
from sqlmodel import select

from graphql_api import readiness as readiness_module
from graphql_api.app import create_app
from graphql_api.services import Services
from musicfp.audio.decode import decode_pcm
from musicfp.audio.sniff import require_format
from musicfp.catalog import search_index
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.search_index import SegmentRecord
from musicfp.catalog.tables import DeletionRow, DerivationRow, FingerprintRow, SubmissionRow
from musicfp.fingerprint.chromaprint import fingerprint_pcm
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.pipeline.deletion import request_deletion
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore
from tests.graphql.conftest import Api
from tests.support.audio_samples import music_samples, write_wav
from tests.support.seeds import seed_submission, seed_track


def seed_recording(database: Database, number: int, path: Path) -> str:
    """Store a track with the real fingerprint of a file."""
    track_id = seed_track(database, number)
    stream = decode_pcm(
        path,
        fmt=require_format(path),
        sample_rate_hz=ANALYSIS_RATE_HZ,
        n_channels=2,
        sample_format="s16",
        max_duration_s=60,
    )
    with stream as decoded:
        fingerprint = fingerprint_pcm(
            (samples.tobytes() for samples in decoded), sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=2
        )
    with database.write() as session:
        row = session.get(FingerprintRow, (track_id, "full"))
        assert row is not None
        row.sub_fingerprints, row.n_items = fingerprint.to_bytes(), fingerprint.n_items
        session.add(row)
    return track_id


def test_identify_finds_a_recording_by_a_piece_of_it(api: Api, database: Database, tmp_path: Path) -> None:
    samples = music_samples(30.0, seed=4)
    track_id = seed_recording(database, 1, write_wav(tmp_path / "whole.wav", samples))
    piece = write_wav(tmp_path / "piece.wav", samples[10 * 44100 : 25 * 44100])
    answer = api.request("POST", "/identify?limit=3", content=piece.read_bytes())
    assert answer.status_code == 200, answer.text
    (match,) = answer.json()["matches"]
    assert match["track"]["id"] == track_id
    assert match["offsetSeconds"] == pytest.approx(10.0, abs=0.2)
    assert match["relation"] == "EXCERPT"
    assert list(api.services.settings.scratch_path.iterdir()) == []


def test_identify_of_strange_music_is_an_empty_list(api: Api, database: Database, tmp_path: Path) -> None:
    seed_recording(database, 1, write_wav(tmp_path / "a.wav", music_samples(15.0, seed=4)))
    other = write_wav(tmp_path / "b.wav", music_samples(12.0, seed=5))
    assert api.request("POST", "/identify", content=other.read_bytes()).json()["matches"] == []


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (b"", "", 422, "empty"),
        (b"\0\1\2 no audio", "", 422, "unsupported_format"),
        (b"fLaC" + bytes(5000), "", 422, "undecodable"),
        (b"AQAAnotafingerprint", "", 422, "invalid_fingerprint"),
        (b"AQAA", "?limit=0", 400, "INVALID_ARGUMENT"),
        (b"AQAA", "?limit=many", 400, "INVALID_ARGUMENT"),
        (b"AQAA", "?minScore=nan", 400, "INVALID_ARGUMENT"),
    ],
)
def test_identify_answers_nonsense_with_typed_json(api: Api, body: bytes, query: str, status: int, code: str) -> None:
    answer = api.request("POST", f"/identify{query}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]


def test_identify_of_less_than_three_seconds_says_so(api: Api, tmp_path: Path) -> None:
    short = write_wav(tmp_path / "short.wav", np.asarray(music_samples(2.0), dtype=np.float32))
    answer = api.request("POST", "/identify", content=short.read_bytes())
    assert (answer.status_code, answer.json()["code"]) == (422, "too_short")


def test_a_server_that_holds_too_many_files_says_so(api: Api) -> None:
    places = api.services.workers.received_files
    holders = [object() for _ in range(int(places.total_tokens))]

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        for holder in holders:
            places.acquire_on_behalf_of_nowait(holder)
        return await client.post("/identify", content=b"AQAA")

    answer: httpx.Response = api.run(ask)
    assert (answer.status_code, answer.json()["code"]) == (503, "OVERLOADED")
    assert answer.headers["retry-after"]


def test_healthz_asks_nothing(api: Api, database: Database) -> None:
    database.close()
    assert api.request("GET", "/healthz").json() == {"status": "ok"}


def test_readyz_names_each_failing_part(api: Api) -> None:
    answer = api.request("GET", "/readyz")
    assert answer.status_code == 503
    body = answer.json()
    assert body["ready"] is False
    assert body["failing"] == ["objectStore", "dagsterDaemon"]
    assert body["parts"]["database"] == "ready"


def test_readyz_notices_missing_migrations(settings: Settings, signing_store: ObjectStore, tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    services = Services(settings, database=empty, store=signing_store)
    body = Api(create_app(services=services), services).request("GET", "/readyz").json()
    assert "migrations are missing" in body["parts"]["database"]
    empty.close()


def test_readyz_and_metrics_tell_how_the_accelerator_stands(api: Api, database: Database) -> None:
    """None, or one whose files cannot be fetched, is told and is no outage: the database answers."""

    def told() -> tuple[dict[str, object], list[str]]:
        fresh = Api(create_app(services=api.services), api.services)
        body = fresh.request("GET", "/readyz").json()
        assert body["parts"]["searchIndex"] == "ready"
        return body["searchIndex"], fresh.request("GET", "/metrics").text.splitlines()

    for number in range(3):
        seed_track(database, number)
    answer, lines = told()
    assert answer == {"build": None, "watermark": 0, "lagFingerprints": 3, "openBuild": None, "problem": None}
    assert "musicfp_search_index_build_age_seconds -1.0" in lines
    segment = SegmentRecord("search-index/x.segment", "x", 1, FingerprintKind.FULL, 1, 2, 2, 240)
    with database.exclusive() as session:
        search_index.swap_in(session, search_index.new_build("b", watermark=2, segments=[segment]), replaces=None)
    api.services.search_index.refresh()
    answer, lines = told()
    assert (answer["build"], answer["watermark"], answer["lagFingerprints"]) == ("b", 2, 1)
    assert answer["openBuild"] is None
    assert "search-index/x.segment" in str(answer["problem"])
    assert "musicfp_search_index_lag_fingerprints 1.0" in lines
    assert "musicfp_search_index_open 0.0" in lines
    assert any(re.fullmatch(r"musicfp_search_index_build_age_seconds \d+\.\d+", line) for line in lines)


def test_the_search_index_is_ready_with_the_database(api: Api, database: Database) -> None:
    """Nothing has to be loaded; without its table it is named."""
    assert api.request("GET", "/readyz").json()["parts"]["searchIndex"] == "ready"
    with database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE fingerprint_term")
    fresh = Api(create_app(services=api.services), api.services)
    assert "fingerprint_term" in fresh.request("GET", "/readyz").json()["parts"]["searchIndex"]


@pytest.mark.parametrize(("healthy", "expected"), [(True, "ready"), (False, "no heartbeat from SENSOR")])
def test_readyz_asks_dagster_for_its_daemons(
    api: Api, monkeypatch: pytest.MonkeyPatch, healthy: bool, expected: str
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        statuses = [
            {"daemonType": "SENSOR", "required": True, "healthy": healthy},
            {"daemonType": "BACKFILL", "required": False, "healthy": None},
        ]
        return httpx.Response(200, json={"data": {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}}})

    client_class = httpx.AsyncClient
    monkeypatch.setattr(
        readiness_module.httpx,
        "AsyncClient",
        lambda **options: client_class(**options, transport=httpx.MockTransport(answer)),
    )
    readiness = readiness_module.Readiness(api.services)

    async def twice() -> str | None:
        await readiness.check()
        return (await readiness.check())["dagsterDaemon"]

    assert anyio.run(twice) == (None if expected == "ready" else expected)
    assert len(asked) == 1
    assert str(asked[0].url) == "http://127.0.0.1:3999/graphql"
    assert "allDaemonStatuses" in json.loads(asked[0].content)["query"]


def test_metrics_count_requests_errors_loaders_and_the_catalogue(api: Api, database: Database) -> None:
    for number in range(3):
        seed_track(database, number)
    api.data("query SomeName { tracks { edges { node { tags { name } } } } }")
    api.data('{ searchByFingerprint(fingerprint: "x!") { __typename } }')
    api.error("{ nonsense }")
    api.request("POST", "/upload", json={})
    lines = api.request("GET", "/metrics").text.splitlines()
    for line in (
        'musicfp_request_seconds_count{operation="graphql tracks"} 1.0',
        'musicfp_request_seconds_count{operation="graphql searchByFingerprint"} 1.0',
        'musicfp_request_seconds_count{operation="graphql invalid"} 1.0',
        'musicfp_request_seconds_count{operation="POST /upload"} 1.0',
        'musicfp_errors_total{code="INVALID_OPERATION"} 1.0',
        'musicfp_loader_batches_total{loader="tags"} 1.0',
        'musicfp_loader_items_total{loader="tags"} 3.0',
        "musicfp_catalogue_tracks 3.0",
        'musicfp_submissions{status="ACCEPTED"} 3.0',
        'musicfp_submissions{status="FAILED"} 0.0',
        "musicfp_oldest_waiting_seconds 0.0",
        "musicfp_oldest_deletion_seconds 0.0",
        'musicfp_derivations{status="FAILED"} 0.0',
        'musicfp_ready{part="database"} 1.0',
        'musicfp_ready{part="disk"} 1.0',
        'musicfp_ready{part="objectStore"} 0.0',
        'musicfp_ready{part="dagsterDaemon"} 0.0',
    ):
        assert line in lines
    assert "SomeName" not in "".join(lines)
    assert "nonsense" not in "".join(lines)


def test_metrics_tell_what_waits_and_what_is_not_made(api: Api, database: Database) -> None:
    """How long the oldest waits, however new the others are."""
    old, young = seed_submission(database, 1), seed_submission(database, 2)
    track_id = seed_track(database, 3)
    with database.write() as session:
        session.get_one(SubmissionRow, old).received_at = utc_now() - timedelta(hours=1)
        session.get_one(SubmissionRow, young).received_at = utc_now()
        for asset, status in (("a", "DONE"), ("b", "PENDING"), ("c", "PENDING")):
            session.add(DerivationRow(track_id=track_id, asset=asset, version="1", status=status, updated_at=utc_now()))
    request_deletion(database, track_id=seed_track(database, 4))
    with database.write() as session:
        (deletion,) = session.exec(select(DeletionRow)).all()
        deletion.requested_at = utc_now() - timedelta(hours=2)
    text = api.request("GET", "/metrics").text
    assert 'musicfp_derivations{status="PENDING"} 2.0' in text
    for metric, hours in (("waiting", 1), ("deletion", 2)):
        (age,) = re.findall(rf"^musicfp_oldest_{metric}_seconds (.*)$", text, re.MULTILINE)
        assert hours * 3600 <= float(age) < hours * 3600 + 100


def test_metrics_are_told_without_a_database_and_nothing_is_made_up(
    settings: Settings, signing_store: ObjectStore
) -> None:
    """Readiness is the alarm then; counts are unknown."""
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/none")
    services = Services(settings, database=away, store=signing_store)
    answer = Api(create_app(services=services), services).request("GET", "/metrics")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert 'musicfp_ready{part="database"} 0.0' in lines
    assert "musicfp_catalogue_tracks NaN" in lines
    assert 'musicfp_submissions{status="RECEIVED"} NaN' in lines
    away.close()


def test_a_browser_gets_an_ide_that_loads_nothing_from_elsewhere(api: Api) -> None:
    page = api.request("GET", "/graphql", headers={"Accept": "text/html,*/*"})
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert api.request("GET", "/static/graphiql/start.js").status_code == 200
    assert api.request("GET", "/").headers["location"] == "/graphql"


@pytest.mark.parametrize("path", ["/nothing", "/static/../app.py", "/static/%2e%2e/app.py", "/static/"])
def test_what_is_not_there_is_typed_json(api: Api, path: str) -> None:
    answer = api.request("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
