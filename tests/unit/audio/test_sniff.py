"""Formats are told by their bytes, and file names are held to them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musicfp.audio import sniff
from musicfp.audio.sniff import check_extension, require_format, sniff_format
from musicfp.errors import SubmissionRejected
from tests.support.audio_samples import ENCODINGS

Sample = Callable[[str], Path]


def id3(payload_bytes: int, *, has_footer: bool = False) -> bytes:
    size = bytes(payload_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI\x04\0\x10" + size if has_footer else b""
    return b"ID3\x04\0" + (b"\x10" if has_footer else b"\0") + size + bytes(payload_bytes) + footer


@pytest.mark.parametrize("case", ENCODINGS)
def test_every_real_encode_is_recognised_and_its_extension_accepted(case: str, sample: Sample) -> None:
    extension, name, _ = ENCODINGS[case]
    fmt = sniff_format(sample(case))
    assert fmt is not None
    assert fmt.name == name
    assert check_extension(extension, fmt) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"MAC \x96\x0f", "ape"),
        (b"MP+\x07", "musepack7"),
        (b"MPCKSH", "musepack8"),
        (b"Extended Module: x", "xm"),
        (b"IMPMtitle", "it"),
        (bytes(44) + b"SCRM", "s3m"),
        (bytes(1080) + b"16CH", "mod"),
        (bytes(1080) + b"6CHN", "mod"),
        (b"\0\0\0\x20moov", "mp4"),
    ],
)
def test_formats_that_ffmpeg_cannot_write_are_recognised_by_their_magic(head: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(head + bytes(64))
    assert require_format(path).name == name


@pytest.mark.parametrize("prefix", [id3(100_000), id3(10) + id3(300_000), id3(5, has_footer=True)])
@pytest.mark.parametrize(
    ("case", "name"), [("flac", "flac"), ("mp3_no_id3", "mp3"), ("tta", "tta"), ("aac_adts", "aac")]
)
def test_id3_tags_of_any_size_in_front_are_skipped(
    prefix: bytes, case: str, name: str, sample: Sample, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(prefix + sample(case).read_bytes())
    assert require_format(path).name == name


def test_an_mp3_cut_out_of_a_stream_starts_within_a_frame(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(sample("mp3_no_id3").read_bytes()[1000:])
    assert require_format(path).name == "mp3"


HOSTILE_HEADS = {
    "text": b"Dear listener, this is not music.\n" * 100,
    "hls": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/canary\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(5000),
    "all_ones": b"\xff" * 70_000,
    "zeros": bytes(70_000),
    "noise": np.random.default_rng(1).bytes(1 << 17),
    "id3_only": id3(1000),
    "id3_then_playlist": id3(10) + b"#EXTM3U\nhttp://127.0.0.1/canary\n",
    "avi": b"RIFF\0\0\0\0AVI LIST",
    "one_byte": b"\xff",
    "half_a_page": b"OggS\0",
}


@pytest.mark.parametrize("case", HOSTILE_HEADS)
def test_what_is_not_audio_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(HOSTILE_HEADS[case])
    with pytest.raises(SubmissionRejected) as caught:
        require_format(path)
    assert [problem.code for problem in caught.value.problems] == ["unsupported_format"]


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    with pytest.raises(SubmissionRejected) as caught:
        require_format(tmp_path / "song.mp3")
    assert caught.value.problems[0].code == "empty"


@pytest.mark.parametrize("extension", [None, "bin", "flac"])
def test_an_extension_that_says_nothing_or_the_truth_is_fine(extension: str | None) -> None:
    assert check_extension(extension, sniff.FLAC) is None


@pytest.mark.parametrize("extension", ["mp3", "txt", "jpg"])
def test_a_wrong_extension_is_answered_with_the_right_one(extension: str) -> None:
    problem = check_extension(extension, sniff.FLAC)
    assert problem is not None
    assert (problem.code, problem.field) == ("wrong_extension", "filename")
    assert f".{extension}" in problem.message
    assert ".flac" in problem.message
