"""Segments of the index as files: what is in them, how they are made, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.errors import IndexFileUnusable
from musicfp.fingerprint import index_segment, index_segment_writer
from musicfp.fingerprint.index_segment import DenseDirectory, IndexSegment, SparseDirectory, open_segment
from musicfp.fingerprint.index_segment_writer import (
    SegmentWriter,
    StoredItems,
    WrittenSegment,
    merged_in_memory,
    segment_in_memory,
)
from musicfp.fingerprint.indexing import indexed_items
from musicfp.fingerprint.postings import FingerprintKind, spans

FULL = FingerprintKind.FULL
Items = NDArray[np.uint32]
Triples = list[tuple[int, int, int]]


def catalogue(seed: int, n: int, *, n_terms: int = 3000) -> StoredItems:
    """Return fingerprints of all lengths, some empty, with common and rare terms, silence and loops."""
    rng = np.random.default_rng(seed)
    tracks = []
    for _ in range(n):
        items = (rng.zipf(1.3, rng.integers(0, 400)) % n_terms * 5003 % (1 << 24)).astype(np.uint32) << np.uint32(8)
        if items.size > 100:
            items[50:90] = items[50]
        tracks.append(items)
    ordinals = rng.choice(2_000_000_000, n, replace=False).tolist()
    return StoredItems(range(seed * 1000 + 1, seed * 1000 + 1 + n), ordinals, tracks)


def written(path: Path, *stored: StoredItems) -> WrittenSegment:
    """Write one file of several batches."""
    with SegmentWriter(FULL, scratch=path.parent) as writer:
        for each in stored:
            writer.add(each)
        return writer.write(path, first_revision=1, last_revision=9999, build_id="b")


def contents(segment: IndexSegment) -> Triples:
    """Return (term, ordinal, stride) of all postings, found by looking every term up."""
    terms = np.arange(1 << 24, dtype=np.int64)
    first, counts = segment.directory.lists(terms)
    terms, first, counts = terms[counts > 0], first[counts > 0], counts[counts > 0]
    fingerprint, stride = segment.resolve(segment.postings[spans(first, counts)])
    ordinal = segment.ordinals[fingerprint]
    return sorted(zip(np.repeat(terms, counts).tolist(), ordinal.tolist(), stride.tolist(), strict=True))


def expected(*stored: StoredItems) -> Triples:
    """Return the same of each fingerprint indexed alone."""
    found: Triples = []
    for each in stored:
        for ordinal, items in zip(each.ordinals, each.tracks, strict=True):
            alone = indexed_items([items])
            found += [(t, ordinal, s) for t, s in zip(alone.term.tolist(), alone.stride.tolist(), strict=True)]
    return sorted(found)


def test_a_file_has_the_postings_of_its_fingerprints(tmp_path: Path) -> None:
    """Each as if it were alone; the table tells whose they are."""
    one, two = catalogue(1, 60), catalogue(2, 45)
    made = written(tmp_path / "a", one, two)
    segment = open_segment(made.path)
    assert isinstance(segment.directory, SparseDirectory)
    assert contents(segment) == expected(one, two)
    assert len(contents(segment)) == made.n_postings > 3000
    assert segment.n_fingerprints == made.n_fingerprints == sum(items.size > 0 for items in one.tracks + two.tracks)
    assert (segment.first_revision, segment.last_revision, segment.kind) == (1, 9999, FULL)
    assert made.size_bytes == (tmp_path / "a").stat().st_size
    assert segment.revisions.tolist() == sorted(segment.revisions.tolist())


@pytest.mark.parametrize("postings_at_once", [1, 100, 10_000])
def test_however_few_postings_are_merged_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postings_at_once: int
) -> None:
    """The file is the same."""
    stored = [catalogue(seed, 20) for seed in range(4)]
    whole = written(tmp_path / "a", *stored)
    monkeypatch.setattr(index_segment_writer, "_MERGED_POSTINGS", postings_at_once)
    assert written(tmp_path / "b", *stored).sha256 == whole.sha256


@pytest.mark.parametrize("limit", [np.uint16, np.uint32])
def test_both_forms_of_the_directory_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: type[np.unsignedinteger[Any]]
) -> None:
    """Dense for many different terms; with wider offsets where one block of terms has very many postings."""
    rng = np.random.default_rng(1)
    # Each has 8 postings of each of 10 neighbouring terms.
    common = np.tile(np.repeat(np.arange(10, dtype=np.uint32) << np.uint32(8), 4), 8)
    tracks = [rng.integers(0, 1 << 32, 200_000, dtype=np.uint32), *[common] * (1000 if limit is np.uint32 else 100)]
    stored = StoredItems(range(1, len(tracks) + 1), range(1, len(tracks) + 1), tracks)
    monkeypatch.setattr(index_segment_writer, "_SPARSE_TERM_BYTES", 1 << 20)
    dense = open_segment(written(tmp_path / "a", stored).path)
    assert isinstance(dense.directory, DenseDirectory)
    assert dense.directory.offsets.dtype == limit
    sparse = segment_in_memory(FULL, stored)
    assert isinstance(sparse.directory, SparseDirectory)
    terms = np.concatenate([rng.integers(0, 1 << 24, 100_000), [0, 1, 9, 10, 63, 64, (1 << 24) - 1]])
    (first, counts), (also_first, also_counts) = dense.directory.lists(terms), sparse.directory.lists(terms)
    assert (counts == also_counts).all()
    assert (first[counts > 0] == also_first[counts > 0]).all()
    assert counts.sum() > 2000
    edges = np.arange(0, (1 << 24) + 1, 4096)
    assert (dense.directory.starts(edges) == sparse.directory.starts(edges)).all()
    assert (dense.postings == sparse.postings).all()


def test_segments_are_merged_without_their_dead(tmp_path: Path) -> None:
    """In a file and in memory alike, also when what was merged is merged again."""
    one, two, three = catalogue(1, 60), catalogue(2, 50), catalogue(3, 40)
    first, second = (open_segment(written(tmp_path / name, each).path) for name, each in (("a", one), ("b", two)))
    alive = np.random.default_rng(1).random(first.n_fingerprints) < 0.5
    alive[[0, 1, -1]] = False
    left = set(first.ordinals[alive].tolist())
    kept = [number for number, ordinal in enumerate(one.ordinals) if ordinal in left]
    of_one = StoredItems(kept, [one.ordinals[n] for n in kept], [one.tracks[n] for n in kept])
    with SegmentWriter(FULL, scratch=tmp_path) as writer:
        writer.absorb(first, alive=alive)
        writer.absorb(second, alive=None)
        writer.add(three)
        made = writer.write(tmp_path / "c", first_revision=1, last_revision=9, build_id="b")
    merged = open_segment(made.path)
    assert contents(merged) == expected(of_one, two, three)
    assert merged.n_strides == sum(-(-items.size // 4) for each in (of_one, two, three) for items in each.tracks)
    assert contents(merged_in_memory([(first, alive), (second, None)])) == expected(of_one, two)
    again = merged_in_memory([(merged, None), (segment_in_memory(FULL, catalogue(4, 9)), None)])
    assert contents(again) == expected(of_one, two, three, catalogue(4, 9))
    nobody = np.zeros(first.n_fingerprints, dtype=np.bool_)
    assert contents(merged_in_memory([(first, nobody), (second, None)])) == expected(two)


def test_fingerprints_are_found_by_their_tracks(tmp_path: Path) -> None:
    """Only those that are there."""
    stored = catalogue(1, 30)
    segment = open_segment(written(tmp_path / "a", stored).path)
    wanted = [number for number in range(30) if stored.tracks[number].size][3:9]
    ordinals = [stored.ordinals[number] for number in wanted]
    found = segment.find(np.array([*ordinals, 2_000_000_001, 0]))
    assert segment.ordinals[found].tolist() == ordinals
    assert segment_in_memory(FULL, StoredItems([], [], [])).find(np.array([1])).size == 0


def test_a_catalogue_of_silence_is_a_segment_without_postings(tmp_path: Path) -> None:
    """Every term is looked up in vain."""
    silence = StoredItems([1, 2], [1, 2], [np.full(500, 7, dtype=np.uint32)] * 2)
    segment = open_segment(written(tmp_path / "a", silence).path)
    assert (segment.n_fingerprints, segment.postings.size) == (2, 0)
    assert contents(segment) == []


def test_a_segment_takes_no_more_than_its_numbers_can_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It says so instead of counting from the beginning again."""
    monkeypatch.setattr(index_segment_writer, "MAX_STRIDES", 1000)
    with pytest.raises(ValueError, match="1000 fit into one"):
        written(tmp_path / "a", StoredItems([1], [1], [np.arange(4004, dtype=np.uint32)]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _: b"", "cannot be mapped"),
        (lambda data: data[:100], "less than a header"),
        (lambda data: data[:-1], "bytes where its header says"),
        (lambda data: data + b"x", "bytes where its header says"),
        (lambda data: b"RIFF" + data[4:], "it is no segment"),
        (lambda data: data[:8] + b"\2" + data[9:], "format is version 2"),
        (lambda data: data[:16] + b"x" + data[17:], "header is damaged"),
        (lambda data: data.replace(b'"postings"', b'"postinks"', 1), "header is damaged"),
        (lambda data: data.replace(b'"full"', b'"fool"', 1), "header is damaged"),
        (lambda data: bytes(len(data)), "it is no segment"),
    ],
)
def test_a_file_that_is_no_whole_segment_is_refused(tmp_path: Path, damage: object, said: str) -> None:
    """With its name and what is wrong."""
    data = written(tmp_path / "a", catalogue(1, 5)).path.read_bytes()
    broken = tmp_path / "broken.segment"
    broken.write_bytes(damage(data))  # type: ignore[operator]
    with pytest.raises(IndexFileUnusable, match=said) as raised:
        open_segment(broken)
    assert "broken.segment" in str(raised.value)


def test_a_section_beyond_the_end_is_refused(tmp_path: Path) -> None:
    """Though the size of the file is right."""
    path = written(tmp_path / "a", catalogue(1, 5)).path
    data = bytearray(path.read_bytes())
    _, _, n_bytes = index_segment.HEADER_PREFIX.unpack_from(data)
    place = slice(index_segment.HEADER_PREFIX.size, index_segment.HEADER_PREFIX.size + n_bytes)
    header = json.loads(data[place])
    header["sections"]["postings"][1] = 999_999_9
    text = json.dumps(header).encode()
    data[: place.start + len(text)] = (
        index_segment.HEADER_PREFIX.pack(index_segment.MAGIC, index_segment.FORMAT_VERSION, len(text)) + text
    )
    path.write_bytes(data)
    with pytest.raises(IndexFileUnusable, match="header is damaged"):
        open_segment(path)
