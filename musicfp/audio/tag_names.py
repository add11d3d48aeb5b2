"""What each tag format calls a title, an artist and so on, and how mutagen hands them over.

What belongs here: names and shapes per tag format (ID3, MP4, Vorbis comments, APEv2, ASF). What does not: cleaning,
limits and error handling (tags).

References: id3.org for ID3v2 frames, picard.musicbrainz.org "Picard tag mappings" for the names of the others.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import mutagen
from mutagen.aiff import AIFF
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.asf import ASF
from mutagen.flac import FLAC
from mutagen.id3 import ID3, Frames, Frames_2_2, ID3NoHeaderError
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from musicfp.audio.sniff import AudioFormat

RawTags = Iterable[tuple[str, str]]
TagReader = Callable[[Path], RawTags]

NORMAL_NAMES = (
    "title",
    "artist",
    "album",
    "albumartist",
    "date",
    "genre",
    "track",
    "disc",
    "composer",
    "isrc",
    "musicbrainz_recordingid",
    "bpm",
    "comment",
    "label",
    "copyright",
)
NORMAL_NAMES_OF_FFPROBE = {
    **{name: name for name in ("title", "artist", "album", "date", "genre", "track", "disc", "composer", "isrc")},
    "comment": "comment",
    "copyright": "copyright",
    "bpm": "bpm",
    "album_artist": "albumartist",
    "year": "date",
    "tsrc": "isrc",
    "tbpm": "bpm",
    "publisher": "label",
}
_ID3_NAMES = {
    "TIT2": "title",
    "TPE1": "artist",
    "TALB": "album",
    "TPE2": "albumartist",
    "TDRC": "date",
    "TRCK": "track",
    "TPOS": "disc",
    "TCOM": "composer",
    "TSRC": "isrc",
    "TBPM": "bpm",
    "TPUB": "label",
    "TCOP": "copyright",
}
_MP4_NAMES = {
    "©nam": "title",
    "©ART": "artist",
    "©alb": "album",
    "aART": "albumartist",
    "©day": "date",
    "©gen": "genre",
    "trkn": "track",
    "disk": "disc",
    "©wrt": "composer",
    "tmpo": "bpm",
    "©cmt": "comment",
    "cprt": "copyright",
    "----:com.apple.iTunes:ISRC": "isrc",
    "----:com.apple.iTunes:MusicBrainz Track Id": "musicbrainz_recordingid",
    "----:com.apple.iTunes:LABEL": "label",
}
_ASF_NAMES = {
    "Title": "title",
    "Author": "artist",
    "WM/AlbumTitle": "album",
    "WM/AlbumArtist": "albumartist",
    "WM/Year": "date",
    "WM/Genre": "genre",
    "WM/TrackNumber": "track",
    "WM/PartOfSet": "disc",
    "WM/Composer": "composer",
    "WM/ISRC": "isrc",
    "WM/BeatsPerMinute": "bpm",
    "WM/Publisher": "label",
    "Description": "comment",
    "Copyright": "copyright",
    "MusicBrainz/Track Id": "musicbrainz_recordingid",
}
# Vorbis comments and APEv2 share one loose vocabulary; keys in lower case.
_COMMENT_NAMES = {
    **{name: name for name in NORMAL_NAMES},
    "album artist": "albumartist",
    "album_artist": "albumartist",
    "year": "date",
    "tracknumber": "track",
    "discnumber": "disc",
    "musicbrainz_trackid": "musicbrainz_recordingid",
    "tempo": "bpm",
    "description": "comment",
    "organization": "label",
    "publisher": "label",
}
# mutagen's constructors carry no annotations.
_ID3: Callable[..., Any] = ID3
_APEV2: Callable[[Path], Any] = APEv2
_FLAC: Callable[[Path], Any] = FLAC
# Only these frames are decoded. Pictures, chapters and whatever else there is stay bytes: mutagen takes hours for some
# thousand pictures of one kind (it renames each until its name is free), and unpacks what is compressed without limit.
_OTHER_ID3_FRAMES = ("TCON", "UFID", "COMM", "TXXX", "TYER", "TDAT", "TIME")
_ID3_2_2_FRAMES = ("TT2", "TP1", "TAL", "TP2", "TRK", "TPA", "TCM", "TRC", "TBP", "TPB", "TCR")
_OTHER_ID3_2_2_FRAMES = ("TCO", "UFI", "COM", "TXX", "TYE", "TDA", "TIM")
_ID3_FRAMES = {
    **{name: Frames[name] for name in (*_ID3_NAMES, *_OTHER_ID3_FRAMES)},
    **{name: Frames_2_2[name] for name in (*_ID3_2_2_FRAMES, *_OTHER_ID3_2_2_FRAMES)},
}
_MUSICBRAINZ_OWNER = "http://musicbrainz.org"


def reader_for(fmt: AudioFormat) -> TagReader | None:
    """Return what yields the raw (normal name, value) pairs of files of this format; None if mutagen knows no tags."""
    return _READERS.get(fmt.name)


def _read_id3_then_ape(path: Path) -> Iterator[tuple[str, str]]:
    found = list(_read_id3(path))
    yield from found or _read_ape(path)


def _read_ape_then_id3(path: Path) -> Iterator[tuple[str, str]]:
    found = list(_read_ape(path))
    yield from found or _read_id3(path)


def _read_ape(path: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from _of_comments(_APEV2(path))
    except APENoHeaderError:
        return


def _read_id3(path: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from _of_id3(_ID3(path, known_frames=_ID3_FRAMES))
    except ID3NoHeaderError:
        return


def _reader(file_type: Callable[..., Any], pairs_of: Callable[[Any], RawTags], **options: Any) -> TagReader:
    """Return a reader for formats that mutagen opens as a whole; it may find no tags in them."""

    def read(path: Path) -> Iterator[tuple[str, str]]:
        tags = file_type(path, **options).tags
        if tags is not None:
            yield from pairs_of(tags)

    return read


def _read_flac(path: Path) -> Iterator[tuple[str, str]]:
    comments = _FLAC(path).tags
    if comments:
        yield from _of_vorbis(comments)
    else:
        yield from _read_id3(path)


def _of_id3(tags: Any) -> Iterator[tuple[str, str]]:
    for frame in tags.values():
        name = _ID3_NAMES.get(frame.FrameID)
        if frame.FrameID == "TCON":
            yield from (("genre", genre) for genre in frame.genres)
        elif frame.FrameID == "UFID" and frame.owner == _MUSICBRAINZ_OWNER:
            yield "musicbrainz_recordingid", frame.data.decode("ascii", "replace")
        elif frame.FrameID == "COMM" and not frame.desc:
            name = "comment"
        elif frame.FrameID == "TXXX":
            name = _COMMENT_NAMES.get(frame.desc.lower())
        if name is not None:
            yield from ((name, str(text)) for text in frame.text)


def _of_mp4(tags: Any) -> Iterator[tuple[str, str]]:
    for key, values in tags.items():
        name = _MP4_NAMES.get(key)
        if name is None:
            continue
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, tuple):
                number, total = value
                yield name, f"{number}/{total}" if total else str(number)
            else:
                yield name, value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _of_asf(tags: Any) -> Iterator[tuple[str, str]]:
    for key, value in tags:
        if key in _ASF_NAMES:
            yield _ASF_NAMES[key], str(value)


def _of_comments(tags: Any) -> Iterator[tuple[str, str]]:
    for key, value in tags.items():
        name = _COMMENT_NAMES.get(key.lower())
        if name is None or getattr(value, "kind", mutagen.apev2.TEXT) != mutagen.apev2.TEXT:
            continue
        for text in value:
            yield name, str(text)


def _of_vorbis(tags: Any) -> Iterator[tuple[str, str]]:
    """Go through the comments as the list that they are: by name, mutagen looks through all for each of them."""
    for key, text in list.__iter__(tags):
        name = _COMMENT_NAMES.get(key.lower())
        if name is not None:
            yield name, str(text)


_READERS: dict[str, TagReader] = {
    "mp3": _read_id3_then_ape,
    "mp2": _read_id3_then_ape,
    "aac": _read_id3_then_ape,
    "tta": _read_id3_then_ape,
    "ape": _read_ape_then_id3,
    "wavpack": _read_ape_then_id3,
    "musepack7": _read_ape_then_id3,
    "musepack8": _read_ape_then_id3,
    "mp4": _reader(MP4, _of_mp4),
    "flac": _read_flac,
    "ogg_vorbis": _reader(OggVorbis, _of_vorbis),
    "ogg_opus": _reader(OggOpus, _of_vorbis),
    "ogg_flac": _reader(OggFLAC, _of_vorbis),
    "ogg_speex": _reader(OggSpeex, _of_vorbis),
    "wav": _reader(WAVE, _of_id3, known_frames=_ID3_FRAMES),
    "aiff": _reader(AIFF, _of_id3, known_frames=_ID3_FRAMES),
    "asf": _reader(ASF, _of_asf),
}
