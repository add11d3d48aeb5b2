"""Verdicts on made-up search results, judged and stored as ingest does."""

from musicfp.catalog import acceptance
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import SubmissionRow
from musicfp.fingerprint.search import SearchReport
from musicfp.fingerprint.segments import Segment
from musicfp.fingerprint.verdict import (
    DedupeVerdict,
    VerdictPolicy,
    accepted_in_review,
    judge,
    same_file_verdict,
)
from musicfp.fingerprint.verification import Match
from musicfp.pipeline.ingest_rows import verdict_row
from musicfp.pipeline.recheck import STATUS_OF_OUTCOME
from tests.support.seeds import seed_id, seed_submission, seed_track

TRACK = seed_id(1)
REVIEW = VerdictPolicy(review_related=True)


def match_of(
    *, correlation: float = 0.9, query: float = 1.0, track: float = 1.0, drift: float = 0.0, track_id: str = TRACK
) -> Match:
    """Return a match of 99 s; with a drift its segments lie as those of a copy at another speed do."""
    segments = tuple(Segment(at, at + 100, round(at * drift) - 40, correlation) for at in range(0, 800, 100))
    score = min(1.0, correlation)
    start_s = -40 * 1365 / 11025
    return Match(
        track_id, score, correlation, 0.05, -40, start_s, 800, 800 * 1365 / 11025, query, track, segments, 30.0
    )


def report_of(*matches: Match, information_ok: bool = True) -> SearchReport:
    """Return what a search reported."""
    return SearchReport(matches, 10, 1.0, information_ok=information_ok)


def verdicts_of_every_kind() -> dict[str, DedupeVerdict]:
    """Return a verdict of each outcome, relation and reason that there is."""
    medley = report_of(match_of(query=0.5), match_of(correlation=0.45, query=0.3, track_id="other"))
    return {
        "new": judge(report_of(), query_items=800),
        "too short": judge(report_of(), query_items=5),
        "monotonous": judge(report_of(information_ok=False), query_items=800),
        "little in common": judge(report_of(match_of(correlation=0.3)), query_items=800),
        "same file": same_file_verdict(TRACK),
        "same recording": judge(report_of(match_of()), query_items=800),
        "faster": judge(report_of(match_of(correlation=0.55, drift=0.01)), query_items=800),
        "just enough": judge(report_of(match_of(correlation=0.7, query=0.8, track=0.8)), query_items=800),
        "nearly enough": judge(report_of(match_of(correlation=0.7 - 1e-15)), query_items=800),
        "excerpt": judge(report_of(match_of(track=0.1)), query_items=80),
        "contains": judge(medley, query_items=1600),
        "contains, waits": judge(medley, query_items=1600, policy=REVIEW),
        "similar": judge(report_of(match_of(correlation=0.55)), query_items=800),
        "similar, waits": judge(report_of(match_of(correlation=0.55)), query_items=800, policy=REVIEW),
        "let in": accepted_in_review(judge(medley, query_items=1600, policy=REVIEW)),
        "let in as a duplicate": accepted_in_review(judge(report_of(match_of()), query_items=800)),
        "let in, alone by now": accepted_in_review(judge(report_of(), query_items=800)),
    }


def store_verdict(database: Database, number: int, verdict: DedupeVerdict, *, filename: str = "song.flac") -> str:
    """Store a verdict on a new submission and return the submission's id."""
    submission_id = seed_submission(database, number, filename=filename)
    with database.write() as session:
        submission = session.get_one(SubmissionRow, submission_id)
        status = STATUS_OF_OUTCOME[verdict.outcome]
        acceptance.conclude(session, submission, status, verdict_row(submission, verdict, status=status))
    return submission_id


def store_every_kind(database: Database) -> dict[str, str]:
    """Store a verdict of each kind, all about one track; return the kind by submission id."""
    seed_track(database, 1)
    return {
        store_verdict(database, number, verdict, filename=f"{kind}.flac"): kind
        for number, (kind, verdict) in enumerate(verdicts_of_every_kind().items(), start=2)
    }
