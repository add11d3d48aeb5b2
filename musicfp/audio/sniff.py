"""What kind of audio file this is, by its first bytes.

What belongs here: magic bytes, file name extensions and the ffmpeg demuxers that a kind of file may be opened with.
What does not: whether the file is intact (decode) or what it says about itself (probe, tags).

The answer is an allow-list: ffmpeg is only ever told to open a file with the demuxer named here, so playlists, HLS,
concat scripts and subtitles cannot be reached however a file is named or what it holds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from musicfp.errors import Problem, SubmissionRejected

HEAD_BYTES = 1 << 16
MAX_ID3_TAGS = 8  # some taggers prepend a new tag instead of replacing the old one
FRAME_SEARCH_BYTES = 1 << 13  # a stream that was cut out of a broadcast starts within a frame, 1.4 kB at most for MP3
FRAMES_IN_A_ROW = 3  # two bytes of sync occur by chance everywhere; three frames that end where the next begins do not
UNKNOWN_EXTENSION = "bin"  # what submission_key makes of a file name without a usable extension


@dataclass(frozen=True)
class AudioFormat:
    """A kind of audio file. The canonical extension comes first; `demuxers` are ffmpeg's names of those allowed."""

    name: str
    label: str
    extensions: tuple[str, ...]
    demuxers: tuple[str, ...]
    mime: str

    @property
    def demuxer(self) -> str:
        """The ffmpeg demuxer that this kind of file is opened with."""
        return self.demuxers[0]


def _format(name: str, label: str, extensions: str, demuxer: str, mime: str) -> AudioFormat:
    return AudioFormat(name, label, tuple(extensions.split()), (demuxer,), mime)


MP3 = _format("mp3", "MP3", "mp3", "mp3", "audio/mpeg")
MP2 = _format("mp2", "MPEG layer II", "mp2 mpga mpa", "mp3", "audio/mpeg")
MP4 = _format("mp4", "MP4 (AAC or Apple Lossless)", "m4a mp4 m4b m4r m4v mov", "mov", "audio/mp4")
FLAC = _format("flac", "FLAC", "flac fla", "flac", "audio/flac")
OGG_VORBIS = _format("ogg_vorbis", "Ogg Vorbis", "ogg oga ogv ogx", "ogg", "audio/ogg")
OGG_OPUS = _format("ogg_opus", "Opus", "opus ogg oga", "ogg", "audio/ogg")
OGG_FLAC = _format("ogg_flac", "Ogg FLAC", "oga ogg flac", "ogg", "audio/ogg")
OGG_SPEEX = _format("ogg_speex", "Speex", "spx ogg oga", "ogg", "audio/ogg")
WAV = _format("wav", "WAV", "wav wave bwf rf64", "wav", "audio/wav")
W64 = _format("w64", "Sony Wave64", "w64", "w64", "audio/x-w64")
AIFF = _format("aiff", "AIFF", "aiff aif aifc afc", "aiff", "audio/aiff")
ASF = _format("asf", "Windows Media Audio", "wma asf wmv", "asf", "audio/x-ms-wma")
APE = _format("ape", "Monkey's Audio", "ape", "ape", "audio/x-ape")
WAVPACK = _format("wavpack", "WavPack", "wv", "wv", "audio/x-wavpack")
MUSEPACK_7 = _format("musepack7", "Musepack", "mpc mpp mp+", "mpc", "audio/x-musepack")
MUSEPACK_8 = _format("musepack8", "Musepack", "mpc mpp mp+", "mpc8", "audio/x-musepack")
TTA = _format("tta", "True Audio", "tta", "tta", "audio/x-tta")
AAC = _format("aac", "AAC (ADTS)", "aac adts", "aac", "audio/aac")
AC3 = _format("ac3", "Dolby Digital", "ac3", "ac3", "audio/ac3")
EAC3 = _format("eac3", "Dolby Digital Plus", "eac3 ec3", "eac3", "audio/eac3")
AU = _format("au", "Sun/NeXT audio", "au snd", "au", "audio/basic")
CAF = _format("caf", "Core Audio", "caf", "caf", "audio/x-caf")
XM = _format("xm", "FastTracker module", "xm", "libopenmpt", "audio/x-xm")
MOD = _format("mod", "ProTracker module", "mod", "libopenmpt", "audio/x-mod")
IT = _format("it", "Impulse Tracker module", "it", "libopenmpt", "audio/x-it")
S3M = _format("s3m", "Scream Tracker module", "s3m", "libopenmpt", "audio/x-s3m")

FORMATS = (
    MP3,
    MP2,
    MP4,
    FLAC,
    OGG_VORBIS,
    OGG_OPUS,
    OGG_FLAC,
    OGG_SPEEX,
    WAV,
    W64,
    AIFF,
    ASF,
    APE,
    WAVPACK,
    MUSEPACK_7,
    MUSEPACK_8,
    TTA,
    AAC,
    AC3,
    EAC3,
    AU,
    CAF,
    XM,
    MOD,
    IT,
    S3M,
)

TRACKER_NAMES = frozenset({"xm", "mod", "it", "s3m"})
SUPPORTED_IN_WORDS = "WAV, AIFF, FLAC, MP3, M4A/AAC, Ogg Vorbis, Opus, WMA, WavPack, Monkey's Audio or Musepack"

_MAGIC: tuple[tuple[int, bytes, AudioFormat], ...] = (
    (0, b"fLaC", FLAC),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", ASF),
    (0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", W64),
    (0, b"MAC ", APE),
    (0, b"wvpk", WAVPACK),
    (0, b"MP+", MUSEPACK_7),
    (0, b"MPCK", MUSEPACK_8),
    (0, b"TTA1", TTA),
    (0, b".snd", AU),
    (0, b"caff", CAF),
    (0, b"Extended Module: ", XM),
    (0, b"IMPM", IT),
    (44, b"SCRM", S3M),
)
_OGG_CODECS: tuple[tuple[bytes, AudioFormat], ...] = (
    (b"\x01vorbis", OGG_VORBIS),
    (b"OpusHead", OGG_OPUS),
    (b"\x7fFLAC", OGG_FLAC),
    (b"Speex   ", OGG_SPEEX),
)
# Bit rates by the index in a frame header (ISO/IEC 11172-3 table 2.4.2.3, ISO/IEC 13818-3 2.4.2.3).
_KBPS_LAYER_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_LAYER_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_KBPS_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_QUICKTIME_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide"})
_MOD_TAGS = frozenset({b"M.K.", b"M!K!", b"M&K!", b"N.T.", b"FLT4", b"FLT8", b"CD81", b"OKTA", b"OCTA"})


def sniff_format(path: Path) -> AudioFormat | None:
    """Tell what kind of audio file this is.

    Parameters
    ----------
    path : Path
        The file; at most a few times 64 KiB of it are read, wherever its tags put the start of the audio.

    Returns
    -------
    AudioFormat or None
        None when the bytes are none of the supported kinds.
    """
    with path.open("rb") as file:
        head, has_id3 = _head_after_id3(file)
    found = _by_magic(head) or _by_container(head)
    if found is not None:
        return found
    # Taggers pad with zeros that the tag's own size does not always count.
    return _by_frames(head.lstrip(b"\0") if has_id3 else head) or _by_module(head)


def require_format(path: Path) -> AudioFormat:
    """Tell what kind of audio file this is, or raise SubmissionRejected (`empty`, `unsupported_format`)."""
    if path.stat().st_size == 0:
        raise SubmissionRejected(Problem("empty", "The file is empty (0 bytes). Export it again and upload it again."))
    found = sniff_format(path)
    if found is None:
        message = f"The file is not audio in a format that we know. Export it as {SUPPORTED_IN_WORDS} and upload it."
        raise SubmissionRejected(Problem("unsupported_format", message))
    return found


def check_extension(extension: str | None, fmt: AudioFormat) -> Problem | None:
    """Say what is wrong with a file name's extension, given what the file is; None when nothing is.

    Parameters
    ----------
    extension : str or None
        Lower-case, without the dot. None and "bin" say nothing about the content and are fine.
    fmt : AudioFormat
        What the bytes are.
    """
    if extension is None or extension == UNKNOWN_EXTENSION or extension in fmt.extensions:
        return None
    message = (
        f"The file's name ends in .{extension}, but it holds {fmt.label} audio. "
        f"Rename it so that it ends in .{fmt.extensions[0]} and upload it again."
    )
    return Problem("wrong_extension", message, "filename")


def mime_of_extension(extension: str | None) -> str:
    """Return the media type that a file called `*.extension` claims to have; octet-stream if it claims none."""
    claimed = next((fmt for fmt in FORMATS if extension in fmt.extensions), None)
    return claimed.mime if claimed else "application/octet-stream"


def audio_start(file: BinaryIO) -> int:
    """Return the position in bytes behind all ID3v2 tags at the start of a file."""
    position = 0
    for _ in range(MAX_ID3_TAGS):
        file.seek(position)
        header = file.read(10)
        if len(header) < 10 or header[:3] != b"ID3" or max(header[6:10]) > 0x7F:
            break
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        has_footer = bool(header[5] & 0x10)
        position += 10 + size + (10 if has_footer else 0)
    return position


def ogg_pages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, header bytes, body bytes, serial number) of each Ogg page header found in `data`.

    The body may reach beyond `data`. The flags of a page are at `data[start + 5]`.
    """
    start = data.find(b"OggS")
    while start >= 0 and start + 27 <= len(data):
        n_segments = data[start + 26]
        body_bytes = sum(data[start + 27 : start + 27 + n_segments])
        yield start, 27 + n_segments, body_bytes, int.from_bytes(data[start + 14 : start + 18], "little")
        start = data.find(b"OggS", start + 27 + n_segments + body_bytes)


def mpeg_frame_bytes(header: bytes) -> int | None:
    """Return the length in bytes of the MPEG audio frame (layer II or III) with this 4-byte header; None if it is none.

    References
    ----------
    ISO/IEC 11172-3, 2.4.2.3, and ISO/IEC 13818-3 for the lower sampling frequencies.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer not in {1, 2} or bitrate_index in {0, 15} or rate_index == 3:
        return None
    low = version != 3
    table = _KBPS_LOW if low else (_KBPS_LAYER_3 if layer == 1 else _KBPS_LAYER_2)
    sample_rate_hz = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    bytes_per_kbps_hz = 72_000 if low and layer == 1 else 144_000
    return bytes_per_kbps_hz * table[bitrate_index] // sample_rate_hz + padding


def _head_after_id3(file: BinaryIO) -> tuple[bytes, bool]:
    start = audio_start(file)
    file.seek(start)
    return file.read(HEAD_BYTES), start > 0


def _by_magic(head: bytes) -> AudioFormat | None:
    for offset, magic, fmt in _MAGIC:
        if head.startswith(magic, offset):
            return fmt
    return None


def _by_container(head: bytes) -> AudioFormat | None:
    kind = head[8:12]
    if head[:4] in {b"RIFF", b"RF64", b"BW64"}:
        return WAV if kind == b"WAVE" else None
    if head[:4] == b"FORM":
        return AIFF if kind in {b"AIFF", b"AIFC"} else None
    if head[4:8] in _QUICKTIME_BOXES:
        return MP4
    if head[:4] == b"OggS":
        for start, header_bytes, _, _ in ogg_pages(head):
            for magic, fmt in _OGG_CODECS:
                if head.startswith(magic, start + header_bytes):
                    return fmt
    return None


def _by_frames(head: bytes) -> AudioFormat | None:
    for start in range(min(len(head), FRAME_SEARCH_BYTES)):
        if head[start : start + 2] == b"\x0b\x77" and start == 0:
            return AC3 if len(head) > 5 and head[5] >> 3 <= 10 else EAC3
        if head[start] != 0xFF:
            continue
        if _is_frame_run(head, start, _adts_frame_bytes):
            return AAC
        if _is_frame_run(head, start, mpeg_frame_bytes):
            return MP3 if head[start + 1] >> 1 & 3 == 1 else MP2
    return None


def _is_frame_run(head: bytes, start: int, frame_bytes: Callable[[bytes], int | None]) -> bool:
    position = start
    for _ in range(FRAMES_IN_A_ROW):
        size = frame_bytes(head[position : position + 6])
        if size is None:
            return False
        position += size
    return True


def _adts_frame_bytes(header: bytes) -> int | None:
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > 7 else None


def _by_module(head: bytes) -> AudioFormat | None:
    tag = head[1080:1084]
    is_counted = (tag[1:] == b"CHN" and tag[:1].isdigit()) or (tag[2:] in {b"CH", b"CN"} and tag[:2].isdigit())
    return MOD if tag in _MOD_TAGS or is_counted else None
