"""What headers claim, and claims that are refused."""

import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from musicfp.audio import sniff
from musicfp.audio.limits import LimitExceeded
from musicfp.audio.probe import PROBE_LIMITS, check_facts, probe
from musicfp.audio.sniff import require_format
from musicfp.errors import SubmissionRejected
from tests.support.audio_samples import ENCODINGS

Sample = Callable[[str], Path]
SAMPLE_DURATION_S = 8.0  # of the fixture
UNDECLARED = {"mp3_vbr_no_xing", "mp2", "aac_adts", "ac3", "eac3"}


@pytest.mark.parametrize("case", ENCODINGS)
def test_facts_are_those_of_the_encode(case: str, sample: Sample) -> None:
    """Streams of frames without a header declare no duration; guessing one from the bit rate would be worse."""
    path = sample(case)
    facts = probe(path, fmt=require_format(path))
    options = ENCODINGS[case][2]
    rate_hz = int(options[options.index("-ar") + 1]) if "-ar" in options else 48000 if case == "opus" else 44100
    assert facts.sample_rate_hz == rate_hz
    assert facts.n_channels == (1 if "-ac" in options else 2)
    assert facts.size_bytes == path.stat().st_size
    if case in UNDECLARED:
        assert facts.duration_s is None
    else:
        assert facts.duration_s == pytest.approx(SAMPLE_DURATION_S, abs=0.1)


def test_bit_depth_is_known_for_lossless_only(sample: Sample) -> None:
    depths = {
        case: probe(sample(case), fmt=require_format(sample(case))).bit_depth
        for case in ("flac24_96k", "wav24", "opus")
    }
    assert depths == {"flac24_96k": 24, "wav24": 24, "opus": None}


def test_a_tracker_module_declares_no_duration_but_a_title(sample: Sample) -> None:
    facts = probe(sample("module"), fmt=require_format(sample("module")))
    assert facts.duration_s is None
    assert facts.tags["title"] == "module"


def test_a_video_without_sound_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    source = ["-f", "lavfi", "-i", "color=size=16x16:duration=0.2", "-c:v", "mpeg4"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *source, str(path)], check=True)
    assert codes_of(path) == ["no_audio"]


def test_an_mp4_without_its_index_is_undecodable(sample: Sample, cut: Callable[[Path], Path]) -> None:
    assert codes_of(cut(sample("m4a"))) == ["undecodable"]


def test_nothing_outside_the_file_is_opened_whatever_it_holds(tmp_path: Path) -> None:
    """A playlist with a sniffed-as-audio disguise reaches neither the network nor other files."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/canary"
        path = tmp_path / "song.mp3"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n")
        for fmt in (sniff.MP3, sniff.MP4, sniff.WAV, sniff.OGG_VORBIS, sniff.FLAC):
            with pytest.raises(SubmissionRejected):
                probe(path, fmt=fmt)
        with pytest.raises(TimeoutError):
            canary.accept()


def test_absurd_headers_are_refused_before_decoding(sample: Sample) -> None:
    facts = probe(sample("flac"), fmt=sniff.FLAC)
    check_facts(facts, max_duration_s=60)
    absurd = replace(facts, sample_rate_hz=655_350, n_channels=64, duration_s=1e6)
    with pytest.raises(SubmissionRejected) as caught:
        check_facts(absurd, max_duration_s=4 * 3600)
    assert [problem.field for problem in caught.value.problems] == ["sample_rate_hz", "n_channels", None]
    assert caught.value.problems[2].code == "too_long"
    assert "4 hours" in caught.value.problems[2].message


def test_a_file_that_takes_too_much_to_read_is_rejected_and_a_busy_machine_is_not_blamed_on_it(sample: Sample) -> None:
    with pytest.raises(SubmissionRejected) as caught:
        probe(sample("flac"), fmt=sniff.FLAC, limits=replace(PROBE_LIMITS, stdout_bytes=10))
    assert caught.value.problems[0].code == "over_limits"
    with pytest.raises(LimitExceeded):
        probe(sample("flac"), fmt=sniff.FLAC, limits=replace(PROBE_LIMITS, wall_s=0.001))


def codes_of(path: Path) -> list[str]:
    with pytest.raises(SubmissionRejected) as caught:
        probe(path, fmt=require_format(path))
    return [problem.code for problem in caught.value.problems]
