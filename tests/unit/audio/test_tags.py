"""Tags of every format under one set of names, cleaned and bounded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, TCON, TIT2, TPE1, TXXX, UFID
from mutagen.mp4 import MP4

from musicfp.audio import sniff
from musicfp.audio.probe import probe
from musicfp.audio.sniff import require_format
from musicfp.audio.tags import (
    MAX_VALUES_PER_NAME,
    missing_tag_problems,
    read_tags,
    track_tags,
)
from tests.support.audio_samples import ENCODINGS

Sample = Callable[[str], Path]
# ffmpeg writes no tags into these.
TAGLESS = {"mp3_no_id3", "mp2", "aac_adts", "ac3", "eac3", "w64"}
TITLE_ONLY = {"aifc"}


@pytest.mark.parametrize("case", sorted(set(ENCODINGS) - TAGLESS))
def test_every_format_gives_the_same_names(case: str, sample: Sample) -> None:
    """With ffprobe's tags as a fallback, as INFO chunks and annotations are not known to mutagen."""
    path = sample(case)
    fmt = require_format(path)
    tags = read_tags(path, fmt=fmt, fallback=probe(path, fmt=fmt).tags)
    assert tags.title == "Étude"
    if case not in TITLE_ONLY:
        assert tags.artist == "Ada"
        assert tags.album == "First" or case == "au"


@pytest.mark.parametrize(
    "case", ["mp3_cbr", "m4a", "flac", "vorbis", "opus", "ogg_flac", "speex", "wma", "wavpack", "aiff"]
)
def test_mutagen_alone_reads_the_common_formats(case: str, sample: Sample) -> None:
    tags = read_tags(sample(case), fmt=require_format(sample(case)))
    assert (tags.title, tags.artist, tags.album, tags.of("track")[0][:1]) == ("Étude", "Ada", "First", "3")


def test_id3_frames_of_all_shapes_are_understood(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(sample("mp3_no_id3").read_bytes())
    id3 = ID3()
    id3.add(TIT2(encoding=3, text="Song"))
    id3.add(TPE1(encoding=3, text=["Ada", "Bob"]))
    id3.add(TCON(encoding=3, text=["(17)", "Jazz"]))
    id3.add(COMM(encoding=3, lang="eng", desc="", text="hello"))
    id3.add(COMM(encoding=3, lang="eng", desc="iTunNORM", text="0000"))
    id3.add(TXXX(encoding=3, desc="ISRC", text="USRC17607839"))
    id3.add(TXXX(encoding=3, desc="secret", text="not kept"))
    id3.add(UFID(owner="http://musicbrainz.org", data=b"8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"))
    id3.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=b"x" * 1_000_000))
    id3.save(path)
    tags = read_tags(path, fmt=sniff.MP3)
    assert tags.artist == "Ada; Bob"
    assert tags.values == (
        ("title", "Song"),
        ("artist", "Ada"),
        ("artist", "Bob"),
        ("genre", "Rock"),
        ("genre", "Jazz"),
        ("isrc", "USRC17607839"),
        ("musicbrainz_recordingid", "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"),
        ("comment", "hello"),
    )


@pytest.mark.parametrize(
    ("name", "head"), [("APE", b"MAC "), ("MUSEPACK_7", b"MP+\x07"), ("MUSEPACK_8", b"MPCK"), ("MP3", b"\xff\xfb")]
)
def test_ape_tags_are_read_where_they_are_customary(name: str, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song"
    path.write_bytes(head + bytes(500))
    ape = APEv2()
    ape["Title"] = "Song"
    ape["Artist"] = ["Ada", "Bob"]
    ape["Album Artist"] = "Various"
    ape.save(path)
    tags = read_tags(path, fmt=getattr(sniff, name))
    assert (tags.title, tags.of("artist"), tags.of("albumartist")) == ("Song", ("Ada", "Bob"), ("Various",))


def test_mp4_numbers_and_free_form_atoms(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(sample("m4a").read_bytes())
    mp4 = MP4(path)
    mp4["trkn"] = [(3, 0)]
    mp4["tmpo"] = [128]
    mp4["----:com.apple.iTunes:ISRC"] = [b"USRC17607839"]
    mp4.save()
    tags = read_tags(path, fmt=sniff.MP4)
    assert (tags.of("track"), tags.of("bpm"), tags.of("isrc")) == (("3",), ("128",), ("USRC17607839",))


def test_pictures_are_never_kept(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(sample("flac").read_bytes())
    flac = FLAC(path)
    picture = Picture()
    picture.data = b"picture" * 100_000
    flac.add_picture(picture)
    flac["metadata_block_picture"] = "cGljdHVyZQ=="
    flac.save()
    tags = read_tags(path, fmt=sniff.FLAC)
    assert "picture" not in {name for name, _ in tags.values}
    assert sum(len(value) for _, value in tags.values) < 100


def test_the_number_of_values_is_bounded() -> None:
    tags = track_tags([("artist", f"artist {index}") for index in range(1000)] + [("picture", "x")])
    assert len(tags.values) == MAX_VALUES_PER_NAME


def test_what_is_blank_counts_as_missing() -> None:
    tags = track_tags([("title", "\u202e\0 "), ("artist", "Ada")])
    problems = missing_tag_problems(tags, ("title", "artist", "album"))
    assert [(problem.code, problem.field) for problem in problems] == [
        ("missing_tag", "title"),
        ("missing_tag", "album"),
    ]
    assert problems[1].message == "The file has no album tag. Add it in your tagging software and upload it again."


def test_the_fallback_fills_gaps_and_never_overrides(sample: Sample) -> None:
    fallback = {"title": "Other", "composer": "Cleo", "TSRC": "ignored", "tsrc": "USRC17607839"}
    tags = read_tags(sample("flac"), fmt=sniff.FLAC, fallback=fallback)
    assert (tags.title, tags.of("composer"), tags.of("isrc")) == ("Étude", ("Cleo",), ("USRC17607839",))


def test_a_module_has_the_tags_that_ffprobe_found(sample: Sample) -> None:
    fmt = require_format(sample("module"))
    assert read_tags(sample("module"), fmt=fmt, fallback={"title": "module"}).title == "module"


@pytest.mark.parametrize(
    "case", ["mp3_cbr", "m4a", "flac", "vorbis", "opus", "wav", "aiff", "wma", "wavpack", "ogg_flac"]
)
def test_damaged_tags_give_few_or_none_and_no_error(case: str, sample: Sample, tmp_path: Path) -> None:
    """Bytes are overwritten where the tags are, cut short at each length, many times over."""
    data = sample(case).read_bytes()
    fmt = require_format(sample(case))
    rng = np.random.default_rng(7)
    path = tmp_path / "damaged"
    for round_number in range(60):
        damaged = np.frombuffer(data, np.uint8).copy()
        where = rng.integers(0, min(len(damaged), 2000), 20)
        damaged[where] = rng.integers(0, 256, 20)
        path.write_bytes(damaged.tobytes()[: None if round_number % 2 else int(rng.integers(1, 4000))])
        assert isinstance(read_tags(path, fmt=fmt).values, tuple)
