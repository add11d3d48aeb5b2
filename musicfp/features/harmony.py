"""Extractors of harmony beside the key itself: tuning, pitch class profiles, chords, and how well each key would fit.

All read one measurement, `AudioInputs.pitch_classes`. Which key it is, is decided in `tonal`; profiles of
keys are in `key_profiles`.
"""

from collections.abc import Iterable

import numpy as np

from musicfp.features.inputs import AudioInputs
from musicfp.features.key_profiles import KEY_PROFILES, KEYS, by_note, key_fits
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.tonal import require_tones, with_peaks
from musicfp.features.triads import chord_path
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

MIN_DURATION_S = 3.0
# Peaks of noise agree on a tuning by 0.02 (measured). Not fitted on recordings: one track of five was refused.
MIN_TUNING_CONCENTRATION = 0.1
# A tone with its supposed fundamentals correlates 0.63 with a chord (measured).
MIN_CHORD_STRENGTH = 0.65
# The same tone fits a key with 0.54.
MIN_KEY_FIT = 0.6
_MIN_CHORD_SHARE = 0.01
_PITCH = "A to G#, thirds of a semitone"


@extractor(
    name="tuning",
    version="1",
    description="Tuning: the deviation from semitones of A4 = 440 Hz that the spectral peaks share.",
    values=(
        FeatureSpec("tonal.tuning_frequency", "Hz", "Frequency of A4.", (427.0, 453.0)),
        FeatureSpec("tonal.tuning_cents", "cents", "The same as deviation from 440 Hz.", (-50.0, 50.0)),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("pitch_classes",),
    cost_s_per_min=0.001,
)
def tuning(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the tuning; peaks that agree on none, as of noise or drums, are low confidence."""
    heard = require_tones(audio.pitch_classes)
    if heard.tuning_concentration < MIN_TUNING_CONCENTRATION:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    confidence = heard.tuning_concentration
    yield measured("tonal.tuning_frequency", 440 * 2 ** (heard.tuning_cents / 1200), confidence=confidence)
    yield measured("tonal.tuning_cents", heard.tuning_cents, confidence=confidence)


@extractor(
    name="hpcp",
    version="1",
    description="Harmonic pitch class profile in 36 bins, its entropy and crest.",
    values=(
        FeatureSpec("tonal.hpcp.mean", None, f"Mean profile, {_PITCH}, relative to the tuning; largest is 1.", (0, 1)),
        FeatureSpec("tonal.thpcp", None, "The same, turned so that its largest bin is first.", (0, 1)),
        FeatureSpec("tonal.hpcp_entropy.mean", "bit", "Entropy of a frame's profile, mean.", (0, 5.2)),
        FeatureSpec("tonal.hpcp_crest.mean", None, "Largest bin over mean of a frame's profile, mean.", (1, 36)),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("pitch_classes",),
    cost_s_per_min=0.002,
)
def hpcp(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the mean profile of the frames that have peaks."""
    profiles = with_peaks(require_tones(audio.pitch_classes))
    mean = profiles.mean(axis=0)
    mean /= mean.max()
    shares = profiles / profiles.sum(axis=1, keepdims=True)
    yield measured("tonal.hpcp.mean", tuple(mean.tolist()))
    yield measured("tonal.thpcp", tuple(np.roll(mean, -int(mean.argmax())).tolist()))
    yield measured("tonal.hpcp_entropy.mean", float(-(shares * np.log2(shares + 1e-30)).sum(axis=1).mean()))
    yield measured("tonal.hpcp_crest.mean", float((profiles.max(axis=1) / profiles.mean(axis=1)).mean()))


@extractor(
    name="chords",
    version="1",
    description="Major and minor triads over time, by correlation with the pitch class profile and few changes.",
    values=(
        FeatureSpec(
            "tonal.chords_histogram", None, f"Share of time of each triad: {', '.join(KEYS[:2])}, ..., B minor.", (0, 1)
        ),
        FeatureSpec("tonal.chords_strength", None, "Mean correlation with the triads found.", (-1, 1)),
        FeatureSpec("tonal.chords_changes_rate", "1/s", "Changes of chord per second.", (0, 11)),
        FeatureSpec(
            "tonal.chords_number_rate", "1/min", "Different chords of 1 % of the time and more, per minute.", (0, 500)
        ),
        FeatureSpec("tonal.chords_key", None, "Root of the most frequent triad."),
        FeatureSpec("tonal.chords_scale", None, "major or minor: the most frequent triad."),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("pitch_classes",),
    cost_s_per_min=0.01,
)
def chords(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report statistics of the most likely sequence of triads; weak correlation is low confidence.

    References
    ----------
    T. Fujishima, "Realtime chord recognition of musical sound", ICMC 1999 (templates); A. Sheh, D. Ellis, "Chord
    segmentation and recognition using EM-trained hidden Markov models", ISMIR 2003 (sequences).

    """
    heard = require_tones(audio.pitch_classes)
    path, fits = chord_path(by_note(with_peaks(heard)))
    strength = float(fits.mean())
    if strength < MIN_CHORD_STRENGTH:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    histogram = np.bincount(path, minlength=len(KEYS)) / len(path)
    duration_s = len(path) * heard.frame_s
    root, scale = KEYS[int(histogram.argmax())].split()
    confidence = min(1.0, strength)
    yield measured("tonal.chords_histogram", tuple(histogram.tolist()), confidence=confidence)
    yield measured("tonal.chords_strength", strength)
    yield measured("tonal.chords_changes_rate", np.count_nonzero(np.diff(path)) / duration_s, confidence=confidence)
    n_chords = np.count_nonzero(histogram >= _MIN_CHORD_SHARE)
    yield measured("tonal.chords_number_rate", n_chords * 60 / duration_s, confidence=confidence)
    yield measured("tonal.chords_key", root, confidence=confidence * float(histogram.max()))
    yield measured("tonal.chords_scale", scale, confidence=confidence * float(histogram.max()))


@extractor(
    name="key_candidates",
    version="1",
    description="How well each of 24 keys fits the mean pitch class profile by three published key profiles.",
    values=(
        FeatureSpec(
            "tonal.key_candidates",
            None,
            "Mean correlation with three profiles: C major to B major, C minor to B minor.",
            (-1, 1),
        ),
        FeatureSpec("tonal.key_runner_up", None, "The key that fits second best, like A minor."),
        *(FeatureSpec(f"tonal.key_{name}", None, f"Best key by the profile {name}.") for name in KEY_PROFILES),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("pitch_classes",),
    cost_s_per_min=0.002,
)
def key_candidates(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report how well keys fit, by profile and on average; where none fits, low confidence.

    References
    ----------
    C. Krumhansl, "Cognitive foundations of musical pitch", 1990; D. Temperley, "Music and probability", 2007; B.
    Aarden, "Dynamic melodic expectancy", 2003.

    """
    fits = key_fits(by_note(with_peaks(require_tones(audio.pitch_classes))).mean(axis=0))
    mean = np.mean(list(fits.values()), axis=0)
    if mean.max() < MIN_KEY_FIT:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    yield measured("tonal.key_candidates", tuple(mean.tolist()))
    yield measured("tonal.key_runner_up", KEYS[int(np.argsort(mean)[-2])])
    for name, fit in fits.items():
        yield measured(f"tonal.key_{name}", KEYS[int(fit.argmax())], confidence=float(np.clip(fit.max(), 0.0, 1.0)))
