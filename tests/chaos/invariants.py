"""What must be true when the product has come to rest, whatever was done to it. Looked at from the outside.

What belongs here: rows, objects, Dagster's storage and processes as they are, held against each other and against what
was sent. What does not: waiting for rest (`rest`), and the product's own ideas of what is right.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from musicfp.catalog import index_upkeep
from musicfp.catalog.engine import Database
from musicfp.store.objects import ObjectStore
from tests.chaos.dagster_state import DagsterState
from tests.chaos.workload import Sent

Row = Mapping[str, Any]
_FINAL = {"ACCEPTED", "DUPLICATE", "NEEDS_REVIEW", "REJECTED", "FAILED", "EXPIRED"}
_HAS_VERDICT = {"ACCEPTED", "DUPLICATE", "NEEDS_REVIEW"}
_KEPT = {"NEEDS_REVIEW", "REJECTED", "FAILED"}
# Beside the runs that the work itself takes, a kill may cost so many.
_RUNS_PER_KILL = 4


@dataclass(frozen=True)
class Rows:
    """The tables that matter here, by name."""

    submissions: Mapping[str, Row]
    verdicts: Mapping[str, Row]
    n_problems: Mapping[str, int]
    tracks: Mapping[str, Row]
    transcodes: Sequence[Row]
    derivations: Sequence[Row]
    n_fingerprints: Mapping[str, int]
    assets: frozenset[str]


@dataclass(frozen=True)
class Findings:
    """What was found wrong, and what was found left over: `orphans` are objects that no row names."""

    violations: tuple[str, ...]
    orphans: tuple[str, ...]
    n_checked: Mapping[str, int]


def read_rows(database: Database) -> Rows:
    """Read the catalogue by plain SQL."""
    with database.engine.connect() as connection:

        def rows(query: str) -> list[Row]:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

        return Rows(
            submissions={row["id"]: row for row in rows("SELECT * FROM submission")},
            verdicts={row["submission_id"]: row for row in rows("SELECT * FROM verdict")},
            n_problems={
                row["id"]: row["n"]
                for row in rows("SELECT submission_id AS id, count(*) AS n FROM problem GROUP BY submission_id")
            },
            tracks={row["id"]: row for row in rows("SELECT * FROM track")},
            transcodes=rows("SELECT * FROM transcode"),
            derivations=rows("SELECT * FROM derivation"),
            n_fingerprints={
                row["id"]: row["n"]
                for row in rows("SELECT track_id AS id, count(*) AS n FROM fingerprint GROUP BY track_id")
            },
            assets=frozenset(row["asset"] for row in rows("SELECT asset FROM derived_asset")),
        )


def check(
    database: Database,
    store: ObjectStore,
    buckets: Mapping[str, str],
    state: DagsterState,
    sent: Sequence[Sent],
    *,
    n_kills: int,
    n_strangers: int,
) -> Findings:
    """Hold everything against everything. `buckets` by use; strangers are processes that should have ended."""
    rows = read_rows(database)
    orphans: list[str] = []
    violations = [
        *_every_upload_ended(rows, sent),
        *_one_track_per_recording(rows, sent),
        *_everything_is_derived(rows),
        *_objects_are_there(rows, store, buckets, orphans),
        *_dagster_agrees(rows, state),
        *_runs_are_bounded(rows, state, n_kills=n_kills),
        *_index_agrees(database),
    ]
    if n_strangers:
        violations.append(f"processes: {n_strangers} are left that nobody needs")
    n_checked = {
        "uploads sent": len(sent),
        "submissions": len(rows.submissions),
        "tracks": len(rows.tracks),
        "transcodes": len(rows.transcodes),
        "derivations": len(rows.derivations),
        "runs": len(state.runs),
        "partitions": sum(map(len, state.partitions.values())),
    }
    return Findings(tuple(violations), tuple(orphans), n_checked)


def _every_upload_ended(rows: Rows, sent: Sequence[Sent]) -> Iterator[str]:
    for each, row in _submissions_of(rows, sent):
        if row is None:
            yield f"upload: {each} has no submission"
        elif each.recording is not None and row["status"] not in {"ACCEPTED", "DUPLICATE"}:
            yield f"upload: {each} is music and ended as {row['status']}"
        elif each.recording is None and row["status"] not in {"REJECTED", "FAILED", "EXPIRED"}:
            yield f"upload: {each} is no music and ended as {row['status']}"
    for submission_id, row in rows.submissions.items():
        problem = _problem_of(rows, submission_id, row)
        if problem:
            yield f"submission {submission_id}: {row['status']} {problem}"


def _submissions_of(rows: Rows, sent: Sequence[Sent]) -> Iterator[tuple[Sent, Row | None]]:
    by_key = {row["object_key"]: row for row in rows.submissions.values()}
    for each in sent:
        yield each, rows.submissions.get(each.submission_id or "") or by_key.get(each.key)


def _problem_of(rows: Rows, submission_id: str, row: Row) -> str:
    """Return what is wrong with a submission in itself, nothing if it is right."""
    status, verdict = row["status"], rows.verdicts.get(submission_id)
    has_verdict = status in _HAS_VERDICT
    wrongs = {
        "still": status not in _FINAL,
        "without a problem, or with one": (status in {"REJECTED", "FAILED"}) is not (submission_id in rows.n_problems),
        "without a verdict that says why": has_verdict and (verdict is None or not verdict["reason"]),
        "with another verdict": has_verdict and verdict is not None and verdict["outcome"] != status,
        "of nothing": status == "DUPLICATE" and (verdict or {}).get("matched_track_id") not in rows.tracks,
        "and a track does not fit": (status == "ACCEPTED") is not (submission_id in rows.tracks),
    }
    return ", ".join(wrong for wrong, is_so in wrongs.items() if is_so)


def _one_track_per_recording(rows: Rows, sent: Sequence[Sent]) -> Iterator[str]:
    copies: dict[int, list[Row]] = defaultdict(list)
    for each, row in _submissions_of(rows, sent):
        if each.recording is not None and row is not None:
            copies[each.recording].append(row)
    for recording, found in copies.items():
        accepted = [row["id"] for row in found if row["status"] == "ACCEPTED"]
        if len(accepted) != 1:
            yield f"recording {recording}: {len(accepted)} tracks, of {Counter(row['status'] for row in found)}"
            continue
        for row in found:
            verdict = rows.verdicts.get(row["id"])
            if row["status"] == "DUPLICATE" and verdict and verdict["matched_track_id"] != accepted[0]:
                yield f"recording {recording}: {row['id']} is a duplicate of {verdict['matched_track_id']}"


def _everything_is_derived(rows: Rows) -> Iterator[str]:
    of_track: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows.derivations:
        of_track[row["track_id"]][row["asset"]] = row
    made = {(row["track_id"], f"transcode_{row['profile']}") for row in rows.transcodes}
    for track_id in rows.tracks:
        states = of_track[track_id]
        for asset in rows.assets:
            row = states.get(asset)
            if row is None or row["status"] == "PENDING":
                yield f"track {track_id}: {asset} is {'not asked for' if row is None else 'PENDING'}"
            elif row["status"] == "FAILED" and not row["error_message"]:
                yield f"track {track_id}: {asset} FAILED without a reason"
            elif asset.startswith("transcode_") and (row["status"] == "DONE") is not ((track_id, asset) in made):
                yield f"track {track_id}: {asset} is {row['status']}, its row says something else"
        band_done = states.get("fingerprint_300_3400", {}).get("status") == "DONE"
        if band_done and rows.n_fingerprints.get(track_id, 0) != 2:
            yield f"track {track_id}: {rows.n_fingerprints.get(track_id, 0)} fingerprints"


def _objects_are_there(rows: Rows, store: ObjectStore, buckets: Mapping[str, str], orphans: list[str]) -> Iterator[str]:
    named = {("source", row["source_key"]): row["source_sha256"] for row in rows.tracks.values()}
    named |= {("transcode", row["object_key"]): row["sha256"] for row in rows.transcodes}
    for (use, key), sha256 in named.items():
        try:
            body = store.client.get_object(Bucket=buckets[use], Key=key)["Body"].read()
        except store.client.exceptions.NoSuchKey:
            yield f"object {use} {key}: not there"
            continue
        if hashlib.sha256(body).hexdigest() != sha256:
            yield f"object {use} {key}: holds other bytes than its row says"
    for use, prefix in (("source", "sources/"), ("transcode", "transcodes/")):
        listed = {each.key for each in store.list_after(buckets[use], prefix=prefix)}
        orphans += [key for key in sorted(listed) if (use, key) not in named]
    uploads = {each.key for each in store.list_after(buckets["submission"])}
    for row in rows.submissions.values():
        should_be = row["status"] in _KEPT and row["object_gone_at"] is None
        if should_be and row["object_key"] not in uploads:
            yield f"submission {row['id']}: {row['status']}, and its upload is gone"
        uploads -= {row["object_key"]} if should_be else set()
    yield from (f"object submission {key}: nobody wants it any more" for key in sorted(uploads))


def _index_agrees(database: Database) -> Iterator[str]:
    with database.snapshot() as session:
        yield from (f"index: {each}" for each in index_upkeep.verify(session).differences)


def _dagster_agrees(rows: Rows, state: DagsterState) -> Iterator[str]:
    """Every partition is materialized or has no state: nothing red, nothing in progress for ever."""
    if state.n_unfinished:
        yield f"runs: {state.n_unfinished} are not finished"
    failed = {(row["track_id"], row["asset"]) for row in rows.derivations if row["status"] == "FAILED"}
    expected = {(row["track_id"], row["asset"]) for row in rows.derivations if row["status"] == "DONE"}
    for submission_id, row in rows.submissions.items():
        if row["status"] in _FINAL - {"EXPIRED"}:
            expected.add((submission_id, "dedupe_verdict"))
            expected.add((submission_id, "submission"))
        if row["status"] in {"ACCEPTED", "DUPLICATE"}:
            expected |= {(submission_id, "track_metadata"), (submission_id, "fingerprint")}
    seen = {(key, asset): status for asset, found in state.partitions.items() for key, status in found.items()}
    for (key, asset), status in seen.items():
        if status != "MATERIALIZED" and (key, asset) not in failed:
            yield f"partition {asset} of {key}: {status}"
    yield from (f"partition {asset} of {key}: not recorded" for key, asset in sorted(expected - seen.keys()))
    yield from (f"track {each}: no partition" for each in sorted(rows.tracks.keys() - set(state.keys["tracks"])))


def _runs_are_bounded(rows: Rows, state: DagsterState, *, n_kills: int) -> Iterator[str]:
    # At worst every submission and every track comes alone.
    bound = len(rows.submissions) + 2 * len(rows.tracks) + _RUNS_PER_KILL * n_kills + 10
    if len(state.runs) > bound:
        yield f"runs: {len(state.runs)}, more than {bound}: {state.n_runs}"
