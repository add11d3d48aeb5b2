"""Submitting: each file once, whatever happens on the way."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from musicfp.client import transfer
from musicfp.client.api import SubmissionState, open_api
from musicfp.client.http import Service
from musicfp.client.journal import Journal
from musicfp.client.submit import Progress, Upload, submit_files, wait_for_verdicts
from musicfp.errors import ServiceUnreachable
from tests.support.fake_service import FakeService, Stored, match

EXPIRED = (403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")


class CountingProgress(Progress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total_bytes = self.sent_bytes = 0
        self.done: list[str] = []
        self.verdicts: list[str] = []

    def begin(self, *, n_files: int, total_bytes: int) -> None:
        """Remember it."""
        assert n_files
        self.total_bytes = total_bytes

    def sent(self, n_bytes: int) -> None:
        """Remember it."""
        self.sent_bytes += n_bytes

    def uploaded(self, upload: Upload) -> None:
        """Remember it."""
        self.done.append(upload.path.name)

    def decided(self, upload: Upload) -> None:
        """Remember it."""
        assert upload.state
        self.verdicts.append(upload.state.status)


@pytest.fixture
def api(service: FakeService) -> Iterator[Service]:
    with open_api(service.url) as connection:
        yield connection


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "home" / "journal.sqlite3") as opened:
        yield opened


@pytest.fixture
def song(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "song.flac", size_bytes: int = 100_000) -> Path:
        path = tmp_path / name
        path.write_bytes(name.encode() * (size_bytes // len(name)))
        return path

    return write


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_FIRST_PAUSE_S", 0.0)


def test_every_file_arrives_whole_with_the_headers_of_its_ticket(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    files = [song(f"{number}.flac") for number in range(9)]
    progress = CountingProgress()
    uploads = submit_files(api, journal, files, progress=progress)
    assert [upload.path for upload in uploads] == files
    for upload in uploads:
        stored = service.stored[upload.submission_id or ""]
        assert stored.sha256 == sha256(upload.path.read_bytes()).hexdigest()
        assert stored.content_type == "audio/flac"
    assert progress.sent_bytes == progress.total_bytes == sum(path.stat().st_size for path in files)
    assert sorted(progress.done) == [path.name for path in files]


def test_a_second_run_uploads_nothing_and_returns_the_same_submissions(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    files = [song("a.mp3"), song("b.mp3")]
    first = submit_files(api, journal, files)
    n_puts = len(service.puts)
    progress = CountingProgress()
    second = submit_files(api, journal, files, progress=progress)
    assert [upload.submission_id for upload in second] == [upload.submission_id for upload in first]
    assert all(upload.was_uploaded_before for upload in second)
    assert len(service.puts) == n_puts
    assert progress.sent_bytes == progress.total_bytes


def test_a_touched_file_is_not_sent_again_but_a_changed_one_is(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    path = song()
    [first] = submit_files(api, journal, [path])
    os.utime(path, (1, 1))
    [touched] = submit_files(api, journal, [path])
    assert (touched.submission_id, touched.was_uploaded_before) == (first.submission_id, True)
    path.write_bytes(b"another take")
    [changed] = submit_files(api, journal, [path])
    assert changed.submission_id != first.submission_id
    assert len(service.puts) == 2


@pytest.mark.parametrize("status", ["EXPIRED", None, "track deleted"])
def test_a_submission_that_the_server_has_not_any_more_is_sent_again(
    status: str | None, service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    path = song()
    [first] = submit_files(api, journal, [path])
    if status is None:
        service.submissions.clear()
    elif status == "track deleted":
        deletion = {"trackId": "t", "requestedAt": "2026-11-28T10:00:00+00:00", "reason": None}
        service.submissions[first.submission_id or ""] |= {"status": "ACCEPTED", "trackDeletion": deletion}
    else:
        service.submissions[first.submission_id or ""]["status"] = status
    [second] = submit_files(api, journal, [path])
    assert second.submission_id != first.submission_id
    assert second.submission_id in service.stored


def test_an_upload_whose_ticket_expired_meanwhile_gets_a_new_one(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.put_failures = [EXPIRED]
    [upload] = submit_files(api, journal, [song()])
    assert service.asked.count("RequestUpload") == 2
    assert upload.submission_id in service.stored
    [again] = submit_files(api, journal, [upload.path])
    assert again.submission_id == upload.submission_id


def test_tickets_that_always_expire_end_in_a_problem_that_says_what_to_do(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.expires_in_s = -1.0
    [upload] = submit_files(api, journal, [song()])
    assert "MUSICFP_UPLOAD_EXPIRY_S" in (upload.problem or "")
    assert not service.puts


def test_a_server_error_of_the_store_is_retried_and_not_counted_twice(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.put_failures = [(503, "slow down"), (500, "")]
    progress = CountingProgress()
    [upload] = submit_files(api, journal, [song()], progress=progress)
    assert service.stored[upload.submission_id or ""].size_bytes == upload.path.stat().st_size
    assert len(service.puts) == 3
    assert service.asked.count("RequestUpload") == 1
    assert progress.sent_bytes == progress.total_bytes


def test_a_store_that_stays_down_ends_the_submission_and_the_next_run_uses_the_same_ticket(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.put_failures = [(500, "")] * 4
    with pytest.raises(ServiceUnreachable, match=r"status 500, tried 4 times for song\.flac"):
        submit_files(api, journal, [song()])
    [upload] = submit_files(api, journal, [song()])
    assert service.asked.count("RequestUpload") == 1
    assert upload.submission_id in service.stored


def test_a_large_file_goes_in_parts_and_is_joined(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.part_bytes = 40_000
    [upload] = submit_files(api, journal, [song()])
    assert service.completed[upload.submission_id or ""] == [
        {"partNumber": 1, "etag": '"1"'},
        {"partNumber": 2, "etag": '"2"'},
        {"partNumber": 3, "etag": '"3"'},
    ]
    assert service.stored[upload.submission_id or ""].size_bytes == upload.path.stat().st_size


def test_after_an_interruption_only_the_missing_parts_are_sent(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.part_bytes = 40_000
    path = song()
    service.put_failures = []
    original = service.put

    def break_after_first(route: str, stored: Stored) -> tuple[int, str]:
        return (500, "") if not route.endswith("/1") else original(route, stored)

    service.put = break_after_first  # type: ignore[method-assign]
    with pytest.raises(ServiceUnreachable):
        submit_files(api, journal, [path])
    service.put = original  # type: ignore[method-assign]
    service.puts.clear()
    progress = CountingProgress()
    [upload] = submit_files(api, journal, [path], progress=progress)
    assert [route[-2:] for route in service.puts] == ["/2", "/3"]
    assert len(service.completed[upload.submission_id or ""]) == 3
    assert progress.sent_bytes == progress.total_bytes


def test_a_refused_or_unreadable_file_does_not_stop_the_others(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path], tmp_path: Path
) -> None:
    service.refused_names = {"empty.wav": "The file is empty."}
    files = [song("empty.wav"), tmp_path / "vanished.mp3", song("good.flac")]
    refused, vanished, good = submit_files(api, journal, files)
    assert refused.problem == "The file is empty."
    assert "vanished.mp3 could not be read" in (vanished.problem or "")
    assert good.problem is None
    assert good.submission_id in service.stored


def test_a_refusal_of_the_store_is_told_with_its_words(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.put_failures = [(403, "<Code>SignatureDoesNotMatch</Code>")]
    [upload] = submit_files(api, journal, [song()])
    assert "403: <Code>SignatureDoesNotMatch</Code>" in (upload.problem or "")
    assert len(service.puts) == 1


def test_without_a_server_the_message_says_how_to_start_it(journal: Journal, song: Callable[..., Path]) -> None:
    with open_api("http://127.0.0.1:9") as nobody, pytest.raises(ServiceUnreachable, match="musicfp up"):
        submit_files(nobody, journal, [song()])


def test_memory_does_not_grow_with_the_file(
    service: FakeService, api: Service, journal: Journal, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(48 << 20)
    submit_files(api, journal, [])
    tracemalloc.start()
    [upload] = submit_files(api, journal, [path])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert service.stored[upload.submission_id or ""].size_bytes == 48 << 20
    assert peak_bytes < 8 << 20


def test_waiting_ends_when_every_submission_is_decided(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    polls: dict[str, int] = {}

    def decide(submission: dict[str, object], _stored: Stored) -> dict[str, object]:
        name = str(submission["filename"])
        polls[name] = polls.get(name, 0) + 1
        if polls[name] < 3:
            return {}
        return {"status": "DUPLICATE", "duplicateOf": match("EXCERPT")}

    service.decide = decide
    uploads = submit_files(api, journal, [song("a.mp3"), song("b.mp3")])
    progress, pauses = CountingProgress(), list[float]()
    done = wait_for_verdicts(api, uploads, progress=progress, pause=pauses.append)
    assert [upload.state.relation for upload in done if upload.state] == ["EXCERPT", "EXCERPT"]
    assert progress.verdicts == ["DUPLICATE", "DUPLICATE"]
    assert len(pauses) == 2


def test_waiting_gives_up_when_nothing_moves_and_says_what_is_undecided(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    service.decide = lambda _submission, _stored: {}
    uploads = submit_files(api, journal, [song()])
    clock = iter(range(100))
    [left] = wait_for_verdicts(api, uploads, pause=lambda _s: None, now=lambda: float(next(clock)), stalled_s=5.0)
    assert left.state is not None
    assert left.state.status == "RECEIVED"
    assert not left.state.is_decided


def test_waiting_survives_a_restart_of_the_api_but_not_its_end(
    service: FakeService, api: Service, journal: Journal, song: Callable[..., Path]
) -> None:
    uploads = submit_files(api, journal, [song()])
    service.api_failures = [502, 503]
    [done] = wait_for_verdicts(api, uploads, pause=lambda _s: None)
    assert done.state is not None
    assert done.state.status == "ACCEPTED"
    service.api_failures = [503] * 100
    with pytest.raises(ServiceUnreachable):
        wait_for_verdicts(api, uploads, pause=lambda _s: None)


def test_files_that_were_not_uploaded_are_not_waited_for(api: Service, tmp_path: Path) -> None:
    upload = Upload(tmp_path / "a.mp3", problem="refused")
    assert wait_for_verdicts(api, [upload]) == [upload]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            {"status": "REJECTED", "problems": [{"message": "Too short."}, {"message": "No title."}]},
            "Too short. No title.",
        ),
        ({"status": "DUPLICATE", "duplicateOf": match()}, "Hattie - Blue Kettle, score 0.91, from +2.5 s"),
        ({"status": "ACCEPTED", "problems": []}, ""),
    ],
)
def test_the_reason_of_a_verdict_is_one_line(answer: dict[str, object], reason: str) -> None:
    assert SubmissionState("id", str(answer["status"]), answer).reason == reason
