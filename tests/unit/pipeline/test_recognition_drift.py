"""When the nightly measurement warns."""

from dataclasses import replace

import pytest

from musicfp.fingerprint.calibration import PAIR_NATS
from musicfp.fingerprint.tails import Tail
from musicfp.pipeline.recognition_drift import drift_of
from musicfp.pipeline.recognition_quality import ConditionQuality, RecognitionQuality

TAIL = Tail(
    n_pairs=1e5,
    n_queries=40,
    from_nats=6.0,
    n_above=50,
    decay=1.0,
    decay_error=0.1,
    level_nats=PAIR_NATS,
    level_error=0.8,
)


def measured(
    *, n_clips: int = 40, n_right: int = 40, n_strangers: int = 40, n_false_accepts: int = 0, tail: Tail | None = TAIL
) -> RecognitionQuality:
    clean = ConditionQuality("clean", n_clips, n_right, 0, 0.03, 0.1)
    return RecognitionQuality(2000.0, n_clips, 0, (clean,), n_strangers, n_false_accepts, (), tail, (), 60.0)


def test_what_is_promised_passes() -> None:
    drift = drift_of(measured())
    assert (drift.reasons, drift.remarks) == ((), ())


@pytest.mark.parametrize(("n_right", "warns"), [(40, False), (36, False), (35, False), (33, True), (0, True)])
def test_clean_clips_may_be_missed_as_often_as_chance_allows(n_right: int, warns: bool) -> None:
    """Of 40 at .95, 38 are expected; 33 or fewer come about less than once in a hundred nights."""
    reasons = drift_of(measured(n_right=n_right)).reasons
    assert bool(reasons) == warns
    assert all(f"{n_right} of 40 undamaged clips" in reason for reason in reasons)


@pytest.mark.parametrize(("n_false_accepts", "warns"), [(0, False), (1, False), (2, False), (3, True), (40, True)])
def test_strangers_may_be_accepted_as_often_as_the_default_allows(n_false_accepts: int, warns: bool) -> None:
    """Of 40 at .005, two or more come about twice in a hundred nights."""
    reasons = drift_of(measured(n_false_accepts=n_false_accepts)).reasons
    assert bool(reasons) == warns
    assert all("strangers were recognised" in reason for reason in reasons)


@pytest.mark.parametrize(("level_nats", "warns"), [(10.0, False), (16.0, False), (16.5, True)])
def test_chance_may_reach_as_far_as_calibrated(level_nats: float, warns: bool) -> None:
    reasons = drift_of(measured(tail=replace(TAIL, level_nats=level_nats))).reasons
    assert bool(reasons) == warns
    assert all("Fit it again" in reason for reason in reasons)


def test_too_little_passes_and_says_so() -> None:
    drift = drift_of(measured(n_clips=7, n_right=0, n_strangers=7, n_false_accepts=7))
    assert drift.reasons == ()
    assert "Too little to measure: 7 clips" in drift.remarks[0]
    assert "Too few strangers" in drift_of(measured(tail=None)).remarks[0]
