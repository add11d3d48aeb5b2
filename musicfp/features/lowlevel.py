"""Extractors of the spectrum's statistics: the low-level schema of AcousticBrainz, from one pass over the track.

Names are AcousticBrainz's, with `.mean` and `.var` over all frames that are not silent. Differences: all read
the plain spectrum (AcousticBrainz puts an equal-loudness filter before centroid, moments, entropy, contrast and
dissonance), gammatone bands and dissonance have definitions of their own, and silent frames are left out instead of
becoming noise.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.filterbanks import N_BARK, N_CEPSTRAL, N_ERB, N_MEL, cepstra
from musicfp.features.inputs import AudioInputs
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.spectra import HOP_SAMPLES, Spectra, shape_from_moments
from musicfp.features.values import FeatureValue, NotMeasurable, Reason, absent, measured

MIN_DURATION_S = 1.0
# name: (unit, meaning, least, most); finite full-scale sound can reach no further.
_SCALARS: dict[str, tuple[str | None, str, float, float]] = {
    "spectral_centroid": ("Hz", "Centre of the power spectrum", 0, 22_050),
    "spectral_rolloff": ("Hz", "Frequency below which 85 % of the power lies", 0, 22_050),
    "spectral_spread": ("Hz^2", "Variance of the magnitude spectrum", 0, 2.5e8),
    "spectral_skewness": (None, "Skewness of the magnitude spectrum", -1e4, 1e4),
    "spectral_kurtosis": (None, "Excess kurtosis of the magnitude spectrum", -10, 1e6),
    "spectral_decrease": (None, "Slope of a line through the power spectrum, per Hz", -1e6, 1e6),
    "spectral_flux": (None, "Distance of each magnitude spectrum from the one before", 0, 1e6),
    "spectral_entropy": ("bit", "Entropy of the magnitude spectrum", 0, 10.1),
    "spectral_complexity": ("peaks", "Peaks above 0.005 between 100 and 5000 Hz", 0, 1025),
    "spectral_rms": (None, "Root mean square of the magnitude spectrum", 0, 1e6),
    "spectral_energy": (None, "Sum of the power spectrum", 0, 1e12),
    "spectral_energyband_low": (None, "Power from 20 to 150 Hz", 0, 1e12),
    "spectral_energyband_middle_low": (None, "Power from 150 to 800 Hz", 0, 1e12),
    "spectral_energyband_middle_high": (None, "Power from 800 to 4000 Hz", 0, 1e12),
    "spectral_energyband_high": (None, "Power from 4 to 20 kHz", 0, 1e12),
    "hfc": (None, "High-frequency content: sum of power times Hz", 0, 1e16),
    "zerocrossingrate": (None, "Changes of sign per sample", 0, 1),
    "pitch_salience": (None, "Autocorrelation of the spectrum: low for noise and for pure tones", 0, 1.01),
    "dissonance": (None, "Roughness of the pairs of the 12 strongest peaks, 1 is the roughest distance", 0, 1.01),
}
_BANKS = {"melbands": ("mel", N_MEL, "even in mel to 11 kHz"), "barkbands": ("bark", N_BARK, "critical")}
_BANKS["erbbands"] = ("erb", N_ERB, "gammatone, even in ERB from 40 Hz")
_SHAPES = {
    "crest": ("Largest over mean of the bands", 0.0, 41.0),
    "flatness_db": ("Flatness of the bands: 0 for equal bands, 1 from -60 dB down", 0.0, 1.0),
    "spread": ("Variance of the bands as a distribution over their numbers", 0.0, 2000.0),
    "skewness": ("Skewness of that distribution", -1e4, 1e4),
    "kurtosis": ("Excess kurtosis of that distribution", -10.0, 1e6),
}


def _scalar_specs() -> list[FeatureSpec]:
    specs = []
    for name, (unit, meaning, least, most) in _SCALARS.items():
        specs.append(FeatureSpec(f"lowlevel.{name}.mean", unit, f"{meaning}, mean.", (least, most)))
        squared = f"({unit})^2" if unit else None
        most_var = max(abs(least), most) ** 2
        specs.append(FeatureSpec(f"lowlevel.{name}.var", squared, f"{meaning}, variance.", (0.0, most_var)))
    return specs


def _band_specs() -> list[FeatureSpec]:
    specs = []
    for name, source in (("mfcc", "mel"), ("gfcc", "gammatone")):
        what = f"13 cepstral coefficients of the {source} bands in dB"
        specs.append(FeatureSpec(f"lowlevel.{name}.mean", None, f"{what}, mean; the first is the level."))
        specs.append(FeatureSpec(f"lowlevel.{name}.cov", None, f"{what}, covariance, 13 x 13 by rows."))
    for name, (_, n_bands, kind) in _BANKS.items():
        what = f"Power in {n_bands} bands, {kind}; mean."
        specs.append(FeatureSpec(f"lowlevel.{name}.mean", None, what, (0.0, 1e12)))
        specs += [
            FeatureSpec(f"lowlevel.{name}_{shape}.mean", None, f"{meaning}, mean.", (least, most))
            for shape, (meaning, least, most) in _SHAPES.items()
        ]
    return specs


@extractor(
    name="spectrum",
    version="1",
    description="Statistics of short-time spectra as in AcousticBrainz: centroid, roll-off, flux, entropy, ...",
    values=(
        *_scalar_specs(),
        FeatureSpec("lowlevel.spectral_contrast_coeffs.mean", None, "Spectral contrast in six bands, mean.", (-10, 0)),
        FeatureSpec("lowlevel.spectral_contrast_valleys.mean", None, "Log of the valleys in six bands, mean."),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("spectra",),
    cost_s_per_min=0.01,
)
def spectrum(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report mean and variance over the frames that are not silent.

    References
    ----------
    G. Peeters, "A large set of audio features for sound description", 2004; V. Akkermans, J. Serra, P. Herrera,
    "Shape-based spectral contrast descriptor", 2009.

    """
    spectra = _sounding(audio)
    for name in _SCALARS:
        numbers = spectra.scalars[name]
        yield measured(f"lowlevel.{name}.mean", float(numbers.mean()))
        yield measured(f"lowlevel.{name}.var", float(numbers.var()))
    yield measured("lowlevel.spectral_contrast_coeffs.mean", _mean(spectra.contrast))
    yield measured("lowlevel.spectral_contrast_valleys.mean", _mean(spectra.valleys))


@extractor(
    name="bands",
    version="1",
    description="Mel, Bark and gammatone bands, their shapes and their cepstra (MFCC, GFCC), as in AcousticBrainz.",
    values=_band_specs(),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("spectra",),
    cost_s_per_min=0.02,
)
def bands(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report means, shapes and covariances over the frames that are not silent.

    References
    ----------
    S. Davis, P. Mermelstein 1980 (MFCC); Y. Shao, D. Wang, "Robust speaker identification using auditory features and
    computational auditory scene analysis", 2008 (GFCC).

    """
    spectra = _sounding(audio)
    for name, powers in (("mfcc", spectra.mel), ("gfcc", spectra.erb)):
        coefficients = cepstra(powers)
        yield measured(f"lowlevel.{name}.mean", _mean(coefficients))
        deviations = coefficients - coefficients.mean(axis=0)
        covariance = deviations.T @ deviations / len(coefficients)
        yield measured(f"lowlevel.{name}.cov", tuple(covariance.reshape(N_CEPSTRAL**2).tolist()))
    for name, (attribute, _, _) in _BANKS.items():
        powers = getattr(spectra, attribute)
        yield measured(f"lowlevel.{name}.mean", _mean(powers))
        for shape, numbers in band_shapes(powers).items():
            yield measured(f"lowlevel.{name}_{shape}.mean", float(numbers.mean()))


@extractor(
    name="dynamics",
    version="1",
    description="How loudness varies: dynamic complexity, average loudness and silence rates, as in AcousticBrainz.",
    values=(
        FeatureSpec("lowlevel.dynamic_complexity", "dB", "Mean deviation of the level from the track's.", (0, 100)),
        FeatureSpec(
            "lowlevel.average_loudness",
            None,
            "How near the mean level of 2 s is to the highest: 1 is compressed.",
            (0, 1),
        ),
        *(
            FeatureSpec(
                f"lowlevel.silence_rate_{level}db", None, f"Share of frames of 46 ms below -{level} dBFS RMS.", (0, 1)
            )
            for level in (20, 30, 60)
        ),
    ),
    min_duration_s=MIN_DURATION_S,
    audible=True,
    inputs=("spectra", "mono_44k"),
    cost_s_per_min=0.02,
)
def dynamics(audio: AudioInputs) -> Iterable[FeatureValue]:
    """Report how the level moves, from the powers of the shared frames and by essentia's DynamicComplexity.

    References
    ----------
    S. Streich, "Music complexity: a multi-faceted description of audio content", 2007.

    """
    spectra = _sounding(audio)
    complexity_db, _ = essentia_standard().DynamicComplexity()(audio.mono_44k)
    yield measured("lowlevel.dynamic_complexity", float(complexity_db))
    loudness = average_loudness(spectra.powers)
    name = "lowlevel.average_loudness"
    yield absent(name, Reason.TOO_SHORT) if loudness is None else measured(name, loudness)
    for level in (20, 30, 60):
        share = float(np.mean(spectra.powers < 10 ** (-level / 10)))
        yield measured(f"lowlevel.silence_rate_{level}db", share)


def band_shapes(powers: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return crest, flatness, spread, skewness and kurtosis of the bands of each frame.

    Parameters
    ----------
    powers
        [shape=(n_frames, n_bands)]

    Returns
    -------
    dict
        By the names of _SHAPES. [shape=(n_frames,) each]

    """
    floored = powers.astype(np.float64) + 1e-30
    total = floored.sum(axis=1)
    mean = floored.mean(axis=1)
    numbers = np.arange(powers.shape[1])
    raw = [floored @ numbers**order / total for order in range(1, 5)]
    spread, skewness, kurtosis = shape_from_moments([moment.astype(np.float64) for moment in raw], least=1e-3)
    flatness_db = 10 * np.log10(np.exp(np.log(floored).mean(axis=1)) / mean)
    return {
        "crest": floored.max(axis=1) / mean,
        "flatness_db": np.clip(flatness_db / -60, 0.0, 1.0),
        "spread": spread,
        "skewness": skewness,
        "kurtosis": kurtosis,
    }


def average_loudness(powers: NDArray[np.float64]) -> float | None:
    """Return how near the mean loudness of stretches of 2 s is to the loudest, 0 to 1; None below two stretches.

    Loudness by Stevens' power law, energy to the power of 0.67. The mean over the maximum, in dB, is squeezed so that
    -2 dB and more become nearly 1 and -5 dB and less nearly 0, as AcousticBrainz does.

    Parameters
    ----------
    powers
        Mean square of frames HOP_SAMPLES apart. [shape=(n_frames,)]

    """
    per_stretch = 2 * 44_100 // HOP_SAMPLES
    n_stretches = len(powers) // per_stretch
    if n_stretches < 2:
        return None
    energy = powers[: n_stretches * per_stretch].reshape(n_stretches, per_stretch).sum(axis=1)
    loudness = np.maximum((energy / energy.max()) ** 0.67, 1e-4)
    level_db = 10 * np.log10(loudness.mean())
    return float(0.5 + 0.5 * np.tanh(2 * (level_db + 5) / 3 - 1))


def _sounding(audio: AudioInputs) -> Spectra:
    spectra = audio.spectra
    if spectra.n_frames == 0:
        raise NotMeasurable(Reason.SILENT)
    return spectra


def _mean(numbers: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(numbers.mean(axis=0, dtype=np.float64).tolist())
