"""Extractors of level: EBU R128 loudness, ReplayGain and true peak. The measurement itself is in `bs1770`."""

import math
from collections.abc import Iterable

from musicfp.features.bs1770 import true_peak as measure_true_peak
from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, absent, measured

REPLAY_GAIN_REFERENCE_LUFS = -18.0  # ReplayGain 2.0
_MOMENTARY_S = 0.4
_SHORT_TERM_S = 3.0
_LEAST_PEAK = 1e-10  # -200 dBTP: denormal numbers are silence
# Floating-point files may be far above full scale.
_LUFS_RANGE = (-70.0, 100.0)


@extractor(
    name="loudness",
    version="2",
    description="Programme loudness by ITU-R BS.1770-4 and EBU R128 of the whole track as stereo, and ReplayGain 2.0.",
    values=(
        FeatureSpec("loudness.integrated", unit="LUFS", description="Gated programme loudness.", range=_LUFS_RANGE),
        FeatureSpec(
            "loudness.range", unit="LU", description="Loudness range (LRA) by EBU Tech 3342.", range=(0.0, 90.0)
        ),
        FeatureSpec(
            "loudness.momentary_max", unit="LUFS", description="Loudest 400 ms, in steps of 10 ms.", range=_LUFS_RANGE
        ),
        FeatureSpec(
            "loudness.short_term_max", unit="LUFS", description="Loudest 3 s, in steps of 10 ms.", range=_LUFS_RANGE
        ),
        FeatureSpec(
            "loudness.replay_gain",
            unit="dB",
            description="Gain that brings the track to the ReplayGain 2.0 reference of -18 LUFS.",
            range=(-118.0, 52.0),
        ),
    ),
    min_duration_s=_MOMENTARY_S,
    inputs=("loudness_ebu128",),
    cost_s_per_min=0.0,
)
def loudness(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the shared EBU R128 measurement; below the absolute gate of -70 LUFS everything is silence."""
    measures = audio.loudness_ebu128
    long_reason = Reason.TOO_SHORT if audio.duration_s < _SHORT_TERM_S else Reason.SILENT
    yield _measured_or("loudness.integrated", measures.integrated_lufs, Reason.SILENT)
    yield _measured_or("loudness.range", measures.range_lu, long_reason)
    yield _measured_or("loudness.momentary_max", measures.momentary_max_lufs, Reason.SILENT)
    yield _measured_or("loudness.short_term_max", measures.short_term_max_lufs, long_reason)
    integrated_lufs = measures.integrated_lufs
    gain_db = None if integrated_lufs is None else REPLAY_GAIN_REFERENCE_LUFS - integrated_lufs
    yield _measured_or("loudness.replay_gain", gain_db, Reason.SILENT)


@extractor(
    name="true_peak",
    version="1",
    description="Largest level between samples, which a converter or a lossy encoder would have to reproduce.",
    values=(
        FeatureSpec(
            "loudness.true_peak",
            unit="dBTP",
            description="True peak by 4x oversampling, ITU-R BS.1770-4 annex 2.",
            range=(-200.0, 120.0),
        ),
    ),
    inputs=("stereo_44k",),
    cost_s_per_min=0.23,
)
def true_peak(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the true peak; digital silence has none."""
    peak = measure_true_peak(audio.stereo_44k, sample_rate_hz=SAMPLE_RATE_HZ)
    if peak < _LEAST_PEAK:
        raise NotMeasurable(Reason.SILENT)
    yield measured("loudness.true_peak", 20 * math.log10(peak))


def _measured_or(name: str, answer: float | None, reason: str) -> FeatureValue:
    return absent(name, reason) if answer is None else measured(name, answer)
