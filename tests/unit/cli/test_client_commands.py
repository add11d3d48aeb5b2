"""The commands that ask the API: what they print where, and how they end."""

import getpass
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicfp.cli.common import minutes, visible
from musicfp.cli.main import main
from tests.support.fake_service import MATCHED_TRACK, FakeService, match

Run = Callable[..., Result]


@pytest.fixture
def run(service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUSICFP_API_URL", service.url)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    music = tmp_path / "music"
    music.mkdir()
    for name in ("good.flac", "again.mp3", "bad.wav", "cover.jpg"):
        (music / name).write_bytes(name.encode() * 100)
    return music


@pytest.fixture
def judged(service: FakeService) -> FakeService:
    verdicts = {
        "good.flac": {"status": "ACCEPTED", "track": MATCHED_TRACK},
        "again.mp3": {"status": "DUPLICATE", "duplicateOf": match()},
        "bad.wav": {"status": "REJECTED", "problems": [{"code": "silent", "message": "It is silent.", "field": None}]},
    }
    service.decide = lambda submission, _stored: verdicts[submission["filename"]]
    return service


def page(*nodes: dict[str, object], more: bool = False) -> dict[str, object]:
    info = {"hasNextPage": more, "endCursor": "next" if more else None}
    return {"edges": [{"node": node} for node in nodes], "pageInfo": info, "totalCount": 7}


@pytest.mark.usefixtures("judged")
def test_submit_prints_a_table_of_verdicts_to_stdout_and_messages_to_stderr(run: Run, folder: Path) -> None:
    result = run("submit", folder, "--wait")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["FILE", "STATUS", "RELATION", "REASON"]
    assert [row[:2] for row in rows[1:]] == [
        ["again.mp3", "DUPLICATE"],
        ["bad.wav", "REJECTED"],
        ["good.flac", "ACCEPTED"],
    ]
    assert rows[1][2] == "SAME_RECORDING"
    assert "It is silent." in result.stdout
    assert "Skipped 1 files" in result.stderr
    assert "Skipped" not in result.stdout


def test_submit_again_uploads_nothing_and_says_so(run: Run, judged: FakeService, folder: Path) -> None:
    run("submit", folder)
    n_puts = len(judged.puts)
    result = run("submit", folder, "--wait", "--json")
    assert result.exit_code == 0
    assert len(judged.puts) == n_puts == 3
    answer = json.loads(result.stdout)
    assert [item["uploadedBefore"] for item in answer] == [True] * 3
    assert {item["submission"]["status"] for item in answer} == {"ACCEPTED", "DUPLICATE", "REJECTED"}
    assert "3 of 3 files had been uploaded before" in result.stderr


def test_submit_says_who_submits(run: Run, service: FakeService, folder: Path) -> None:
    """As told, or user and machine: submitters take turns."""
    run("submit", folder / "good.flac")
    run("submit", folder / "bad.wav", "--submitter", "the choir")
    who = {each["filename"]: each["submitter"] for each in service.submissions.values()}
    assert who == {"good.flac": f"{getpass.getuser()}@{socket.gethostname()}", "bad.wav": "the choir"}


def test_submit_fails_if_a_file_was_not_uploaded_but_shows_the_others(
    run: Run, service: FakeService, folder: Path
) -> None:
    service.refused_names = {"bad.wav": "The file is empty."}
    result = run("submit", folder, "--wait")
    assert result.exit_code == 1
    assert "NOT UPLOADED" in result.stdout
    assert result.stdout.count("ACCEPTED") == 2
    assert "1 of 3 files could not be uploaded." in result.stderr


def test_submit_fails_if_there_is_nothing_to_send(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("submit", tmp_path / "empty")
    assert result.exit_code == 1
    assert "no audio file" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["submit"], ["submit", "nowhere"], ["identify"], ["identify", "."], ["tracks", "--first", "0"], ["compare", "a"],
     ["submissions", "--status", "LOST"], ["track"], ["backfill"]],
)  # fmt: skip
def test_wrong_usage_ends_with_status_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["tracks"], ["track", "x"], ["submissions"], ["identify", "a.mp3"], ["demo"]])
def test_without_a_server_each_command_says_how_to_start_it(
    run: Run, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musicfp.demo.run.make_demo_set", lambda _folder: pytest.fail("work before asking the API"))
    (tmp_path / "a.mp3").write_bytes(b"x")
    result = run(*arguments, "--api-url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "musicfp up" in result.stderr
    assert not result.stdout


def test_identify_prints_where_in_which_track(run: Run, service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "clip.mp3").write_bytes(b"audio bytes")
    service.matches = [match("EXCERPT", offsetSeconds=83.26)]
    result = run("identify", "clip.mp3")
    assert result.exit_code == 0
    [row] = result.stdout.splitlines()[1:]
    assert row.split()[-4:] == ["0.91", "1:23.3", "1:01.2", "EXCERPT"]
    assert "Blue Kettle" in row
    assert service.identified == [b"audio bytes"]


def test_no_match_is_an_answer(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.mp3").write_bytes(b"x")
    result = run("identify", "clip.mp3")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No match" in result.stderr
    as_json = run("identify", "clip.mp3", "--json")
    assert json.loads(as_json.stdout) == {"matches": [], "candidatesExamined": 3, "tookMs": 1.5}


def test_tracks_are_listed_and_the_next_page_is_named(run: Run, service: FakeService) -> None:
    node = {"id": "t1", "title": "[red]Loud\x1b[31m", "artist": "Ann", "album": None, "durationSeconds": 61.0}
    service.answers["Tracks"] = {"tracks": page(node, more=True)}
    result = run("tracks", "--first", "1", "--title", "loud")
    assert result.exit_code == 0, result.output
    assert "[red]Loud\ufffd[31m" in result.stdout
    assert "1:01.0" in result.stdout
    assert "1 of 7 shown" in result.stderr
    assert "--after next" in result.stderr


def test_submissions_show_their_reasons(run: Run, service: FakeService) -> None:
    node = {
        "id": "s1",
        "filename": "a.mp3",
        "status": "DUPLICATE",
        "problems": [],
        "track": None,
        "duplicateOf": match(),
    }
    service.answers["Submissions"] = {"submissions": page(node)}
    result = run("submissions", "--status", "duplicate")
    assert result.exit_code == 0, result.output
    assert "Hattie - Blue Kettle, score 0.91" in result.stdout
    assert json.loads(run("submissions", "--json").stdout)["edges"][0]["node"]["id"] == "s1"


def test_a_track_is_shown_with_everything(run: Run, service: FakeService) -> None:
    file = {"codec": "flac", "container": "flac", "bitrateBps": 800_000, "sizeBytes": 4_500_000, "url": "http://x"}
    feature = {
        "name": "rhythm.tempo", "value": 116.02, "text": None, "vector": None, "unit": "BPM", "confidence": 1.0,
        "status": "OK", "reason": None, "extractor": "tempo", "version": "1", "computedAt": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    missing = {**feature, "name": "tonal.key", "value": None, "status": "UNKNOWN", "reason": "too short"}
    vector = {**feature, "name": "structure.beats", "value": None, "vector": [0.5] * 9}
    service.answers["OneTrack"] = {
        "track": {
            "id": "t1", "title": "Paper Lanterns", "artist": "The Tin Orchard", "album": None, "durationSeconds": 45.0,
            "tags": [{"name": "genre", "value": "Indie Pop"}], "source": file,
            "transcodes": [{**file, "profile": "opus_96", "codec": "opus", "bitrateBps": 96_000}],
            "fingerprint": {"encoded": "AQ", "algorithm": 1, "itemCount": 340, "durationSeconds": 45.0},
            "features": [feature, missing, vector], "related": [match("SIMILAR")],
            "lineage": [{
                "assetKey": "fingerprint", "partitionKey": "t1", "runId": "r1", "codeVersion": "1",
                "materializedAt": "2026-01-01T00:00:00Z", "url": None,
            }],
        }
    }  # fmt: skip
    result = run("track", "t1")
    assert result.exit_code == 0, result.output
    for text in (
        "The Tin Orchard - Paper Lanterns  (0:45.0)", "Indie Pop", "opus_96", "96 kbit/s", "4.5 MB", "116.02 BPM",
        "UNKNOWN: too short", "0.5, ...] (9 values)", "SIMILAR", "fingerprint",
    ):  # fmt: skip
        assert text in result.stdout


def deletion(track_id: str, *, finished: bool) -> dict[str, object]:
    return {
        "trackId": track_id,
        "reason": "a wish",
        "requestedAt": "2026-11-28T10:00:00+00:00",
        "finishedAt": "2026-11-28T10:00:09+00:00" if finished else None,
        "runId": None,
        "removed": [
            {"kind": "track", "count": 1, "sizeBytes": None},
            {"kind": "source_object", "count": 1, "sizeBytes": 2.5e6},
        ],
    }


def test_delete_asks_first_and_tells_what_was_removed(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is deleted without a yes; with --wait the answer is that of the end."""
    monkeypatch.setattr("musicfp.cli.delete.POLL_S", 0.0)
    track_id = str(MATCHED_TRACK["id"])
    service.answers["OneTrack"] = {"track": MATCHED_TRACK}
    service.answers["OneDeletion"] = {"trackDeletion": None}
    service.answers["DeleteTrack"] = {
        "deleteTrack": {"__typename": "TrackDeletion", **deletion(track_id, finished=False)}
    }
    refused = run("delete", track_id)  # nobody answers
    assert refused.exit_code == 1
    assert str(MATCHED_TRACK["title"]) in refused.stderr
    assert "DeleteTrack" not in service.asked
    at_once = run("delete", track_id, "--yes", "--reason", "a wish")
    assert at_once.exit_code == 0, at_once.output
    assert [line.split() for line in at_once.stdout.splitlines()] == [
        ["REMOVED", "COUNT", "SIZE"],
        ["track", "1"],
        ["source", "object", "1", "2.5", "MB"],
    ]
    assert "being removed" in at_once.stderr
    service.answers["OneDeletion"] = {"trackDeletion": deletion(track_id, finished=True)}
    waited = run("delete", track_id, "--wait", "--json")  # deleted before: nothing to ask
    assert waited.exit_code == 0, waited.output
    assert json.loads(waited.stdout) == deletion(track_id, finished=True)
    assert waited.stderr == ""


def test_deleting_what_is_no_track_fails(run: Run, service: FakeService) -> None:
    refusal = {"__typename": "InvalidRequest", "code": "not_found", "message": "There is no track 'x'.", "field": "id"}
    service.answers["DeleteTrack"] = {"deleteTrack": refusal}
    service.answers["OneTrack"] = {"track": None}
    service.answers["OneDeletion"] = {"trackDeletion": None}
    for arguments in (["x", "--yes"], ["x"]):
        result = run("delete", *arguments)
        assert result.exit_code == 1
        assert "no track" in result.stderr
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00.0"), (59.96, "1:00.0"), (83.26, "1:23.3"), (-2.5, "-0:02.5"), (-0.01, "0:00.0")]
)
def test_times_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


def test_nothing_that_could_act_on_a_terminal_is_shown() -> None:
    assert visible("a\x1b[2J\u202eb\nc") == "a\ufffd[2J\ufffdb\ufffdc"
