"""The memory of uploads between runs."""

import stat
from datetime import UTC, datetime
from pathlib import Path

from musicfp.client.api import Ticket
from musicfp.client.journal import Journal, UploadKey

KEY = UploadKey("http://api", "/music/a.flac", "aa")
TICKET = Ticket.from_json(
    {
        "submissionId": "s1",
        "url": "http://store/s1",
        "method": "PUT",
        "headers": [{"name": "Content-Type", "value": "audio/flac"}],
        "expiresAt": "2026-01-02T03:04:05Z",
        "parts": [{"partNumber": 1, "url": "http://store/s1/1", "sizeBytes": 5}],
    }
)


def test_a_ticket_is_read_with_its_time_zone() -> None:
    assert TICKET.expires_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert TICKET.headers == (("Content-Type", "audio/flac"),)


def test_a_begun_upload_is_found_with_its_ticket_and_parts_by_the_next_process(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite3") as journal:
        journal.begin(KEY, TICKET)
        journal.keep_part("s1", 1, '"e"')
    with Journal(tmp_path / "j.sqlite3") as journal:
        entry = journal.find(KEY)
        assert entry is not None
        assert entry.ticket == TICKET
        assert journal.parts("s1") == {1: '"e"'}
        journal.finish(KEY, "s1")
        done = journal.find(KEY)
        assert done is not None
        assert (done.submission_id, done.ticket) == ("s1", None)
        assert journal.parts("s1") == {}


def test_other_content_another_path_or_another_api_is_another_upload(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite3") as journal:
        journal.begin(KEY, TICKET)
        assert journal.find(UploadKey("http://other", KEY.path, KEY.sha256)) is None
        assert journal.find(UploadKey(KEY.api_url, "/music/b.flac", KEY.sha256)) is None
        assert journal.find(UploadKey(KEY.api_url, KEY.path, "bb")) is None


def test_nobody_else_may_read_it_because_tickets_are_in_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite3") as journal:
        journal.begin(KEY, TICKET)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
