"""What extractors read: one track's audio and the intermediate results that several of them share.

Everything is computed on first use and kept for as long as the track is being analysed, so that beats or loudness cost
the same whether one extractor or twenty need them. Add a property here when a second extractor needs the same thing.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from musicfp.features.bs1770 import Loudness, measure_loudness
from musicfp.features.effnet import effnet_embeddings
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.models.catalogue import DISCOGS_EFFNET, SILERO_VAD
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.musicnn import MusicnnOutput, mel_patches, run_musicnn
from musicfp.features.novelty import Novelty, novelty_of
from musicfp.features.pitch_classes import PitchClasses, measure_pitch_classes
from musicfp.features.silero import speech_probabilities
from musicfp.features.spectra import Spectra, measure_spectra
from musicfp.features.stretches import BeatTrack, Stretch, judge_stretch, of_one_tempo
from musicfp.features.values import WINDOWS_NOTE_PREFIX, NotMeasurable, Reason

SAMPLE_RATE_HZ = 44_100
MODEL_RATE_HZ = 16_000
# Below this the answers of essentia are about noise: digital silence gets a tempo and a key from it.
AUDIBLE_LUFS = -60.0
# Whole up to here; longer recordings (mixes, concerts, audio books) are analysed in windows, because the beat tracker's
# time grows faster than the duration: 2 h did not finish in 200 s.
MAX_WHOLE_S = 15 * 60
WINDOW_S = 3 * 60
N_WINDOWS = 3
_SCAN_SAMPLES = 30 * SAMPLE_RATE_HZ


class AudioInputs:
    """Lazily computed inputs of one track.

    Parameters
    ----------
    samples
        float32, full scale = 1; mono or stereo, may be a memory map. [shape=(n,), (n, 1) or (n, 2)]
    sample_rate_hz
        Other rates than 44.1 kHz are resampled.
    models
        Where models are found; None means the folder of the settings.

    Raises
    ------
    ValueError
        For another shape or type of samples, or a rate that is not positive.

    """

    def __init__(self, samples: NDArray[np.float32], *, sample_rate_hz: int, models: ModelShelf | None = None) -> None:
        if samples.dtype != np.float32 or samples.ndim not in {1, 2} or (samples.ndim == 2 and samples.shape[1] > 2):
            raise ValueError(
                f"Expected float32 samples of shape (n,), (n, 1) or (n, 2), got {samples.dtype}{samples.shape}."
            )
        if sample_rate_hz <= 0:
            raise ValueError(f"The sample rate must be positive, got {sample_rate_hz}.")
        self._samples = samples if samples.ndim == 2 else samples[:, np.newaxis]
        self._sample_rate_hz = sample_rate_hz
        self._models = models
        self._musicnn: dict[str, MusicnnOutput] = {}
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
            samples = _resample(samples, from_hz=self._sample_rate_hz, to_hz=SAMPLE_RATE_HZ)
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
    def novelty(self) -> tuple[Novelty, ...]:
        """Where each stretch of `beats` changes in sound.

        Raises
        ------
        NotMeasurable
            When mono is silent.

        """
        self._windows_were_read = True
        return self._novelty

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Tempo and beats of the stretches that share the tempo most of them have, the surest first.

        Raises
        ------
        NotMeasurable
            When mono is silent, or no stretch has a credible beat.

        """
        self._windows_were_read = True
        if not self._stretches:
            raise NotMeasurable(Reason.LOW_CONFIDENCE)
        return self._stretches

    @property
    def spectra(self) -> Spectra:
        """Bands and numbers of short frames of `mono_44k`."""
        self._windows_were_read = True
        return self._spectra

    @property
    def pitch_classes(self) -> PitchClasses:
        """Tuning and pitch class profiles of `mono_44k`.

        Raises
        ------
        NotMeasurable
            When mono is silent, as it is for opposite channels.

        """
        self._windows_were_read = True
        if self._pitch_classes is None:
            raise NotMeasurable(Reason.SILENT)
        return self._pitch_classes

    @property
    def mono_16k(self) -> NDArray[np.float32]:
        """`mono_windows` at 16 kHz, end to end: what models listen to. Shape (n_samples,).

        Raises
        ------
        NotMeasurable
            When mono is silent, as it is for opposite channels.

        """
        self._windows_were_read = True
        return self._mono_16k

    @property
    def speech_probabilities(self) -> NDArray[np.float32]:
        """How probably each 32 ms of `mono_16k` are speech. Shape (n_chunks,).

        Raises
        ------
        ModelMissing
            When the speech detector is not there.

        """
        self._windows_were_read = True
        return self._speech_probabilities

    @property
    def effnet_embeddings(self) -> NDArray[np.float32]:
        """Discogs-EffNet's embedding of each second of `mono_16k`. Shape (n_patches, 1280).

        Raises
        ------
        ModelMissing
            When the model is not installed.
        NotMeasurable
            When mono is silent.

        """
        self._windows_were_read = True
        return self._effnet_embeddings

    def musicnn(self, model: str) -> MusicnnOutput:
        """Return tags and embeddings of each 3 s of `mono_16k` by the musicnn model called `model`, in one run of it.

        Raises
        ------
        ModelMissing
            When the model is not there.
        NotMeasurable
            When mono is silent, or shorter than a patch.

        """
        self._windows_were_read = True
        if model not in self._musicnn:
            entry, path = self.models.require(model)
            self._musicnn[model] = run_musicnn(self._mel_patches, entry, path)
        return self._musicnn[model]

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
    def _windows(self) -> tuple[tuple[int, NDArray[np.float32]], ...]:
        """First sample and samples of each window."""
        stereo = self.stereo_44k
        if self.duration_s <= MAX_WHOLE_S:
            return ((0, _mono(stereo)),)
        length = WINDOW_S * SAMPLE_RATE_HZ
        centres = [len(stereo) * (2 * index + 1) // (2 * N_WINDOWS) for index in range(N_WINDOWS)]
        starts = [centre - length // 2 for centre in centres]
        return tuple((start, _mono(stereo[start : start + length])) for start in starts)

    @cached_property
    def _mono_windows(self) -> tuple[NDArray[np.float32], ...]:
        return tuple(window for _, window in self._windows)

    @cached_property
    def _mono_joined(self) -> NDArray[np.float32]:
        return self._mono_windows[0] if len(self._mono_windows) == 1 else np.concatenate(self._mono_windows)

    @cached_property
    def _spectra(self) -> Spectra:
        return measure_spectra(self._mono_joined, sample_rate_hz=SAMPLE_RATE_HZ)

    @cached_property
    def _pitch_classes(self) -> PitchClasses | None:
        return measure_pitch_classes(self._mono_joined, sample_rate_hz=SAMPLE_RATE_HZ)

    @cached_property
    def models(self) -> ModelShelf:
        """The models that extractors may ask for."""
        return self._models or ModelShelf.of_settings()

    @cached_property
    def _mono_16k(self) -> NDArray[np.float32]:
        resampled = [_resample(each, from_hz=SAMPLE_RATE_HZ, to_hz=MODEL_RATE_HZ) for each in self._mono_windows]
        mono = np.concatenate(resampled)
        if not _is_audible(mono):
            raise NotMeasurable(Reason.SILENT)
        return mono

    @cached_property
    def _mel_patches(self) -> NDArray[np.float32]:
        patches = mel_patches(self._mono_16k)
        if not len(patches):
            raise NotMeasurable(Reason.TOO_SHORT)
        return patches

    @cached_property
    def _speech_probabilities(self) -> NDArray[np.float32]:
        entry, path = self.models.require(SILERO_VAD)
        return speech_probabilities(self._mono_16k, entry, path)

    @cached_property
    def _effnet_embeddings(self) -> NDArray[np.float32]:
        entry, path = self.models.require(DISCOGS_EFFNET)
        return effnet_embeddings(self._mono_16k, entry, path)

    @cached_property
    def _audible_windows(self) -> tuple[tuple[float, NDArray[np.float32]], ...]:
        """Start in seconds and samples of the windows in which there is sound."""
        audible = [(start / SAMPLE_RATE_HZ, window) for start, window in self._windows if _is_audible(window)]
        if not audible:
            raise NotMeasurable(Reason.SILENT)
        return tuple(audible)

    @cached_property
    def _beats(self) -> tuple[BeatTrack, ...]:
        return tuple(_track_beats(window) for _, window in self._audible_windows)

    @cached_property
    def _novelty(self) -> tuple[Novelty, ...]:
        return tuple(novelty_of(window) for _, window in self._audible_windows)

    @cached_property
    def _stretches(self) -> tuple[Stretch, ...]:
        estimator = essentia_standard().PercivalBpmEstimator
        tuning = self.pitch_classes.tuning_concentration
        return of_one_tempo(
            judge_stretch(start_s, track, float(estimator()(window)), novelty, tuning=tuning)
            for (start_s, window), track, novelty in zip(self._audible_windows, self._beats, self._novelty, strict=True)
        )


def _resample(samples: NDArray[np.float32], *, from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Return samples of shape (n,) or (n, n_channels) at another rate.

    Of the resamplers at hand this one costs the least that filters at all: 0.04 CPU s per minute to 16 kHz, essentia's
    sinc 0.4 to 2.2 (measured).
    """
    from scipy import signal  # noqa: PLC0415 (the registry must be cheap to import)

    common = math.gcd(from_hz, to_hz)
    resampled = signal.resample_poly(samples, to_hz // common, from_hz // common, axis=0)
    return np.asarray(resampled, dtype=np.float32)


def _is_audible(mono: NDArray[np.float32]) -> bool:
    return len(mono) > 0 and float(np.sqrt(np.mean(mono**2))) > 10 ** (AUDIBLE_LUFS / 20)


def _mono(stereo: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(stereo.mean(axis=1, dtype=np.float32))


def _track_beats(mono: NDArray[np.float32]) -> BeatTrack:
    tempo_bpm, _, confidence, _, _ = essentia_standard().RhythmExtractor2013(method="multifeature")(mono)
    return BeatTrack(tempo_bpm=float(tempo_bpm), confidence=float(confidence))
