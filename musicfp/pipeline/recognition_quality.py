"""How well the catalogue recognises its own music today, measured on a few tracks drawn at random.

What belongs here: asking and counting. What does not: the clips (`quality_clips`), whether the numbers are still those
that were promised (`recognition_drift`), and how they are shown.

A search is asked for everything, also what is far below its bar: wrong answers show the tail of chance, and what passes
the default bar is what a search by default would have answered.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from musicfp.catalog import relations
from musicfp.catalog.samples import drawn_tracks
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import TrackRow
from musicfp.errors import MusicfpError, StoreUnavailable
from musicfp.fingerprint.calibration import DEFAULT_MIN_SCORE, n_tracks_of
from musicfp.fingerprint.downmix import fingerprint_samples
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.search import SearchReport
from musicfp.fingerprint.tails import Tail, fit_tail
from musicfp.fingerprint.verification import Match
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.quality_clips import CLEAN, MIN_TRACK_S, NOISES_DB, STRANGER, QualityClip, clips_of_track
from musicfp.pipeline.recognition import Recogniser

LOGGER = logging.getLogger(__name__)

DEFAULT_N_TRACKS = 40
DEFAULT_CPU_S = 100.0
# A larger source would take longer to download than everything else together.
_MAX_SIZE_BYTES = 200 << 20
_LIMIT = 50
_SCORE_EDGES = (0.0, 0.1, 0.5, DEFAULT_MIN_SCORE, 0.999, 1.0)


@dataclass(frozen=True)
class ConditionQuality:
    """Of the clips of one condition that carry information: how many were answered how by default.

    Right is the track the clip was taken from, or one that is known to share music with it. Offsets are of right
    answers, in seconds; None if there are none.
    """

    condition: str
    n_clips: int
    n_right: int
    n_wrong: int
    offset_error_median_s: float | None
    offset_error_p95_s: float | None


@dataclass(frozen=True)
class ScoreQuality:
    """Answers whose scores lie between two: how sure they were, and how many were right."""

    low: float
    high: float
    n_answers: int
    mean_score: float
    share_right: float


@dataclass(frozen=True)
class TierQuality:
    """How long searches took that ended at this tier."""

    tier: str
    n_searches: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class RecognitionQuality:
    """What was measured. `n_tracks` is the catalogue's size in tracks of two minutes.

    `n_strangers` carry information, `n_false_accepts` of them were answered by default. `tail` is None if too few pairs
    of strangers and tracks were compared to show one.
    """

    n_tracks: float
    n_drawn: int
    n_unreadable: int
    conditions: tuple[ConditionQuality, ...]
    n_strangers: int
    n_false_accepts: int
    scores: tuple[ScoreQuality, ...]
    tail: Tail | None
    tiers: tuple[TierQuality, ...]
    cpu_s: float


@dataclass(frozen=True)
class _Asked:
    clip: QualityClip
    report: SearchReport
    right: frozenset[str]

    def is_right(self, match: Match) -> bool:
        return match.track_id in self.right

    @property
    def first(self) -> Match | None:
        """The best match that a search by default would have returned."""
        return next((match for match in self.report.matches if match.score >= DEFAULT_MIN_SCORE), None)


def measure(
    context: StageContext, *, seed: int, n_tracks: int = DEFAULT_N_TRACKS, cpu_s: float = DEFAULT_CPU_S
) -> RecognitionQuality:
    """Measure on tracks drawn with this seed, on no further one after so much CPU time.

    Raises
    ------
    StoreUnavailable
        The object store does not answer.

    """
    began_s = time.process_time()
    rng = np.random.default_rng(seed)
    with context.database.read() as session:
        size = n_tracks_of(DatabaseCatalogue(session).n_postings(FingerprintKind.FULL))
        drawn = drawn_tracks(session, n=n_tracks, rng=rng, min_duration_s=MIN_TRACK_S, max_size_bytes=_MAX_SIZE_BYTES)
    recogniser = Recogniser(context.database)
    asked: list[_Asked] = []
    n_measured = n_unreadable = 0
    for track in drawn:
        if time.process_time() - began_s >= cpu_s:
            break
        n_measured += 1
        try:
            asked += _ask(context, recogniser, track, rng)
        except StoreUnavailable:
            raise
        except MusicfpError as error:  # a damaged source is found by other means; here it is one track less
            LOGGER.warning("track %s is not measured: %s", track.id, error)
            n_unreadable += 1
    return _quality(
        asked, size=size, n_drawn=n_measured, n_unreadable=n_unreadable, cpu_s=time.process_time() - began_s
    )


def _ask(context: StageContext, recogniser: Recogniser, track: TrackRow, rng: np.random.Generator) -> Iterator[_Asked]:
    right = _sharing_music(context, track.id)
    for clip in clips_of_track(context, track, rng):
        fingerprint, _ = fingerprint_samples(
            [clip.samples[:, np.newaxis]], sample_rate_hz=ANALYSIS_RATE_HZ, n_channels=1
        )
        report = recogniser.search(Query(fingerprint, clip.samples), limit=_LIMIT, min_score=0.0)
        if report.information_ok:
            yield _Asked(clip, report, frozenset() if clip.condition == STRANGER else right)


def _sharing_music(context: StageContext, track_id: str) -> frozenset[str]:
    """Return the tracks that hold music of this one: relations are kept with the later of two."""
    with context.database.read() as session:
        return frozenset({track_id, *relations.related_either_way(session, track_id)})


def _quality(
    asked: Sequence[_Asked], *, size: float, n_drawn: int, n_unreadable: int, cpu_s: float
) -> RecognitionQuality:
    strangers = [each for each in asked if each.clip.condition == STRANGER]
    return RecognitionQuality(
        n_tracks=size,
        n_drawn=n_drawn,
        n_unreadable=n_unreadable,
        conditions=tuple(_of_condition(name, asked) for name in (CLEAN, *NOISES_DB)),
        n_strangers=len(strangers),
        n_false_accepts=sum(each.first is not None for each in strangers),
        scores=tuple(_of_scores(asked)),
        tail=_tail_of(strangers, size=size),
        tiers=tuple(_of_tiers(asked)),
        cpu_s=cpu_s,
    )


def _of_condition(condition: str, asked: Sequence[_Asked]) -> ConditionQuality:
    chosen = [each for each in asked if each.clip.condition == condition]
    answered = [(each, match) for each in chosen if (match := each.first) is not None]
    right = [(each, match) for each, match in answered if each.is_right(match)]
    # Where another track shares the music, the clip lies elsewhere in it.
    errors_s = [
        abs(match.offset_s - each.clip.offset_s) for each, match in right if match.track_id == each.clip.track_id
    ]
    return ConditionQuality(
        condition=condition,
        n_clips=len(chosen),
        n_right=len(right),
        n_wrong=len(answered) - len(right),
        offset_error_median_s=float(np.median(errors_s)) if errors_s else None,
        offset_error_p95_s=float(np.quantile(errors_s, 0.95)) if errors_s else None,
    )


def _of_scores(asked: Sequence[_Asked]) -> Iterator[ScoreQuality]:
    rows = [(match.score, each.is_right(match)) for each in asked for match in each.report.matches]
    for low, high in pairwise(_SCORE_EDGES):
        inside = [(score, is_right) for score, is_right in rows if low <= score < high or score == high == 1.0]
        if inside:
            scores, right = zip(*inside, strict=True)
            yield ScoreQuality(low, high, len(inside), float(np.mean(scores)), float(np.mean(right)))


def _tail_of(strangers: Sequence[_Asked], *, size: float) -> Tail | None:
    rows = [(match.evidence_nats, number) for number, each in enumerate(strangers) for match in each.report.matches]
    return fit_tail(
        np.array([nats for nats, _ in rows]),
        np.array([number for _, number in rows], dtype=np.int64),
        n_queries=len(strangers),
        n_pairs=len(strangers) * size,
    )


def _of_tiers(asked: Sequence[_Asked]) -> Iterator[TierQuality]:
    took_ms: dict[str, list[float]] = {}
    for each in asked:
        took_ms.setdefault(each.report.tiers[-1].value, []).append(each.report.took_ms)
    for tier, values in took_ms.items():
        yield TierQuality(tier, len(values), float(np.median(values)), float(np.quantile(values, 0.95)))
