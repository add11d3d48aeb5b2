"""Searching synthetic catalogues with edited, noisy and foreign queries."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.fingerprint.calibration import DEFAULT_MIN_SCORE, PAIR_NATS
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.model import ITEM_DURATION_S, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, StoredFingerprint
from musicfp.fingerprint.search import SearchReport, search
from musicfp.fingerprint.verification import Match

SILENCE = np.full(1000, 0x256DF977, dtype=np.uint32)


def find(items: NDArray[np.uint32], corpus: FingerprintCorpus, **options: float | bool) -> SearchReport:
    return search(Fingerprint.of_items(items), corpus, **options)


def only(report: SearchReport) -> Match:
    assert len(report.matches) == 1
    return report.matches[0]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("start", [0, 333, 740])
def test_a_noisy_ten_second_clip_is_found_where_it_was_cut(
    corpus, random_items, flip_bits, start: int, share: float
) -> None:
    match = only(find(flip_bits(random_items(7)[start : start + 60], share), corpus))
    assert match.track_id == "t7"
    assert match.offset_items == start
    assert match.offset_s == pytest.approx(start * ITEM_DURATION_S)
    assert match.overlap_items == 60
    assert match.bit_error_rate == pytest.approx(share, abs=0.04)
    assert match.query_coverage == 1.0
    assert match.track_coverage == pytest.approx(60 / 800)
    assert match.correlation > 0.37
    assert match.score > 0.99


def test_strangers_match_nothing(corpus, random_items) -> None:
    for seed in range(100, 130):
        for n_items in (20, 60, 200, 800):
            report = find(random_items(seed, n_items), corpus)
            assert report.matches == ()
            assert report.information_ok


def test_music_from_before_the_track_s_start_gives_a_negative_offset(corpus, random_items) -> None:
    query = np.concatenate([random_items(300, 100), random_items(3)])
    match = only(find(query, corpus))
    assert match.offset_items == -100
    assert match.query_coverage == pytest.approx(8 / 9, abs=0.03)
    assert match.track_coverage == pytest.approx(1.0, abs=0.03)


def test_cuts_and_inserts_are_found_as_segments(corpus, random_items, flip_bits) -> None:
    music = random_items(11)
    query = np.concatenate([music[:240], music[320:560], random_items(301, 80), music[560:]])
    match = only(find(flip_bits(query, 0.05), corpus))
    assert [segment.offset_items for segment in match.segments] == [0, 80, 0]
    for segment, (start, stop) in zip(match.segments, [(0, 240), (240, 480), (560, 800)], strict=True):
        assert abs(segment.query_start - start) <= 40
        assert abs(segment.query_stop - stop) <= 40
        assert segment.correlation > 0.6
    assert match.query_coverage == pytest.approx(0.9, abs=0.06)
    assert match.track_coverage == pytest.approx(0.9, abs=0.06)


def test_a_clip_with_a_cut_every_few_seconds_is_found(corpus, random_items, flip_bits) -> None:
    """0.3 s are missing every 2.5 s, and some bits are wrong: no alignment fits more than 2.5 s."""
    music = random_items(12)[200:500]
    query = np.concatenate([music[at : at + 20] for at in range(0, 300, 22)])
    assert only(find(flip_bits(query, 0.03), corpus)).track_id == "t12"


def test_a_faster_copy_is_followed_as_its_offset_drifts(corpus, random_items, flip_bits) -> None:
    music = random_items(13)
    query = flip_bits(music[np.arange(0, 800, 1.01).astype(int)], 0.05)
    match = only(find(query, corpus))
    assert match.query_coverage > 0.9
    assert match.track_coverage > 0.9
    assert match.segments[-1].offset_items - match.segments[0].offset_items in range(6, 10)


def test_weak_evidence_counts_over_a_long_overlap(corpus, random_items, flip_bits) -> None:
    """30 s with a quarter of all bits wrong: no 5 s piece is convincing by itself."""
    match = only(find(flip_bits(random_items(14)[300:521], 0.25), corpus))
    assert (match.track_id, match.offset_items) == ("t14", 300)


def test_silence_around_the_music_does_not_count_as_uncovered(corpus, random_items) -> None:
    match = only(find(np.concatenate([SILENCE[:200], random_items(15), SILENCE]), corpus))
    assert match.offset_items == -200
    assert match.query_coverage > 0.95


def test_silence_finds_nothing_and_says_why(corpus) -> None:
    report = find(SILENCE, corpus)
    assert report.matches == ()
    assert not report.information_ok


def test_silence_in_the_corpus_is_never_found(random_items) -> None:
    corpus = FingerprintCorpus()
    corpus.add("silence", Fingerprint.of_items(SILENCE))
    assert find(np.concatenate([SILENCE[:300], random_items(1, 100)]), corpus).matches == ()


def test_repetitive_music_does_not_crowd_out_its_copies(random_items, flip_bits) -> None:
    loop = random_items(20, 270)
    corpus = FingerprintCorpus()
    for number in range(8):
        corpus.add(f"copy{number}", Fingerprint.of_items(flip_bits(np.tile(loop, 3), 0.04, seed=number)))
    report = find(np.tile(loop, 3), corpus, limit=20)
    assert {match.track_id for match in report.matches} == {f"copy{number}" for number in range(8)}
    for match in report.matches:
        assert match.offset_items == 0
        assert match.track_coverage > 0.95


def test_short_tracks_are_found_in_a_long_query(random_items) -> None:
    corpus = FingerprintCorpus()
    for number in range(10):
        corpus.add(f"jingle{number}", Fingerprint.of_items(random_items(400 + number, 50)))
    parts = [part for number in range(3) for part in (random_items(500 + number, 70), random_items(400 + number, 50))]
    report = find(np.concatenate(parts), corpus)
    assert {match.track_id: match.offset_items for match in report.matches} == {
        "jingle0": -70,
        "jingle1": -190,
        "jingle2": -310,
    }


def test_the_limit_keeps_the_best(random_items, flip_bits) -> None:
    corpus = FingerprintCorpus()
    for number in range(6):
        noisy = flip_bits(random_items(1), 0.03 * number, seed=number)
        corpus.add(f"copy{number}", Fingerprint.of_items(noisy))
    report = find(random_items(1), corpus, limit=3)
    assert [match.track_id for match in report.matches] == ["copy0", "copy1", "copy2"]
    assert report.candidates_examined > 0


@pytest.mark.parametrize("share", [0.20, 0.24, 0.26, 0.28])
def test_a_greater_least_score_drops_matches_and_a_smaller_one_adds_weaker_ones(
    corpus, random_items, flip_bits, share: float
) -> None:
    clip = flip_bits(random_items(7)[100:160], share)
    answers = [find(clip, corpus, min_score=least, limit=50).matches for least in (0.0, 0.05, 0.5, DEFAULT_MIN_SCORE)]
    for fewer, more in zip(answers[1:], answers[:-1], strict=True):
        assert fewer == more[: len(fewer)]
    for least, matches in zip((0.05, 0.5), answers[1:], strict=False):
        assert all(match.score >= least for match in matches)
    assert answers[-1] == find(clip, corpus).matches
    best = answers[0][0]
    assert best.track_id == "t7"
    assert find(clip, corpus, min_score=best.score - 0.001).matches[0] == best
    above = find(clip, corpus, min_score=min(1.0, best.score + 0.001)).matches
    assert all(match.score > best.score for match in above)


def test_less_than_the_default_shows_weak_matches_with_small_scores(corpus, random_items, flip_bits) -> None:
    """So much noise that the default refuses: the right track is the likeliest, and says that it is not sure."""
    found = 0
    for seed in range(12):
        clip = flip_bits(random_items(seed)[200:260], 0.36, seed=seed)
        if find(clip, corpus).matches:
            continue
        matches = find(clip, corpus, min_score=0.0005).matches
        assert all(match.score < DEFAULT_MIN_SCORE for match in matches)
        found += bool(matches) and matches[0].track_id == f"t{seed}"
    assert found >= 3


def test_strangers_are_answered_with_scores_near_nothing(corpus, random_items) -> None:
    for seed in range(100, 110):
        matches = find(random_items(seed, 60), corpus, min_score=0.0, limit=50).matches
        assert all(match.score < 0.05 for match in matches)


def test_the_default_is_as_strict_as_one_pair_in_a_million_in_a_small_catalogue(
    corpus, random_items, flip_bits
) -> None:
    for seed in range(20):
        clip = flip_bits(random_items(seed)[300:360], 0.25 + 0.01 * (seed % 8), seed=seed)
        by_default = find(clip, corpus).matches
        everything = find(clip, corpus, min_score=0.0, limit=50).matches
        assert by_default == tuple(match for match in everything if match.evidence_nats >= PAIR_NATS)


class _Large(FingerprintCorpus):
    """A corpus that takes itself for one with so many tracks of two minutes."""

    def n_postings(self, kind: FingerprintKind) -> int:
        return 237_000_000 if super().n_postings(kind) else 0


def test_a_larger_catalogue_asks_for_more_and_dedupe_does_not(random_items, flip_bits) -> None:
    small, large = FingerprintCorpus(), _Large()
    for corpus in (small, large):
        for seed in range(10):
            corpus.add(f"t{seed}", Fingerprint.of_items(random_items(seed)))
    n_lost = 0
    for seed in range(10):
        clip = flip_bits(random_items(seed)[300:360], 0.27 + 0.005 * seed, seed=seed)
        few, many = find(clip, small).matches, find(clip, large).matches
        assert {match.track_id for match in many} <= {match.track_id for match in few}
        n_lost += len(few) - len(many)
        in_small, in_large = find(clip, small, by_pair=True).matches, find(clip, large, by_pair=True).matches
        assert [replace(match, score=0.0) for match in in_small] == [replace(match, score=0.0) for match in in_large]
        for one, other in zip(in_small, in_large, strict=True):
            assert other.score <= one.score
    assert n_lost > 0, "the clips must lie near the bar to show anything"


class _Counting(FingerprintCorpus):
    """A corpus that counts the fingerprints it is asked for."""

    n_read = 0

    def fingerprints(self, ordinals: Iterable[int], *, kind: FingerprintKind) -> dict[int, StoredFingerprint]:
        read = super().fingerprints(ordinals, kind=kind)
        self.n_read += len(read)
        return read


def test_a_sure_answer_reads_few_fingerprints_and_a_policy_reads_all(random_items) -> None:
    """Forty tracks share a little with the clip by its terms; only the one that it is of stands out."""
    music, shared = random_items(50), random_items(51, 4)
    corpus = _Counting()
    corpus.add("it", Fingerprint.of_items(music))
    for number in range(40):
        corpus.add(f"other{number}", Fingerprint.of_items(np.concatenate([random_items(60 + number, 400), shared])))
    clip = np.concatenate([music[200:260], shared])
    assert find(clip, corpus).matches[0].track_id == "it"
    few = corpus.n_read
    assert find(clip, corpus, by_pair=True).matches[0].track_id == "it"
    assert few <= 2
    assert corpus.n_read - few > 30


def test_an_empty_corpus_matches_nothing(random_items) -> None:
    assert find(random_items(1), FingerprintCorpus()).matches == ()
