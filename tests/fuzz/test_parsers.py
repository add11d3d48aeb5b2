"""Our own parsers on anything: an answer or our own error, bounded, and what was written is read back."""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from graphql_api.queries import submissions, tracks
from graphql_api.routes import identify, uploads
from graphql_api.types.connections import decode_cursor, encode_cursor
from graphql_api.types.filters import FeatureFilter, TagFilter, TrackFilter, conditions_of
from musicfp.audio import headers
from musicfp.audio.sniff import FORMATS, audio_start, check_extension, sniff_format
from musicfp.audio.tags import MAX_VALUE_CHARS, MAX_VALUES_PER_NAME, read_tags, track_tags
from musicfp.errors import IndexFileUnusable, InvalidFingerprint
from musicfp.fingerprint import codec
from musicfp.fingerprint.index_segment import FORMAT_VERSION, HEADER_PREFIX, MAGIC, open_segment
from musicfp.fingerprint.model import Fingerprint
from musicfp.identity import file_extension, is_id, new_id, submission_id_of_key, submission_key
from musicfp.text import clean_line
from musicfp_assets.sensors.submissions import Cursor
from tests.support.fuzzing import FUZZING, corpus

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
MARKS = [
    b"ID3\4\0\0",
    b"OggS",
    b"RIFF",
    b"WAVE",
    b"data",
    b"fLaC",
    b"ftyp",
    b"moov",
    b"FORM",
    b"AIFF",
    b"SSND",
    b"caff",
]
MARKS += [b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"\x0b\x77", b"Xing", b"VBRI", b"OpusHead", b"APETAGEX", b"\0" * 8]
AUDIO_LIKE = st.lists(st.one_of(st.sampled_from(MARKS), st.binary(max_size=40)), max_size=30).map(b"".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "file"


def check_fingerprint(text: str) -> None:
    try:
        found = codec.decode(text, max_items=2000)
    except InvalidFingerprint:
        return
    assert 1 <= found.n_items <= 2000
    assert codec.decode(codec.encode(found)) == found


@FUZZING
@given(
    ANY_TEXT
    | st.binary(max_size=300).map(
        lambda data: (
            "AQAA" + codec.encode(Fingerprint.of_items(np.frombuffer(data[: len(data) // 4 * 4], np.uint32)))[4:]
        )
    )
)
def test_fingerprints(text: str) -> None:
    check_fingerprint(text)


@pytest.mark.parametrize("data", corpus("fingerprint"))
def test_kept_fingerprints(data: bytes) -> None:
    check_fingerprint(data.decode("utf-8", "surrogateescape"))


def check_file(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    found = sniff_format(path)
    with path.open("rb") as file:
        assert audio_start(file) >= 0
    for fmt in FORMATS if found is None else (found,):
        assert headers.ends_early(path, fmt=fmt) in {True, False}
        assert headers.duration_is_declared(path, fmt=fmt) in {True, False}
    if found is not None:
        assert check_extension(found.extensions[0], found) is None
        assert len(read_tags(path, fmt=found).values) <= 32 * 15


@FUZZING
@given(AUDIO_LIKE)
def test_files(scratch: Path, data: bytes) -> None:
    check_file(data, scratch)


@pytest.mark.parametrize("data", corpus("file"))
def test_kept_files(scratch: Path, data: bytes) -> None:
    check_file(data, scratch)


def check_text(text: str) -> None:
    line = clean_line(text, max_characters=50)
    assert len(line) <= 50
    assert line == clean_line(line, max_characters=50)
    assert line.encode("utf-8").decode() == line
    assert line.isprintable() or all(ord(each) > 127 for each in line if not each.isprintable())
    extension = file_extension(text)
    assert extension is None or (extension.isascii() and extension.isalnum() and len(extension) <= 8)
    submission_id = new_id()
    key = submission_key(submission_id, text)
    assert submission_id_of_key(key) == submission_id
    assert ".." not in key
    assert key.isascii()
    assert submission_id_of_key(text) is None or is_id(submission_id_of_key(text) or "")
    tags = track_tags([("title", text)] * 3 + [("artist", f"{text}{n}") for n in range(40)])
    assert all(len(value) <= MAX_VALUE_CHARS for _, value in tags.values)
    assert len(tags.of("artist")) <= MAX_VALUES_PER_NAME


@FUZZING
@given(ANY_TEXT)
def test_texts(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize("data", corpus("text"))
def test_kept_texts(data: bytes) -> None:
    check_text(data.decode("utf-8", "surrogatepass"))


def check_cursor(text: str) -> None:
    stored = Cursor.parse(text)
    assert math.isfinite(stored.complete_due_at)
    assert math.isfinite(stored.gathering_since)
    for after in (tracks._after, submissions._after):
        try:
            found = after(text)
        except GraphQLError:
            continue
        else:
            assert isinstance(found, int) or is_id(found)


@FUZZING
@given(st.one_of(ANY_TEXT, JSON.map(json.dumps), ANY_TEXT.map(lambda key: json.dumps({"after": key}))))
def test_cursors(text: str) -> None:
    check_cursor(text)


@pytest.mark.parametrize("data", corpus("cursor"))
def test_kept_cursors(data: bytes) -> None:
    check_cursor(data.decode("utf-8"))


@FUZZING
@given(st.integers(0, 10**17))
def test_a_cursor_of_ours_is_read_back(ordinal: int) -> None:
    assert tracks._after(encode_cursor("track", str(ordinal))) == ordinal
    assert decode_cursor("track", encode_cursor("track", str(ordinal))) == str(ordinal)


NUMBERS = st.none() | st.floats()


@FUZZING
@given(
    st.builds(
        TrackFilter,
        title=st.none() | ANY_TEXT,
        text=st.none() | ANY_TEXT,
        min_duration_seconds=NUMBERS,
        tags=st.none() | st.lists(st.builds(TagFilter, name=ANY_TEXT, value=st.none() | ANY_TEXT), max_size=12),
        features=st.none() | st.lists(st.builds(FeatureFilter, name=ANY_TEXT, min_value=NUMBERS), max_size=12),
    )
)
def test_filters(where: TrackFilter) -> None:
    try:
        conditions = conditions_of(where)
    except GraphQLError:
        return
    for text in (conditions.title, conditions.text):
        assert text is None or text.encode("utf-8")


@FUZZING
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_bodies(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data)
    text = identify._fingerprint_text(scratch)
    if text is not None:
        check_fingerprint(text)
    parsed = uploads._parse(data)
    assert isinstance(parsed, tuple) or parsed.status_code == 400


@FUZZING
@given(st.binary(max_size=60))
def test_query_strings(data: bytes) -> None:
    request = Request({"type": "http", "query_string": data, "headers": [], "method": "POST", "path": "/identify"})
    try:
        limit, min_score = identify._bounds(request)
    except GraphQLError:
        return
    assert 1 <= limit <= 100
    assert min_score is None or 0 <= min_score <= 1


@FUZZING
@given(st.binary(max_size=200), JSON)
def test_index_segments(scratch: Path, data: bytes, header: object) -> None:
    text = json.dumps(header).encode()
    for broken in (data, HEADER_PREFIX.pack(MAGIC, FORMAT_VERSION, len(text)) + text + data):
        scratch.write_bytes(broken)
        with pytest.raises(IndexFileUnusable):
            open_segment(scratch)
