"""The scan of everything: the alignments with the fewest bit errors, by brute force too."""

import numpy as np

from musicfp.fingerprint.correlation import bit_error_rate
from musicfp.fingerprint.exhaustive import scan
from musicfp.fingerprint.postings import StoredFingerprint
from musicfp.fingerprint.verification import window_edges


def test_a_clip_that_shares_no_term_with_its_track_is_found(random_items, flip_bits) -> None:
    stored = {number: StoredFingerprint(f"t{number}", random_items(number, 400)) for number in range(30)}
    query = flip_bits(random_items(7, 400)[123:190], 0.3)
    candidates = scan(query, stored, window_edges(query.size))
    best = candidates.worth.argmax()
    assert (candidates.track[best], candidates.offset_items[best]) == (7, 123)
    rate = bit_error_rate(query[::4], random_items(7, 400)[123:190][::4])
    assert candidates.worth[best] == 1 - 2 * rate


def test_every_window_has_its_own_candidates(random_items) -> None:
    stored = {1: StoredFingerprint("a", random_items(1, 300)), 2: StoredFingerprint("b", random_items(2, 300))}
    query = np.concatenate([random_items(1, 300)[50:130], random_items(2, 300)[200:280]])
    candidates = scan(query, stored, window_edges(query.size))
    for window, track, offset in ((0, 1, 50), (1, 2, 120)):
        of_window = np.flatnonzero(candidates.window == window)
        best = of_window[candidates.worth[of_window].argmax()]
        assert (candidates.track[best], candidates.offset_items[best]) == (track, offset)


def test_tracks_that_are_shorter_than_the_window_and_silence_are_left_out(random_items) -> None:
    short = {1: StoredFingerprint("a", random_items(1, 20))}
    query = random_items(3, 60)
    assert scan(query, short, window_edges(60)).track.size == 0
    assert scan(query, {}, window_edges(60)).track.size == 0
    silence = np.full(60, 0x256DF977, dtype=np.uint32)
    assert scan(silence, {1: StoredFingerprint("a", random_items(1))}, window_edges(60)).track.size == 0
