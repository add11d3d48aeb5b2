"""Small files that unpack to something huge, and tags that are giant, countless, endless or full of odd text."""

import struct
from collections.abc import Iterator

from eval.hostile.model import ACCEPTED, HostileFile, Workbench, expecting
from eval.hostile.pieces import (
    ape_item,
    ape_tag,
    box,
    flac_block,
    id3,
    id3_frame,
    ogg_pages,
    packed_frame,
    png_bomb,
    text_frame,
    vorbis_comments,
    with_movie_extended,
)

_MB = 1 << 20
_NAMES = [text_frame("TIT2", "Kettle"), text_frame("TPE1", "Hattie")]
_COMMENTS = [(b"title", b"Kettle"), (b"artist", b"Hattie")]
_FINE = expecting(ACCEPTED)
_FINE_OR_REFUSED = expecting(ACCEPTED, "over_limits")
_ODD_TEXTS = {
    "control characters": "Ket\x00\x01\x07\x1b[31m\x7f\x85tle",
    "right-to-left overrides": "\u202eKettle\u2066\u200f",
    "lone surrogates": "Ket\ud800\udffftle",
    "a path": "../../../etc/passwd\0.mp3",
    "markup": "<script>alert(1)</script>'; DROP TABLE track; --",
    "a thousand combining marks": "K" + "\u0301" * 1000 + "ettle",
    "one million characters": "K" * 1_000_000,
    "noncharacters and unassigned": "K\ufffe\uffff\U0010ffff\u0378ettle",
    "ligatures that grow": "\ufdfa" * 900,
}


def bombs() -> Iterator[HostileFile]:
    """Yield all of them."""
    yield from _id3_bombs()
    yield from _comment_bombs()
    yield from _other_bombs()
    yield from _pictures()
    for name, text in _ODD_TEXTS.items():
        yield HostileFile(
            "odd text",
            f"{name}, in ID3",
            "mp3",
            lambda b, t=text: _with_id3(b, [text_frame("TIT2", t), text_frame("TPE1", t)]),
            _FINE,
        )
        yield HostileFile(
            "odd text",
            f"{name}, in Vorbis comments",
            "flac",
            lambda b, t=text: _with_comments(
                b, [(b"title", t.encode("utf-8", "surrogatepass")), (b"artist", t.encode("utf-16-le", "surrogatepass"))]
            ),
            expecting(ACCEPTED, "missing_tag"),
        )


def _id3_bombs() -> Iterator[HostileFile]:
    group = "ID3"

    def add(name: str, frames: list[bytes], expected: frozenset[str]) -> HostileFile:
        return HostileFile(group, name, "mp3", lambda b: _with_id3(b, frames), expected)

    yield add("comment of 100 MB", [*_NAMES, id3_frame("COMM", b"\3eng\0" + b"x" * (100 * _MB))], _FINE_OR_REFUSED)
    yield HostileFile(group, "a million frames", "mp3", _million_frames, _FINE_OR_REFUSED)
    yield HostileFile(group, "a million titles", "mp3", _million_titles, _FINE_OR_REFUSED)
    yield HostileFile(group, "title with a million values", "mp3", _many_values, _FINE_OR_REFUSED)
    yield HostileFile(group, "packed frame of 1 GB", "mp3", lambda b: _packed(b, 1, 1024), _FINE_OR_REFUSED)
    yield HostileFile(
        group,
        "100 packed frames of 200 MB each",
        "mp3",
        lambda b: _packed(b, 100, 200),
        _FINE_OR_REFUSED | {"undecodable"},
    )
    yield HostileFile(group, "chapters nested 5,000 deep", "mp3", _nested_chapters, _FINE_OR_REFUSED)
    yield HostileFile(group, "chapters of 20 MB nested 900 deep", "mp3", _big_nested_chapters, _FINE_OR_REFUSED)
    yield HostileFile(group, "table of contents that holds itself", "mp3", _circular_contents, _FINE)
    yield HostileFile(group, "claims 256 MB", "mp3", lambda b: id3(_NAMES, size=0x0FFFFFFF) + b.encoded("mp3_no_id3"))
    yield HostileFile(group, "1,000 tags in a row", "mp3", lambda b: id3(_NAMES) * 1000 + b.encoded("mp3_no_id3"))
    yield HostileFile(group, "unsynchronised 50 MB of FF 00", "mp3", _unsynchronised, _FINE_OR_REFUSED)
    yield HostileFile(group, "genres without end", "mp3", _genres, _FINE_OR_REFUSED)


def _comment_bombs() -> Iterator[HostileFile]:
    group = "Vorbis comments"
    many = [(b"x%d" % n, b"1") for n in range(300_000)]
    alike = [(b"artist", b"%d" % n) for n in range(300_000)]
    for name, comments in (("300,000 names", many), ("300,000 artists", alike)):
        yield HostileFile(
            group,
            f"{name}, in FLAC",
            "flac",
            lambda b, c=comments: _with_comments(b, [*_COMMENTS, *c]),
            _FINE_OR_REFUSED,
        )
        yield HostileFile(
            group,
            f"{name}, in Opus",
            "opus",
            lambda b, c=comments: _opus_with_comments(b, [*_COMMENTS, *c]),
            expecting(ACCEPTED, "over_limits", "undecodable"),  # ffmpeg gives up headers of so many pages
        )
    yield HostileFile(
        group,
        "a comment of 15 MB, in FLAC",
        "flac",
        lambda b: _with_comments(b, [*_COMMENTS, (b"comment", b"x" * (15 * _MB))]),
        _FINE_OR_REFUSED,
    )
    yield HostileFile(
        group,
        "a comment of 100 MB, in Opus",
        "opus",
        lambda b: _opus_with_comments(b, [*_COMMENTS, (b"comment", b"x" * (100 * _MB))]),
    )
    yield HostileFile(
        group,
        "2^32-1 comments claimed",
        "flac",
        lambda b: _with_comments(b, _COMMENTS, count=0xFFFFFFFF),
        expecting(ACCEPTED, "missing_tag", "undecodable", "over_limits"),
    )
    yield HostileFile(
        group,
        "100,000 metadata blocks",
        "flac",
        lambda b: _flac_with(b, flac_block(1, b"") * 100_000),
        _FINE_OR_REFUSED,
    )


def _other_bombs() -> Iterator[HostileFile]:
    yield HostileFile("APEv2", "2^32-1 items claimed", "mp3", lambda b: _with_ape(b, count=0xFFFFFFFF))
    yield HostileFile("APEv2", "2^32-1 bytes claimed", "mp3", lambda b: _with_ape(b, count=2, size=0xFFFFFFFF))
    yield HostileFile("APEv2", "300,000 items", "wv", _many_ape_items, _FINE_OR_REFUSED)
    yield HostileFile("MP4", "boxes nested 10,000 deep", "m4a", lambda b: _nested(b, b"udta", 10_000))
    yield HostileFile("MP4", "movies nested 10,000 deep", "m4a", lambda b: _nested(b, b"moov", 10_000))
    yield HostileFile("MP4", "tag of 100 MB", "m4a", _big_mp4_tag, _FINE_OR_REFUSED)
    yield HostileFile("MP4", "300,000 tags", "m4a", _many_mp4_tags, _FINE_OR_REFUSED)
    yield HostileFile(
        "MP4", "2^32-1 samples claimed", "m4a", lambda b: _overwritten(b, "m4a", b"stsz", 12, b"\xff" * 4)
    )
    yield HostileFile(
        "MP4", "2^32-1 time entries claimed", "m4a", lambda b: _overwritten(b, "m4a", b"stts", 8, b"\xff" * 4)
    )
    yield HostileFile("MP4", "box that claims 2^64-1 bytes", "m4a", _endless_box)
    yield HostileFile("ASF", "2^64-1 bytes of header claimed", "wma", lambda b: _at(b.encoded("wma"), 16, b"\xff" * 8))
    yield HostileFile("ASF", "2^32-1 objects claimed", "wma", lambda b: _at(b.encoded("wma"), 24, b"\xff" * 4))
    yield HostileFile("Vorbis", "codebooks of 16 million entries", "ogg", _vorbis_codebooks)
    yield HostileFile(
        "ALAC", "frames of 2^32-1 samples claimed", "m4a", lambda b: _overwritten(b, "alac", b"alac", 40, b"\xff" * 4)
    )
    yield HostileFile("APE", "frames of 2^32-1 blocks claimed", "ape", _monkey)
    yield HostileFile(
        "WavPack", "blocks of 2^32-1 samples claimed", "wv", lambda b: _at(b.encoded("wavpack"), 20, b"\xff" * 4)
    )
    yield HostileFile("TTA", "2^32-1 samples claimed", "tta", _tta)
    yield HostileFile("module", "4 GB of samples claimed", "xm", _xm)


def _pictures() -> Iterator[HostileFile]:
    group = "pictures"
    yield HostileFile(
        group, "of 50 MB, in ID3", "mp3", lambda b: _id3_picture(b, b"\xff\xd8\xff" + bytes(50 * _MB)), _FINE
    )
    yield HostileFile(
        group, "bomb of 40,000 x 40,000, in ID3", "mp3", lambda b: _id3_picture(b, png_bomb(40_000)), _FINE
    )
    yield HostileFile(
        group, "bomb of 40,000 x 40,000, in FLAC", "flac", lambda b: _flac_picture(b, png_bomb(40_000)), _FINE
    )
    yield HostileFile(
        group, "bomb of 40,000 x 40,000, in MP4", "m4a", lambda b: _mp4_picture(b, png_bomb(40_000)), _FINE
    )
    yield HostileFile(
        group,
        "claims 2^32-1 bytes, in FLAC",
        "flac",
        lambda b: _flac_with(b, flac_block(6, b"\0\0\0\3" + b"\xff" * 12)),
    )
    yield HostileFile(group, "10,000 of them, in ID3", "mp3", _many_pictures, _FINE_OR_REFUSED)


def _with_id3(bench: Workbench, frames: list[bytes]) -> bytes:
    return id3(frames) + bench.encoded("mp3_no_id3")


def _million_frames(bench: Workbench) -> bytes:
    return _with_id3(bench, [*_NAMES, *(id3_frame("TXXX", b"\3%d\0x" % n) for n in range(1_000_000))])


def _million_titles(bench: Workbench) -> bytes:
    return _with_id3(bench, [*_NAMES, *(text_frame("TIT2", str(n)) for n in range(1_000_000))])


def _many_values(bench: Workbench) -> bytes:
    return _with_id3(bench, [id3_frame("TIT2", b"\3" + b"K\0" * 1_000_000), _NAMES[1]])


def _packed(bench: Workbench, n_frames: int, mb_each: int) -> bytes:
    return _with_id3(bench, [*_NAMES, *[packed_frame("TIT3", mb_each * _MB)] * n_frames])


def _nested_chapters(bench: Workbench, *, core: bytes = b"", depth: int = 5000) -> bytes:
    frame = core
    for _ in range(depth):
        frame = id3_frame("CHAP", b"c\0" + bytes(16) + frame)
    return _with_id3(bench, [*_NAMES, frame])


def _big_nested_chapters(bench: Workbench) -> bytes:
    return _nested_chapters(bench, core=id3_frame("TIT3", b"\3" + b"x" * (20 * _MB)), depth=900)


def _circular_contents(bench: Workbench) -> bytes:
    return _with_id3(bench, [*_NAMES, id3_frame("CTOC", b"a\0\3\2a\0a\0"), id3_frame("CTOC", b"b\0\3\1a\0")])


def _unsynchronised(bench: Workbench) -> bytes:
    frame = id3_frame("TIT3", b"\3" + b"\xff\0" * (25 * _MB), flags=0x0002)
    tag = bytearray(id3([*_NAMES, frame]))
    tag[5] = 0x80
    return bytes(tag) + bench.encoded("mp3_no_id3")


def _genres(bench: Workbench) -> bytes:
    return _with_id3(
        bench, [*_NAMES, text_frame("TCON", "(17)" * 1_000_000 + "("), text_frame("TDRC", "1-" * 1_000_000)]
    )


def _with_comments(bench: Workbench, comments: list[tuple[bytes, bytes]], *, count: int | None = None) -> bytes:
    return _flac_with(bench, flac_block(4, vorbis_comments(comments, count=count)))


def _flac_with(bench: Workbench, blocks: bytes) -> bytes:
    """Return a FLAC file with its stream information, these blocks, its own comments and its audio."""
    source = bench.encoded("flac")
    return source[:42] + blocks + source[42:]


def _opus_with_comments(bench: Workbench, comments: list[tuple[bytes, bytes]]) -> bytes:
    source = bench.encoded("opus")
    body = b"OpusTags" + vorbis_comments(comments)
    serial = struct.unpack("<I", source[14:18])[0]
    first = source[: source.index(b"OggS", 4)]
    rest = source[source.index(b"OggS", source.index(b"OpusTags")) :]
    # One packet over many pages: 255 segments of 255 bytes each.
    pages, step = [], 255 * 255
    for start in range(0, len(body), step):
        part = body[start : start + step]
        pages.append(part)
    return first + b"".join(_comment_pages(pages, serial)) + rest


def _comment_pages(parts: list[bytes], serial: int) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        lacing = b"\xff" * (len(part) // 255) + (bytes([len(part) % 255]) if number == len(parts) - 1 else b"")
        head = b"OggS\0" + bytes([1 if number else 0]) + struct.pack("<qII", 0, serial, number + 1)
        yield head + bytes(4) + bytes([len(lacing)]) + lacing + part


def _with_ape(bench: Workbench, *, count: int, size: int | None = None) -> bytes:
    items = [ape_item(b"Title", b"Kettle"), ape_item(b"Artist", b"Hattie")]
    return bench.encoded("mp3_no_id3") + ape_tag(items, count=count, size=size)


def _many_ape_items(bench: Workbench) -> bytes:
    items = [ape_item(b"Title", b"Kettle"), ape_item(b"Artist", b"Hattie")]
    items += [ape_item(b"item%d" % n, b"x") for n in range(300_000)]
    return bench.encoded("wavpack") + ape_tag(items, count=len(items))


def _nested(bench: Workbench, name: bytes, depth: int) -> bytes:
    nested = b""
    for _ in range(depth):
        nested = box(name, nested)
    return with_movie_extended(bench.encoded("m4a"), nested)


def _mp4_tags(*tags: bytes) -> bytes:
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", b"".join(tags))))


def _mp4_text(name: bytes, text: bytes) -> bytes:
    return box(name, box(b"data", struct.pack(">II", 1, 0) + text))


def _big_mp4_tag(bench: Workbench) -> bytes:
    return with_movie_extended(bench.encoded("m4a"), _mp4_tags(_mp4_text(b"\xa9cmt", b"x" * (100 * _MB))))


def _many_mp4_tags(bench: Workbench) -> bytes:
    tags = [_mp4_text(b"\xa9ART", b"%d" % n) for n in range(150_000)]
    tags += [_mp4_text(b"%04d" % (n % 10_000), b"x") for n in range(150_000)]
    return with_movie_extended(bench.encoded("m4a"), _mp4_tags(*tags))


def _overwritten(bench: Workbench, case: str, name: bytes, offset: int, value: bytes) -> bytes:
    source = bench.encoded(case)
    return _at(source, source.rindex(name) + offset, value)


def _at(data: bytes, position: int, value: bytes) -> bytes:
    return data[:position] + value + data[position + len(value) :]


def _endless_box(bench: Workbench) -> bytes:
    return with_movie_extended(bench.encoded("m4a"), struct.pack(">I4sQ", 1, b"udta", (1 << 64) - 1))


def _vorbis_codebooks(_bench: Workbench) -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 2, 44100, 0, 128_000, 0, 0xB8, 1)
    comments = b"\x03vorbis" + vorbis_comments(_COMMENTS) + b"\1"
    books = b"\x05vorbis\xff" + (b"BCV" + b"\xff\xff" + b"\xff\xff\xff" + b"\xaa" * 4000) * 16
    return b"".join(
        ogg_pages([(head, 0), (comments, 0), (books[:60_000], 0), *((b"\0" * 200, 1024 * n) for n in range(400))])
    )


def _monkey(_bench: Workbench) -> bytes:
    described = struct.pack("<HHIIIIIII", 3990, 0, 52, 24, 4, 44, 4096, 0, 0) + bytes(16)
    header = struct.pack("<HHIIIHHI", 5000, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, 16, 2, 44100)
    return b"MAC " + described + header + struct.pack("<I", 0) + bytes(44) + b"\xaa" * 5000


def _tta(bench: Workbench) -> bytes:
    source = bench.encoded("tta")
    start = source.index(b"TTA1")
    return _at(source, start + 14, b"\xff" * 4)


def _xm(_bench: Workbench) -> bytes:
    head = b"Extended Module: " + b"x".ljust(20) + b"\x1a" + b"t".ljust(20) + struct.pack("<HI", 0x0104, 276)
    head += struct.pack("<HHHHHHHH", 1, 0, 32, 1, 128, 1, 6, 125) + bytes(256)
    pattern = struct.pack("<IBHH", 9, 0, 64, 0)
    instrument = struct.pack("<I", 263) + bytes(23) + struct.pack("<H", 128) + bytes(234)
    samples = (struct.pack("<III", 0xFFFFFFFF, 0, 0xFFFFFFFF) + bytes(28)) * 128
    return head + pattern * 1 + instrument + samples + bytes(2000)


def _picture_block(data: bytes) -> bytes:
    return struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIIII", 0, 0, 0, 0, 0, len(data)) + data


def _id3_picture(bench: Workbench, data: bytes) -> bytes:
    return _with_id3(bench, [*_NAMES, id3_frame("APIC", b"\0image/png\0\3\0" + data)])


def _many_pictures(bench: Workbench) -> bytes:
    picture = png_bomb(1000)
    return _with_id3(
        bench, [*_NAMES, *(id3_frame("APIC", b"\0image/png\0\3%d\0" % n + picture) for n in range(10_000))]
    )


def _flac_picture(bench: Workbench, data: bytes) -> bytes:
    return _flac_with(bench, flac_block(6, _picture_block(data)))


def _mp4_picture(bench: Workbench, data: bytes) -> bytes:
    names = [_mp4_text(b"\xa9nam", b"Kettle"), _mp4_text(b"\xa9ART", b"Hattie")]
    cover = box(b"covr", box(b"data", struct.pack(">II", 14, 0) + data))
    return with_movie_extended(bench.encoded("m4a"), _mp4_tags(*names, cover))
