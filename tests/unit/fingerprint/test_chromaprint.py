"""Fingerprints of synthetic PCM through the real libchromaprint."""

import subprocess
import sys

import chromaprint
import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.errors import InvalidFingerprint
from musicfp.fingerprint.chromaprint import fingerprint_pcm, library_version
from musicfp.fingerprint.correlation import has_enough_information
from musicfp.fingerprint.model import Fingerprint, items_of_duration

RATE_HZ = 16000


def melody(duration_s: float, *, rate_hz: int = RATE_HZ, n_channels: int = 1, seed: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    n_notes = int(duration_s / 0.25) + 1
    pitch_hz = 220 * 2 ** (rng.integers(0, 24, (n_notes, 3)) / 12)
    note = np.minimum((np.arange(int(duration_s * rate_hz)) / rate_hz / 0.25).astype(int), n_notes - 1)
    t = np.arange(note.size) / rate_hz
    samples: NDArray[np.float64] = sum(np.sin(2 * np.pi * pitch_hz[note, k] * t) for k in range(3)) / 4
    samples = samples + rng.normal(0, 0.02, note.size)
    pcm = np.clip(samples * 20000, -32768, 32767).astype("<i2")
    return np.repeat(pcm, n_channels).tobytes()


def whole(pcm: bytes, *, rate_hz: int = RATE_HZ, n_channels: int = 1) -> Fingerprint:
    return fingerprint_pcm([pcm], sample_rate_hz=rate_hz, n_channels=n_channels)


def test_a_melody_gives_as_many_items_as_its_duration_says() -> None:
    fingerprint = whole(melody(20.0))
    assert abs(fingerprint.n_items - items_of_duration(20.0)) <= 1
    assert fingerprint.audio_duration_s == pytest.approx(20.0)
    assert has_enough_information(fingerprint)


def test_the_items_are_those_that_the_library_decodes() -> None:
    pcm = melody(12.0)
    fingerprinter = chromaprint.Fingerprinter()
    fingerprinter.start(RATE_HZ, 1)
    fingerprinter.feed(pcm)
    expected, algorithm = chromaprint.decode_fingerprint(fingerprinter.finish())
    fingerprint = whole(pcm)
    assert fingerprint.sub_fingerprints.tolist() == expected
    assert fingerprint.algorithm == algorithm == 1


@pytest.mark.parametrize(("chunk_bytes", "n_channels"), [(1, 1), (4097, 1), (4097, 2), (65536, 2)])
def test_where_the_stream_is_cut_makes_no_difference(chunk_bytes: int, n_channels: int) -> None:
    pcm = melody(6.0, n_channels=n_channels)
    chunks = (pcm[at : at + chunk_bytes] for at in range(0, len(pcm), chunk_bytes))
    streamed = fingerprint_pcm(chunks, sample_rate_hz=RATE_HZ, n_channels=n_channels)
    assert streamed == whole(pcm, n_channels=n_channels)


def test_two_equal_channels_are_one() -> None:
    assert whole(melody(8.0, n_channels=2), n_channels=2) == whole(melody(8.0))


def test_the_caller_s_duration_is_recorded() -> None:
    fingerprint = fingerprint_pcm([melody(5.0)], sample_rate_hz=RATE_HZ, n_channels=1, audio_duration_s=5.125)
    assert fingerprint.audio_duration_s == 5.125


@pytest.mark.parametrize("duration_s", [0.0, 0.1, 2.0])
def test_audio_too_short_for_an_item_gives_an_empty_fingerprint(duration_s: float) -> None:
    assert whole(melody(duration_s)).n_items == 0


def test_digital_silence_is_one_code_without_information() -> None:
    fingerprint = whole(bytes(2 * RATE_HZ * 20))
    assert set(fingerprint.sub_fingerprints.tolist()) == {627964279}
    assert not has_enough_information(fingerprint)


def test_an_impossible_format_is_refused_with_the_format_in_the_message() -> None:
    with pytest.raises(InvalidFingerprint, match="0 Hz"):
        fingerprint_pcm([b"\0\0"], sample_rate_hz=0, n_channels=1)


def test_the_library_tells_its_version() -> None:
    major, minor, *_ = library_version().split(".")
    assert (int(major), int(minor)) >= (1, 5)


def test_a_missing_library_is_named_with_the_remedy() -> None:
    """Pyacoustid raises ImportError while it is imported if the shared library is absent."""
    program = (
        "import ctypes\n"
        "def refuse(*args, **kwargs): raise OSError('no such library')\n"
        "from musicfp.fingerprint.chromaprint import library_version\n"
        "from musicfp.errors import DependencyMissing\n"
        "ctypes.CDLL = refuse\n"
        "try: library_version()\n"
        "except DependencyMissing as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "apt install libchromaprint1" in done.stdout
