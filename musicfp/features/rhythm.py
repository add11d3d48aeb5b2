"""Extractors of rhythm: tempo, its octave alternative, and how far two independent estimators agree."""

from collections.abc import Iterable, Sequence

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import AudioInputs, BeatTrack
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

MIN_BPM, MAX_BPM = 30.0, 250.0
MIN_BEATS = 8
# RhythmExtractor2013 gives 0 to 5.32. Noise of any colour gets 0.1 to 0.4, with a tempo that is nobody's (measured).
MIN_BEAT_CONFIDENCE = 0.5
# Up to here essentia calls it low: then a second estimator must agree. A steady tone gets 1.2.
LOW_BEAT_CONFIDENCE = 1.5
MAX_BEAT_CONFIDENCE = 5.32
AGREEMENT_TOLERANCE = 0.04  # as tempo estimation is scored (MIREX, Acc1)
_OCTAVES = (2.0, 3.0, 1 / 2, 1 / 3)
_TYPICAL_BPM = 120.0
_TEMPO_RANGE = (MIN_BPM, MAX_BPM)


@extractor(
    name="tempo",
    version="1",
    description="Tempo by multi-feature beat tracking, checked by a second, independent estimator.",
    values=(
        FeatureSpec("rhythm.tempo", unit="BPM", description="Beats per minute.", range=_TEMPO_RANGE),
        FeatureSpec(
            "rhythm.tempo_alternative",
            unit="BPM",
            description="The next best answer: mostly half or double the tempo, which is where estimators err.",
            range=_TEMPO_RANGE,
        ),
        FeatureSpec(
            "rhythm.tempo_agreement",
            unit=None,
            description="1: a second estimator is within 4 %; 0.5: it is so up to a factor of 2 or 3; 0: it is not.",
            range=(0.0, 1.0),
        ),
        FeatureSpec(
            "rhythm.tempo_confidence",
            unit=None,
            description="Agreement of the beat trackers among each other, 0 to 1 (a rank, not a probability).",
            range=(0.0, 1.0),
        ),
        FeatureSpec(
            "rhythm.beats_count", unit="beats", description="Beats found in what was analysed.", range=(0.0, 1e6)
        ),
    ),
    min_duration_s=10.0,
    audible=True,
)
def tempo(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the tempo, or low confidence when the beats are too few, too odd or too unsure.

    References
    ----------
    J. Zapata, M. Davies, E. Gomez, "Multi-feature beat tracking", IEEE/ACM TASLP 22(4), 2014 (essentia's
    RhythmExtractor2013); G. Percival, G. Tzanetakis, "Streamlined tempo estimation based on autocorrelation and
    cross-correlation with pulses", IEEE/ACM TASLP 22(12), 2014 (the second estimator).

    """
    tracks = audio.beats
    best = _most_agreed(tracks)
    if not is_credible(best):
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    second_bpm = float(essentia_standard().PercivalBpmEstimator()(audio.mono_44k))
    agreement = tempo_agreement(best.tempo_bpm, second_bpm)
    if best.confidence <= LOW_BEAT_CONFIDENCE and agreement == 0.0:
        raise NotMeasurable(Reason.LOW_CONFIDENCE)
    beat_confidence = min(1.0, best.confidence / MAX_BEAT_CONFIDENCE)
    yield measured("rhythm.tempo", best.tempo_bpm, confidence=(beat_confidence + agreement) / 2)
    yield measured("rhythm.tempo_alternative", tempo_alternative(best.tempo_bpm, second_bpm))
    yield measured("rhythm.tempo_agreement", agreement)
    yield measured("rhythm.tempo_confidence", beat_confidence)
    yield measured("rhythm.beats_count", float(sum(len(track.beat_times_s) for track in tracks)))


def is_credible(track: BeatTrack) -> bool:
    """Whether there are enough beats, at a tempo of human music, and more order in them than in noise."""
    return (
        MIN_BPM <= track.tempo_bpm <= MAX_BPM
        and len(track.beat_times_s) >= MIN_BEATS
        and track.confidence >= MIN_BEAT_CONFIDENCE
    )


def tempo_agreement(tempo_bpm: float, second_bpm: float) -> float:
    """Return 1 for two tempi within AGREEMENT_TOLERANCE, 0.5 if they are so up to a factor of 2 or 3, else 0."""
    if _is_near(second_bpm, tempo_bpm):
        return 1.0
    return 0.5 if any(_is_near(second_bpm, tempo_bpm * factor) for factor in _OCTAVES) else 0.0


def tempo_alternative(tempo_bpm: float, second_bpm: float) -> float:
    """Return the second estimator's tempo if it differs, else whichever of half and double is nearer to usual music."""
    if not _is_near(second_bpm, tempo_bpm) and MIN_BPM <= second_bpm <= MAX_BPM:
        return second_bpm
    candidates = [bpm for bpm in (tempo_bpm / 2, tempo_bpm * 2) if MIN_BPM <= bpm <= MAX_BPM]
    return min(candidates, key=lambda bpm: max(bpm / _TYPICAL_BPM, _TYPICAL_BPM / bpm))


def _is_near(bpm: float, reference_bpm: float) -> bool:
    return abs(bpm - reference_bpm) <= AGREEMENT_TOLERANCE * reference_bpm


def _most_agreed(tracks: Sequence[BeatTrack]) -> BeatTrack:
    """Return the window whose tempo most windows share; among equals the most confident."""

    def support(track: BeatTrack) -> tuple[int, float]:
        return sum(_is_near(other.tempo_bpm, track.tempo_bpm) for other in tracks), track.confidence

    return max(tracks, key=support)
