"""Making segments of the inverted index: in a file, in bounded memory, or in memory, for a few fingerprints.

What belongs here: gathering postings and bringing them into the order of terms. What does not: the layout and looking
up (`index_segment`), and what is to be in which segment (`musicfp.pipeline.search_index`).

Postings of a batch of fingerprints are sorted by term and put aside in a temporary file; segments that are absorbed are
sorted already. Then all are merged, a range of terms at a time, so that no more than some millions of postings are in
memory, however many there are.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from musicfp.fingerprint.index_segment import (
    ALIGNMENT_BYTES,
    BLOCK_STRIDES,
    BLOCK_TERMS,
    FORMAT_VERSION,
    HEADER_BYTES,
    HEADER_PREFIX,
    MAGIC,
    MAX_STRIDES,
    IndexSegment,
    SparseDirectory,
)
from musicfp.fingerprint.indexing import indexed_items
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import N_TERMS

# A range of terms that is merged at once ends at one of these edges; a smaller one could not be.
_BIN_TERMS = 1 << 12
_N_BINS = N_TERMS // _BIN_TERMS
_MERGED_POSTINGS = 1 << 22
_SPARSE_TERM_BYTES = 8  # itself and where it begins
_SHIFT = np.uint64(32)

Items = NDArray[np.uint32]
Int64s = NDArray[np.int64]
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class WrittenSegment:
    """A segment's file and what is in it."""

    path: Path
    sha256: str
    size_bytes: int
    n_fingerprints: int
    n_postings: int


@dataclass(frozen=True, eq=False)
class StoredItems:
    """Fingerprints to index: their revisions, the ordinals of their tracks, and the items of each."""

    revisions: Sequence[int]
    ordinals: Sequence[int]
    tracks: Sequence[Items]

    def non_empty(self) -> "StoredItems":
        """Return those that have any item."""
        kept = [number for number, items in enumerate(self.tracks) if items.size]
        if len(kept) == len(self.tracks):
            return self
        return StoredItems(
            [self.revisions[n] for n in kept], [self.ordinals[n] for n in kept], [self.tracks[n] for n in kept]
        )


class SegmentWriter:
    """Takes fingerprints and whole segments, each later than those before it, and writes one segment of them."""

    def __init__(self, kind: FingerprintKind, *, scratch: Path) -> None:
        self._kind = kind
        # Without a name: when the process is killed, nothing is left of it.
        self._spill: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        self._runs: list[_Run] = []
        self._table = _Table()

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spill.close()

    @property
    def n_strides(self) -> int:
        """How much of MAX_STRIDES is used."""
        return self._table.n_strides

    @property
    def n_fingerprints(self) -> int:
        """Number of fingerprints so far."""
        return self._table.n_fingerprints

    def add(self, stored: StoredItems) -> None:
        """Add a batch of fingerprints; some hundreds at once are quickest. Empty ones are passed over."""
        stored = stored.non_empty()
        indexed = indexed_items(stored.tracks)
        base = self._table.add(stored, indexed.first_stride)
        keys = indexed.term.astype(np.uint64) << _SHIFT | (indexed.stride + base).astype(np.uint64)
        bins = np.arange(_N_BINS + 1, dtype=np.uint64) * np.uint64(_BIN_TERMS)
        edges = np.searchsorted(keys, bins << _SHIFT).astype(np.int32)
        self._runs.append(_SpilledRun(self._spill, self._spill.seek(0, os.SEEK_END), edges))
        self._spill.write(keys.tobytes())

    def absorb(self, segment: IndexSegment, *, alive: NDArray[np.bool_] | None) -> None:
        """Add the fingerprints of a segment, only those marked alive [shape=(n_fingerprints,)] if that is given."""
        self._runs.append(_SegmentRun(segment, self._table.absorb(segment, alive), alive))

    def write(self, path: Path, *, first_revision: int, last_revision: int, build_id: str) -> WrittenSegment:
        """Write the segment and sync it to the disk. The id of the build makes the file unlike any other."""
        self._spill.flush()
        with path.open("wb") as file:
            sections = _Sections(file)
            for name, array in self._table.arrays().items():
                sections.write(name, array)
            directory = _DirectoryWriter()
            with sections.growing("postings", np.dtype(np.uint32)) as n_postings:
                for keys in self._merged():
                    file.write(_low_words(keys).data)
                    directory.add(keys)
                    n_postings[0] += keys.size
            directory.write(sections)
            sections.finish(
                kind=self._kind, first_revision=first_revision, last_revision=last_revision, build_id=build_id
            )
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return WrittenSegment(path, sha256, path.stat().st_size, self.n_fingerprints, n_postings[0])

    def _merged(self) -> Iterator[Keys]:
        """Yield all postings as term << 32 | stride in their order, some millions at a time."""
        per_bin = np.zeros(_N_BINS, dtype=np.int64)
        for run in self._runs:
            per_bin += np.diff(run.edges)
        first = 0
        while first < _N_BINS:
            fitting = int(np.searchsorted(np.cumsum(per_bin[first:]), _MERGED_POSTINGS, side="right"))
            end = first + max(1, fitting)
            keys = np.concatenate([np.zeros(0, np.uint64), *(run.keys(first, end) for run in self._runs)])
            keys.sort()
            yield keys
            first = end


def segment_in_memory(kind: FingerprintKind, stored: StoredItems) -> IndexSegment:
    """Return a segment of a few fingerprints that is in no file."""
    stored = stored.non_empty()
    table = _Table()
    indexed = indexed_items(stored.tracks)
    table.add(stored, indexed.first_stride)
    return _in_memory(kind, table, indexed.term.astype(np.uint64) << _SHIFT | indexed.stride.astype(np.uint64))


def merged_in_memory(parts: Sequence[tuple[IndexSegment, NDArray[np.bool_] | None]]) -> IndexSegment:
    """Return one segment of several, each later than those before it, with the fingerprints that are marked alive."""
    table = _Table()
    runs = [_SegmentRun(segment, table.absorb(segment, alive), alive) for segment, alive in parts]
    return _in_memory(parts[0][0].kind, table, np.sort(np.concatenate([run.keys(0, _N_BINS) for run in runs])))


def _in_memory(kind: FingerprintKind, table: "_Table", keys: Keys) -> IndexSegment:
    terms, counts = _distinct(keys)
    arrays = table.arrays()
    revisions = arrays["revisions"]
    return IndexSegment(
        kind=kind,
        first_revision=int(revisions[0]) if revisions.size else 0,
        last_revision=int(revisions[-1]) if revisions.size else 0,
        postings=_low_words(keys),
        directory=SparseDirectory(terms, _starts(counts)),
        **arrays,
    )


class _Table:
    """The fingerprints of a segment and where each begins."""

    def __init__(self) -> None:
        self.n_strides = 0
        self.n_fingerprints = 0
        self._ordinals = [np.zeros(0, dtype=np.uint32)]
        self._revisions = [np.zeros(0, dtype=np.int64)]
        self._first_strides = [np.zeros(0, dtype=np.uint32)]

    def add(self, stored: StoredItems, first_stride: Int64s) -> int:
        """Append fingerprints and return the number of strides before them."""
        ordinals = np.array(stored.ordinals, dtype=np.uint32)
        revisions = np.array(stored.revisions, dtype=np.int64)
        return self._append(ordinals, revisions, first_stride[:-1], int(first_stride[-1]))

    def absorb(self, segment: IndexSegment, alive: NDArray[np.bool_] | None) -> Int64s:
        """Append the living of a segment and return where each of its fingerprints begins now."""
        kept = np.ones(segment.n_fingerprints, dtype=np.bool_) if alive is None else alive
        lengths = np.where(kept, np.diff(segment.first_strides.astype(np.int64)), 0)
        first_strides = np.cumsum(lengths) - lengths
        base = self._append(segment.ordinals[kept], segment.revisions[kept], first_strides[kept], int(lengths.sum()))
        return first_strides + base

    def arrays(self) -> dict[str, NDArray[Any]]:
        first_strides = np.append(np.concatenate(self._first_strides), np.uint32(self.n_strides))
        blocks = np.arange(0, self.n_strides, BLOCK_STRIDES, dtype=np.uint32)
        of_block = np.searchsorted(first_strides, blocks, side="right") - 1
        return {
            "ordinals": np.concatenate(self._ordinals),
            "revisions": np.concatenate(self._revisions),
            "first_strides": first_strides,
            "fingerprint_of_block": of_block.astype(np.uint32),
        }

    def _append(self, ordinals: NDArray[np.uint32], revisions: Int64s, first_strides: Int64s, n_strides: int) -> int:
        base = self.n_strides
        if base + n_strides > MAX_STRIDES:
            raise ValueError(f"a segment of {base} strides cannot take {n_strides} more; {MAX_STRIDES} fit into one")
        self._ordinals.append(ordinals)
        self._revisions.append(revisions)
        self._first_strides.append((first_strides + base).astype(np.uint32))
        self.n_fingerprints += ordinals.size
        self.n_strides += n_strides
        return base


class _Run(Protocol):
    """Sorted postings of which ranges of bins can be had as term << 32 | stride; `edges` has shape=(_N_BINS + 1,)."""

    @property
    def edges(self) -> NDArray[np.integer[Any]]: ...

    def keys(self, first_bin: int, end_bin: int) -> Keys: ...


@dataclass(frozen=True, eq=False)
class _SpilledRun:
    file: BinaryIO
    offset_bytes: int
    edges: NDArray[np.int32]

    def keys(self, first_bin: int, end_bin: int) -> Keys:
        first, end = int(self.edges[first_bin]) * 8, int(self.edges[end_bin]) * 8
        data = os.pread(self.file.fileno(), end - first, self.offset_bytes + first)
        if len(data) != end - first:
            raise OSError(f"Tried to read {end - first} bytes of a temporary file; there were {len(data)}.")
        return np.frombuffer(data, dtype=np.uint64)


class _SegmentRun:
    def __init__(self, segment: IndexSegment, first_strides: Int64s, alive: NDArray[np.bool_] | None) -> None:
        self._segment, self._first_strides, self._alive = segment, first_strides, alive
        self.edges = segment.directory.starts(np.arange(_N_BINS + 1, dtype=np.int64) * _BIN_TERMS)

    def keys(self, first_bin: int, end_bin: int) -> Keys:
        terms = np.arange(first_bin * _BIN_TERMS, end_bin * _BIN_TERMS + 1, dtype=np.int64)
        counts = np.diff(self._segment.directory.starts(terms))
        strides = self._segment.postings[int(self.edges[first_bin]) : int(self.edges[end_bin])]
        keys = np.repeat(terms[:-1].astype(np.uint64) << _SHIFT, counts)
        if self._alive is None:
            moved_by = int(self._first_strides[0]) if self._first_strides.size else 0
            keys |= strides.astype(np.uint64) + np.uint64(moved_by)
            return keys
        fingerprint, stride = self._segment.resolve(strides)
        keys |= (self._first_strides[fingerprint] + stride).astype(np.uint64)
        living: Keys = keys[self._alive[fingerprint]]
        return living


class _Sections:
    """Arrays in a file one after the other, and the header that tells where each is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[str, int, int]] = {}
        file.write(bytes(HEADER_BYTES))

    def write(self, name: str, array: NDArray[Any]) -> None:
        with self.growing(name, array.dtype) as count:
            self._file.write(np.ascontiguousarray(array).data)
            count[0] = array.size

    def growing(self, name: str, dtype: np.dtype[Any]) -> "_Growing":
        """Return the context in which an array is written piece by piece; it counts how many."""
        self._file.write(bytes(-self._file.tell() % ALIGNMENT_BYTES))
        return _Growing(self._places, name, dtype, self._file.tell())

    def finish(self, **facts: object) -> None:
        """Write the header, without which the file is none."""
        size_bytes = self._file.tell()
        text = json.dumps({**facts, "size_bytes": size_bytes, "sections": self._places}).encode()
        self._file.seek(0)
        self._file.write(HEADER_PREFIX.pack(MAGIC, FORMAT_VERSION, len(text)) + text)


@dataclass
class _Growing:
    places: dict[str, tuple[str, int, int]]
    name: str
    dtype: np.dtype[Any]
    offset: int

    def __enter__(self) -> list[int]:
        self.count = [0]
        return self.count

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.places[self.name] = (self.dtype.newbyteorder("<").str, self.offset, self.count[0])


class _DirectoryWriter:
    """Notes where each term begins while the postings go by."""

    def __init__(self) -> None:
        self._terms = [np.zeros(0, dtype=np.uint32)]
        self._counts = [np.zeros(0, dtype=np.uint32)]

    def add(self, keys: Keys) -> None:
        terms, counts = _distinct(keys)
        self._terms.append(terms)
        self._counts.append(counts.astype(np.uint32))

    def write(self, sections: _Sections) -> None:
        terms, counts = np.concatenate(self._terms), np.concatenate(self._counts)
        per_block = np.bincount(terms // BLOCK_TERMS, weights=counts, minlength=N_TERMS // BLOCK_TERMS)
        offset_type = np.dtype(np.uint16 if per_block.max() <= np.iinfo(np.uint16).max else np.uint32)
        if terms.size * _SPARSE_TERM_BYTES < N_TERMS * offset_type.itemsize:
            sections.write("terms", terms)
            sections.write("term_starts", _starts(counts))
            return
        of_term = np.zeros((N_TERMS // BLOCK_TERMS, BLOCK_TERMS), dtype=np.uint32)
        of_term.reshape(-1)[terms] = counts
        offsets = np.zeros(N_TERMS + 1, dtype=offset_type)
        np.cumsum(of_term[:, :-1], axis=1, out=offsets[:-1].reshape(of_term.shape)[:, 1:])
        sections.write("block_starts", _starts(per_block.astype(np.int64)))
        sections.write("offsets", offsets)


def _distinct(keys: Keys) -> tuple[NDArray[np.uint32], Int64s]:
    """Return the distinct terms of sorted keys, and how many keys each has."""
    term = (keys >> _SHIFT).astype(np.uint32)
    is_first = np.ones(term.size, dtype=np.bool_)
    is_first[1:] = term[1:] != term[:-1]
    starts = np.flatnonzero(is_first)
    return term[starts], np.diff(starts, append=term.size)


def _starts(counts: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    # Postings are fewer than 2**32, as strides are.
    return np.concatenate(([0], np.cumsum(counts, dtype=np.uint32))).astype(np.uint32)


def _low_words(keys: Keys) -> NDArray[np.uint32]:
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
