"""Pitch of a track over time: spectral peaks, tuning, and harmonic pitch class profiles (HPCP) of every frame.

Frames of 8192 samples every 4096 (186 and 93 ms), so that neighbouring notes of the bass are apart. Here: measurement.
Not here: what chord or key it is (`harmony`, `tonal`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from musicfp.features.spectra import SILENT_POWER, is_peak

FRAME_SAMPLES = 8192
HOP_SAMPLES = 4096
BINS_PER_SEMITONE = 3
N_HPCP = 12 * BINS_PER_SEMITONE
_REFERENCE_HZ = 440.0
_PEAKS_HZ = (40.0, 3500.0)
# Of a frame's highest peak; what is lower is mostly the window's and the room's.
_MIN_PEAK_RATIO = 0.01
# A peak may be an overtone: it also speaks for the notes whose 2nd to 4th partial it would be, less and less.
_PARTIALS = 4
_PARTIAL_WEIGHT = 0.6
_NOISE_BANDS_HZ = (200.0, 400.0, 800.0, 1600.0, 3200.0)
_MIN_FRAME_SHARE = 1e-4
_BLOCK_FRAMES = 32


@dataclass(frozen=True)
class PitchClasses:
    """What was heard of pitch in the frames that are not silent.

    Parameters
    ----------
    hpcp
        Strength of each third of a semitone, from A upwards, relative to the tuning; the highest of a frame is 1,
        frames without peaks are all 0. [shape=(n_frames, 36)]
    frame_s
        Time from one frame to the next, silent ones counted.
    tuning_cents
        How far the track is from A4 = 440 Hz, -50 to 50.
    tuning_concentration
        Length of the mean vector of all deviations from semitones: 0 if peaks are anywhere, 1 if all agree.
    noisiness
        0 for pure tones, about 0.56 for noise of any colour.

    """

    hpcp: NDArray[np.float64]
    frame_s: float
    tuning_cents: float
    tuning_concentration: float
    noisiness: float


def measure_pitch_classes(mono: NDArray[np.float32], *, sample_rate_hz: int) -> PitchClasses | None:
    """Return the pitch classes of all whole frames, or None if there is no frame with sound.

    Parameters
    ----------
    mono
        Finite samples. [shape=(n_samples,)]
    sample_rate_hz
        Of `mono`.

    References
    ----------
    E. Gomez, "Tonal description of polyphonic audio for music content processing", 2006 (HPCP, partials); tuning as the
    circular mean of K. Dressler, S. Streich, "Tuning frequency estimation using circular statistics", ISMIR 2007.

    """
    if len(mono) < FRAME_SAMPLES:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME_SAMPLES)[::HOP_SAMPLES]
    window = np.hanning(FRAME_SAMPLES).astype(np.float32)
    hz_per_bin = sample_rate_hz / FRAME_SAMPLES
    rows, semitones, heights, flatness, energies, sounding = [], [], [], [], [], []
    for start in range(0, len(frames), _BLOCK_FRAMES):
        block = frames[start : start + _BLOCK_FRAMES]
        magnitudes = np.abs(np.fft.rfft(block * window, axis=1))[:, : int(_PEAKS_HZ[1] / hz_per_bin) + 2]
        row, semitone, height = _peaks(magnitudes, hz_per_bin=hz_per_bin)
        rows.append(row + start)
        semitones.append(semitone)
        heights.append(height)
        power = magnitudes * magnitudes
        flatness.append(_octave_flatness(power, hz_per_bin=hz_per_bin))
        energies.append(power.sum(axis=1, dtype=np.float64))
        sounding.append(np.einsum("ij,ij->i", block, block) / FRAME_SAMPLES > SILENT_POWER)
    energy, keep = np.concatenate(energies), np.concatenate(sounding)
    if not keep.any():
        return None
    row, semitone, height = np.concatenate(rows), np.concatenate(semitones), np.concatenate(heights)
    loud = energy > energy.max() * _MIN_FRAME_SHARE
    tuning, concentration = _tuning(semitone, height)
    return PitchClasses(
        hpcp=_profiles(row, semitone - tuning, height, n_frames=len(frames))[keep],
        frame_s=HOP_SAMPLES / sample_rate_hz,
        tuning_cents=100 * tuning,
        tuning_concentration=concentration,
        noisiness=float(np.median(np.concatenate(flatness)[loud])),
    )


def _peaks(
    magnitudes: NDArray[np.float32], *, hz_per_bin: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return frame, semitones from A4 and magnitude of each peak, by a parabola through the logs of three bins."""
    floor = np.maximum(magnitudes.max(axis=1, keepdims=True) * np.float32(_MIN_PEAK_RATIO), np.float32(1e-12))
    found = is_peak(magnitudes) & (magnitudes > floor)
    found[:, : int(_PEAKS_HZ[0] / hz_per_bin)] = False
    row, column = np.nonzero(found)
    left, middle, right = (np.log(magnitudes[row, column + shift].astype(np.float64) + 1e-20) for shift in (-1, 0, 1))
    shift = 0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-12)
    height = np.exp(middle - 0.25 * (left - right) * shift)
    return row, 12 * np.log2((column + shift) * hz_per_bin / _REFERENCE_HZ), height


def _tuning(semitone: NDArray[np.float64], height: NDArray[np.float64]) -> tuple[float, float]:
    """Return the deviation that most peaks share, -0.5 to 0.5 semitones, and how much they share it, 0 to 1."""
    total = height.sum()
    if total <= 0:
        return 0.0, 0.0
    mean = np.sum(height * np.exp(2j * np.pi * semitone)) / total
    return float(np.angle(mean) / (2 * np.pi)), float(min(1.0, abs(mean)))


def _profiles(
    row: NDArray[np.int64], semitone: NDArray[np.float64], height: NDArray[np.float64], *, n_frames: int
) -> NDArray[np.float64]:
    """Return each frame's profile: every peak and its fundamentals, shared between the two nearest bins."""
    flat = np.zeros(n_frames * N_HPCP)
    for partial in range(1, _PARTIALS + 1):
        position = (semitone - 12 * np.log2(partial)) * BINS_PER_SEMITONE
        lower = np.floor(position)
        share = position - lower
        weight = height * _PARTIAL_WEIGHT ** (partial - 1)
        for bins, part in ((lower, 1 - share), (lower + 1, share)):
            place = row * N_HPCP + np.mod(bins, N_HPCP).astype(np.int64)
            flat += np.bincount(place, weights=weight * part, minlength=len(flat))
    profile = flat.reshape(n_frames, N_HPCP)
    highest = profile.max(axis=1, keepdims=True)
    return np.asarray(np.divide(profile, highest, out=np.zeros_like(profile), where=highest > 0))


def _octave_flatness(power: NDArray[np.float32], *, hz_per_bin: float) -> NDArray[np.float64]:
    """Return each frame's spectral flatness, mean over the octaves of 200 to 3200 Hz, where keys are heard.

    Octave by octave, so that a tilted spectrum does not pass for tones.
    """
    edges = np.round(np.array(_NOISE_BANDS_HZ) / hz_per_bin).astype(int)
    floored = power + np.float32(1e-20)
    flatness = [
        np.exp(np.log(floored[:, low:high]).mean(axis=1, dtype=np.float64)) / floored[:, low:high].mean(axis=1)
        for low, high in pairwise(edges)
    ]
    return np.asarray(np.mean(flatness, axis=0), dtype=np.float64)
