"""Stored evidence judged again, by the same policy and by others, on both databases."""

from dataclasses import fields, replace

import pytest
from sqlalchemy import delete

from musicfp.catalog import verdicts
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import TrackRow, VerdictRow
from musicfp.fingerprint.verdict import VerdictPolicy, judge
from musicfp.pipeline import recheck as recheck_module
from musicfp.pipeline.evidence import evidence_of, judge_again
from musicfp.pipeline.recheck import Rechecked, Ruling, recheck, varied_policy
from tests.support.judged import (
    REVIEW,
    TRACK,
    match_of,
    report_of,
    store_every_kind,
    store_verdict,
    verdicts_of_every_kind,
)
from tests.support.seeds import seed_id, seed_track

POLICY = VerdictPolicy()


def changes(database: Database, policy: VerdictPolicy) -> list[Rechecked]:
    return [each for each in recheck(database, policy) if each.would_change]


def test_the_same_policy_gives_the_same_verdict_of_every_kind(database: Database) -> None:
    """Outcome, relation, track, sentence and all other relations, from what the database gives back."""
    kinds = store_every_kind(database)
    decided = verdicts_of_every_kind()
    with database.read() as session:
        kept = {kinds[each.verdict.submission_id]: each for each in verdicts.newest(session, limit=100)}
    assert set(kept) == set(decided)
    for kind, verdict in decided.items():
        assert kept[kind].filename == f"{kind}.flac"
        policy = REVIEW if kind.endswith("waits") or kind == "let in" else POLICY
        again = judge_again(kept[kind].verdict.evidence, policy)
        if kind == "same file":
            assert again is None
            continue
        assert again is not None
        assert (again.outcome, again.relation, again.track_id, again.reason) == (
            verdict.outcome,
            verdict.relation,
            verdict.track_id,
            verdict.reason,
        ), kind
        assert [(each.relation, each.match.track_id) for each in again.related] == [
            (each.relation, each.match.track_id) for each in verdict.related
        ]


def test_nothing_would_change_but_what_waits_for_a_setting(database: Database) -> None:
    kinds = store_every_kind(database)
    rechecked = list(recheck(database, POLICY))
    assert len(rechecked) == len(kinds)
    assert all(each.after is not None for each in rechecked)
    flipped = {kinds[each.submission_id]: each for each in rechecked if each.would_change}
    assert set(flipped) == {"contains, waits", "similar, waits"}
    assert {each.why for each in flipped.values()} == {("review_related is false",)}
    assert {kinds[each.submission_id] for each in changes(database, REVIEW)} == {"contains", "similar", "nearly enough"}


@pytest.mark.parametrize(
    ("correlation", "query", "track", "drift", "changed", "after", "why"),
    [
        (
            0.72, 1.0, 1.0, 0.0, {"min_duplicate_correlation": 0.75}, ("ACCEPTED", "SIMILAR"),
            "correlation 0.72 is below min_duplicate_correlation 0.75",
        ),
        (
            0.66, 1.0, 0.2, 0.0, {"min_duplicate_correlation": 0.66}, ("DUPLICATE", "EXCERPT"),
            "correlation 0.66 reaches min_duplicate_correlation 0.66",
        ),
        (
            0.45, 1.0, 1.0, 0.0, {"min_related_correlation": 0.5}, ("ACCEPTED", None),
            "correlation 0.45 is below min_related_correlation 0.5",
        ),
        (
            0.55, 1.0, 1.0, 0.01, {"min_warped_correlation": 0.6}, ("ACCEPTED", "SIMILAR"),
            "correlation 0.55 is below min_warped_correlation 0.6",
        ),
        (
            0.55, 1.0, 1.0, 0.01, {"min_drift": 0.02}, ("ACCEPTED", "SIMILAR"),
            "drift of speed 0.01 is below min_drift 0.02",
        ),
        (
            0.9, 0.85, 0.3, 0.0, {"min_coverage": 0.9}, ("ACCEPTED", "SIMILAR"),
            "coverage of the upload 0.85 is below min_coverage 0.9",
        ),
        (
            0.9, 0.85, 0.95, 0.0, {"min_coverage": 0.9}, ("ACCEPTED", "CONTAINS"),
            "coverage of the upload 0.85 is below min_coverage 0.9",
        ),
        (
            0.5, 0.2, 0.1, 0.0, {"min_related_coverage": 0.15}, ("ACCEPTED", "SIMILAR"),
            "larger coverage 0.2 reaches min_related_coverage 0.15",
        ),
    ],
)  # fmt: skip
def test_a_changed_threshold_flips_and_says_why(
    database: Database, correlation: float, query: float, track: float, drift: float,
    changed: dict[str, float], after: tuple[str, str | None], why: str,
) -> None:  # fmt: skip
    seed_track(database, 1)
    report = report_of(match_of(correlation=correlation, query=query, track=track, drift=drift))
    submission_id = store_verdict(database, 2, judge(report, query_items=800))
    assert changes(database, POLICY) == []
    (change,) = changes(database, varied_policy(POLICY, {name: str(value) for name, value in changed.items()}))
    assert change.submission_id == submission_id
    assert change.after == Ruling(*after, TRACK if after[1] else None)
    assert change.why == (why,)


def test_what_several_thresholds_do_together_is_told_by_the_new_sentence(database: Database) -> None:
    """Neither alone is the reason; where each alone would do, both are named."""
    seed_track(database, 1)
    store_verdict(database, 2, judge(report_of(match_of(correlation=0.9, query=0.9, track=0.9)), query_items=800))
    (change,) = changes(database, replace(POLICY, min_duplicate_correlation=0.95, min_coverage=0.95))
    (sentence,) = change.why
    assert sentence.startswith(f"This shares music with track {TRACK}")
    either = judge(report_of(match_of(correlation=0.6, query=0.7, track=0.75)), query_items=800)
    store_verdict(database, 3, either)
    (change,) = changes(database, replace(POLICY, min_duplicate_correlation=0.6, min_coverage=0.7))
    assert change.after == Ruling("DUPLICATE", "SAME_RECORDING", TRACK)
    assert change.why == (
        "correlation 0.6 reaches min_duplicate_correlation 0.6",
        "coverage of the upload 0.7 reaches min_coverage 0.7",
        "coverage of the track 0.75 reaches min_coverage 0.7",
    )


def test_where_the_code_changed_the_closest_threshold_is_named(
    database: Database,
) -> None:
    """It is not known which policy decided then."""
    seed_track(database, 1)
    earlier = replace(POLICY, min_duplicate_correlation=0.75)
    store_verdict(database, 2, judge(report_of(match_of(correlation=0.72)), query_items=800, policy=earlier))
    (change,) = changes(database, POLICY)
    assert change.why == ("correlation 0.72 reaches min_duplicate_correlation 0.7",)


def test_evidence_of_older_versions_or_none_is_said_to_be_too_little(database: Database) -> None:
    seed_track(database, 1)
    stored = [store_verdict(database, number, judge(report_of(match_of()), query_items=800)) for number in (2, 3)]
    with database.write() as session:
        session.get_one(VerdictRow, stored[0]).evidence = {"correlation": 0.9, "queryCoverage": 1.0, "segments": 1}
        session.get_one(VerdictRow, stored[1]).evidence = {}
    rechecked = list(recheck(database, replace(POLICY, min_duplicate_correlation=1.0)))
    assert [(each.after, each.would_change) for each in rechecked] == [(None, False)] * 2


def test_a_track_that_was_deleted_changes_no_verdict(database: Database) -> None:
    seed_track(database, 1)
    store_verdict(database, 2, judge(report_of(match_of()), query_items=800))
    with database.write() as session:
        session.exec(delete(TrackRow))
    assert changes(database, POLICY) == []
    (change,) = changes(database, replace(POLICY, min_duplicate_correlation=0.95))
    assert change.before.track_id is None


def test_all_pages_are_read_newest_first_and_filtered(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "_PAGE_ROWS", 3)
    kinds = store_every_kind(database)
    assert [each.submission_id for each in recheck(database, POLICY)] == sorted(kinds, reverse=True)
    duplicates = {kinds[each.submission_id] for each in recheck(database, POLICY, outcome="DUPLICATE")}
    assert duplicates == {"same file", "same recording", "faster", "just enough", "excerpt"}


def test_rechecking_changes_nothing(database: Database) -> None:
    store_every_kind(database)

    def everything() -> list[dict[str, object]]:
        return [each.verdict.model_dump() for each in verdicts.every(database)]

    before = everything()
    assert changes(database, replace(POLICY, min_duplicate_correlation=1.0, min_related_correlation=1.0))
    assert everything() == before


def test_evidence_is_small() -> None:
    """A new file's is a few words; that of ten matches in eight pieces each stays below 6 KB."""
    import json

    assert len(json.dumps(evidence_of(judge(report_of(), query_items=800)))) < 100
    ten = report_of(*(match_of(track_id=seed_id(number)) for number in range(10)))
    assert len(json.dumps(evidence_of(judge(ten, query_items=800)))) < 6000


def test_each_threshold_of_the_policy_can_be_set_and_explained() -> None:
    names = {each.name for each in fields(VerdictPolicy) if each.type is float}
    assert names == set(recheck_module._NUMBERS)
    for name in names:
        assert getattr(varied_policy(POLICY, {name: "0.123"}), name) == 0.123
    assert varied_policy(POLICY, {"review_related": "true"}).review_related is True
    assert varied_policy(REVIEW, {"review_related": "0"}).review_related is False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_duplicat": "0.5"}, "has no 'min_duplicat'; it has min_duplicate_correlation"),
        ({"version": "2"}, "has no 'version'"),
        ({"min_coverage": "much"}, "a number from 0 to 1, not 'much'"),
        ({"min_coverage": "1.5"}, "a number from 0 to 1"),
        ({"min_coverage": "nan"}, "a number from 0 to 1"),
        ({"review_related": "perhaps"}, "true or false, not 'perhaps'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        varied_policy(POLICY, values)
