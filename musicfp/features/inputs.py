"""What extractors read: one track's audio and the intermediate results that several of them share.

Everything is computed on first use and kept for as long as the track is being analysed, so that beats or loudness cost
the same whether one extractor or twenty need them. Add a property here when a second extractor needs the same thing.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from musicfp.features.bs1770 import Loudness, measure_loudness
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.values import WINDOWS_NOTE_PREFIX, NotMeasurable, Reason

SAMPLE_RATE_HZ = 44_100
# Below this the answers of essentia are about noise: digital silence gets a tempo and a key from it.
AUDIBLE_LUFS = -60.0
# Whole up to here; longer recordings (mixes, concerts, audio books) are analysed in windows, because the beat tracker's
# time grows faster than the duration: 2 h did not finish in 200 s.
MAX_WHOLE_S = 15 * 60
WINDOW_S = 3 * 60
N_WINDOWS = 3
_SCAN_SAMPLES = 30 * SAMPLE_RATE_HZ


@dataclass(frozen=True)
class BeatTrack:
    """Beats of one stretch of audio, from essentia's RhythmExtractor2013.

    Parameters
    ----------
    tempo_bpm
        Beats per minute.
    beat_times_s
        From the start of the stretch. [shape=(n_beats,)]
    confidence
        0 to 5.32; essentia calls it low up to 1.5 and excellent above 3.5.

    """

    tempo_bpm: float
    beat_times_s: NDArray[np.float32]
    confidence: float


class AudioInputs:
    """Lazily computed inputs of one track.

    Parameters
    ----------
    samples
        float32, full scale = 1; mono or stereo, may be a memory map. [shape=(n,), (n, 1) or (n, 2)]
    sample_rate_hz
        Other rates than 44.1 kHz are resampled.

    Raises
    ------
    ValueError
        For another shape or type of samples, or a rate that is not positive.

    """

    def __init__(self, samples: NDArray[np.float32], *, sample_rate_hz: int) -> None:
        if samples.dtype != np.float32 or samples.ndim not in {1, 2} or (samples.ndim == 2 and samples.shape[1] > 2):
            raise ValueError(
                f"Expected float32 samples of shape (n,), (n, 1) or (n, 2), got {samples.dtype}{samples.shape}."
            )
        if sample_rate_hz <= 0:
            raise ValueError(f"The sample rate must be positive, got {sample_rate_hz}.")
        self._samples = samples if samples.ndim == 2 else samples[:, np.newaxis]
        self._sample_rate_hz = sample_rate_hz
        self._windows_were_read = False

    @cached_property
    def duration_s(self) -> float:
        """Duration of the whole track in seconds."""
        return len(self._samples) / self._sample_rate_hz

    @cached_property
    def is_finite(self) -> bool:
        """Whether no sample is NaN or infinite. Several algorithms of essentia hang on NaN."""
        starts = range(0, len(self._samples), _SCAN_SAMPLES)
        return all(bool(np.isfinite(self._samples[start : start + _SCAN_SAMPLES]).all()) for start in starts)

    @cached_property
    def stereo_44k(self) -> NDArray[np.float32]:
        """The whole track at 44.1 kHz; mono sounds from both sides; read-only. Shape (n_samples, 2)."""
        samples = self._samples
        if self._sample_rate_hz != SAMPLE_RATE_HZ:
            samples = _resample(samples, sample_rate_hz=self._sample_rate_hz)
        return np.broadcast_to(samples, (len(samples), 2))

    @property
    def mono_windows(self) -> tuple[NDArray[np.float32], ...]:
        """Mono at 44.1 kHz: one window with everything up to MAX_WHOLE_S, else N_WINDOWS of WINDOW_S, evenly spread.

        A value made from windows says so: the registry puts `windows_note` into it.
        """
        self._windows_were_read = True
        return self._mono_windows

    @property
    def mono_44k(self) -> NDArray[np.float32]:
        """`mono_windows` end to end: the whole track up to MAX_WHOLE_S. Shape (n_samples,)."""
        self._windows_were_read = True
        return self._mono_joined

    @cached_property
    def loudness_ebu128(self) -> Loudness:
        """EBU R128 loudness of the whole track, whatever its duration."""
        return measure_loudness(self.stereo_44k, sample_rate_hz=SAMPLE_RATE_HZ)

    @property
    def beats(self) -> tuple[BeatTrack, ...]:
        """Beats of each of `mono_windows` in which there is sound.

        Raises
        ------
        NotMeasurable
            When mono is silent, as it is for opposite channels.

        """
        self._windows_were_read = True
        return self._beats

    @property
    def windows_note(self) -> str | None:
        """What was analysed, if windows of a long track were read since `forget_windows_note()`; else None."""
        if not self._windows_were_read or len(self._mono_windows) == 1:
            return None
        return f"{WINDOWS_NOTE_PREFIX}{N_WINDOWS}x{WINDOW_S}s"

    def forget_windows_note(self) -> None:
        """Start watching anew whether windows are read; called before each extractor."""
        self._windows_were_read = False

    @cached_property
    def _mono_windows(self) -> tuple[NDArray[np.float32], ...]:
        stereo = self.stereo_44k
        if self.duration_s <= MAX_WHOLE_S:
            return (_mono(stereo),)
        length = WINDOW_S * SAMPLE_RATE_HZ
        centres = [len(stereo) * (2 * index + 1) // (2 * N_WINDOWS) for index in range(N_WINDOWS)]
        return tuple(_mono(stereo[centre - length // 2 : centre + length // 2]) for centre in centres)

    @cached_property
    def _mono_joined(self) -> NDArray[np.float32]:
        return self._mono_windows[0] if len(self._mono_windows) == 1 else np.concatenate(self._mono_windows)

    @cached_property
    def _beats(self) -> tuple[BeatTrack, ...]:
        floor = 10 ** (AUDIBLE_LUFS / 20)
        audible = [window for window in self._mono_windows if float(np.sqrt(np.mean(window**2))) > floor]
        if not audible:
            raise NotMeasurable(Reason.SILENT)
        return tuple(_track_beats(window) for window in audible)


def _resample(samples: NDArray[np.float32], *, sample_rate_hz: int) -> NDArray[np.float32]:
    from scipy import signal  # noqa: PLC0415 (the registry must be cheap to import)

    common = math.gcd(SAMPLE_RATE_HZ, sample_rate_hz)
    resampled = signal.resample_poly(samples, SAMPLE_RATE_HZ // common, sample_rate_hz // common, axis=0)
    return np.asarray(resampled, dtype=np.float32)


def _mono(stereo: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(stereo.mean(axis=1, dtype=np.float32))


def _track_beats(mono: NDArray[np.float32]) -> BeatTrack:
    tempo_bpm, beat_times_s, confidence, _, _ = essentia_standard().RhythmExtractor2013(method="multifeature")(mono)
    return BeatTrack(tempo_bpm=float(tempo_bpm), beat_times_s=np.asarray(beat_times_s), confidence=float(confidence))
