"""Rhythm of the stretches of a track: which tempo each has, and where its beats fall.

Here: bringing together what a beat tracker, a second estimator and the novelty of sound say. Not here: the audio
(`inputs`), the models (`pulse_model`, `meter_model`), what is reported (`rhythm`, `meter`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from musicfp.features.meter_model import Rhythm, judge_rhythm
from musicfp.features.novelty import Novelty, autocorrelations
from musicfp.features.pulse_model import judge_pulses, recurrence

MIN_BPM, MAX_BPM = 30.0, 250.0
MIN_BEATS = 8
# Measured on rendered music, 60 pieces of game music, eight of metal, speech, made weather and crowds, noise of three
# colours, random clicks, chimes, tones and drones.
# The contrast of onsets of tones is at most 0.3, of noise 0.47, of strings and organs at least 0.54.
_MIN_CONTRAST = 0.5
# Onsets that stand out less than that are those of soft sounds, or of a drone that beats. A drone's harmony comes back
# by 0.8 and more, because it never leaves; that of soft music by at most 0.46.
_SOFT_CONTRAST, _MAX_STANDING = 1.0, 0.65
# How much of the onsets has to come back. Rain, applause, wind, talk and random clicks, none of which has notes, reach
# 0.07, and music without notes, drums or distorted guitars, at least 0.16.
_MIN_RECURRENCE = 0.13
# Where there are notes, spectral peaks agree on a tuning by 0.14 and more; of rain, talk and clicks by at most 0.04.
# Notes are music, however little comes back of a soft choir, unless they stand out of silence as wind chimes do.
_MIN_TUNING, _BARE_CONTRAST = 0.12, 10.0
_MIN_RECURRENCE_OF_NOTES = 0.03
AGREEMENT_TOLERANCE = 0.04  # as tempo estimation is scored (MIREX, Acc1)
_OCTAVES = (2.0, 3.0, 1 / 2, 1 / 3)
_TYPICAL_BPM = 120.0


@dataclass(frozen=True)
class BeatTrack:
    """What essentia's RhythmExtractor2013 says of one stretch of audio.

    Parameters
    ----------
    tempo_bpm
        Beats per minute.
    confidence
        0 to 5.32; essentia calls it low up to 1.5 and excellent above 3.5.

    """

    tempo_bpm: float
    confidence: float


@dataclass(frozen=True)
class Stretch:
    """A stretch of audio with a credible tempo.

    `recurrence` is how much of the onsets comes back after one, two or four of its beats, up to 1.
    """

    start_s: float
    track: BeatTrack
    second_bpm: float
    novelty: Novelty
    rhythm: Rhythm
    recurrence: float


def judge_stretch(
    start_s: float, track: BeatTrack, second_bpm: float, novelty: Novelty, *, tuning: float
) -> Stretch | None:
    """Return a stretch with its tempo, or None when it has no credible one.

    `tuning` is how much the spectral peaks agree on a tuning, 0 to 1 (`PitchClasses.tuning_concentration`).

    Whether it is credible depends on what comes back at the tempo. How sure the tracker is says less: it may be sure of
    beats in a steady tone, and unsure of those in plain game music.
    """
    returns = autocorrelations(novelty)
    pulses = judge_pulses(returns, tracked_bpm=track.tempo_bpm, second_bpm=second_bpm, confidence=track.confidence)
    if pulses is None:
        return None
    rhythm = judge_rhythm(novelty, pulses)
    onsets, harmony = recurrence(returns, rhythm.tempo_bpm)
    contrast = novelty.peaks.contrast
    if len(rhythm.beats_s) < MIN_BEATS or not has_pulse(contrast, tuning, onsets=onsets, harmony=harmony):
        return None
    return Stretch(start_s, track, second_bpm, novelty, rhythm, recurrence=onsets)


def has_pulse(contrast: float, tuning: float, *, onsets: float, harmony: float) -> bool:
    """Whether sound has a pulse: by contrast of onsets, tuning, and how much of onsets and harmony comes back."""
    if contrast < _MIN_CONTRAST or (contrast < _SOFT_CONTRAST and harmony > _MAX_STANDING):
        return False
    of_notes = tuning >= _MIN_TUNING and contrast < _BARE_CONTRAST
    return onsets >= (_MIN_RECURRENCE_OF_NOTES if of_notes else _MIN_RECURRENCE)


def of_one_tempo(stretches: Iterable[Stretch | None]) -> tuple[Stretch, ...]:
    """Return the stretches that share the tempo most have, the surest first; none if none is credible."""
    credible = [stretch for stretch in stretches if stretch is not None]
    if not credible:
        return ()
    tempo_bpm = _most_agreed(credible).rhythm.tempo_bpm
    alike = [stretch for stretch in credible if _is_near(stretch.rhythm.tempo_bpm, tempo_bpm)]
    return tuple(sorted(alike, key=lambda stretch: -stretch.rhythm.tempo_probability))


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


def _most_agreed(stretches: Sequence[Stretch]) -> Stretch:
    """Return the stretch whose tempo most stretches share; among equals the surest."""

    def support(stretch: Stretch) -> tuple[int, float]:
        near = [_is_near(other.rhythm.tempo_bpm, stretch.rhythm.tempo_bpm) for other in stretches]
        return sum(near), stretch.rhythm.tempo_probability

    return max(stretches, key=support)
