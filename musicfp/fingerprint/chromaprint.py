"""Making fingerprints from PCM with libchromaprint, through pyacoustid's `chromaprint` module.

What belongs here: the only calls into the native library. What does not: decoding audio files (`musicfp.audio`) and
text that comes from outside: the library's decoder is never called, see `codec`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from musicfp.errors import DependencyMissing, InvalidFingerprint
from musicfp.fingerprint import codec
from musicfp.fingerprint.model import DEFAULT_ALGORITHM, Fingerprint

# Part of the code version of everything computed from fingerprints. Raise it when the same audio gives other items.
FINGERPRINTER_VERSION = "chromaprint-test2-1"
_SAMPLE_BYTES = 2


def fingerprint_pcm(
    chunks: Iterable[bytes], *, sample_rate_hz: int, n_channels: int, audio_duration_s: float | None = None
) -> Fingerprint:
    """Fingerprint a stream of PCM to its end.

    Parameters
    ----------
    chunks
        Signed 16-bit little-endian interleaved samples, cut anywhere.
    sample_rate_hz
        1000 or more; the library resamples to 11025 Hz. Stereo is mixed down by the library.
    n_channels
        1 or 2 are usual.
    audio_duration_s
        What to record as the length of the audio; by default the length of what was fed.

    Returns
    -------
    Fingerprint
        May have no items: the first needs about 2.7 s of audio.

    Raises
    ------
    DependencyMissing
        libchromaprint or pyacoustid is not installed.
    InvalidFingerprint
        The library refused the sample rate, the channels or the samples.

    References
    ----------
    Lukáš Lalinský, Chromaprint, https://acoustid.org/chromaprint

    """
    fingerprinter = PcmFingerprinter(sample_rate_hz=sample_rate_hz, n_channels=n_channels)
    for chunk in chunks:
        fingerprinter.feed(chunk)
    return fingerprinter.finish(audio_duration_s=audio_duration_s)


class PcmFingerprinter:
    """One run of libchromaprint over PCM that comes in pieces; see `fingerprint_pcm`."""

    def __init__(self, *, sample_rate_hz: int, n_channels: int) -> None:
        self._library: Any = _library()
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        self._frame_bytes = _SAMPLE_BYTES * n_channels
        self._n_bytes = 0
        self._rest = b""
        self._native = self._library.Fingerprinter(DEFAULT_ALGORITHM)
        with self._translated():
            self._native.start(sample_rate_hz, n_channels)

    def feed(self, chunk: bytes) -> None:
        """Take interleaved samples, cut anywhere: the library takes whole frames only and would shift the channels."""
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) // self._frame_bytes * self._frame_bytes
        self._rest = data[whole:]
        if whole:
            with self._translated():
                self._native.feed(data[:whole])
        self._n_bytes += whole

    def finish(self, *, audio_duration_s: float | None = None) -> Fingerprint:
        """End the audio and return its fingerprint. Call once."""
        with self._translated():
            encoded: bytes = self._native.finish()
        fed_s = self._n_bytes / self._frame_bytes / self._sample_rate_hz
        return _of_library_text(encoded, audio_duration_s=fed_s if audio_duration_s is None else audio_duration_s)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._library.FingerprintError as error:
            raise InvalidFingerprint(
                f"libchromaprint could not fingerprint {self._n_bytes} bytes of PCM "
                f"({self._sample_rate_hz} Hz, {self._n_channels} channels)."
            ) from error


def library_version() -> str:
    """Return libchromaprint's version, like "1.5.1"; raise DependencyMissing when it is absent."""
    native: Any = _library()._libchromaprint  # noqa: SLF001 - pyacoustid has no public call for it
    version: bytes = native.chromaprint_get_version()
    return version.decode("ascii")


def _of_library_text(encoded: bytes, *, audio_duration_s: float) -> Fingerprint:
    """Read the library's own output with our codec (0.5 ms for 948 items), so that its decoder is never called."""
    items = codec.decode(encoded.decode("ascii"), min_items=0).sub_fingerprints
    return Fingerprint.of_items(items, audio_duration_s=audio_duration_s)


@cache
def _library() -> ModuleType:
    try:
        import chromaprint  # noqa: PLC0415 - importing it loads the shared library, which may be absent
    except ImportError as error:
        raise DependencyMissing(
            "Fingerprinting needs libchromaprint and pyacoustid, and one of them is missing. Install libchromaprint "
            "(Debian and Ubuntu: apt install libchromaprint1; macOS: brew install chromaprint) and pyacoustid (pip)."
        ) from error
    module: ModuleType = chromaprint
    return module
