"""All delivery formats from one process: right length, right tags, same bytes every time."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutagen.id3 import APIC, ID3, TXXX

from musicfp.audio import sniff
from musicfp.audio.limits import LimitExceeded
from musicfp.audio.probe import probe
from musicfp.audio.sniff import require_format
from musicfp.audio.tags import read_tags, track_tags
from musicfp.audio.transcode import (
    CHECK_RATE_HZ,
    MAX_TAG_CHARS,
    SOURCE_CHANNELS,
    TRANSCODE_LIMITS,
    Transcoding,
    transcode,
    verify_transcodes,
)
from musicfp.audio.transcode_profiles import PROFILES, profiles_named
from musicfp.errors import SettingsError, SubmissionRejected, WorkerLost
from musicfp.settings import DEFAULT_TRANSCODE_PROFILES
from tests.support.audio_samples import encode, music_samples, write_wav

Sample = Callable[[str], Path]
TAGS = track_tags(
    [
        ("title", "=Ça; 'x' \"y\" \\ \U0001f3b5"),
        ("artist", "Ada"),
        ("artist", "Bob"),
        ("album", "-i"),
        ("albumartist", "Various"),
        ("date", "2020-01-02"),
        ("genre", "Jazz"),
        ("track", "3/9"),
        ("disc", "1/2"),
        ("comment", "not carried over"),
    ]
)
CARRIED = ("title", "artist", "album", "albumartist", "date", "genre", "track", "disc")


def run(
    source: Path,
    out_dir: Path,
    *,
    profiles: str = ",".join(profile.name for profile in PROFILES),
    decoded_s: float | None = None,
) -> Transcoding:
    out_dir.mkdir()
    chosen = profiles_named(profiles.split(","))
    return transcode(
        source, fmt=require_format(source), profiles=chosen, tags=TAGS, out_dir=out_dir, decoded_s=decoded_s
    )


@pytest.mark.parametrize("case", ["wav", "flac24_96k", "wav_mulaw_8k", "mp3_22050", "opus", "m4a", "vorbis"])
def test_every_profile_decodes_to_the_length_of_its_source(case: str, sample: Sample, tmp_path: Path) -> None:
    made = run(sample(case), tmp_path / "out")
    verification = verify_transcodes(made.outputs, out_dir=tmp_path)
    assert made.duration_s == pytest.approx(8.0, abs=0.05)
    assert [found.profile for found in verification.transcodes] == list(PROFILES)
    for found in verification.transcodes:
        assert -0.001 <= found.duration_s - made.duration_s <= 0.001 + found.profile.codec_delay_s, found.profile.name
        assert found.pcm_path.stat().st_size == round(found.duration_s * CHECK_RATE_HZ) * 2
    assert made.cpu_s > 0
    assert verification.cpu_s > 0


def test_transcodes_sound_like_their_source(sample: Sample, tmp_path: Path) -> None:
    made = run(sample("wav"), tmp_path / "out")
    source = np.fromfile(made.pcm_path, "<i2").reshape(-1, SOURCE_CHANNELS).mean(axis=1)
    for found in verify_transcodes(made.outputs, out_dir=tmp_path).transcodes:
        samples = np.fromfile(found.pcm_path, "<i2").astype(float)[: len(source)]
        assert np.corrcoef(source[: len(samples)], samples)[0, 1] > 0.98, found.profile.name


@pytest.mark.parametrize("channel", [0, 1])
def test_one_channel_of_a_transcode_can_be_heard_alone(channel: int, tmp_path: Path) -> None:
    """As it must be where both together are silence."""
    left = music_samples(4)[:, :1]
    source = write_wav(tmp_path / "opposite.wav", np.hstack([left, -left]))
    made = run(source, tmp_path / "out", profiles="flac")
    (both,) = verify_transcodes(made.outputs, out_dir=tmp_path).transcodes
    assert np.abs(np.fromfile(both.pcm_path, "<i2").astype(int)).max() <= 1
    (alone,) = verify_transcodes(made.outputs, out_dir=tmp_path, channel=channel).transcodes
    expected = np.fromfile(made.pcm_path, "<i2").reshape(-1, SOURCE_CHANNELS)[:, channel]
    np.testing.assert_allclose(np.fromfile(alone.pcm_path, "<i2"), expected, atol=2)


@pytest.mark.parametrize("case", ["mp3_22050", "opus", "flac24_96k"])
def test_encoding_in_bursts_gives_the_same_bytes(case: str, sample: Sample, tmp_path: Path) -> None:
    plain = run(sample(case), tmp_path / "plain")
    bursts = run(sample(case), tmp_path / "bursts", decoded_s=plain.duration_s)
    assert [each.sha256 for each in bursts.outputs] == [each.sha256 for each in plain.outputs]
    assert bursts.pcm_path.read_bytes() == plain.pcm_path.read_bytes()


def test_a_source_that_changes_midway_loses_nothing_to_bursts(tmp_path: Path) -> None:
    """Radio shows are glued together from mono and stereo MP3s: ffmpeg forgets its buffers at every seam."""
    parts = []
    for name, n_channels, duration_s in (("a", 1, 4.3), ("b", 2, 3.1), ("c", 1, 5.2)):
        music = write_wav(tmp_path / f"{name}.wav", music_samples(duration_s))
        bare = ["-ac", str(n_channels), "-write_xing", "0", "-id3v2_version", "0"]
        parts.append(encode(music, tmp_path / f"{name}.mp3", bare).read_bytes())
    source = tmp_path / "glued.mp3"
    source.write_bytes(b"".join(parts))
    plain = run(source, tmp_path / "plain", profiles="opus_96,mp3_128")
    bursts = run(source, tmp_path / "bursts", profiles="opus_96,mp3_128", decoded_s=plain.duration_s)
    assert plain.duration_s == pytest.approx(12.6, abs=0.3)
    assert bursts.duration_s == plain.duration_s
    assert [each.sha256 for each in bursts.outputs] == [each.sha256 for each in plain.outputs]
    assert bursts.cpu_s > plain.cpu_s


def test_the_same_input_gives_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    first, second = (run(sample("mp3_cbr"), tmp_path / name) for name in ("a", "b"))
    assert [output.sha256 for output in first.outputs] == [output.sha256 for output in second.outputs]
    assert len({output.sha256 for output in first.outputs}) == len(PROFILES)


def test_formats_sizes_and_rates_are_as_the_profiles_say(sample: Sample, tmp_path: Path) -> None:
    for output in run(sample("flac24_96k"), tmp_path / "out").outputs:
        fmt = require_format(output.path)
        facts = probe(output.path, fmt=fmt)
        assert facts.codec == output.profile.codec
        assert fmt.demuxer == output.profile.container
        assert sniff.check_extension(output.profile.extension, fmt) is None
        assert facts.sample_rate_hz in output.profile.sample_rates_hz
        assert output.size_bytes == output.path.stat().st_size
        if output.profile.nominal_bitrate_bps is not None:
            assert output.bitrate_bps == pytest.approx(output.profile.nominal_bitrate_bps, rel=0.15)


def test_tags_are_carried_over_and_nothing_else(sample: Sample, tmp_path: Path) -> None:
    """Not the source's other metadata, not its cover art, not the encoder's name."""
    source = tmp_path / "source.mp3"
    source.write_bytes(sample("mp3_cbr").read_bytes())
    id3 = ID3(source)
    id3.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=b"\x89PNG\r\n\x1a\n" + bytes(1000)))
    id3.add(TXXX(encoding=3, desc="leak", text="private"))
    id3.save()
    for output in run(source, tmp_path / "out").outputs:
        found = read_tags(output.path, fmt=require_format(output.path))
        assert {name: found.joined(name) for name in CARRIED} == {name: TAGS.joined(name) for name in CARRIED}
        content = output.path.read_bytes()
        assert b"private" not in content
        assert b"PNG" not in content
        assert b"not carried over" not in content
        # The encoder names itself where the container wants it; a version would change the bytes with every update.
        assert re.search(rb"Lav[cf]\d", content) is None


def test_giant_tags_do_not_overflow_the_command_line(sample: Sample, tmp_path: Path) -> None:
    names = ("title", "artist", "album", "albumartist", "genre", "composer")
    tags = track_tags([(name, f"{index}" + "\U0001f3b5" * 5000) for name in names for index in range(100)])
    made = transcode(sample("wav"), fmt=sniff.WAV, profiles=PROFILES, tags=tags, out_dir=tmp_path)
    title = read_tags(made.outputs[0].path, fmt=sniff.MP3).title
    assert title is not None
    assert len(title) == MAX_TAG_CHARS


def test_surround_is_mixed_down_and_mono_stays_mono(tmp_path: Path) -> None:
    stereo = write_wav(tmp_path / "stereo.wav", music_samples(4))
    surround = encode(stereo, tmp_path / "surround.flac", ["-ac", "6"])
    mono = encode(stereo, tmp_path / "mono.flac", ["-ac", "1"])
    for source, n_channels in ((surround, 2), (mono, 1)):
        for output in run(source, tmp_path / source.stem).outputs:
            assert probe(output.path, fmt=require_format(output.path)).n_channels == n_channels


def test_a_tracker_module_is_transcoded(sample: Sample, tmp_path: Path) -> None:
    made = run(sample("module"), tmp_path / "out", profiles="opus_96")
    assert made.duration_s > 20


def test_no_profile_gives_only_the_sound(sample: Sample, tmp_path: Path) -> None:
    made = transcode(sample("wav"), fmt=sniff.WAV, profiles=(), tags=TAGS, out_dir=tmp_path)
    assert made.outputs == ()
    assert made.pcm_path.stat().st_size == 8 * CHECK_RATE_HZ * 2 * SOURCE_CHANNELS
    assert verify_transcodes(made.outputs, out_dir=tmp_path).transcodes == ()


def test_a_source_that_cannot_be_decoded_is_rejected(tmp_path: Path, sample: Sample) -> None:
    source = tmp_path / "broken.flac"
    source.write_bytes(sample("flac").read_bytes()[:42] + bytes(5000))
    with pytest.raises(SubmissionRejected) as caught:
        run(source, tmp_path / "out")
    assert caught.value.problems[0].code == "undecodable"


def test_a_missing_directory_is_not_the_files_fault(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="No such file or directory"):
        transcode(sample("wav"), fmt=sniff.WAV, profiles=PROFILES, tags=TAGS, out_dir=tmp_path / "missing")


def test_wall_time_is_limited(sample: Sample, tmp_path: Path) -> None:
    limits = TRANSCODE_LIMITS.__class__(**{**vars(TRANSCODE_LIMITS), "wall_s": 0.01})
    with pytest.raises(LimitExceeded, match="wall_s"):
        transcode(sample("wav"), fmt=sniff.WAV, profiles=PROFILES, tags=TAGS, out_dir=tmp_path, limits=limits)


@pytest.mark.parametrize("damage", ["cut", "replaced"])
def test_verification_notices_a_broken_transcode(damage: str, sample: Sample, tmp_path: Path) -> None:
    """A cut file is shorter; one that is not audio at all is an error."""
    made = run(sample("wav"), tmp_path / "out", profiles="mp3_v0,opus_96")
    path = made.outputs[0].path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"text" * 1000)
    if damage == "cut":
        found = verify_transcodes(made.outputs, out_dir=tmp_path).transcodes[0]
        assert found.duration_s < made.duration_s - 3
    else:
        with pytest.raises(WorkerLost, match="mp3_v0"):
            verify_transcodes(made.outputs, out_dir=tmp_path)


def test_default_profiles_exist_and_unknown_ones_are_named() -> None:
    names = DEFAULT_TRANSCODE_PROFILES.split(",")
    assert [profile.name for profile in profiles_named(names)] == names
    with pytest.raises(SettingsError, match=r"MUSICFP_TRANSCODE_PROFILES.*mp9, wax.*opus_96"):
        profiles_named(["mp3_v0", "mp9", "wax"])
