"""Submitting many files: each once, a few at a time, resumable; then waiting for what becomes of them.

What belongs here: the order of requests for one file and for all. What does not: bytes on the wire (`transfer`),
memory between runs (`journal`), printing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from musicfp.client import api as musicfp_api
from musicfp.client.api import SubmissionState, Ticket
from musicfp.client.files import FileFacts, is_unchanged, read_facts
from musicfp.client.http import Service
from musicfp.client.journal import Entry, Journal, UploadKey
from musicfp.client.transfer import Sender, TicketExpired, open_store_connection, send_file, send_parts
from musicfp.errors import InvalidRequest, RequestFailed, ServiceUnreachable

MAX_PARALLEL = 4
_TICKETS_PER_FILE = 3
POLL_S = 1.0
# Asked about in one round, so that a thousand pending files do not become a thousand requests a second.
_POLLS_PER_ROUND = 25
# Ten minutes without any verdict: the sensor ticks twice a minute, a batch of 100 files takes one or two.
STALLED_S = 600.0
# `musicfp up` restarts a crashed API within seconds.
_UNREACHABLE_ROUNDS = 30


class Progress:
    """Is told what happens; this one is silent. Methods are called from several threads."""

    def begin(self, *, n_files: int, total_bytes: int) -> None:
        """Take note that uploading starts."""

    def sent(self, n_bytes: int) -> None:
        """Take note that so many bytes went out; a negative number takes some back."""

    def uploaded(self, upload: "Upload") -> None:
        """Take note that one file is done with, for better or worse."""

    def begin_waiting(self, *, n_files: int) -> None:
        """Take note that waiting for verdicts starts."""

    def decided(self, upload: "Upload") -> None:
        """Take note of one verdict."""


@dataclass(frozen=True)
class Upload:
    """One file: the submission it became, or `problem`, why it could not be sent; `state` when it is known."""

    path: Path
    submission_id: str | None = None
    was_uploaded_before: bool = False
    problem: str | None = None
    state: SubmissionState | None = None


def submit_files(
    api: Service,
    journal: Journal,
    files: Sequence[Path],
    *,
    submitter: str | None = None,
    progress: Progress | None = None,
    max_parallel: int = MAX_PARALLEL,
    store_transport: httpx.BaseTransport | None = None,
) -> list[Upload]:
    """Upload files that were not uploaded before, and return one Upload for each in the order given.

    What waits for a verdict is taken from all submitters in turn; `submitter` says who this one is.
    A file that cannot be read or is refused becomes an Upload with a `problem`. Raises ServiceUnreachable when going on
    makes no sense; what was uploaded until then is in the journal.
    """
    progress = progress or Progress()
    progress.begin(n_files=len(files), total_bytes=sum(_size_or_zero(path) for path in files))
    stop = threading.Event()
    with (
        open_store_connection(max_parallel=max_parallel, transport=store_transport) as store,
        ThreadPoolExecutor(max_parallel, thread_name_prefix="upload") as pool,
    ):
        sender = Sender(store, progress.sent, stop)
        futures = [pool.submit(_submit_file, api, journal, sender, path, submitter=submitter) for path in files]
        try:
            _follow(futures, progress)
        except BaseException:
            # Also Ctrl-C: uploads under way end at their next chunk, those not begun never begin.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def wait_for_verdicts(
    api: Service,
    uploads: Sequence[Upload],
    *,
    progress: Progress | None = None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    stalled_s: float = STALLED_S,
) -> list[Upload]:
    """Ask until every submission is decided, and return the uploads with their states.

    After `stalled_s` without any verdict the rest is returned undecided.
    """
    progress = progress or Progress()
    states: dict[str, SubmissionState] = {}
    pending = deque(dict.fromkeys(upload.submission_id for upload in uploads if upload.submission_id))
    progress.begin_waiting(n_files=len(pending))
    by_id = {upload.submission_id: upload for upload in uploads}
    last_change_s = now()
    n_failures = 0
    while pending and now() - last_change_s < stalled_s:
        try:
            decided = _poll_round(api, pending, states)
            n_failures = 0
        except ServiceUnreachable:
            n_failures += 1
            if n_failures >= _UNREACHABLE_ROUNDS:
                raise
            decided = []
        for submission_id in decided:
            last_change_s = now()
            progress.decided(replace(by_id[submission_id], state=states[submission_id]))
        if pending:
            pause(POLL_S)
    return [replace(upload, state=states.get(upload.submission_id or "")) for upload in uploads]


def _follow(futures: Iterable[Future[Upload]], progress: Progress) -> None:
    for future in as_completed(futures):
        progress.uploaded(future.result())


def _poll_round(api: Service, pending: deque[str], states: dict[str, SubmissionState]) -> list[str]:
    """Ask about the next few; take the decided ones out of `pending` and return them, put the others at its end."""
    decided: list[str] = []
    for _ in range(min(len(pending), _POLLS_PER_ROUND)):
        submission_id = pending[0]
        state = musicfp_api.find_submission(api, submission_id)
        pending.popleft()
        if state is None:
            raise RequestFailed(f"{api.name} at {api.url} does not know submission {submission_id}, which it gave out.")
        states[submission_id] = state
        if state.is_decided:
            decided.append(submission_id)
        else:
            pending.append(submission_id)
    return decided


def _submit_file(api: Service, journal: Journal, sender: Sender, path: Path, *, submitter: str | None) -> Upload:
    try:
        return _upload_once(api, journal, sender, path, submitter=submitter)
    except (InvalidRequest, RequestFailed) as error:
        return Upload(path, problem=str(error))
    except OSError as error:
        return Upload(path, problem=f"{path.name} could not be read: {error.strerror or error}.")


def _upload_once(api: Service, journal: Journal, sender: Sender, path: Path, *, submitter: str | None) -> Upload:
    facts = read_facts(path)
    key = UploadKey(api.url, str(path), facts.sha256)
    entry = _still_valid(api, journal.find(key))
    if entry is not None and entry.ticket is None:
        journal.finish(key, entry.submission_id)
        sender.sent(facts.size_bytes)
        return Upload(path, entry.submission_id, was_uploaded_before=True)
    ticket = entry.ticket if entry else None
    for _ in range(_TICKETS_PER_FILE):
        if ticket is None:
            ticket = musicfp_api.request_upload(
                api, filename=path.name, size_bytes=facts.size_bytes, submitter=submitter
            )
            journal.begin(key, ticket)
        try:
            _transfer(api, journal, sender, ticket, path, facts)
        except TicketExpired:
            ticket = None
            continue
        if not is_unchanged(path, facts):
            raise RequestFailed(f"{path.name} was changed while it was uploaded. Submit it again when it rests.")
        journal.finish(key, ticket.submission_id)
        return Upload(path, ticket.submission_id)
    raise RequestFailed(
        f"{path.name} could not be uploaded within the time that the API allows, tried {_TICKETS_PER_FILE} times. "
        "Raise MUSICFP_UPLOAD_EXPIRY_S on the server, or use a faster line."
    )


def _still_valid(api: Service, entry: Entry | None) -> Entry | None:
    """Return the entry without its ticket if the file has arrived, and None if the upload must start anew."""
    if entry is None:
        return None
    state = musicfp_api.find_submission(api, entry.submission_id)
    if state is None or state.status == "EXPIRED" or state.is_track_deleted:
        return None
    # The file arrived, but the answer to the last request got lost.
    return entry if state.status == "AWAITING_UPLOAD" else replace(entry, ticket=None)


def _transfer(api: Service, journal: Journal, sender: Sender, ticket: Ticket, path: Path, facts: FileFacts) -> None:
    if not ticket.parts:
        send_file(sender, ticket, path, size_bytes=facts.size_bytes)
        return
    etags = send_parts(
        sender,
        ticket,
        path,
        done=journal.parts(ticket.submission_id),
        keep=lambda number, etag: journal.keep_part(ticket.submission_id, number, etag),
    )
    try:
        musicfp_api.complete_upload(api, ticket.submission_id, etags)
    except InvalidRequest as error:
        if error.code == "expired":
            raise TicketExpired(str(error)) from error
        raise


def _size_or_zero(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
