"""From an uploaded object to a verdict, for a batch of submissions.

The order of effects is what keeps kill -9 harmless: the source object is stored under the hash of its content, then the
track, its fingerprint and the verdict become true in one transaction, and the submission's object is deleted last, by
`forget_decided_objects`. Whatever ran before a crash is found done by the next run.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlmodel import Session

from musicfp.catalog import acceptance, deletions, fingerprints, lineage, submissions
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow
from musicfp.catalog.work_in_hand import Stage
from musicfp.errors import (
    InvalidRequest,
    MusicfpError,
    NotFound,
    ObjectChanged,
    PermanentError,
    Problem,
    RetryableError,
    SubmissionRejected,
    WorkerLost,
)
from musicfp.fingerprint.band import BAND_FINGERPRINTER_VERSION, band_fingerprint
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.verdict import DedupeOutcome, DedupeVerdict, VerdictPolicy
from musicfp.identity import file_extension, renewed_source_key, source_key
from musicfp.pipeline.blame import blamed_on_the_file
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.earlier_decisions import EarlierDecision, earlier_decisions
from musicfp.pipeline.in_hand import Hand, in_hand, let_go
from musicfp.pipeline.ingest_rows import accepted_track, verdict_row
from musicfp.pipeline.inspection import Inspection, InspectionPool, InspectionRules
from musicfp.pipeline.judgement import Judge
from musicfp.pipeline.named_objects import require_stored, until_stored
from musicfp.pipeline.parallel import map_in_order
from musicfp.pipeline.pauses import require_room
from musicfp.pipeline.submission_pages import in_pages
from musicfp.pipeline.versions import DEDUPE_VERDICT, INGEST_ASSET_VERSIONS

LOGGER = logging.getLogger(__name__)
MAX_ATTEMPTS = 4
_FIRST_RETRY_S = 30
# A search takes up to seconds, so a verdict that is outdated is found anew without the lock, so many times.
_JUDGED_AGAIN = 3
_MIN_FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class IngestOutcome:
    """What became of one submission. `inspection` and `verdict` are there as far as it came in this run.

    `repeated` instead of both: it was decided before, and this is what the catalogue keeps of that.
    """

    submission: SubmissionRow
    problems: tuple[Problem, ...] = ()
    inspection: Inspection | None = None
    verdict: DedupeVerdict | None = None
    repeated: EarlierDecision | None = None


@dataclass(frozen=True)
class _Examined:
    """A downloaded and inspected submission."""

    submission: SubmissionRow
    path: Path
    source_sha256: str
    inspection: Inspection
    query: Query


@dataclass(frozen=True)
class _NotExamined:
    """A submission that could not be downloaded or inspected, and why."""

    submission: SubmissionRow
    path: Path
    error: MusicfpError


def ingest_batch(context: StageContext, submission_ids: Sequence[str]) -> Iterator[IngestOutcome]:
    """Decide these submissions in the given order and yield each outcome as soon as it is stored.

    What was decided before comes first, from the catalogue and marked `repeated`: a run over the whole batch is asked
    for again when it was killed. Raises StoreUnavailable when the store fails: the rest of the batch stays RECEIVED
    and comes again.
    """
    with context.database.read() as session:
        rows = submissions.get_many(session, submission_ids)
    asked = [rows[each] for each in submission_ids if each in rows]
    decided = [row for row in asked if row.decided_at is not None]
    let_go(context.database, Stage.INGEST, [row.id for row in decided])
    for decision in earlier_decisions(context.database, decided):
        yield IngestOutcome(decision.submission, problems=decision.problems, repeated=decision)
    waiting = [row for row in asked if row.status == "RECEIVED"]
    if waiting:
        yield from _decide_all(context, waiting)


def forget_decided_objects(context: StageContext, *, limit: int = 1000) -> int:
    """Delete the submission objects of accepted and duplicate submissions; return how many. Idempotent.

    Another file that was put under the same key meanwhile is left for discovery to find.
    """
    n_forgotten = 0
    for row in in_pages(context.database, submissions.with_leftover_objects, limit=limit):
        if context.store.delete_unless_replaced(context.settings.submission_bucket, row.object_key, etag=row.etag):
            with context.database.write() as session:
                submissions.mark_object_gone(session, row.id)
            n_forgotten += 1
    return n_forgotten


def _decide_all(context: StageContext, waiting: Sequence[SubmissionRow]) -> Iterator[IngestOutcome]:
    settings = context.settings
    settings.scratch_path.mkdir(parents=True, exist_ok=True)
    judge = Judge(context.database, VerdictPolicy(review_related=settings.review_related))
    rules = InspectionRules(settings.required_tags, settings.max_duration_s)
    with (
        tempfile.TemporaryDirectory(dir=settings.scratch_path, prefix="ingest-") as scratch,
        in_hand(context.database, Stage.INGEST) as hand,
        InspectionPool(rules, workers=min(settings.workers, len(waiting))) as pool,
    ):
        examined = map_in_order(
            lambda row: _examine(context, hand, pool, row, Path(scratch) / row.id),
            hand.taking(waiting, id_of=lambda row: row.id),
            threads=settings.workers + 1,  # one more downloads while the others are inspected
            look_ahead=2 * settings.workers,
        )
        with closing(examined):  # before the pool ends, or its threads would wait for a pool that is gone
            for each in examined:
                if isinstance(each, _Examined):
                    outcome = _decide(context, judge, each)
                else:
                    outcome = _decide_failed(context, each)
                hand.put_down(each.submission.id)
                yield outcome
                each.path.unlink(missing_ok=True)


def _examine(
    context: StageContext, hand: Hand, pool: InspectionPool, row: SubmissionRow, path: Path
) -> _Examined | _NotExamined:
    settings = context.settings
    try:
        hand.require_harmless(row.id)
        require_room(path.parent, 2 * (row.size_bytes or 0) + _MIN_FREE_BYTES)
        downloaded = context.store.download(
            settings.submission_bucket, row.object_key, path, max_bytes=settings.max_upload_bytes, etag=row.etag
        )
        inspection = pool.inspect(path, file_extension(row.filename))
    except Exception as error:  # what nobody foresaw in one file must not cost the batch its others
        return _NotExamined(row, path, blamed_on_the_file(error, path.parent))
    query = Query(inspection.fingerprint, inspection.samples)
    # Outcomes are kept for a whole batch; samples are for the judge alone.
    return _Examined(row, path, downloaded.sha256, replace(inspection, samples=None), query)


def _decide(context: StageContext, judge: Judge, examined: _Examined) -> IngestOutcome:
    try:
        return _judge_and_store(context, judge, examined)
    except Exception as error:
        blamed = blamed_on_the_file(error, examined.path.parent)
        return _decide_failed(context, _NotExamined(examined.submission, examined.path, blamed))


def _judge_and_store(context: StageContext, judge: Judge, examined: _Examined) -> IngestOutcome:
    outcome = None
    while outcome is None:  # once, or again when what the verdict rests on was deleted meanwhile
        verdict = _judge(judge, examined)
        if verdict.outcome is DedupeOutcome.UNIQUE:
            outcome = until_stored(partial(_accept, context, judge, examined, verdict))
        else:
            outcome = _conclude(context, examined, verdict)
    return outcome


def _judge(judge: Judge, examined: _Examined) -> DedupeVerdict:
    force_accept = examined.submission.review_accepted is True
    return judge.judge(examined.source_sha256, examined.query, force_accept=force_accept)


def _accept(context: StageContext, judge: Judge, examined: _Examined, verdict: DedupeVerdict) -> IngestOutcome | None:
    """Store the source, then make the track unless somebody else has brought the same recording meanwhile.

    Return None if a track with this very source was made and deleted meanwhile: the source is stored in vain then.
    """
    submission, inspection = examined.submission, examined.inspection
    key = _store_source(context, examined)
    bucket, band = context.settings.source_bucket, _band_of(examined.query)
    for n_left in reversed(range(_JUDGED_AGAIN + 1)):
        with context.database.exclusive() as session:
            if not submissions.still_waits(session, submission):
                return IngestOutcome(submission)
            is_spent, is_outdated = deletions.is_spent(session, key), judge.is_outdated(session)
            if is_outdated and n_left == 0:  # others were faster each time; while the lock is held nobody is
                verdict, is_outdated = _judge(judge, examined), False
            if verdict.outcome is DedupeOutcome.UNIQUE and not is_outdated and not is_spent:
                require_stored(context.store, bucket, {key: inspection.facts.size_bytes}, prefix=key)
                _write_track(session, context, examined, verdict, band, key=key)
                return IngestOutcome(submission, inspection=inspection, verdict=verdict)
        if is_spent:
            context.store.delete(bucket, key)
            return None
        if is_outdated:
            verdict = _judge(judge, examined)
        if verdict.outcome is not DedupeOutcome.UNIQUE:
            break
    return _conclude(context, examined, verdict)


def _store_source(context: StageContext, examined: _Examined) -> str:
    """Store the source under the hash of its content and return its key: one that no deletion removes."""
    fmt, sha256 = examined.inspection.fmt, examined.source_sha256
    key = source_key(sha256, fmt.extensions[0])
    with context.database.read() as session:
        if deletions.is_spent(session, key):
            key = renewed_source_key(sha256, fmt.extensions[0], examined.submission.id)
    context.store.put_file(context.settings.source_bucket, key, examined.path, mime=fmt.mime, sha256=sha256)
    return key


def _write_track(
    session: Session,
    context: StageContext,
    examined: _Examined,
    verdict: DedupeVerdict,
    band: Fingerprint | None,
    *,
    key: str,
) -> None:
    submission, sha256 = examined.submission, examined.source_sha256
    submission.source_sha256 = sha256
    rows = accepted_track(submission, examined.inspection, verdict, source_sha256=sha256, source_key=key)
    acceptance.accept(session, submission, rows, verdict_row(submission, verdict, status="ACCEPTED"))
    if band is not None:
        fingerprints.store(session, rows.track, band, kind=FingerprintKind.BAND, version=BAND_FINGERPRINTER_VERSION)
    lineage.record(session, context.provenance, {submission.id: INGEST_ASSET_VERSIONS})


def _band_of(query: Query) -> Fingerprint | None:
    """Return the second fingerprint, which finds copies at another pitch; None of what is too long to be one.

    It costs 35 ms for four minutes. Without it, such a copy would be let in until the transcodes are made.
    """
    return None if query.samples is None else band_fingerprint(query.samples)


def _conclude(context: StageContext, examined: _Examined, verdict: DedupeVerdict) -> IngestOutcome | None:
    """End a submission that does not become a track: it is a duplicate or waits for review.

    Return None if the track that it resembles was deleted meanwhile.
    """
    submission = examined.submission
    status = "NEEDS_REVIEW" if verdict.outcome is DedupeOutcome.NEEDS_REVIEW else "DUPLICATE"
    with context.database.write() as session:
        if not submissions.still_waits(session, submission):
            return IngestOutcome(submission)
        if verdict.track_id is not None and not deletions.track_remains(session, verdict.track_id):
            return None
        submission.source_sha256 = examined.source_sha256
        acceptance.conclude(session, submission, status, verdict_row(submission, verdict, status=status))
        lineage.record(session, context.provenance, {submission.id: INGEST_ASSET_VERSIONS})
    return IngestOutcome(submission, inspection=examined.inspection, verdict=verdict)


def _decide_failed(context: StageContext, failed: _NotExamined) -> IngestOutcome:
    """End, or postpone, a submission that could not be examined."""
    submission, error = failed.submission, failed.error
    problems = _problems_of(error)
    with context.database.write() as session:
        if not submissions.still_waits(session, submission):
            return IngestOutcome(submission)
        if isinstance(error, RetryableError) and submission.attempts + 1 < MAX_ATTEMPTS:
            delay_s = _FIRST_RETRY_S * 2**submission.attempts
            due_at = utc_now() + timedelta(seconds=delay_s)
            submissions.try_again_later(session, submission, due_at=due_at, reason=str(error))
            LOGGER.warning("submission %s is put off for %d s: %s", submission.id, delay_s, error)
        else:
            status = "REJECTED" if isinstance(error, SubmissionRejected | InvalidRequest) else "FAILED"
            submissions.decide(session, submission, status, problems)
            made = {DEDUPE_VERDICT: INGEST_ASSET_VERSIONS[DEDUPE_VERDICT]}
            lineage.record(session, context.provenance, {submission.id: made})
            if isinstance(error, NotFound):
                submissions.mark_object_gone(session, submission.id)
    return IngestOutcome(submission, problems=problems)


def _problems_of(error: MusicfpError) -> tuple[Problem, ...]:
    if isinstance(error, SubmissionRejected):
        return error.problems
    if isinstance(error, NotFound):
        return (Problem("object_gone", "The uploaded file was removed before it could be examined. Upload it again."),)
    if isinstance(error, WorkerLost):
        return (Problem("not_examinable", f"{error} The file may be damaged; convert it and upload it again."),)
    if isinstance(error, ObjectChanged):
        return (Problem(error.code, "The uploaded file was replaced while it was examined. Upload it again."),)
    if isinstance(error, PermanentError):
        return (Problem(error.code, str(error)),)
    return (Problem(error.code, f"The file could not be examined: {error}"),)
