"""The few header fields that ffprobe does not pass on: is the duration declared or estimated, is the file whole.

What belongs here: bounded reads of fixed header fields, to tell a cut file from one that never said how long it is.
What does not: recognising formats (sniff) and anything that ffprobe answers (probe).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from musicfp.audio.sniff import TRACKER_NAMES, AudioFormat, audio_start, mpeg_frame_bytes, ogg_pages

HEAD_BYTES = 1 << 16
TAIL_BYTES = 3 << 16  # three of the largest possible Ogg pages
END_OF_STREAM = 0x04
XING_HAS_FRAMES = 0x01
MAX_CHUNKS = 1000
TOLERATED_MISSING_SHARE = 0.05  # some recorders round the size up
# What programs that write to a pipe put where they cannot come back to write the size.
UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36, (1 << 64) - 1})
# Formats without a length in any header (streams of frames), and modules, whose length is a player's opinion.
_NEVER_DECLARED = frozenset({"aac", "ac3", "eac3", "mp2"}) | TRACKER_NAMES


@dataclass(frozen=True)
class _ChunkLayout:
    """How a family of files strings its chunks together; sizes in bytes."""

    audio_chunk: bytes
    first_chunk: int
    id_bytes: int
    size_bytes: int
    byte_order: Literal["little", "big"]
    alignment: int
    size_counts_header: bool = False


_CHUNK_LAYOUTS = {
    "wav": _ChunkLayout(b"data", 12, 4, 4, "little", 2),
    "aiff": _ChunkLayout(b"SSND", 12, 4, 4, "big", 2),
    "caf": _ChunkLayout(b"data", 8, 4, 8, "big", 1),
    "w64": _ChunkLayout(b"data\xf3\xac\xd3\x11", 40, 16, 8, "little", 8, size_counts_header=True),
    "asf": _ChunkLayout(b"\x36\x26\xb2\x75\x8e\x66\xcf\x11", 0, 16, 8, "little", 1, size_counts_header=True),
}


def duration_is_declared(path: Path, *, fmt: AudioFormat) -> bool:
    """Say whether the file declares its duration in a header, as opposed to ffprobe estimating it from the bit rate.

    A variable bit rate MP3 without a Xing or VBRI header gets an estimate that can be wrong by any factor; comparing
    it with what was decoded would call good files cut.
    """
    if fmt.name in _NEVER_DECLARED:
        return False
    return _mp3_declares_frames(path) if fmt.name == "mp3" else True


def ends_early(path: Path, *, fmt: AudioFormat) -> bool:
    """Say whether the end of the file is missing, judged by the container alone.

    Ogg files declare no duration, but the last page of a stream says that it is the last. Files made of chunks say how
    many bytes of audio follow; of a cut one, ffmpeg takes what is there without a word. Other formats answer False:
    their declared duration is compared with what was decoded.
    """
    if fmt.demuxer == "ogg":
        return _ogg_ends_early(path)
    layout = _CHUNK_LAYOUTS.get(fmt.name)
    return layout is not None and _chunks_end_early(path, layout)


def _mp3_declares_frames(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(audio_start(file))
        head = file.read(HEAD_BYTES)
    for start in range(len(head) - 4):
        size = mpeg_frame_bytes(head[start : start + 4])
        if size is None or mpeg_frame_bytes(head[start + size : start + size + 4]) is None:
            continue
        frame = head[start : start + size]
        if frame[36:40] == b"VBRI":
            return True
        # Behind the side information, whose length depends on version, channels and checksum.
        found = max(frame.find(b"Xing", 4, 48), frame.find(b"Info", 4, 48))
        return found > 0 and bool(frame[found + 7] & XING_HAS_FRAMES)
    return False


def _ogg_ends_early(path: Path) -> bool:
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size_bytes - TAIL_BYTES))
        tail = file.read(TAIL_BYTES)
    complete_end = False
    for start, header_bytes, body_bytes, _ in ogg_pages(tail):
        end = start + header_bytes + body_bytes
        if end <= len(tail) and tail[start + 5] & END_OF_STREAM:
            complete_end = True
    return not complete_end


def _chunks_end_early(path: Path, layout: _ChunkLayout) -> bool:
    file_bytes = path.stat().st_size
    position = layout.first_chunk
    with path.open("rb") as file:
        for _ in range(MAX_CHUNKS):
            if position >= file_bytes:  # also where no file can be that long, and seeking would fail
                return False
            file.seek(position)
            header = file.read(layout.id_bytes + layout.size_bytes)
            if len(header) < layout.id_bytes + layout.size_bytes:
                return False
            size = int.from_bytes(header[layout.id_bytes :], layout.byte_order)
            body = position if layout.size_counts_header else position + len(header)
            if header.startswith(layout.audio_chunk):
                missing = body + size - file_bytes
                return size not in UNKNOWN_SIZES and missing > size * TOLERATED_MISSING_SHARE
            position = max(position + len(header), body + -(-size // layout.alignment) * layout.alignment)
    return False
