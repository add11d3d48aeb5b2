"""What a growing and shrinking corpus holds and finds."""

import numpy as np
import pytest

from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.search import search


def test_tracks_are_added_once_and_removed(random_items) -> None:
    corpus = FingerprintCorpus()
    corpus.add("a", Fingerprint.of_items(random_items(1)))
    assert "a" in corpus
    with pytest.raises(ValueError, match="already"):
        corpus.add("a", Fingerprint.of_items(random_items(2)))
    corpus.remove("a")
    assert len(corpus) == 0
    with pytest.raises(KeyError):
        corpus.remove("a")
    corpus.add("a", Fingerprint.of_items(random_items(3)))
    assert len(corpus) == 1


def test_every_track_added_or_removed_shows_in_the_next_search(random_items) -> None:
    corpus = FingerprintCorpus()
    fingerprints = {f"t{seed}": Fingerprint.of_items(random_items(seed, 120)) for seed in range(30)}
    for track_id, fingerprint in fingerprints.items():
        corpus.add(track_id, fingerprint)
        assert [match.track_id for match in search(fingerprint, corpus).matches] == [track_id]
    for track_id, fingerprint in list(fingerprints.items())[:25]:
        corpus.remove(track_id)
        assert search(fingerprint, corpus).matches == ()
    for track_id, fingerprint in list(fingerprints.items())[25:]:
        assert [match.track_id for match in search(fingerprint, corpus).matches] == [track_id]
    assert corpus.view().items.size < 30 * 120


def test_the_index_stays_a_few_segments_and_covers_every_item_once(random_items) -> None:
    corpus = FingerprintCorpus()
    for seed in range(100):
        corpus.add(f"t{seed}", Fingerprint.of_items(random_items(seed, 20 + seed % 7)))
        view = corpus.view()
        assert len(view.segments) <= 8
    positions = np.sort(np.concatenate([segment & np.uint64(0xFFFFFFFF) for segment in view.segments]))
    assert positions.tolist() == list(range(view.items.size))


def test_lookup_finds_exactly_the_items_with_the_term(random_items) -> None:
    corpus = FingerprintCorpus()
    for seed in range(3):
        corpus.add(f"t{seed}", Fingerprint.of_items(random_items(seed, 50)))
        corpus.view()
    view = corpus.view()
    terms = view.items >> np.uint32(12)
    found = {(int(t), int(p)) for term, position in view.lookup(terms) for t, p in zip(term, position, strict=True)}
    assert found == {(i, j) for i in range(150) for j in np.flatnonzero(terms == terms[i]).tolist()}


def test_a_code_that_is_everywhere_is_not_looked_up() -> None:
    corpus = FingerprintCorpus()
    corpus.add("silence", Fingerprint.of_items(np.full(2000, 0x256DF977, dtype=np.uint32)))
    assert all(term.size == 0 for term, _ in corpus.view().lookup(np.array([0x256DF977 >> 12], dtype=np.uint32)))


def test_a_view_does_not_change_while_the_corpus_does(random_items) -> None:
    corpus = FingerprintCorpus()
    corpus.add("a", Fingerprint.of_items(random_items(1)))
    view = corpus.view()
    before = view.items.copy()
    corpus.add("b", Fingerprint.of_items(random_items(2)))
    corpus.remove("a")
    assert view.ids == ("a",)
    assert view.alive.tolist() == [True]
    assert view.items.tolist() == before.tolist()
