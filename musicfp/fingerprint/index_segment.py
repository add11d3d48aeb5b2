"""An inverted index of terms in one immutable file that processes map into memory and so share.

What belongs here: the layout of the file, opening it, and finding terms in it. What does not: making it
(`index_segment_writer`), where files come from and which of them answer (`musicfp.catalog.accelerated`).

A segment holds the fingerprints of one kind that were stored within a range of revisions. Of each posting it keeps one
number of 32 bits, the *stride*: indexed items counted through all fingerprints of the segment. A table tells where each
fingerprint begins in that count. The postings are sorted by term; a directory tells where each term begins. It comes in
two forms, whichever is smaller: the terms that occur, with their starts; or for each possible term its offset (16 bits,
if they do) within its block of 64, and for each block its start. A header of 4096 bytes tells where each array is.
"""

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from musicfp.errors import IndexFileUnusable
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import N_TERMS

MAGIC = b"MFPINDEX"
FORMAT_VERSION = 1
HEADER_BYTES = 4096
HEADER_PREFIX = struct.Struct("<8sII")  # magic, version of the format, bytes of the JSON that follows
ALIGNMENT_BYTES = 64
BLOCK_TERMS = 64
# Strides between two entries of the table that leads from a stride to its fingerprint: a track of two minutes has 237.
BLOCK_STRIDES = 128
# Not 2**32: a file with that many postings would be more than stores take in one request.
MAX_STRIDES = 1 << 30

Int64s = NDArray[np.int64]
UInt32s = NDArray[np.uint32]


class Directory(Protocol):
    """Where the postings of each term begin and end."""

    def starts(self, terms: Int64s) -> Int64s:
        """Return the index of the first posting of these terms, 0 to 2**24, or of the next term that has one."""
        ...

    def lists(self, terms: Int64s) -> tuple[Int64s, Int64s]:
        """Return the index of the first posting and the number of postings of these terms, each shape=(n,)."""
        ...


@dataclass(frozen=True, eq=False)
class SparseDirectory:
    """The terms that occur [shape=(n_terms,)], sorted, and where each begins [shape=(n_terms + 1,)]."""

    terms: UInt32s
    term_starts: UInt32s

    def starts(self, terms: Int64s) -> Int64s:
        """See `Directory`."""
        return self.term_starts[np.searchsorted(self.terms, terms.astype(np.uint32))].astype(np.int64)

    def lists(self, terms: Int64s) -> tuple[Int64s, Int64s]:
        """See `Directory`."""
        if not self.terms.size:
            return np.zeros_like(terms), np.zeros_like(terms)
        wanted = terms.astype(np.uint32)
        at = np.minimum(np.searchsorted(self.terms, wanted), self.terms.size - 1)
        first = self.term_starts[at].astype(np.int64)
        counts = self.term_starts[at + 1] - first
        counts[self.terms[at] != wanted] = 0
        return first, counts


@dataclass(frozen=True, eq=False)
class DenseDirectory:
    """Where each block of terms begins [shape=(n_blocks + 1,)], and each term in its block [shape=(2**24 + 1,)]."""

    block_starts: UInt32s
    offsets: NDArray[np.unsignedinteger[Any]]

    def starts(self, terms: Int64s) -> Int64s:
        """See `Directory`."""
        return self.block_starts[terms // BLOCK_TERMS].astype(np.int64) + self.offsets[terms]

    def lists(self, terms: Int64s) -> tuple[Int64s, Int64s]:
        """See `Directory`."""
        first = self.starts(terms)
        return first, self.starts(terms + 1) - first


@dataclass(frozen=True, eq=False)
class IndexSegment:
    """An opened segment; the arrays are the file's, or memory's if it was made there.

    `ordinals` and `revisions` [shape=(n_fingerprints,)] are in the order of revisions; no ordinal is there twice.
    `first_strides` [shape=(n_fingerprints + 1,)]; `postings` [shape=(n_postings,)] are strides, sorted by term, then
    stride. Every fingerprint has at least one stride.
    """

    kind: FingerprintKind
    first_revision: int
    last_revision: int
    ordinals: UInt32s
    revisions: Int64s
    first_strides: UInt32s
    fingerprint_of_block: UInt32s
    postings: UInt32s
    directory: Directory

    @property
    def n_fingerprints(self) -> int:
        """Number of fingerprints."""
        return int(self.ordinals.size)

    @property
    def n_strides(self) -> int:
        """Number of strides of all fingerprints."""
        return int(self.first_strides[-1])

    def resolve(self, strides: UInt32s) -> tuple[Int64s, Int64s]:
        """Return the number of the fingerprint, and the stride within it, of postings [each shape=(n,)]."""
        fingerprint = self.fingerprint_of_block[strides // np.uint32(BLOCK_STRIDES)].astype(np.int64)
        # One step as a rule; a bisection for each posting takes ten times as long.
        while (late := self.first_strides[fingerprint + 1] <= strides).any():
            fingerprint += late
        return fingerprint, strides.astype(np.int64) - self.first_strides[fingerprint]

    def find(self, ordinals: Int64s) -> Int64s:
        """Return the numbers of the fingerprints of those tracks that have one here."""
        if not self.n_fingerprints:
            return np.zeros(0, dtype=np.int64)
        order, in_order = self._by_ordinal
        at = np.minimum(np.searchsorted(in_order, ordinals), in_order.size - 1)
        found: Int64s = order[at[in_order[at] == ordinals]]
        return found

    @cached_property
    def _by_ordinal(self) -> tuple[Int64s, Int64s]:
        order = np.argsort(self.ordinals, kind="stable")
        return order, self.ordinals[order].astype(np.int64)


def open_segment(path: Path) -> IndexSegment:
    """Map a segment into memory. Nothing but its header is read.

    Raises
    ------
    IndexFileUnusable
        The file cannot be read, is no segment, is of another version, or has another size than it says.

    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise _unusable(path, f"it cannot be mapped: {error}") from error
    header = _header(path, mapped)
    try:
        arrays = {name: _section(mapped, *place) for name, place in header["sections"].items()}
        return IndexSegment(
            kind=FingerprintKind(header["kind"]),
            first_revision=int(header["first_revision"]),
            last_revision=int(header["last_revision"]),
            directory=_directory(arrays),
            **{name: arrays[name] for name in TABLES},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unusable(path, f"its header is damaged: {error!r}") from error


TABLES = ("ordinals", "revisions", "first_strides", "fingerprint_of_block", "postings")


def _header(path: Path, mapped: mmap.mmap) -> dict[str, Any]:
    if len(mapped) < HEADER_BYTES:
        raise _unusable(path, f"it has {len(mapped)} bytes, less than a header")
    magic, version, n_bytes = HEADER_PREFIX.unpack_from(mapped)
    if magic != MAGIC:
        raise _unusable(path, f"it begins with {magic!r}, so it is no segment")
    if version != FORMAT_VERSION:
        raise _unusable(path, f"its format is version {version}, and this is version {FORMAT_VERSION} of the code")
    try:
        header = json.loads(mapped[HEADER_PREFIX.size : HEADER_PREFIX.size + n_bytes])
        size_bytes = header["size_bytes"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"its header is damaged: {error!r}") from error
    if size_bytes != len(mapped):
        raise _unusable(path, f"it has {len(mapped)} bytes where its header says {size_bytes}")
    found: dict[str, Any] = header
    return found


def _section(mapped: mmap.mmap, dtype: str, offset: int, count: int) -> NDArray[Any]:
    if not count:
        return np.zeros(0, dtype=dtype)
    return np.frombuffer(mapped, dtype=dtype, count=count, offset=offset)


def _directory(arrays: Mapping[str, NDArray[Any]]) -> Directory:
    if "terms" in arrays:
        return SparseDirectory(arrays["terms"], arrays["term_starts"])
    if arrays["offsets"].size != N_TERMS + 1 or arrays["block_starts"].size != N_TERMS // BLOCK_TERMS + 1:
        raise ValueError(f"a directory of {arrays['offsets'].size} terms")
    return DenseDirectory(arrays["block_starts"], arrays["offsets"])


def _unusable(path: Path, found: str) -> IndexFileUnusable:
    return IndexFileUnusable(
        f"Tried to open {path} as a part of the search index; {found}. Remove it: it is made again."
    )
