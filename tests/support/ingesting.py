"""Doing what people and sensors do: uploading files, dropping them into the bucket, discovering and ingesting them."""

from pathlib import Path

import httpx

from musicfp.catalog import relations
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import SubmissionRow, VerdictRow
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.discovery import Discovery, discover
from musicfp.pipeline.ingest import IngestOutcome, forget_decided_objects, ingest_batch
from musicfp.pipeline.uploads import request_upload


def upload(stage: StageContext, path: Path, *, submitter: str | None = None) -> str:
    """Upload a file by a ticket and return the submission's id."""
    content = path.read_bytes()
    ticket = request_upload(
        stage.database,
        stage.store,
        stage.settings,
        filename=path.name,
        size_bytes=len(content),
        submitter=submitter,
    )
    answer = httpx.put(ticket.url, content=content, headers=dict(ticket.headers), timeout=60, trust_env=False)
    answer.raise_for_status()
    return ticket.submission_id


def drop(stage: StageContext, path: Path, key: str | None = None) -> str:
    """Put a file into the submission bucket without asking anybody, and return its key."""
    key = key or path.name
    stage.store.client.put_object(Bucket=stage.settings.submission_bucket, Key=key, Body=path.read_bytes())
    return key


def discover_all(stage: StageContext) -> Discovery:
    """Look through the whole bucket."""
    return discover(stage.database, stage.store, stage.settings, after="", complete=True)


def ingest_all(stage: StageContext, *paths: Path) -> list[IngestOutcome]:
    """Upload files, discover them and decide them in this order; delete what is decided."""
    submission_ids = upload_and_discover(stage, *paths)
    outcomes = list(ingest_batch(stage, submission_ids))
    forget_decided_objects(stage)
    return outcomes


def upload_and_discover(stage: StageContext, *paths: Path) -> list[str]:
    """Upload files, discover them and return the submissions' ids in this order."""
    submission_ids = [upload(stage, path) for path in paths]
    discover_all(stage)
    return submission_ids


def problem_codes(stage: StageContext, submission_id: str) -> list[str]:
    """Return the codes of what is wrong with a submission, in their order."""
    with stage.database.read() as session:
        return [row.code for row in relations.problems(session, [submission_id]).get(submission_id, [])]


def verdict_of(stage: StageContext, submission_id: str) -> VerdictRow:
    """Return the verdict on a submission."""
    with stage.database.read() as session:
        return relations.verdicts(session, [submission_id])[submission_id]


def submission_of(stage: StageContext, submission_id: str) -> SubmissionRow:
    """Return a submission as it is stored now."""
    with stage.database.read() as session:
        return session.get_one(SubmissionRow, submission_id)


def keys_in(stage: StageContext, bucket: str) -> list[str]:
    """Return the keys of a bucket."""
    return sorted(each.key for each in stage.store.list_after(bucket))


def make_due(stage: StageContext, submission_id: str) -> None:
    """Let the time pass until a postponed submission is due."""
    with stage.database.write() as session:
        session.get_one(SubmissionRow, submission_id).next_attempt_at = utc_now()
