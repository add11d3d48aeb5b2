"""Parts of audio files, byte by byte: chunks, boxes, pages, frames and tags with any values in them."""

import struct
import zlib
from collections.abc import Iterable, Iterator

SILENT_OPUS_PACKET = bytes([0xFB, 6]) + b"\xff\xfe" * 6  # 6 frames of 20 ms, full band, nothing in them
_MP4_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"dinf"})


def chunk(name: bytes, body: bytes, *, size: int | None = None) -> bytes:
    """Return a RIFF chunk; `size` is what it claims to hold."""
    claimed = len(body) if size is None else size
    return name + struct.pack("<I", claimed & 0xFFFFFFFF) + body + b"\0" * (len(body) % 2)


def wav(
    data: bytes,
    *,
    rate_hz: int = 44100,
    n_channels: int = 2,
    bits: int = 16,
    coding: int = 1,
    data_size: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """Return a WAV file of these samples with title and artist, claiming what it is told to."""
    block = max(1, n_channels * bits // 8)
    fmt = struct.pack("<HHIIHH", coding, n_channels, rate_hz, min(rate_hz * block, 0xFFFFFFFF), block & 0xFFFF, bits)
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Kettle\0\0") + chunk(b"IART", b"Hattie\0\0"))
    return chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", fmt) + info + extra + chunk(b"data", data, size=data_size))


def aiff(data: bytes, *, rate: bytes, n_channels: int, bits: int, n_frames: int) -> bytes:
    """Return an AIFF file; `rate` is the 80-bit float of its sample rate."""
    common = struct.pack(">hIh", n_channels, n_frames & 0xFFFFFFFF, bits) + rate
    body = b"AIFF" + b"COMM" + struct.pack(">I", len(common)) + common
    body += b"SSND" + struct.pack(">I", len(data) + 8) + bytes(8) + data
    return b"FORM" + struct.pack(">I", len(body)) + body


def caf(data: bytes, *, rate_hz: float, n_channels: int, bits: int, data_size: int) -> bytes:
    """Return a CAF file of big-endian PCM."""
    frame_bytes = n_channels * bits // 8
    desc = struct.pack(">d4sIIIII", rate_hz, b"lpcm", 0, frame_bytes & 0xFFFFFFFF, 1, n_channels, bits)
    head = b"caff\0\1\0\0desc" + struct.pack(">q", len(desc)) + desc
    return head + b"data" + struct.pack(">q", data_size) + bytes(4) + data


def flac_file(frames: Iterable[bytes], **stream_info: int) -> bytes:
    """Return a FLAC file; see `flac_stream_info` for what it may claim."""
    comments = [(b"title", b"Kettle"), (b"artist", b"Hattie")]
    tags = vorbis_comments(comments)
    head = b"fLaC" + flac_block(0, flac_stream_info(**stream_info)) + flac_block(4, tags, last=True)
    return head + b"".join(frames)


def flac_block(kind: int, body: bytes, *, last: bool = False, size: int | None = None) -> bytes:
    """Return a metadata block of FLAC."""
    return bytes([kind | (0x80 if last else 0)]) + (len(body) if size is None else size).to_bytes(3, "big") + body


def flac_stream_info(
    *, rate_hz: int = 44100, n_channels: int = 2, bits: int = 16, n_samples: int = 0, block_samples: int = 65535
) -> bytes:
    """Return STREAMINFO."""
    packed = rate_hz << 44 | (n_channels - 1) << 41 | (bits - 1) << 36 | n_samples
    return struct.pack(">HH", block_samples, block_samples) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)


def flac_constant_frames(n_frames: int, *, n_channels: int, value: int = 0) -> Iterator[bytes]:
    """Yield frames of 65535 samples that each say one value for all of them, 16 bits deep."""
    subframes = (b"\0" + struct.pack(">h", value)) * n_channels
    for number in range(n_frames):
        head = bytes([0xFF, 0xF8, 0x70, (n_channels - 1) << 4 | 0x08]) + _utf8_number(number) + b"\xff\xfe"
        frame = head + bytes([_crc(head, 8, 0x07)]) + subframes
        yield frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")


def vorbis_comments(comments: Iterable[tuple[bytes, bytes]], *, count: int | None = None) -> bytes:
    """Return a block of Vorbis comments; `count` is how many it claims to hold."""
    listed = [name + b"=" + value for name, value in comments]
    claimed = len(listed) if count is None else count
    parts = [struct.pack("<I", 4), b"evil", struct.pack("<I", claimed)]
    for comment in listed:
        parts += [struct.pack("<I", len(comment)), comment]
    return b"".join(parts)


def ogg_pages(packets: Iterable[tuple[bytes, int]], *, serial: int = 1) -> Iterator[bytes]:
    """Yield Ogg pages of (packet, granule position): the first two, its headers, on their own, then as many as fit."""
    waiting: list[tuple[bytes, int]] = []
    n_segments, sequence = 0, 0
    for packet, granule in packets:
        needed = len(packet) // 255 + 1
        if waiting and (sequence < 2 or n_segments + needed > 255):
            yield _ogg_page(waiting, serial=serial, sequence=sequence, flags=2 if sequence == 0 else 0)
            sequence, waiting, n_segments = sequence + 1, [], 0
        waiting.append((packet, granule))
        n_segments += needed
    yield _ogg_page(waiting, serial=serial, sequence=sequence, flags=4)


def silent_opus(duration_s: float) -> bytes:
    """Return Ogg Opus of silence, 117 bytes for each second."""
    head = b"OpusHead\1\2\0\0" + struct.pack("<I", 48000) + b"\0\0\0"
    tags = b"OpusTags" + vorbis_comments([(b"title", b"Kettle"), (b"artist", b"Hattie")])
    packets = [(head, 0), (tags, 0)]
    packets += [(SILENT_OPUS_PACKET, 5760 * (number + 1)) for number in range(int(duration_s / 0.12))]
    return b"".join(ogg_pages(packets))


def silent_mp3(duration_s: float) -> bytes:
    """Return MPEG 2.5 layer III of silence at 8 kbit/s and 8 kHz, with title and artist."""
    frame = b"\xff\xe3\x18\xc4" + bytes(68)
    return id3([text_frame("TIT2", "Kettle"), text_frame("TPE1", "Hattie")]) + frame * int(duration_s / 0.072)


def id3(frames: Iterable[bytes], *, version: int = 4, size: int | None = None) -> bytes:
    """Return an ID3v2 tag; `size` is what it claims to hold."""
    body = b"".join(frames)
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(body) if size is None else size) + body


def id3_frame(name: str, body: bytes, *, version: int = 4, flags: int = 0) -> bytes:
    """Return a frame of ID3v2.3 or 2.4."""
    size = syncsafe(len(body)) if version == 4 else struct.pack(">I", len(body))
    return name.encode("ascii") + size + struct.pack(">H", flags) + body


def text_frame(name: str, text: str) -> bytes:
    """Return a text frame in UTF-8."""
    return id3_frame(name, b"\3" + text.encode("utf-8", "surrogatepass"))


def packed_frame(name: str, n_bytes: int) -> bytes:
    """Return a text frame of ID3v2.4 whose text of `n_bytes` is compressed."""
    text = zlib.compress(b"\3" + b"a" * n_bytes, 9)
    return id3_frame(name, syncsafe(min(n_bytes + 1, 0x0FFFFFFF)) + text, flags=0x0009)


def syncsafe(number: int) -> bytes:
    """Return a number of 28 bits in the four bytes of seven bits that ID3v2 has."""
    return bytes([number >> 21 & 0x7F, number >> 14 & 0x7F, number >> 7 & 0x7F, number & 0x7F])


def box(name: bytes, body: bytes, *, size: int | None = None) -> bytes:
    """Return a box of MP4."""
    return struct.pack(">I", len(body) + 8 if size is None else size) + name + body


def with_boxes_replaced(data: bytes, name: bytes, body: bytes) -> bytes:
    """Return an MP4 file in which each box of this name holds `body`; the movie must come after its audio."""
    out, position = [], 0
    while position + 8 <= len(data):
        size = struct.unpack(">I", data[position : position + 4])[0]
        found, inner = data[position + 4 : position + 8], data[position + 8 : position + size]
        if found == name:
            out.append(box(found, body))
        elif found in _MP4_CONTAINERS:
            out.append(box(found, with_boxes_replaced(inner, name, body)))
        else:
            out.append(data[position : position + size])
        position += max(size, 8)
    return b"".join(out)


def with_movie_extended(data: bytes, more: bytes) -> bytes:
    """Return an MP4 file whose last box, the movie, has `more` at its end."""
    start = data.rindex(b"moov") - 4
    return data[:start] + box(b"moov", data[start + 8 :] + more)


def ape_tag(items: Iterable[bytes], *, count: int, size: int | None = None) -> bytes:
    """Return an APEv2 tag with only a footer; `count` and `size` are what it claims."""
    body = b"".join(items)
    claimed = len(body) + 32 if size is None else size
    return body + b"APETAGEX" + struct.pack("<IIII", 2000, claimed & 0xFFFFFFFF, count & 0xFFFFFFFF, 0) + bytes(8)


def ape_item(name: bytes, value: bytes) -> bytes:
    """Return one text item of an APEv2 tag."""
    return struct.pack("<II", len(value), 0) + name + b"\0" + value


def png_bomb(side_px: int) -> bytes:
    """Return a small PNG of a huge black square."""
    row = b"\0" * (side_px // 8 + 1)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row * 100) for _ in range(side_px // 100)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    made = [struct.pack(">I", len(body)) + name + body + _png_check(name + body) for name, body in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def _png_check(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _ogg_page(packets: list[tuple[bytes, int]], *, serial: int, sequence: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet, _ in packets)
    granule = packets[-1][1] if packets else 0
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qII", granule, serial, sequence)
    tail = bytes([len(lacing)]) + lacing + b"".join(packet for packet, _ in packets)
    return head + struct.pack("<I", _crc(head + bytes(4) + tail, 32, 0x04C11DB7)) + tail


def _utf8_number(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass") if number else b"\0"


_CRC_TABLES: dict[tuple[int, int], list[int]] = {}


def _crc(data: bytes, width: int, polynomial: int) -> int:
    table = _CRC_TABLES.setdefault((width, polynomial), []) or _crc_table(width, polynomial)
    mask, shift, crc = (1 << width) - 1, width - 8, 0
    for byte in data:
        crc = (crc << 8 & mask) ^ table[crc >> shift ^ byte]
    return crc


def _crc_table(width: int, polynomial: int) -> list[int]:
    table = _CRC_TABLES[width, polynomial]
    top, mask = 1 << (width - 1), (1 << width) - 1
    for byte in range(256):
        crc = byte << (width - 8)
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
        table.append(crc)
    return table
