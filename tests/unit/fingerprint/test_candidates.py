"""Counting what the index found: a brute force over dictionaries gives the same."""

from collections import defaultdict

import numpy as np
import pytest

from musicfp.fingerprint.candidates import Votes, shortlist, vote
from musicfp.fingerprint.postings import Postings
from musicfp.fingerprint.probes import Probes

N_POSTINGS = 10_000


def probes_of(*guesses: tuple[int, int, float]) -> Probes:
    """Probes from (term, item, ln P)."""
    return Probes(
        np.array([guess[0] for guess in guesses], dtype=np.uint32),
        np.array([guess[1] for guess in guesses], dtype=np.int64),
        np.array([guess[2] for guess in guesses]),
    )


def postings_of(*found: tuple[int, int, int]) -> Postings:
    """Postings from (probe, track, position)."""
    columns = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return Postings(columns[0], columns[1], columns[2])


def voted(probes: Probes, found: Postings, *, n_items: int = 20, n_windows: int = 1, per_window: int = 50):
    window_of_item = np.arange(n_items) * n_windows // n_items
    votes = vote(probes, found, window_of_item=window_of_item, n_postings=N_POSTINGS, per_window=per_window)
    return places(votes, per_window=per_window)


def places(*ways: Votes, per_window: int):
    candidates = shortlist(ways, per_window=per_window)
    rows = zip(candidates.window, candidates.track, candidates.offset_items, candidates.worth, strict=True)
    return {(int(window), int(track), int(offset)): float(worth) for window, track, offset, worth in rows}


def test_terms_that_point_to_one_place_add_up() -> None:
    probes = probes_of((1, 0, -1.0), (2, 4, -2.0))
    answer = voted(probes, postings_of((0, 7, 100), (1, 7, 104)))
    assert answer == {(0, 7, 100): pytest.approx(2 * np.log(N_POSTINGS) - 3.0)}


def test_a_frequent_term_says_less_than_a_rare_one() -> None:
    probes = probes_of((1, 0, 0.0), (2, 0, 0.0))
    answer = voted(probes, postings_of((0, 1, 0), (1, 2, 0), (1, 3, 50), (1, 4, 90)))
    assert answer[0, 1, 0] - answer[0, 2, 0] == pytest.approx(np.log(3))


def test_an_offset_that_is_off_by_one_helps_its_neighbour() -> None:
    probes = probes_of((1, 0, 0.0), (2, 8, 0.0), (3, 12, 0.0))
    answer = voted(probes, postings_of((0, 1, 40), (1, 1, 49), (2, 1, 62)))
    assert answer[0, 1, 40] == answer[0, 1, 41] == pytest.approx(2 * answer[0, 1, 50])


def test_offsets_may_be_negative() -> None:
    assert set(voted(probes_of((1, 15, 0.0)), postings_of((0, 3, 4)))) == {(0, 3, -11)}


def test_windows_are_counted_apart() -> None:
    probes = probes_of((1, 0, 0.0), (2, 15, 0.0))
    assert set(voted(probes, postings_of((0, 1, 30), (1, 1, 45)), n_windows=2)) == {(0, 1, 30), (1, 1, 30)}


def test_a_track_that_repeats_itself_takes_few_places() -> None:
    probes = probes_of((1, 0, 0.0))
    found = postings_of(*((0, 1, 10 * at) for at in range(40)), (0, 2, 5))
    answer = voted(probes, found)
    assert sum(track == 1 for _, track, _ in answer) == 4
    assert (0, 2, 5) in answer


@pytest.mark.parametrize("per_window", [1, 3, 10])
def test_the_best_are_kept_of_very_many(per_window: int) -> None:
    rng = np.random.default_rng(per_window)
    n_found = 3000
    probes = probes_of(*((at, at % 20, float(-rng.random() * 5)) for at in range(200)))
    rows = np.column_stack([rng.integers(0, 200, n_found), np.arange(n_found), 2 * rng.integers(0, 500, n_found)])
    answer = voted(probes, postings_of(*rows.tolist()), n_windows=2, per_window=per_window)
    occurrences = np.bincount(rows[:, 0], minlength=200)
    expected: dict[int, list[float]] = defaultdict(list)
    for probe, _, _ in rows.tolist():
        worth = probes.log_probability[probe] - np.log(occurrences[probe] / N_POSTINGS)
        expected[probe % 20 // 10].append(max(0.1, worth))
    for window in (0, 1):
        best = sorted(worth for (of, _, _), worth in answer.items() if of == window)
        assert best == pytest.approx(sorted(expected[window])[-per_window:])


def votes_for(probes: Probes, found: Postings) -> Votes:
    return vote(probes, found, window_of_item=np.zeros(20, dtype=np.int64), n_postings=N_POSTINGS, per_window=8)


def test_what_several_ways_to_hear_find_adds_up() -> None:
    """Each way has another track that it is worth more for; together they point to the one that both found."""
    probes = probes_of((1, 0, 0.0), (2, 4, 0.0), (3, 8, -1.0))
    one = votes_for(probes, postings_of((0, 1, 30), (1, 1, 34), (2, 7, 50)))
    other = votes_for(probes, postings_of((0, 2, 30), (1, 2, 34), (2, 7, 50)))
    alone = places(one, per_window=8), places(other, per_window=8)
    together = places(one, other, per_window=8)
    assert together[0, 7, 42] == pytest.approx(alone[0][0, 7, 42] + alone[1][0, 7, 42])
    assert together[0, 1, 30] == pytest.approx(alone[0][0, 1, 30])


def test_what_one_way_hears_alone_is_not_forgotten() -> None:
    """Eight tracks that both ways find do not crowd out the best one of a single way."""
    probes = probes_of((1, 0, -1.0), (2, 8, 0.0))
    common = [(0, track, 40) for track in range(10, 30)]
    one = votes_for(probes, postings_of(*common, (1, 5, 108)))
    other = votes_for(probes, postings_of(*common))
    assert (0, 5, 100) in places(one, other, per_window=8)


def test_nothing_found_gives_no_candidates() -> None:
    assert voted(probes_of((1, 0, 0.0)), postings_of()) == {}
