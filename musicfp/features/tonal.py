"""Extractors of harmony: key and mode by the vote of three key profiles."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

# On 96 arrangements, 30 chorales and 36 tunes this vote was never below the best single profile by more than a file.
PROFILES = ("bgate", "shaath", "krumhansl")
MIN_KEY_STRENGTH = 0.5
# White noise has a key strength of 0.8 (measured), so strength alone lets it through. See `noisiness`: noise of any
# colour and bare drums are at 0.53 to 0.61, music is below 0.2, and 0.32 with as much white noise as music.
MAX_NOISINESS = 0.45
PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_FRAME_SAMPLES = 8192
_MAX_FRAMES = 400
_NOISE_BANDS_HZ = (200.0, 400.0, 800.0, 1600.0, 3200.0)


@dataclass(frozen=True)
class KeyVote:
    """One profile's answer; `strength` is its correlation with the profile, up to 1."""

    key: str
    mode: str
    strength: float


@extractor(
    name="key",
    version="1",
    description="Key and mode by the strength-weighted vote of the key profiles bgate, shaath and krumhansl.",
    values=(
        FeatureSpec("tonal.key", unit=None, description=f"Key note: one of {', '.join(PITCH_CLASSES)}."),
        FeatureSpec("tonal.mode", unit=None, description="major or minor."),
        FeatureSpec(
            "tonal.key_strength",
            unit=None,
            description="Mean correlation with the profiles that voted for this key.",
            range=(0.0, 1.01),
        ),
        FeatureSpec("tonal.camelot", unit=None, description="Key and mode on the Camelot wheel, 1A to 12B."),
    ),
    min_duration_s=3.0,
    audible=True,
)
def key(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the key that most profiles hear, or low confidence for weak keys and for noise.

    References
    ----------
    A. Faraldo, E. Gomez, S. Jorda, P. Herrera, "Key estimation in electronic dance music", ECIR 2016 (bgate);
    I. Sha'ath, "Estimation of key in digital music recordings", 2011; C. Krumhansl, "Cognitive Foundations of Musical
    Pitch", 1990.

    """
    mono = audio.mono_44k
    votes = [_vote(mono, profile=profile) for profile in PROFILES]
    key_name, mode, strength, share = decide(votes)
    if strength < MIN_KEY_STRENGTH or noisiness(mono) > MAX_NOISINESS:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    confidence = min(1.0, strength) * share
    yield measured("tonal.key", key_name, confidence=confidence)
    yield measured("tonal.mode", mode, confidence=confidence)
    yield measured("tonal.key_strength", strength)
    yield measured("tonal.camelot", camelot(key_name, mode), confidence=confidence)


def decide(votes: Sequence[KeyVote]) -> tuple[str, str, float, float]:
    """Return key, mode, mean strength of the winner's votes, and its share of all strength (0..1)."""
    strengths: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for vote in votes:
        strengths[vote.key, vote.mode].append(max(0.0, vote.strength))
    (key_name, mode), winning = max(strengths.items(), key=lambda item: sum(item[1]))
    total = sum(sum(each) for each in strengths.values())
    return key_name, mode, sum(winning) / len(winning), sum(winning) / total if total > 0 else 0.0


def camelot(key_name: str, mode: str) -> str:
    """Return the Camelot name: neighbours on the wheel are a fifth apart, A is minor, B its relative major."""
    pitch_class = PITCH_CLASSES.index(key_name)
    major = pitch_class if mode == "major" else (pitch_class + 3) % 12
    # C major is 8B, and each fifth upwards (7 semitones, its own inverse modulo 12) adds one.
    return f"{(major * 7 + 7) % 12 + 1}{'B' if mode == 'major' else 'A'}"


def noisiness(mono: NDArray[np.float32]) -> float:
    """Return how much the spectrum is like noise: 0 for pure tones, about 0.56 for noise of any colour.

    The median over frames of the spectral flatness (geometric over arithmetic mean of the power) within each octave of
    200 to 3200 Hz, where keys are heard. Octave by octave, so that a tilted spectrum does not pass for tones.

    Parameters
    ----------
    mono
        At 44.1 kHz, at least one frame of 8192 samples. [shape=(n_samples,)]

    """
    hop = max(_FRAME_SAMPLES, len(mono) // _MAX_FRAMES)
    frames = np.lib.stride_tricks.sliding_window_view(mono, _FRAME_SAMPLES)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME_SAMPLES).astype(np.float32), axis=1)) ** 2
    audible = power[power.sum(axis=1) > power.sum(axis=1).max() * 1e-4] + 1e-20
    edges = np.round(np.array(_NOISE_BANDS_HZ) * _FRAME_SAMPLES / SAMPLE_RATE_HZ).astype(int)
    flatness = [
        np.exp(np.log(audible[:, low:high]).mean(axis=1)) / audible[:, low:high].mean(axis=1)
        for low, high in pairwise(edges)
    ]
    return float(np.median(np.mean(flatness, axis=0)))


def _vote(mono: NDArray[np.float32], *, profile: str) -> KeyVote:
    key_name, mode, strength = essentia_standard().KeyExtractor(profileType=profile)(mono)
    return KeyVote(key=key_name, mode=mode, strength=float(strength))
