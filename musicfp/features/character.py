"""Extractors of a track's character as one number each: energy and danceability, blends with documented formulas.

Nobody has ground truth for these. What is promised is the formula, and that they rise with each of their parts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import AudioInputs
from musicfp.features.novelty import onsets_per_s
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.spectra import Spectra
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

_TYPICAL_BPM = 120.0


@dataclass(frozen=True)
class EnergyParts:
    """What energy is made of, each 0 to 1 and higher for more energetic sound."""

    loudness: float
    steadiness: float
    onsets: float
    brightness: float
    change: float

    def blend(self) -> float:
        """Return the energy: the weighted mean of the parts."""
        return (
            0.4 * self.loudness
            + 0.1 * self.steadiness
            + 0.2 * self.onsets
            + 0.15 * self.brightness
            + 0.15 * self.change
        )


@extractor(
    name="energy",
    version="2",
    description="Energy, 0 to 1: a blend of loudness, small loudness range, onset rate, spectral entropy and flux.",
    values=(FeatureSpec("character.energy", None, "0 calm to 1 intense; formula in docs/features.md.", (0.0, 1.0)),),
    min_duration_s=3.0,
    audible=True,
    inputs=("spectra", "novelty", "loudness_ebu128"),
    cost_s_per_min=0.002,
)
def energy(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the blend; there is no ground truth, so no confidence."""
    loudness = audio.loudness_ebu128
    spectra = audio.spectra
    if spectra.n_frames == 0 or loudness.integrated_lufs is None:
        raise NotMeasurable(Reason.SILENT)
    parts = energy_parts(
        integrated_lufs=loudness.integrated_lufs,
        range_lu=loudness.range_lu or 0.0,
        onset_rate=onsets_per_s(audio.novelty) or 0.0,
        spectra=spectra,
    )
    yield measured("character.energy", parts.blend())


@extractor(
    name="danceability",
    version="4",
    description="Danceability: detrended fluctuation analysis, raw, and a blend with tempo, regularity and pulse.",
    values=(
        FeatureSpec(
            "rhythm.danceability_dfa",
            None,
            "Essentia's Danceability: mostly 0 to 3, more for bare clicks.",
            (0.0, 1000.0),
        ),
        FeatureSpec("rhythm.danceability", None, "0 to 1, a logistic blend; formula in docs/features.md.", (0.0, 1.0)),
    ),
    min_duration_s=10.0,
    audible=True,
    inputs=("stretches", "mono_44k"),
    cost_s_per_min=0.03,
)
def danceability(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report both; sound without credible beats has neither, as there is nothing to dance to.

    References
    ----------
    S. Streich, P. Herrera, "Detrended fluctuation analysis of music signals: danceability estimation and further
    semantic characterization", AES 2005; O. Lartillot et al., "Multi-feature modeling of pulse clarity", ISMIR 2008.

    """
    clearest = audio.stretches[0]
    dfa, _ = essentia_standard().Danceability()(audio.mono_44k)
    yield measured("rhythm.danceability_dfa", float(dfa))
    blend = danceability_blend(
        dfa=float(dfa),
        tempo_bpm=clearest.rhythm.tempo_bpm,
        beat_times_s=clearest.rhythm.beats_s,
        pulse=float(np.clip(clearest.recurrence, 0.0, 1.0)),
    )
    yield measured("rhythm.danceability", blend)


def energy_parts(*, integrated_lufs: float, range_lu: float, onset_rate: float, spectra: Spectra) -> EnergyParts:
    """Return the parts of energy; `onset_rate` is per second.

    Loudness: logistic, 0.5 at -16 LUFS, 5 LU per e-fold. Steadiness: 1 - range / 20 LU. Onsets: 1 - exp(-rate / 4 per
    s). Brightness: entropy of the spectrum from 4 to 9 bits. Change: flux over the length of the spectrum, from 0 to 1.
    """
    length = np.sqrt(spectra.scalars["spectral_energy"])
    change = float(np.mean(spectra.scalars["spectral_flux"]) / max(float(np.mean(length)), 1e-12))
    return EnergyParts(
        loudness=float(1 / (1 + np.exp(-(integrated_lufs + 16) / 5))),
        steadiness=float(np.clip(1 - range_lu / 20, 0.0, 1.0)),
        onsets=float(1 - np.exp(-onset_rate / 4)),
        brightness=float(np.clip((spectra.scalars["spectral_entropy"].mean() - 4) / 5, 0.0, 1.0)),
        change=float(np.clip(change, 0.0, 1.0)),
    )


def danceability_blend(*, dfa: float, tempo_bpm: float, beat_times_s: NDArray[np.floating], pulse: float) -> float:
    """Return the logistic blend: 1 / (1 + exp(3 - 6 m)), m = 0.3 dfa + 0.15 tempo + 0.25 regularity + 0.3 pulse.

    Each part is 0 to 1: raw DFA over 2; tempo by its distance from 120 BPM, octaves apart counted as the same;
    regularity exp(-v / 0.1), where v is the coefficient of variation of the times between beats; `pulse` is how much of
    the onsets in all bands comes back after one, two or four beats.
    """
    octaves = np.log2(tempo_bpm / _TYPICAL_BPM)
    tempo = np.exp(-0.5 * ((octaves - np.round(octaves)) / 0.3) ** 2)
    intervals_s = np.diff(beat_times_s)
    regularity = np.exp(-float(intervals_s.std() / intervals_s.mean()) / 0.1)
    mean = 0.3 * float(np.clip(dfa / 2, 0.0, 1.0)) + 0.15 * tempo + 0.25 * regularity + 0.3 * pulse
    return float(1 / (1 + np.exp(3 - 6 * mean)))
