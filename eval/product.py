"""The product as a recogniser: asked with a fingerprint, as its API mostly is, and with audio, which tells more.

What belongs here: all that the evaluation knows of how musicfp searches. What does not: anything that others share.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from eval.distractors import Items
from eval.fingerprints import fingerprint_of
from eval.music import Track
from eval.recognisers import DISTRACTOR, Answer, Reply
from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.calibration import DEFAULT_MIN_SCORE
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, SearchableCatalogue
from musicfp.fingerprint.search import search


def answers_of(
    query: Query, catalogue: SearchableCatalogue, *, names: Mapping[str, str] | None = None
) -> tuple[Answer, ...]:
    """Ask the product for everything it can name, and tell what of that it would answer by itself.

    `names` are what the evaluation calls the tracks, by the catalogue's ids, where it calls them otherwise.
    """
    matches = search(query, catalogue, min_score=0.0).matches
    return tuple(
        Answer(
            (names or {}).get(match.track_id, match.track_id),
            match.score,
            match.offset_s,
            is_accepted=match.score >= DEFAULT_MIN_SCORE,
        )
        for match in matches
    )


@dataclass
class MusicfpByFingerprint:
    """The product asked with a fingerprint: what it took is the search alone."""

    name: str = "musicfp fingerprint"
    is_shared: bool = True
    corpus: FingerprintCorpus = field(default_factory=FingerprintCorpus)

    def index(self, tracks: Sequence[Track], distractors: Iterable[Items]) -> None:
        """Make both fingerprints of the tracks. A distractor has the same items in both."""
        for track in tracks:
            samples = track.samples()
            self.corpus.add(track.name, fingerprint_of(samples))
            self.corpus.add(track.name, band_fingerprint(samples), kind=FingerprintKind.BAND)
        for number, items in enumerate(distractors):
            for kind in FingerprintKind:
                self.corpus.add(f"{DISTRACTOR} {number}", Fingerprint.of_items(items), kind=kind)

    def query(self, clip: Path) -> Reply:
        """Search."""
        query = Query(fingerprint_of(np.load(clip)))
        began = time.perf_counter()
        answers = answers_of(query, self.corpus)
        return Reply(answers, (time.perf_counter() - began) * 1000)

    def close(self) -> None:
        """Nothing was started."""


@dataclass
class MusicfpByAudio(MusicfpByFingerprint):
    """The product asked with decoded audio: fingerprinting it is part of what it took."""

    name: str = "musicfp audio"

    def query(self, clip: Path) -> Reply:
        """Fingerprint and search."""
        samples = np.load(clip)
        began = time.perf_counter()
        answers = answers_of(Query(fingerprint_of(samples), samples), self.corpus)
        return Reply(answers, (time.perf_counter() - began) * 1000)
