"""The deduplication policy, by itself and on edited copies."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.search import SearchReport, search
from musicfp.fingerprint.segments import Segment
from musicfp.fingerprint.verdict import (
    POLICY_VERSION,
    DedupeOutcome,
    DedupeVerdict,
    MatchRelation,
    VerdictPolicy,
    judge,
    relation_of,
    same_file_verdict,
    speed_drift,
)
from musicfp.fingerprint.verification import Match

REVIEW = VerdictPolicy(review_related=True)


def match(
    *, correlation: float = 0.9, query: float = 1.0, track: float = 1.0, drift: float = 0.0, track_id: str = "t1"
) -> Match:
    segments = tuple(Segment(at, at + 100, round(at * drift), correlation) for at in range(0, 800, 100))
    return Match(track_id, correlation, correlation, 0.05, 0, 0.0, 800, 99.0, query, track, segments, 30.0)


def report_of(*matches: Match) -> SearchReport:
    return SearchReport(matches, 10, 1.0, information_ok=True)


def judged(items: NDArray[np.uint32], corpus: FingerprintCorpus, policy: VerdictPolicy | None = None) -> DedupeVerdict:
    report = search(Fingerprint.of_items(items), corpus, by_pair=True)
    return judge(report, query_items=items.size, policy=policy or VerdictPolicy())


@pytest.mark.parametrize(
    ("correlation", "query", "track", "drift", "relation"),
    [
        (0.70, 0.80, 0.80, 0.0, MatchRelation.SAME_RECORDING),
        (0.95, 1.00, 0.79, 0.0, MatchRelation.EXCERPT),
        (0.95, 0.79, 1.00, 0.0, MatchRelation.CONTAINS),
        (0.95, 0.79, 0.79, 0.0, MatchRelation.SIMILAR),
        (0.69, 1.00, 1.00, 0.0, MatchRelation.SIMILAR),
        (0.58, 1.00, 1.00, 0.0, MatchRelation.SIMILAR),
        (0.55, 1.00, 1.00, 0.01, MatchRelation.SAME_RECORDING),
        (0.55, 1.00, 1.00, -0.02, MatchRelation.SAME_RECORDING),
        (0.49, 1.00, 1.00, 0.01, MatchRelation.SIMILAR),
        (0.40, 1.00, 1.00, 0.0, MatchRelation.SIMILAR),
        (0.39, 1.00, 1.00, 0.0, None),
        (0.95, 0.24, 0.24, 0.0, None),
        (0.95, 0.05, 0.30, 0.0, MatchRelation.SIMILAR),
    ],
)
def test_relation_follows_from_correlation_coverage_and_drift(
    correlation: float, query: float, track: float, drift: float, relation: MatchRelation | None
) -> None:
    assert relation_of(match(correlation=correlation, query=query, track=track, drift=drift)) == relation


@pytest.mark.parametrize(
    ("evidence", "outcome", "reviewed"),
    [
        (match(), DedupeOutcome.DUPLICATE, DedupeOutcome.DUPLICATE),
        (match(track=0.5), DedupeOutcome.DUPLICATE, DedupeOutcome.DUPLICATE),
        (match(query=0.5), DedupeOutcome.UNIQUE, DedupeOutcome.NEEDS_REVIEW),
        (match(correlation=0.5), DedupeOutcome.UNIQUE, DedupeOutcome.NEEDS_REVIEW),
        (match(correlation=0.3), DedupeOutcome.UNIQUE, DedupeOutcome.UNIQUE),
    ],
)
def test_outcome_follows_from_relation_and_setting(
    evidence: Match, outcome: DedupeOutcome, reviewed: DedupeOutcome
) -> None:
    assert judge(report_of(evidence), query_items=800).outcome is outcome
    assert judge(report_of(evidence), query_items=800, policy=REVIEW).outcome is reviewed


def test_the_strongest_relation_decides_and_the_others_are_kept() -> None:
    similar, excerpt = match(correlation=0.5, track_id="s"), match(track=0.3, track_id="e")
    verdict = judge(report_of(similar, excerpt), query_items=800)
    assert (verdict.track_id, verdict.relation, verdict.match) == ("e", MatchRelation.EXCERPT, excerpt)
    assert [(one.relation, one.match.track_id) for one in verdict.related] == [(MatchRelation.SIMILAR, "s")]


def test_an_accepted_upload_keeps_the_relation_that_is_named() -> None:
    verdict = judge(report_of(match(query=0.4)), query_items=800)
    assert verdict.outcome is DedupeOutcome.UNIQUE
    assert [one.relation for one in verdict.related] == [MatchRelation.CONTAINS]


def test_the_reason_says_which_track_where_and_how_sure() -> None:
    evidence = replace(match(), offset_s=-12.34)
    reason = judge(report_of(evidence), query_items=800).reason
    for part in ("same recording as track t1", "12.3 s into this upload", "99.0 s", "8 pieces", "100%", "0.90", "5.0%"):
        assert part in reason
    assert "starting 31.0 s into it" in judge(report_of(replace(match(), offset_s=31.0)), query_items=800).reason


def test_the_policy_s_version_and_thresholds_are_used() -> None:
    strict = VerdictPolicy(min_duplicate_correlation=0.95, version="strict")
    verdict = judge(report_of(match()), query_items=800, policy=strict)
    assert (verdict.relation, verdict.policy_version) == (MatchRelation.SIMILAR, "strict")


def test_the_same_file_is_a_duplicate_without_any_comparison() -> None:
    verdict = same_file_verdict("t9")
    assert verdict.outcome is DedupeOutcome.DUPLICATE
    assert (verdict.relation, verdict.track_id, verdict.match) == (MatchRelation.SAME_FILE, "t9", None)
    assert verdict.policy_version == POLICY_VERSION
    assert "byte for byte" in verdict.reason


def test_drift_is_the_slope_of_steady_offsets_only() -> None:
    assert speed_drift(match(drift=0.01)) == pytest.approx(0.01)
    assert speed_drift(match()) == pytest.approx(0.0)
    jumping = tuple(Segment(at, at + 100, (at // 400) * 60, 0.5) for at in range(0, 800, 100))
    assert speed_drift(replace(match(), segments=jumping)) == 0.0


@pytest.mark.parametrize(("n_elsewhere", "drift"), [(0, 0.02), (1, 0.02), (3, 0.0)])
def test_single_segments_elsewhere_do_not_hide_a_drift(n_elsewhere: int, drift: float) -> None:
    """Music that repeats itself; but not more than a fifth of it."""
    segments = tuple(
        replace(segment, offset_items=segment.offset_items + 300) if number in (3, 1, 6)[:n_elsewhere] else segment
        for number, segment in enumerate(match(drift=0.02).segments)
    )
    assert speed_drift(replace(match(), segments=segments)) == pytest.approx(drift, abs=0.002)


@pytest.mark.parametrize(
    ("edit", "outcome", "relation"),
    [
        ("copy", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("noisy", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("trimmed head", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("trimmed tail", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("a bit longer", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("padded with silence", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("chunks missing", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("muted bars", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("faster", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("slower", DedupeOutcome.DUPLICATE, MatchRelation.SAME_RECORDING),
        ("first half", DedupeOutcome.DUPLICATE, MatchRelation.EXCERPT),
        ("short clip", DedupeOutcome.DUPLICATE, MatchRelation.EXCERPT),
        ("medley", DedupeOutcome.UNIQUE, MatchRelation.CONTAINS),
        ("half of it changed", DedupeOutcome.UNIQUE, MatchRelation.SIMILAR),
        ("shared layer", DedupeOutcome.UNIQUE, MatchRelation.SIMILAR),
        ("stranger", DedupeOutcome.UNIQUE, None),
        ("silence", DedupeOutcome.UNIQUE, None),
        ("three seconds", DedupeOutcome.UNIQUE, None),
    ],
)
def test_edited_copies_get_the_verdict_of_the_contract(
    corpus, random_items, flip_bits, edit: str, outcome: DedupeOutcome, relation: MatchRelation | None
) -> None:
    music, other = random_items(5), random_items(200)
    silence = np.full(400, 0x256DF977, dtype=np.uint32)
    layer = np.uint32(0xFFFFF000)
    muted = music.copy()
    for at in (100, 400, 600):
        muted[at : at + 24] = silence[:24]
    upload = {
        "copy": music,
        "noisy": flip_bits(music, 0.08),
        "trimmed head": music[81:],
        "trimmed tail": music[:719],
        "a bit longer": np.concatenate([music, other[:100]]),
        "padded with silence": np.concatenate([silence, music, silence]),
        "chunks missing": np.concatenate([music[:203], music[230:411], music[440:]]),
        "muted bars": muted,
        "faster": flip_bits(music[np.arange(0, 800, 1.01).astype(int)], 0.1),
        "slower": flip_bits(music[np.arange(0, 800, 0.99).astype(int)], 0.1),
        "first half": music[:400],
        "short clip": flip_bits(music[300:360], 0.05),
        "medley": np.concatenate([music, random_items(6), other]),
        "half of it changed": np.concatenate([music[:400], other[:400]]),
        "shared layer": (music & layer) | (other & ~layer),
        "stranger": other,
        "silence": silence,
        "three seconds": music[:4],
    }[edit]
    verdict = judged(upload, corpus)
    assert (verdict.outcome, verdict.relation) == (outcome, relation), verdict.reason
    if relation is not None:
        assert verdict.track_id in {"t5", "t6"}


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (np.full(400, 0x256DF977, dtype=np.uint32), "monotonous"),
        (np.arange(4, dtype=np.uint32), "Too short"),
        (np.zeros(0, dtype=np.uint32), "Too short"),
    ],
)
def test_what_cannot_be_compared_is_accepted_with_that_reason(corpus, items: NDArray[np.uint32], words: str) -> None:
    verdict = judged(items, corpus)
    assert verdict.outcome is DedupeOutcome.UNIQUE
    assert words in verdict.reason
    assert "identical file" in verdict.reason


def test_a_loop_played_three_times_contains_the_loop_and_is_not_the_same(random_items, flip_bits) -> None:
    loop = random_items(61, 480)
    corpus = FingerprintCorpus()
    corpus.add("loop", Fingerprint.of_items(loop))
    verdict = judged(np.concatenate([flip_bits(loop, 0.03, seed=seed) for seed in range(3)]), corpus)
    assert verdict.relation is MatchRelation.CONTAINS
    assert verdict.match is not None
    assert verdict.match.query_coverage == pytest.approx(1 / 3, abs=0.03)
    assert verdict.outcome is DedupeOutcome.UNIQUE
