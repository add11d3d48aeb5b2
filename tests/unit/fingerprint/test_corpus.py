"""What a growing and shrinking corpus holds and finds."""

import numpy as np
import pytest

from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS, terms_of
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


def test_lookup_finds_every_fourth_item_with_the_term_and_no_other(random_items) -> None:
    corpus = FingerprintCorpus()
    tracks = [random_items(seed, 50) for seed in range(3)]
    for number, items in enumerate(tracks):
        corpus.add(f"t{number}", Fingerprint.of_items(items))
        corpus.lookup(np.zeros(1, dtype=np.uint32), kind=FingerprintKind.FULL)  # makes a segment of each
    terms = terms_of(np.concatenate(tracks))
    found = corpus.lookup(terms, kind=FingerprintKind.FULL)
    assert corpus.lookup(terms, kind=FingerprintKind.BAND).track.size == 0
    pairs = set(zip(found.probe.tolist(), found.track.tolist(), found.position_items.tolist(), strict=True))
    assert pairs == {
        (probe, number, position)
        for number, items in enumerate(tracks)
        for position in range(0, items.size, TERM_STRIDE_ITEMS)
        for probe in np.flatnonzero(terms == terms_of(items)[position]).tolist()
    }


def test_a_code_that_is_everywhere_is_not_looked_up() -> None:
    corpus = FingerprintCorpus()
    silence = np.full(4000, 0x256DF977, dtype=np.uint32)
    corpus.add("silence", Fingerprint.of_items(silence))
    assert corpus.lookup(terms_of(silence[:1]), kind=FingerprintKind.FULL).track.size == 0


def test_both_fingerprints_of_a_track_share_its_ordinal(random_items) -> None:
    corpus = FingerprintCorpus()
    for kind in FingerprintKind:
        corpus.add("a", Fingerprint.of_items(random_items(1)), kind=kind)
        assert corpus.fingerprints([0, 1], kind=kind)[0].track_id == "a"
    assert len(corpus) == 1
    assert corpus.all_ordinals(at_most=1) == [0]
    assert corpus.all_ordinals(at_most=0) == []
