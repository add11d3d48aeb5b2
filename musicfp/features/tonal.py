"""Extractor of key and mode: the key that pitch classes and triads of the whole track make likeliest."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.inputs import AudioInputs
from musicfp.features.key_profiles import (
    CHOSEN_PROFILES,
    KEYS,
    PITCH_CLASSES,
    by_note,
    key_features,
    key_fits,
    key_probabilities,
)
from musicfp.features.pitch_classes import PitchClasses
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.triads import chord_path
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

# A steady tone with its supposed fundamentals fits a key with 0.54 (measured).
MIN_KEY_STRENGTH = 0.5
# White noise may fit a key with 0.8 (measured), so fit alone lets it through. See `PitchClasses.noisiness`: noise of
# any colour and bare drums are at 0.53 to 0.61, music is below 0.2, with as much white noise as music 0.32.
MAX_NOISINESS = 0.45


@extractor(
    name="key",
    version="5",
    description=(
        "Key and mode by correlation of the mean pitch class profile with the key profiles of Temperley and Aarden, "
        "and by the triads that are heard."
    ),
    values=(
        FeatureSpec("tonal.key", unit=None, description=f"Key note: one of {', '.join(PITCH_CLASSES)}."),
        FeatureSpec("tonal.mode", unit=None, description="major or minor."),
        FeatureSpec(
            "tonal.key_strength",
            unit=None,
            description="Mean correlation with the profiles of this key.",
            range=(0.0, 1.01),
        ),
        FeatureSpec("tonal.camelot", unit=None, description="Key and mode on the Camelot wheel, 1A to 12B."),
    ),
    min_duration_s=3.0,
    audible=True,
    inputs=("pitch_classes",),
    cost_s_per_min=0.01,
)
def key(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the likeliest key with its probability, or low confidence where none fits and for noise.

    References
    ----------
    D. Temperley, "Music and probability", 2007; B. Aarden, "Dynamic melodic expectancy", 2003.

    """
    notes = by_note(with_peaks(require_tones(audio.pitch_classes)))
    fits = key_fits(notes.mean(axis=0))
    path, _ = chord_path(notes)
    probabilities = key_probabilities(key_features(fits, np.bincount(path, minlength=len(KEYS)) / len(path)))
    best = int(probabilities.argmax())
    strength = float(np.mean([fits[name][best] for name in CHOSEN_PROFILES]))
    if strength < MIN_KEY_STRENGTH:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    key_name, mode = KEYS[best].split()
    confidence = float(probabilities[best])
    yield measured("tonal.key", key_name, confidence=confidence)
    yield measured("tonal.mode", mode, confidence=confidence)
    yield measured("tonal.key_strength", strength)
    yield measured("tonal.camelot", camelot(key_name, mode), confidence=confidence)


def require_tones(heard: PitchClasses) -> PitchClasses:
    """Return what was heard; raises NotMeasurable for noise."""
    if heard.noisiness > MAX_NOISINESS:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    return heard


def with_peaks(heard: PitchClasses) -> NDArray[np.float64]:
    """Return the profiles of the frames that have peaks [shape=(n, 36)]; raises NotMeasurable if none has."""
    profiles = heard.hpcp[heard.hpcp.max(axis=1) > 0]
    if len(profiles) == 0:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    return np.asarray(profiles)


def camelot(key_name: str, mode: str) -> str:
    """Return the Camelot name: neighbours on the wheel are a fifth apart, A is minor, B its relative major."""
    pitch_class = PITCH_CLASSES.index(key_name)
    major = pitch_class if mode == "major" else (pitch_class + 3) % 12
    # C major is 8B, and each fifth upwards (7 semitones, its own inverse modulo 12) adds one.
    return f"{(major * 7 + 7) % 12 + 1}{'B' if mode == 'major' else 'A'}"
