"""Good files of every codec pass; cut, silent, short, long and damaged ones are told apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.audio import sniff
from musicfp.audio.decode import DECODE_LIMITS, DecodedAudio, check_decoded, decode_pcm, decode_to_array
from musicfp.audio.probe import probe
from musicfp.audio.sniff import require_format
from musicfp.errors import SubmissionRejected
from tests.support.audio_samples import ENCODINGS, encode, encode_case, music_samples, write_float_wav, write_wav

Sample = Callable[[str], Path]
SAMPLE_DURATION_S = 8.0  # of the fixture
WHOLE_SAMPLE = {"flac", "vorbis", "opus", "wav", "aiff", "mp3_cbr", "mp3_vbr", "wavpack", "alac", "tta", "flac24_96k"}
CAN_BE_CUT_UNSEEN = {"mp3_vbr_no_xing", "mp2", "aac_adts", "ac3", "eac3"}


def decode(path: Path, *, max_duration_s: float = 60.0) -> DecodedAudio:
    stream = decode_pcm(
        path,
        fmt=require_format(path),
        sample_rate_hz=11025,
        n_channels=1,
        sample_format="s16",
        max_duration_s=max_duration_s,
    )
    with stream as decoded:
        for chunk in decoded:
            assert chunk.dtype == np.int16
            assert chunk.shape[1] == 1
    return decoded


def judge(path: Path, *, max_duration_s: float = 60.0) -> list[str]:
    fmt = require_format(path)
    try:
        facts = probe(path, fmt=fmt)
        check_decoded(path, facts, decode(path, max_duration_s=max_duration_s), fmt=fmt, max_duration_s=max_duration_s)
    except SubmissionRejected as error:
        return [problem.code for problem in error.problems]
    return []


@pytest.mark.parametrize("case", [*ENCODINGS, "module"])
def test_a_good_file_of_every_kind_is_accepted(case: str, sample: Sample) -> None:
    assert judge(sample(case)) == []


@pytest.mark.parametrize("case", sorted(WHOLE_SAMPLE))
def test_the_decoded_length_is_exact(case: str, sample: Sample) -> None:
    assert decode(sample(case)).n_samples == pytest.approx(SAMPLE_DURATION_S * 11025, abs=1)


@pytest.mark.parametrize("case", sorted(set(ENCODINGS) - CAN_BE_CUT_UNSEEN))
def test_a_file_cut_in_the_middle_is_noticed(case: str, sample: Sample, cut: Callable[[Path], Path]) -> None:
    """Either as cut, or, where the index was at the end, as undecodable."""
    index_at_end = {"m4a", "alac", "mov"}
    assert judge(cut(sample(case))) == (["undecodable"] if case in index_at_end else ["truncated"])


@pytest.mark.parametrize("case", sorted(CAN_BE_CUT_UNSEEN))
def test_a_stream_that_never_said_how_long_it_is_cannot_be_called_cut(
    case: str, sample: Sample, cut: Callable[[Path], Path]
) -> None:
    assert judge(cut(sample(case))) == []


@pytest.mark.parametrize("seconds_off", [0.0, 0.2])
def test_an_ogg_cut_at_its_very_end_is_noticed_by_its_missing_end_mark(
    seconds_off: float, sample: Sample, tmp_path: Path
) -> None:
    data = sample("vorbis").read_bytes()
    last_page = data.rindex(b"OggS")
    path = tmp_path / "cut.ogg"
    path.write_bytes(data[:last_page] if seconds_off == 0 else data[:-100])
    assert judge(path) == ["truncated"]


def test_wav_written_to_a_pipe_without_sizes_is_whole(sample: Sample, tmp_path: Path) -> None:
    data = bytearray(sample("wav").read_bytes())
    start = data.index(b"data")
    data[start + 4 : start + 8] = b"\xff" * 4
    (tmp_path / "pipe.wav").write_bytes(data)
    assert judge(tmp_path / "pipe.wav") == []


@pytest.mark.parametrize("case", ["flac", "mp3_cbr", "opus", "wav"])
def test_silence_is_noticed_after_any_codec(case: str, tmp_path: Path) -> None:
    source = write_wav(tmp_path / "source.wav", np.zeros((5 * 44100, 2), np.float32))
    assert judge(encode_case(case, source, tmp_path)) == ["silent"]


def test_quiet_music_is_not_silence(tmp_path: Path) -> None:
    assert judge(write_wav(tmp_path / "quiet.wav", music_samples(4) * 0.01)) == []
    assert judge(write_wav(tmp_path / "silent.wav", music_samples(4) * 0.001)) == ["silent"]


@pytest.mark.parametrize(("duration_s", "codes"), [(1 / 44100, ["too_short"]), (2.9, ["too_short"]), (3.0, [])])
def test_the_shortest_recording_is_three_seconds(duration_s: float, codes: list[str], tmp_path: Path) -> None:
    samples = np.maximum(music_samples(4), 0.1)[: round(duration_s * 44100)]
    assert judge(write_wav(tmp_path / "short.wav", samples)) == codes


@pytest.mark.parametrize(("max_duration_s", "codes"), [(8.0, []), (7.9, ["too_long"]), (4.0, ["too_long"])])
def test_decoding_stops_soon_after_the_limit(max_duration_s: float, codes: list[str], sample: Sample) -> None:
    assert judge(sample("mp3_vbr_no_xing"), max_duration_s=max_duration_s + 0.05) == codes
    assert decode(sample("mp3_vbr_no_xing"), max_duration_s=max_duration_s).duration_s <= max_duration_s + 1.01


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers_are_found(value: float, tmp_path: Path) -> None:
    samples = music_samples(4)
    samples[50_000:50_100] = value
    assert judge(write_float_wav(tmp_path / "float.wav", samples)) == ["not_finite"]


def test_a_float_file_beyond_full_scale_is_clipped_in_int16_and_kept_in_float(tmp_path: Path) -> None:
    path = write_float_wav(tmp_path / "loud.wav", music_samples(4) * 8)
    assert judge(path) == []
    samples = decode_to_array(path, fmt=sniff.WAV, max_duration_s=60)
    assert np.abs(samples).max() == pytest.approx(4.0)


@pytest.mark.parametrize("case", ["flac", "mp3_cbr", "vorbis", "m4a_faststart", "wavpack", "wma"])
def test_damage_gives_an_answer_and_nothing_worse(case: str, sample: Sample, tmp_path: Path) -> None:
    """Bytes overwritten all over the file: any verdict will do, an untyped error or a hang will not."""
    data = np.frombuffer(sample(case).read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(3)
    data[rng.integers(200, len(data), len(data) // 50)] = 0xAA
    path = tmp_path / "damaged"
    path.write_bytes(data.tobytes())
    assert set(judge(path)) <= {"truncated", "undecodable", "too_short", "no_audio"}


def test_a_flac_whose_audio_is_gone_is_undecodable(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "empty.flac"
    path.write_bytes(sample("flac").read_bytes()[:42] + bytes(5000))
    assert judge(path) == ["undecodable"]


def test_a_decoder_that_needs_too_much_memory_is_stopped(sample: Sample) -> None:
    limits = replace(DECODE_LIMITS, address_space_bytes=32 << 20)
    with pytest.raises(SubmissionRejected) as caught:
        decode_to_array(sample("flac"), fmt=sniff.FLAC, max_duration_s=60, limits=limits)
    assert caught.value.problems[0].code == "over_limits"


def samples_of(path: Path) -> NDArray[np.float32]:
    return decode_to_array(path, fmt=require_format(path), max_duration_s=60)


def test_an_array_holds_what_was_encoded(tmp_path: Path) -> None:
    """At the file's own rate and channels, lossless decoding is exact."""
    original = music_samples(4)
    flac = encode(write_wav(tmp_path / "source.wav", original), tmp_path / "source.flac")
    samples = samples_of(flac)
    assert samples.dtype == np.float32
    assert samples.shape == original.shape
    np.testing.assert_allclose(samples, original, atol=1.1 / 32768 + 2e-5)


def test_int16_is_float_rounded(sample: Sample) -> None:
    stream = decode_pcm(
        sample("wav"), fmt=sniff.WAV, sample_rate_hz=44100, n_channels=2, sample_format="s16", max_duration_s=60
    )
    with stream as decoded:
        chunks = list(decoded)
    np.testing.assert_array_equal(np.concatenate(chunks), np.rint(samples_of(sample("wav")) * 32768).astype(np.int16))
    assert decoded.peak == pytest.approx(0.5, abs=1e-4)
    assert decoded.returncode == 0
    assert decoded.cpu_s > 0


def test_leaving_early_stops_the_decoder(sample: Sample) -> None:
    stream = decode_pcm(
        sample("wav"), fmt=sniff.WAV, sample_rate_hz=44100, n_channels=2, sample_format="f32", max_duration_s=60
    )
    with stream as decoded:
        next(iter(decoded))
    assert decoded.returncode is not None
