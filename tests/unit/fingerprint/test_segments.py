"""Laying short queries over a track with an offset that drifts; longer ones are tested through the search."""

import numpy as np
import pytest

from musicfp.fingerprint.calibration import min_correlation
from musicfp.fingerprint.correlation import correlate_pairs
from musicfp.fingerprint.segments import DRIFTING_SELECTION_NATS, align_drifting, align_piecewise, align_single


def cut_every(items: np.ndarray, kept: int, dropped: int, n_items: int) -> np.ndarray:
    """Leave out `dropped` items after every `kept`."""
    return items[np.arange(items.size) % (kept + dropped) < kept][:n_items]


@pytest.mark.parametrize("dropped", [1, 2])
def test_the_offset_follows_cuts_that_are_too_near_each_other_for_pieces(random_items, flip_bits, dropped: int) -> None:
    track = random_items(5)
    query = flip_bits(cut_every(track[200:], 18, dropped, 60), 0.15)
    aligned = align_drifting(query, track, 200 + dropped)
    at_one_offset = max(correlate_pairs(query, track[200 + d : 260 + d])[0] for d in range(4 * dropped))
    assert aligned.correlation > at_one_offset + 0.1
    assert aligned.overlap_items == 60
    assert aligned.query_coverage == 1.0
    offsets = [segment.offset_items for segment in aligned.segments]
    assert offsets == sorted(offsets)
    assert offsets[0] == 200
    assert 200 + 2 * dropped <= offsets[-1] <= 200 + 3 * dropped
    assert aligned.selection_nats == DRIFTING_SELECTION_NATS


def test_an_offset_that_does_not_change_stays_one_segment(random_items) -> None:
    track = random_items(6)
    aligned = align_drifting(track[100:160], track, 103)
    assert [(each.query_start, each.query_stop, each.offset_items) for each in aligned.segments] == [(0, 60, 100)]
    assert aligned.correlation == pytest.approx(1.0)


def test_strangers_stay_below_what_is_asked_of_them(random_items) -> None:
    for seed in range(60):
        aligned = align_drifting(random_items(500 + seed, 60), random_items(seed), 10 * seed)
        needed = min_correlation(aligned.overlap_items, selection_nats=DRIFTING_SELECTION_NATS)
        assert aligned.correlation < needed


@pytest.mark.parametrize("anchor", [-40, 780, -1000, 5000])
def test_a_query_over_the_edge_of_the_track_is_cut_off_there(random_items, anchor: int) -> None:
    track = random_items(7)
    aligned = align_drifting(random_items(8, 60), track, anchor)
    assert 0 <= aligned.overlap_items < 60
    for segment in aligned.segments:
        assert segment.query_start + segment.offset_items >= 0
        assert segment.query_stop + segment.offset_items <= track.size


def test_silence_on_silence_is_no_common_music(random_items) -> None:
    """Two pieces that end at the same time and are followed by a minute of silence: the step alone correlates 0.4."""
    silence = np.full(480, 627964279, dtype=np.uint32)
    query, track = (np.concatenate([random_items(seed, 120), silence]) for seed in (1, 2))
    assert correlate_pairs(query, track)[0] > 0.4
    single = align_single(query, track, 0)
    assert single.correlation < 0.1
    assert single.overlap_items == 120
    assert single.bit_error_rate > 0.4


def test_silence_on_music_counts(random_items) -> None:
    """A mute in one of two copies is a difference between them."""
    track = random_items(3, 400)
    query = track.copy()
    query[100:200] = 627964279
    single = align_single(query, track, 0)
    assert single.overlap_items == 400
    assert single.correlation < 0.9


def test_a_repetition_that_agrees_better_does_not_leave_a_hole(random_items, flip_bits) -> None:
    """The first of two like parts, played as the second is: it lies where the music goes on."""
    part, middle = random_items(4, 240), random_items(5, 240)
    other = flip_bits(part, 0.1)
    aligned = align_piecewise(
        np.concatenate([other, middle, other]), np.concatenate([part, middle, other]), np.array([0, 480])
    )
    assert [(each.query_start, each.query_stop, each.offset_items) for each in aligned.segments] == [(0, 720, 0)]
    assert aligned.query_coverage == aligned.track_coverage == 1.0


def test_a_faster_copy_is_followed_between_the_anchors(random_items) -> None:
    """Every fiftieth item is missing, and windows were found at three of the sixteen offsets."""
    track = random_items(6, 800)
    query = track[np.arange(800) % 50 != 49]
    aligned = align_piecewise(query, track, np.array([8, 0, 15]))
    assert aligned.query_coverage == 1.0
    offsets = [each.offset_items for each in aligned.segments]
    assert np.diff(offsets).tolist() == [1] * 15
