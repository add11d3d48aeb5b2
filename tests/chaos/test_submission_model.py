"""The life of submissions as a state machine: hypothesis does what people, tools, time and crashes do, in any order.

After every step nothing may be lost or told wrongly, on both databases and a real store. Only the look into the audio
is replaced: files are short texts that say which music they stand for, so that a step takes milliseconds.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlmodel import delete, select

from musicfp.audio.probe import AudioFacts
from musicfp.audio.sniff import FLAC
from musicfp.audio.tags import track_tags
from musicfp.catalog import acceptance, index_upkeep, lineage, submissions
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import (
    FingerprintTermRow,
    MaterializationRow,
    ProblemRow,
    SubmissionRow,
    TrackRow,
    VerdictRow,
)
from musicfp.errors import InvalidRequest, Problem, SubmissionRejected, WorkerLost
from musicfp.fingerprint.model import Fingerprint
from musicfp.pipeline import ingest
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.discovery import discover
from musicfp.pipeline.expiry import expire_old_submissions
from musicfp.pipeline.ingest import forget_decided_objects, ingest_batch
from musicfp.pipeline.inspection import Inspection
from musicfp.pipeline.reviews import retry_submission, review_submission
from musicfp.pipeline.uploads import expire_overdue_uploads, request_upload
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.seeds import music

N_EXAMPLES = 20
N_STEPS = 30
LONG_AGO = timedelta(days=400)
# Where ingest dies: before each effect.
CRASHES: list[tuple[object, str]] = [
    (ObjectStore, "put_file"),
    (acceptance, "accept"),
    (lineage, "record"),
    (ObjectStore, "delete"),
    (submissions, "mark_object_gone"),
]
FINAL = {"ACCEPTED", "DUPLICATE", "NEEDS_REVIEW", "REJECTED", "FAILED", "EXPIRED"}
HAS_VERDICT = {"ACCEPTED", "DUPLICATE", "NEEDS_REVIEW"}
CONTENTS = st.one_of(
    st.builds("recording {} copy {}".format, st.integers(1, 3), st.integers(1, 3)),
    st.builds("medley {} {} copy {}".format, st.integers(1, 3), st.integers(4, 5), st.integers(1, 2)),
    st.builds("rubbish {}".format, st.integers(1, 2)),
    st.builds("kills its worker {}".format, st.integers(1, 2)),
)
KEYS = st.sampled_from(["dropped.flac", "folder/other.mp3"])
NUMBERS = st.integers(0, 1 << 16)


class Reader:
    """Stands for the pool of inspection workers: reads what a file says that it is."""

    def __init__(self, _rules: object, *, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        return

    def inspect(self, path: Path, _extension: str | None) -> Inspection:
        """Return what inspection would find."""
        words = path.read_text().split()
        if words[0] == "rubbish":
            raise SubmissionRejected(Problem("unsupported_format", "This is no music."))
        if words[0] == "kills":
            raise WorkerLost("The worker crashed.")
        numbers = [int(word) for word in words[1:3] if word.isdigit()]
        items = np.concatenate([music(number, n_items=240).sub_fingerprints for number in numbers])
        facts = AudioFacts("flac", "flac", 30.0, 44100, 2, 16, None, path.stat().st_size, {})
        tags = track_tags([("title", " ".join(words)), ("artist", "Ada")])
        return Inspection(FLAC, facts, tags, Fingerprint.of_items(items), 30.0, 0.0)


class Submissions(RuleBasedStateMachine):
    """What may happen to submissions. `objects` is what should be in the bucket, as far as people put it there."""

    stage: StageContext

    @initialize()
    def begin_empty(self) -> None:
        """Forget the example before."""
        self.objects: dict[str, str] = {}
        self.after = ""
        store, bucket = self.stage.store, self.stage.settings.submission_bucket
        for each in list(store.list_after(bucket)):
            store.delete(bucket, each.key)
        with self.stage.database.write() as session:
            for table in (TrackRow, SubmissionRow, MaterializationRow, FingerprintTermRow):
                session.exec(delete(table))

    @rule(content=CONTENTS, uploads=st.booleans())
    def ask_for_a_ticket(self, content: str, uploads: bool) -> None:
        """Somebody asks, and uploads or not."""
        stage = self.stage
        ticket = request_upload(stage.database, stage.store, stage.settings, filename="a.flac", size_bytes=len(content))
        if uploads:
            self._put(self._row(ticket.submission_id).object_key, content)

    @rule(content=CONTENTS, key=KEYS)
    def drop(self, content: str, key: str) -> None:
        """Another tool puts a file, perhaps over one that is there."""
        self._put(key, content)

    @rule(content=CONTENTS, number=NUMBERS)
    def upload_again(self, content: str, number: int) -> None:
        """Somebody uses a ticket late, or once more."""
        rows = [row for row in self._rows() if row.status != "EXPIRED"]
        # What was just decided and not deleted yet comes first: there, much can go wrong.
        rows.sort(
            key=lambda row: (row.status not in {"ACCEPTED", "DUPLICATE"} or row.object_gone_at is not None, row.id)
        )
        if rows:
            self._put(rows[number % min(3, len(rows))].object_key, content)

    @rule(number=NUMBERS)
    def remove_an_object(self, number: int) -> None:
        """Somebody deletes an upload behind our back."""
        if self.objects:
            key = sorted(self.objects)[number % len(self.objects)]
            self.stage.store.delete(self.stage.settings.submission_bucket, key)
            del self.objects[key]

    @rule(complete=st.booleans())
    def look_into_the_bucket(self, complete: bool) -> None:
        """A sensor's tick."""
        stage = self.stage
        self.after = discover(stage.database, stage.store, stage.settings, after=self.after, complete=complete).after

    @rule()
    def decide(self) -> None:
        """A tick and a run over what is due."""
        self.look_into_the_bucket(complete=True)
        with self.stage.database.read() as session:
            due = submissions.due_for_ingest(session, limit=10)
        list(ingest_batch(self.stage, due))

    @rule(crash=st.sampled_from(CRASHES))
    def decide_and_crash(self, crash: tuple[object, str]) -> None:
        """A run that dies before its first effect of a kind."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(*crash, kill)
            try:
                self.decide()
                forget_decided_objects(self.stage)
            except Killed:
                pass

    @rule()
    def clean_up(self) -> None:
        """The end of a run."""
        forget_decided_objects(self.stage)

    @rule()
    def time_passes(self) -> None:
        """What was put off is due."""
        self._age("next_attempt_at", lambda row: row.next_attempt_at is not None)

    @rule()
    def tickets_run_out(self) -> None:
        """Uploads that nobody made are over."""
        self._age("upload_expires_at", lambda row: row.status == "AWAITING_UPLOAD")
        expire_overdue_uploads(self.stage.database, self.stage.store, self.stage.settings)

    @rule(number=NUMBERS)
    def grow_old(self, number: int) -> None:
        """What was not accepted is kept for a while only."""
        kept = [row.id for row in self._rows() if row.status in submissions.OBJECT_KEPT]
        self._age("received_at", lambda row: row.id in kept[number % 3 :])
        expire_old_submissions(self.stage)
        for row in self._rows():  # removed lawfully, whatever it was
            if row.status in {*submissions.OBJECT_KEPT, "EXPIRED"} and row.object_gone_at is not None:
                self._forget_if_gone(row.object_key)

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        """Somebody asks to look again."""
        rows = self._rows()
        if rows:
            self._ask(lambda: retry_submission(self.stage.database, submission_id=rows[number % len(rows)].id))

    @rule(number=NUMBERS, accept=st.booleans())
    def review(self, number: int, accept: bool) -> None:
        """Somebody decides about what waits for review, or tries to decide about something else."""
        rows = sorted(self._rows(), key=lambda row: row.status != "NEEDS_REVIEW")[:3]
        if rows:
            submission_id = rows[number % len(rows)].id
            database = self.stage.database
            self._ask(lambda: review_submission(database, submission_id=submission_id, accept=accept, reason="So."))

    @invariant()
    def nothing_is_lost_or_told_wrongly(self) -> None:
        """What the rows say is what is there."""
        with self.stage.database.read() as session:
            rows = session.exec(select(SubmissionRow)).all()
            tracks = {row.id: row for row in session.exec(select(TrackRow)).all()}
            verdicts = {row.submission_id: row for row in session.exec(select(VerdictRow)).all()}
            problems = set(session.exec(select(ProblemRow.submission_id)).all())
        assert {row.id for row in rows if row.status == "ACCEPTED"} == set(tracks)
        for row in rows:
            verdict = verdicts.get(row.id)
            assert (row.id in problems) == (row.status in {"REJECTED", "FAILED"}), row
            assert (row.decided_at is not None) == (row.status in FINAL), row
            if row.status in HAS_VERDICT:
                assert verdict is not None
                assert (verdict.outcome, bool(verdict.reason)) == (row.status, True)
            if row.status == "DUPLICATE":
                assert verdict is not None
                assert verdict.matched_track_id in tracks
            if row.status in {"AWAITING_UPLOAD", "RECEIVED"}:
                assert (verdict, row.object_gone_at) == (None, None), row
        of_music = Counter(row.title.split(" copy")[0] for row in tracks.values())
        assert set(of_music.values()) <= {1}, of_music
        self._objects_are_kept(rows, tracks)

    def teardown(self) -> None:
        """Whatever was done, some more runs end it: everything is decided, and nothing is left over."""
        for _ in range(12):
            self.look_into_the_bucket(complete=True)
            self.time_passes()
            self.decide()
            self.clean_up()
        self.tickets_run_out()
        self.nothing_is_lost_or_told_wrongly()
        rows = self._rows()
        assert {row.status for row in rows} <= FINAL, [(row.id, row.status) for row in rows]
        kept = {row.object_key for row in rows if row.object_gone_at is None}
        listed = {each.key for each in self.stage.store.list_after(self.stage.settings.submission_bucket)}
        assert listed <= kept
        with self.stage.database.snapshot() as session:
            assert not index_upkeep.verify(session).differences

    def _objects_are_kept(self, rows: list[SubmissionRow], tracks: dict[str, TrackRow]) -> None:
        """An upload may go only when what became of it is known; a track's source is there with its bytes."""
        there = {each.key for each in self.stage.store.list_after(self.stage.settings.submission_bucket)}
        done = {
            (row.object_key, row.source_sha256): row.status for row in rows if row.status in {"ACCEPTED", "DUPLICATE"}
        }
        for key, content in list(self.objects.items()):
            digest = sha256(content.encode()).hexdigest()
            assert key in there or (key, digest) in done, (key, content)
        sources = {
            each.key for each in self.stage.store.list_after(self.stage.settings.source_bucket, prefix="sources/")
        }
        assert {row.source_key for row in tracks.values()} <= sources
        assert all(row.source_sha256 in row.source_key for row in tracks.values())

    def _put(self, key: str, content: str) -> None:
        self.stage.store.client.put_object(Bucket=self.stage.settings.submission_bucket, Key=key, Body=content.encode())
        self.objects[key] = content

    def _forget_if_gone(self, key: str) -> None:
        if self.stage.store.stat(self.stage.settings.submission_bucket, key) is None:
            self.objects.pop(key, None)

    def _ask(self, act: Callable[[], object]) -> None:
        try:
            act()
        except InvalidRequest as refusal:
            assert refusal.code in {"not_retryable", "object_gone", "not_in_review"}  # noqa: PT017

    def _rows(self) -> list[SubmissionRow]:
        with self.stage.database.read() as session:
            return list(session.exec(select(SubmissionRow).order_by(SubmissionRow.id)).all())

    def _row(self, submission_id: str) -> SubmissionRow:
        return next(row for row in self._rows() if row.id == submission_id)

    def _age(self, column: str, which: Callable[[SubmissionRow], bool]) -> None:
        with self.stage.database.write() as session:
            for row in session.exec(select(SubmissionRow)).all():
                if which(row):
                    setattr(row, column, utc_now() - LONG_AGO)


def test_any_order_of_events_ends_well(stage: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads, drops, replacements, deletions, ticks, runs, crashes, retries, reviews and the passing of time."""
    monkeypatch.setattr(ingest, "InspectionPool", Reader)
    reviewing = replace(stage, settings=replace(stage.settings, review_related=True))

    class OfThisStage(Submissions):
        stage = reviewing

    options = settings(
        max_examples=N_EXAMPLES,
        stateful_step_count=N_STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(OfThisStage, settings=options)
