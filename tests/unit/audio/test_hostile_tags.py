"""Tags made to take hours or all memory cost neither, and what is honest beside them is still read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eval.hostile.pieces import (
    ape_item,
    ape_tag,
    flac_block,
    flac_stream_info,
    id3,
    id3_frame,
    packed_frame,
    text_frame,
    vorbis_comments,
)
from musicfp.audio import sniff
from musicfp.audio.own_limits import limited_step
from musicfp.audio.sniff import AudioFormat
from musicfp.audio.tags import read_tags

NAMES = [text_frame("TIT2", "Kettle"), text_frame("TPE1", "Hattie")]
COMMENTS = [(b"title", b"Kettle"), (b"artist", b"Hattie")]


def id3_with(*frames: bytes) -> bytes:
    return id3([*NAMES, *frames])


def flac_with(*comments: tuple[bytes, bytes], count: int | None = None) -> bytes:
    block = flac_block(4, vorbis_comments([*COMMENTS, *comments], count=count), last=True)
    return b"fLaC" + flac_block(0, flac_stream_info()) + block


def chapters(depth: int) -> bytes:
    frame = b""
    for _ in range(depth):
        frame = id3_frame("CHAP", b"c\0" + bytes(16) + frame)
    return frame


# Each took mutagen, as it was called before, more than the limits below, up to hours.
CASES: dict[str, tuple[AudioFormat, Callable[[], bytes]]] = {
    "5,000 pictures alike": (sniff.MP3, lambda: id3_with(*[id3_frame("APIC", b"\0image/png\0\3\0x")] * 5000)),
    "packed picture of 300 MB": (sniff.MP3, lambda: id3_with(packed_frame("APIC", 300 << 20))),
    "nested chapters": (sniff.MP3, lambda: id3_with(chapters(3000))),
    "contents that hold themselves": (sniff.MP3, lambda: id3_with(id3_frame("CTOC", b"a\0\3\1a\0"))),
    "links": (sniff.MP3, lambda: id3_with(*[id3_frame("WXXX", b"\0\0http://127.0.0.1:9/")] * 3000)),
    "30,000 names of comments": (sniff.FLAC, lambda: flac_with(*((b"x%d" % n, b"1") for n in range(30_000)))),
    "30,000 artists": (sniff.FLAC, lambda: flac_with(*((b"composer", b"%d" % n) for n in range(30_000)))),
    "items of APE": (
        sniff.WAVPACK,
        lambda: ape_tag(
            [
                ape_item(b"Title", b"Kettle"),
                ape_item(b"Artist", b"Hattie"),
                *(ape_item(b"i%d" % n, b"") for n in range(9998)),
            ],
            count=10_000,
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_costs_little_and_the_names_are_read(case: str, tmp_path: Path) -> None:
    fmt, build = CASES[case]
    path = tmp_path / "song"
    path.write_bytes(build())
    with limited_step(case, cpu_s=5, memory_bytes=200 << 20):
        tags = read_tags(path, fmt=fmt)
    assert (tags.title, tags.artist) == ("Kettle", "Hattie")


@pytest.mark.parametrize("count", [0, 3, 1 << 31, (1 << 32) - 1])
def test_a_count_of_comments_that_lies_is_not_believed(count: int, tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(flac_with(count=count))
    with limited_step("count", cpu_s=5, memory_bytes=200 << 20):
        assert len(read_tags(path, fmt=sniff.FLAC).values) <= 2


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("Ket\x01\x1b[31mtle", "Ket[31mtle"),
        ("\u202eKettle\u2066", "Kettle"),
        ("Ket\ud800tle", None),
        ("K" * 1_000_000, "K" * 1000),
        ("../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_odd_text_is_cleaned_and_bounded(title: str, read: str | None, tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(id3([text_frame("TIT2", title), NAMES[1]]))
    assert read_tags(path, fmt=sniff.MP3).title == read


@pytest.mark.parametrize("version", [3, 4])
def test_dates_survive_that_only_some_frames_are_decoded(version: int, tmp_path: Path) -> None:
    """An old tag has its date in three frames, which mutagen puts together."""
    path = tmp_path / "song"
    frames = [("TYER", b"\0001999"), ("TDAT", b"\0003112")] if version == 3 else [("TDRC", b"\0001999-12-31")]
    path.write_bytes(id3([id3_frame(name, body, version=version) for name, body in frames], version=version))
    assert read_tags(path, fmt=sniff.MP3).of("date") == ("1999-12-31",)
