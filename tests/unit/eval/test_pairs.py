"""The exact comparison of all pairs."""

from pathlib import Path

import numpy as np
import pytest

from eval import pairs
from eval.music import Track
from eval.pairs import best_alignments
from musicfp.fingerprint.model import ITEM_DURATION_S, Fingerprint

SILENCE = np.full(300, 627964279, dtype=np.uint32)


def test_the_best_alignment_of_each_pair_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy without its first 40 items after 300 of silence, and a stranger; silence at ends is no likeness."""
    monkeypatch.setattr(pairs, "CACHE", tmp_path)
    rng = np.random.default_rng(1)
    one, stranger = (rng.integers(0, 2**32, 500, dtype=np.uint32) for _ in range(2))
    items = [one, np.concatenate([SILENCE, one[40:]]), np.concatenate([stranger, SILENCE])]
    tracks = [Track(str(at), tmp_path, str(at), 60.0, str(at)) for at in range(3)]
    fingerprints = [Fingerprint.of_items(each) for each in items]
    found = best_alignments(tracks, fingerprints)
    assert found.first.tolist() == [0, 0, 1]
    assert found.second.tolist() == [1, 2, 2]
    assert found.correlation[0] == pytest.approx(1.0)
    assert found.offset_s[0] == pytest.approx(260 * ITEM_DURATION_S)
    assert found.overlap_s[0] == pytest.approx(460 * ITEM_DURATION_S)
    assert found.correlation[1:].max() < 0.2
    again = best_alignments(tracks, fingerprints)
    assert again.correlation.tolist() == found.correlation.tolist()
