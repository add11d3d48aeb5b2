"""Extractor of timbre: mean and spread of the mel-frequency cepstral coefficients, the default for similar tracks.

The coefficients are those of the low-level statistics (`lowlevel`), of the frames that one hears.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.filterbanks import N_CEPSTRAL, N_MEL, cepstra
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.spectra import SILENT_POWER, Spectra
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, measured

# Fades and pauses are left out: the cepstrum of what is below this says nothing of the music, and is far from it.
MIN_FRAME_POWER = 1e-7  # -70 dBFS
MIN_FRAMES = 20


@extractor(
    name="timbre",
    version="1",
    description=f"Mel-frequency cepstral coefficients ({N_CEPSTRAL} of {N_MEL} bands) of all frames that are not "
    "silent: how the spectrum is shaped, whatever is played.",
    values=(
        FeatureSpec(
            "timbre.mfcc_mean",
            unit=None,
            description=f"Mean of each of the {N_CEPSTRAL} coefficients over the frames; the first is the level.",
        ),
        FeatureSpec(
            "timbre.mfcc_std",
            unit=None,
            description=f"Standard deviation of each of the {N_CEPSTRAL} coefficients over the frames.",
        ),
    ),
    min_duration_s=1.0,
    audible=True,
    inputs=("loudness_ebu128", "spectra"),
    cost_s_per_min=0.01,
)
def timbre(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report the statistics of the audible frames.

    References
    ----------
    S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word recognition in
    continuously spoken sentences", IEEE Trans. ASSP 28(4), 1980 (the coefficients); B. Logan, A. Salomon, "A music
    similarity function based on signal analysis", ICME 2001 (their statistics for similarity).

    """
    mean, std = mfcc_statistics(audio.spectra)
    yield measured("timbre.mfcc_mean", tuple(mean.tolist()))
    yield measured("timbre.mfcc_std", tuple(std.tolist()))


def mfcc_statistics(spectra: Spectra) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the coefficients over the audible frames [shape=(N_CEPSTRAL,) each].

    Raises NotMeasurable when fewer than MIN_FRAMES frames are audible.
    """
    powers = spectra.powers[spectra.powers > SILENT_POWER]
    audible = spectra.mel[powers >= MIN_FRAME_POWER]
    if len(audible) < MIN_FRAMES:
        raise NotMeasurable(Reason.SILENT)
    coefficients = cepstra(audible)
    return coefficients.mean(axis=0), coefficients.std(axis=0)
