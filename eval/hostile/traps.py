"""Files that point elsewhere: playlists, scripts, subtitles and references, plain and dressed up as audio.

Each names the canary server and the canary file. Whoever follows one is seen.
"""

import struct
from collections.abc import Callable, Iterator

from eval.hostile.model import ACCEPTED, HostileFile, Workbench, expecting
from eval.hostile.pieces import (
    box,
    chunk,
    flac_block,
    flac_stream_info,
    id3,
    id3_frame,
    ogg_pages,
    text_frame,
    vorbis_comments,
    wav,
    with_boxes_replaced,
    with_movie_extended,
)

_Text = Callable[[Workbench], str]
# What follows a thing that looks like audio is not audio: no more than that can be said of most.
_NOT_AUDIO = expecting(
    "unsupported_format", "undecodable", "no_audio", "too_short", "truncated", "missing_tag", "silent"
)


def _hls(bench: Workbench) -> str:
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n"
        f'#EXT-X-KEY:METHOD=AES-128,URI="{bench.canary_url}",IV=0x00000000000000000000000000000001\n'
        f'#EXT-X-MAP:URI="file:{bench.canary_path}"\n'
        f"#EXTINF:10,\n{bench.canary_url}\n#EXTINF:10,\nfile:{bench.canary_path}\n"
        f"#EXTINF:10,\nconcat:{bench.canary_path}|{bench.canary_url}\n"
        "#EXTINF:10,\ndata:audio/wav;base64,UklGRg==\n#EXT-X-ENDLIST\n"
    )


def _hls_file_only(bench: Workbench) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{bench.canary_path}\n#EXT-X-ENDLIST\n"


def _ffconcat(bench: Workbench) -> str:
    return f"ffconcat version 1.0\nfile '{bench.canary_path}'\nfile '{bench.canary_url}'\n"


def _dash(bench: Workbench) -> str:
    return (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file://' + str(bench.canary_path) + '">]>'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{bench.canary_url}</BaseURL>'
        '<SegmentBase indexRange="0-1"/></Representation></AdaptationSet></Period></MPD>'
    )


def _sdp(bench: Workbench) -> str:
    port = bench.canary_url.split(":")[2].split("/")[0]
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 14\n"


_TEXTS: dict[str, tuple[str, _Text]] = {
    "hls": ("m3u8", _hls),
    "hls of a local file": ("m3u8", _hls_file_only),
    "m3u": ("m3u", lambda bench: f"#EXTM3U\n#EXTINF:9,x\n{bench.canary_url}\n{bench.canary_path}\n"),
    "pls": ("pls", lambda bench: f"[playlist]\nFile1={bench.canary_url}\nFile2={bench.canary_path}\n"),
    "ffconcat": ("ffconcat", _ffconcat),
    "concat protocol": ("txt", lambda bench: f"concat:{bench.canary_path}|{bench.canary_url}"),
    "dash": ("mpd", _dash),
    "xspf": (
        "xspf",
        lambda bench: (
            '<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track>'
            f"<location>{bench.canary_url}</location></track></trackList></playlist>"
        ),
    ),
    "asx": ("asx", lambda bench: f'<asx version="3.0"><entry><ref href="{bench.canary_url}"/></entry></asx>'),
    "asf redirector": ("asf", lambda bench: f"[Reference]\r\nRef1={bench.canary_url}\r\nRef2={bench.canary_path}\r\n"),
    "ram": ("ram", lambda bench: f"{bench.canary_url}\nfile://{bench.canary_path}\n"),
    "smil": ("smil", lambda bench: f'<smil><body><audio src="{bench.canary_url}"/></body></smil>'),
    "sdp": ("sdp", _sdp),
    "rtsp text": ("mov", lambda bench: f"RTSPtext\r\n{bench.canary_url.replace('http', 'rtsp')}\r\n"),
    "cue sheet": ("cue", lambda bench: f'FILE "{bench.canary_path}" WAVE\n TRACK 01 AUDIO\n  INDEX 01 00:00:00\n'),
    "srt": ("srt", lambda bench: f'1\n00:00:00,000 --> 00:00:09,000\n<img src="{bench.canary_url}">\n'),
    "ass": (
        "ass",
        lambda bench: f"[Script Info]\nAudio URI: {bench.canary_url}\n[Fonts]\nfontname: {bench.canary_path}\n",
    ),
    "svg": ("svg", lambda bench: f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{bench.canary_url}"/></svg>'),
    "avisynth": ("avs", lambda bench: f'DirectShowSource("{bench.canary_path}")\n'),
    "imf": ("xml", lambda bench: f"<AssetMap><Path>{bench.canary_url}</Path></AssetMap>"),
    "http address": ("mp3", lambda bench: bench.canary_url),
}
# How the text is dressed up, so that its first bytes are those of a kind of audio.
_DISGUISES: dict[str, Callable[[bytes], bytes]] = {
    "named .mp3": lambda text: text,
    "after an ID3 tag": lambda text: id3([text_frame("TIT2", "Kettle")]) + text,
    "after an empty ID3 tag and zeros": lambda text: id3([]) + bytes(100) + text,
    "after MP3 frames": lambda text: (b"\xff\xfb\x90\x64" + bytes(413)) * 3 + text,
    "in RIFF": lambda text: b"RIFF\xff\xff\xff\xffWAVE" + text,
    "as WAV data": wav,
    "after fLaC": lambda text: b"fLaC" + flac_block(0, flac_stream_info(), last=True) + text,
    "after ftyp": lambda text: box(b"ftyp", b"M4A \0\0\0\0") + text,
    "in mdat": lambda text: box(b"ftyp", b"M4A \0\0\0\0") + box(b"mdat", text),
    "in Ogg": lambda text: b"".join(ogg_pages([(b"\x01vorbis" + text, 0)])),
}
_DRESSED = ("hls", "ffconcat", "dash", "concat protocol")


def traps() -> Iterator[HostileFile]:
    """Yield all of them."""
    for kind, (extension, text) in _TEXTS.items():
        yield HostileFile(
            "points elsewhere", kind, extension, lambda b, t=text: t(b).encode(), expecting("unsupported_format")
        )
    for kind in _DRESSED:
        text = _TEXTS[kind][1]
        for disguise, dress in _DISGUISES.items():
            extension = {"in RIFF": "wav", "as WAV data": "wav", "after fLaC": "flac", "in Ogg": "ogg"}.get(
                disguise, "m4a" if disguise in {"after ftyp", "in mdat"} else "mp3"
            )
            yield HostileFile(
                "disguised",
                f"{kind}, {disguise}",
                extension,
                lambda b, t=text, d=dress: d(t(b).encode()),
                _NOT_AUDIO,
            )
    yield from _references()


def _references() -> Iterator[HostileFile]:
    group = "refers elsewhere"
    yield HostileFile(group, "QuickTime data in another file (alis)", "mov", _alias, _NOT_AUDIO | {ACCEPTED})
    yield HostileFile(group, "QuickTime data at an address (url)", "mov", _data_url, _NOT_AUDIO | {ACCEPTED})
    yield HostileFile(group, "QuickTime reference movie", "mov", _reference_movie, _NOT_AUDIO)
    yield HostileFile(group, "MP4 with an address in a tag", "m4a", _mp4_url_tag, expecting(ACCEPTED))
    yield HostileFile(
        group, "ID3 with link and picture frames that are addresses", "mp3", _id3_links, expecting(ACCEPTED)
    )
    yield HostileFile(group, "ID3 with a playlist as title and picture", "mp3", _id3_playlist, expecting(ACCEPTED))
    yield HostileFile(group, "Vorbis comment with a picture at an address", "ogg", _vorbis_link, expecting(ACCEPTED))
    yield HostileFile(group, "Ogg skeleton with a message that is an address", "ogg", _skeleton, expecting(ACCEPTED))
    yield HostileFile(group, "WAV with a playlist chunk and links", "wav", _wav_links, expecting(ACCEPTED))
    yield HostileFile(group, "ASF with a script command that opens an address", "wma", _asf_script, expecting(ACCEPTED))
    yield HostileFile(
        group, "Matroska with linked segments and an attachment", "mka", _matroska, expecting("unsupported_format")
    )
    yield HostileFile(group, "Matroska named .mp3", "mp3", _matroska, expecting("unsupported_format"))


def _alias(bench: Workbench) -> bytes:
    path = str(bench.canary_path).encode()
    entry = bytes(4) + bytes(10) + b"\x06volume".ljust(28, b"\0") + bytes(12) + b"\x0acanary.wav".ljust(64, b"\0")
    entry += bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
    for kind, value in ((2, path), (18, path), (-1, b"")):
        entry += struct.pack(">hH", kind, len(value)) + value + b"\0" * (len(value) % 2)
    return with_boxes_replaced(bench.encoded("mov"), b"dref", bytes(4) + struct.pack(">I", 1) + box(b"alis", entry))


def _data_url(bench: Workbench) -> bytes:
    entry = box(b"url ", bytes(4) + bench.canary_url.encode() + b"\0")
    return with_boxes_replaced(bench.encoded("mov"), b"dref", bytes(4) + struct.pack(">I", 1) + entry)


def _reference_movie(bench: Workbench) -> bytes:
    address = bench.canary_url.encode() + b"\0"
    reference = box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", len(address)) + address)
    return box(b"ftyp", b"qt  \0\0\0\0") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def _mp4_url_tag(bench: Workbench) -> bytes:
    data = box(b"data", struct.pack(">II", 1, 0) + bench.canary_url.encode())
    tags = box(b"ilst", box(b"purl", data) + box(b"egid", data))
    return with_movie_extended(bench.encoded("m4a"), box(b"udta", box(b"meta", bytes(4) + tags)))


def _id3_links(bench: Workbench) -> bytes:
    address = bench.canary_url.encode()
    frames = [text_frame("TIT2", "Kettle"), text_frame("TPE1", "Hattie")]
    frames += [id3_frame(name, address) for name in ("WOAF", "WOAR", "WPUB", "WORS")]
    frames += [id3_frame("WXXX", b"\0\0" + address), id3_frame("LINK", b"TIT2" + address + b"\0")]
    frames += [id3_frame("APIC", b"\0-->\0\3\0" + address), id3_frame("GEOB", b"\0text/x-m3u\0x\0x\0" + address)]
    return id3(frames) + bench.encoded("mp3_no_id3")


def _id3_playlist(bench: Workbench) -> bytes:
    frames = [text_frame("TIT2", _hls(bench)), text_frame("TPE1", _ffconcat(bench))]
    frames += [id3_frame("APIC", b"\0image/svg+xml\0\3\0" + _TEXTS["svg"][1](bench).encode())]
    return id3(frames) + bench.encoded("mp3_no_id3")


def _vorbis_link(bench: Workbench) -> bytes:
    source = bench.encoded("vorbis")
    link = vorbis_comments([(b"METADATA_BLOCK_PICTURE", bench.canary_url.encode())])
    # A logical stream of its own between the pages: a title page that nobody plays.
    return source + b"".join(ogg_pages([(b"\x01vorbis" + link, 0)], serial=77))


def _skeleton(bench: Workbench) -> bytes:
    head = b"fishead\0" + struct.pack("<HH", 4, 0) + bytes(68)
    bone = b"fisbone\0" + struct.pack("<I", 44) + bytes(40) + f"Location: {bench.canary_url}\r\n".encode()
    pages = list(ogg_pages([(head, 0), (bone, 0)], serial=99))
    source = bench.encoded("vorbis")
    second = source.index(b"OggS", 4)
    return pages[0] + source[:second] + pages[1] + source[second:]


def _wav_links(bench: Workbench) -> bytes:
    source = bench.encoded("wav")
    extra = chunk(b"plst", _hls(bench).encode()) + chunk(b"link", bench.canary_url.encode())
    extra += chunk(b"LIST", b"INFO" + chunk(b"INAM", bench.canary_url.encode() + b"\0"))
    data = source + extra
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def _asf_script(bench: Workbench) -> bytes:
    source = bytearray(bench.encoded("wma"))
    name, address = "URL".encode("utf-16-le"), (bench.canary_url + "\0").encode("utf-16-le")
    body = bytes(16) + struct.pack("<HH", 1, 1) + struct.pack("<H", 3) + name
    body += struct.pack("<IHH", 0, 0, len(address) // 2) + address
    guid = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6")
    script = guid + struct.pack("<Q", len(body) + 24) + body
    header_size, n_objects = struct.unpack("<QI", source[16:28])
    source[16:28] = struct.pack("<QI", header_size + len(script), n_objects + 1)
    return bytes(source[:header_size]) + script + bytes(source[header_size:])


def _matroska(bench: Workbench) -> bytes:
    def element(code: str, body: bytes) -> bytes:
        return bytes.fromhex(code) + struct.pack(">Q", len(body) | 1 << 56) + body

    head = element("1a45dfa3", element("4282", b"matroska"))
    info = element("1549a966", element("3cb923", bytes(16)) + element("3c83ab", str(bench.canary_path).encode()))
    attached = element("466e", bench.canary_url.encode()) + element("465c", _hls(bench).encode())
    return head + element("18538067", info + element("1941a469", element("61a7", attached)))
