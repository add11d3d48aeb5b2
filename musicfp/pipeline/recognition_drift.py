"""Whether recognition on the catalogue is still what was promised: the pure limits of the nightly measurement.

What belongs here: limits and the sentences about them. What does not: measuring (`recognition_quality`).

A few dozen clips scatter. A limit is passed only where chance explains it less than once in a hundred nights, or a
standard error three times over.
"""

from dataclasses import dataclass
from math import comb

from musicfp.fingerprint.calibration import MAX_EXPECTED_FALSE_MATCHES, PAIR_NATS
from musicfp.pipeline.quality_clips import CLEAN
from musicfp.pipeline.recognition_quality import RecognitionQuality

MIN_CLEAN_RIGHT = 0.95
MIN_CLIPS = 8
_MIN_CHANCE = 0.01
_MAX_ERRORS = 3.0


@dataclass(frozen=True)
class Drift:
    """Why people should look at recognition; `reasons` is empty if nothing is wrong or there is too little to say."""

    reasons: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def drift_of(quality: RecognitionQuality) -> Drift:
    """Compare what was measured with what is promised."""
    clean = next(each for each in quality.conditions if each.condition == CLEAN)
    if clean.n_clips < MIN_CLIPS:
        remark = f"Too little to measure: {clean.n_clips} clips that carry information; {MIN_CLIPS} are needed."
        return Drift((), (remark,))
    reasons, remarks = [], []
    if _chance_of_at_most(clean.n_right, n=clean.n_clips, probability=MIN_CLEAN_RIGHT) < _MIN_CHANCE:
        reasons.append(
            f"{clean.n_right} of {clean.n_clips} undamaged clips were recognised; {MIN_CLEAN_RIGHT:.0%} are promised."
        )
    n_refused = quality.n_strangers - quality.n_false_accepts
    kept = 1 - MAX_EXPECTED_FALSE_MATCHES
    if _chance_of_at_most(n_refused, n=quality.n_strangers, probability=kept) < _MIN_CHANCE:
        reasons.append(
            f"{quality.n_false_accepts} of {quality.n_strangers} strangers were recognised as some track; "
            f"at most {MAX_EXPECTED_FALSE_MATCHES:.1%} are promised."
        )
    tail = quality.tail
    if tail is None:
        remarks.append("Too few strangers came near a track to tell how far chance reaches.")
    elif tail.level_nats - PAIR_NATS > _MAX_ERRORS * tail.level_error:
        reasons.append(
            f"One pair of strangers in 10^6 reaches {tail.level_nats:.1f} ± {tail.level_error:.1f} nats of evidence; "
            f"the calibration says {PAIR_NATS:.1f}. Fit it again: docs/recognition.md, Scores."
        )
    return Drift(tuple(reasons), tuple(remarks))


def _chance_of_at_most(k: int, *, n: int, probability: float) -> float:
    """Return how probable so few successes are (binomial); scipy.stats would cost every Dagster process its import."""
    return sum(comb(n, i) * probability**i * (1 - probability) ** (n - i) for i in range(k + 1))
