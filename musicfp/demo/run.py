"""The demo against a running system: make the files, submit them, compare every verdict with what it should be.

What belongs here: the order of events and the comparison. What does not: making the files (`dataset`) and printing.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicfp.client.api import SubmissionState, identify_file, require_reachable
from musicfp.client.http import Json, Service
from musicfp.client.journal import JOURNAL_NAME, Journal
from musicfp.client.submit import Progress, Upload, submit_files, wait_for_verdicts
from musicfp.demo.dataset import DemoFile, DemoQuery, DemoSet, make_demo_set

# One item of a fingerprint is 0.12 s; a clip that starts between two items is found at one of them.
_OFFSET_TOLERANCE_S = 0.25
_KNOWN_RELATIONS = frozenset({"SAME_FILE", "SAME_RECORDING"})


@dataclass(frozen=True)
class DemoRow:
    """One file: what was expected, what the verdict was and why, and whether that is right."""

    file: str
    what: str
    expected: str
    verdict: str
    why: str
    ok: bool
    was_there: bool = False


@dataclass(frozen=True)
class DemoReport:
    """The whole demo. `answer` is that of the identify query; `query_ok`, whether it named the song and the place."""

    rows: tuple[DemoRow, ...]
    query: DemoQuery
    answer: Json
    query_ok: bool

    @property
    def ok(self) -> bool:
        """Whether everything came out as expected."""
        return self.query_ok and all(row.ok for row in self.rows)


def run_demo(
    api: Service,
    *,
    keep: Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _message: None,
) -> DemoReport:
    """Make the demo files, in `keep` or in a folder that is deleted afterwards, submit them and wait for the verdicts.

    May be repeated: songs that are in the catalogue already are recognised, and that counts as right.
    """
    require_reachable(api)
    if keep is not None:
        return _run_in(keep, api, progress, say)
    with tempfile.TemporaryDirectory(prefix="musicfp-demo-") as folder:
        return _run_in(Path(folder), api, progress, say)


def _run_in(folder: Path, api: Service, progress: Progress | None, say: Callable[[str], None]) -> DemoReport:
    say("Composing and recording six songs, and damaging copies of them.")
    demo_set = make_demo_set(folder)
    # Every demo is a new submission of the same bytes, so the journal of real submissions must not know of it.
    with (
        tempfile.TemporaryDirectory(prefix="musicfp-demo-") as private,
        Journal(Path(private) / JOURNAL_NAME) as journal,
    ):
        rows = _judge_all(api, journal, demo_set, progress, say)
    query = demo_set.query
    say(f"Asking which song a noisy clip is: 10 s, {query.offset_s:.1f} s into {query.song.title}.")
    answer = identify_file(api, query.path, limit=3)
    return DemoReport(rows, query, answer, query_ok=is_right_answer(query, answer))


def _judge_all(
    api: Service, journal: Journal, demo_set: DemoSet, progress: Progress | None, say: Callable[[str], None]
) -> tuple[DemoRow, ...]:
    rows: list[DemoRow] = []
    for files, what in ((demo_set.originals, "songs"), (demo_set.variants, "copies and broken files")):
        say(f"Submitting {len(files)} {what} and waiting for Dagster to judge them.")
        uploads = submit_files(api, journal, [file.path for file in files], submitter="demo", progress=progress)
        uploads = wait_for_verdicts(api, uploads, progress=progress)
        rows += [judge_upload(file, upload) for file, upload in zip(files, uploads, strict=True)]
    return tuple(rows)


def judge_upload(file: DemoFile, upload: Upload) -> DemoRow:
    """Compare what became of a file with what should have."""
    state = upload.state
    expected = " ".join(filter(None, (file.expected.status, file.expected.relation or file.expected.problem)))
    if state is None:
        return DemoRow(file.path.name, file.what, expected, "NOT JUDGED", upload.problem or "no verdict came", ok=False)
    found = _codes(state) if state.status == "REJECTED" else [state.relation or ""]
    was_there = file.expected.status == "ACCEPTED" and state.relation in _KNOWN_RELATIONS and _names_song(file, state)
    return DemoRow(
        file=file.path.name,
        what=file.what,
        expected="already in the catalogue" if was_there else expected,
        verdict=" ".join(filter(None, (state.status, *dict.fromkeys(found)))),
        why=state.reason,
        ok=was_there or _is_expected(file, state),
        was_there=was_there,
    )


def is_right_answer(query: DemoQuery, answer: Json) -> bool:
    """Whether the best match is the right song at the right place."""
    matches = answer["matches"]
    return bool(
        matches
        and matches[0]["track"]["title"] == query.song.title
        and abs(matches[0]["offsetSeconds"] - query.offset_s) <= _OFFSET_TOLERANCE_S
    )


def _is_expected(file: DemoFile, state: SubmissionState) -> bool:
    expected = file.expected
    if (state.status, state.relation) != (expected.status, expected.relation):
        return False
    if expected.problem is not None:
        return expected.problem in _codes(state)
    return _names_song(file, state)


def _names_song(file: DemoFile, state: SubmissionState) -> bool:
    track = state.track
    return bool(file.song and track and (track["title"], track["artist"]) == (file.song.title, file.song.artist))


def _codes(state: SubmissionState) -> Sequence[str]:
    return [problem["code"] for problem in state.answer["problems"]]
