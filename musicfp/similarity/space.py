"""The nearest vectors in a space of one embedding, found by looking at all of them.

What belongs here: numbers. What does not: where vectors come from (`musicfp.pipeline.similar_tracks`).

From each dimension its mean over all tracks is taken away, and it is divided by its standard deviation, so that none
counts for more because its numbers are larger; then the angle between two vectors says how unlike they are. These
statistics change a little with each track. They are taken anew when a twentieth of the tracks is new or changed, so a
distance may differ by hundredths from what all tracks of this moment would give; all of one answer have the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]

_RETAKE_SHARE = 0.05
_ALWAYS_RETAKE_BELOW = 1000
_FIRST_CAPACITY = 256
_GROWTH = 1.25
# Bounds the table of distances: 16 x 100,000 are 6.4 MB.
_QUERIES_AT_ONCE = 16
# A dimension that is the same everywhere, but for rounding, tells nothing.
_MIN_RELATIVE_STD = 1e-6


@dataclass(frozen=True)
class Neighbour:
    """A track and its cosine distance: 0 the same direction, 1 nothing in common, 2 opposite."""

    track_id: str
    distance: float


class VectorSpace(Protocol):
    """What an index of vectors must do. `ExactSpace` looks at all; another may ask pgvector or an approximate index."""

    def __len__(self) -> int:
        """Return the number of tracks."""

    def put(self, track_id: str, vector: Float32s) -> None:
        """Add a track, or give it another vector."""

    def remove(self, track_id: str) -> None:
        """Take a track out, if it is there."""

    def nearest(self, track_ids: Sequence[str], *, first: int) -> dict[str, list[Neighbour]]:
        """Return up to `first` neighbours of each of these tracks that is here, nearest first, itself left out."""


class ExactSpace:
    """A float32 matrix in memory with one row per track. Not to be used by two threads at a time.

    Parameters
    ----------
    n_dimensions
        Of every vector.

    """

    def __init__(self, n_dimensions: int) -> None:
        # Rows are kept relative to the first vector: large numbers that all have in common would cost digits.
        self._origin: Float32s | None = None
        self._matrix = np.zeros((_FIRST_CAPACITY, n_dimensions), dtype=np.float32)
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._n_changed = 0
        self._mean = np.zeros(n_dimensions, dtype=np.float32)
        self._weights = np.zeros(n_dimensions, dtype=np.float32)
        self._lengths = np.zeros(0, dtype=np.float32)
        self._lengths_are_current = False

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self._ids)

    @property
    def n_dimensions(self) -> int:
        """Of every vector."""
        return int(self._matrix.shape[1])

    @property
    def n_bytes(self) -> int:
        """Memory of the numbers; ids take about 200 bytes a track beside them."""
        return self._matrix.nbytes + self._lengths.nbytes

    def put(self, track_id: str, vector: Float32s) -> None:
        """Add a track, or give it another vector [shape=(n_dimensions,)]. Raises ValueError for another shape."""
        if vector.shape != (self.n_dimensions,):
            raise ValueError(
                f"The vector of {track_id} has shape {vector.shape}, here are {self.n_dimensions} numbers."
            )
        row = self._rows.get(track_id)
        if row is None:
            row = self._rows[track_id] = len(self._ids)
            self._ids.append(track_id)
            if row == len(self._matrix):
                grown = np.zeros((int(row * _GROWTH), self.n_dimensions), dtype=np.float32)
                grown[:row] = self._matrix
                self._matrix = grown
        if self._origin is None:
            self._origin = vector.copy()
        self._matrix[row] = vector - self._origin
        self._changed()

    def remove(self, track_id: str) -> None:
        """Take a track out, if it is there: the last one takes its row."""
        row = self._rows.pop(track_id, None)
        if row is None:
            return
        last = self._ids.pop()
        if last != track_id:
            self._ids[row] = last
            self._rows[last] = row
            self._matrix[row] = self._matrix[len(self._ids)]
        self._changed()

    def nearest(self, track_ids: Sequence[str], *, first: int) -> dict[str, list[Neighbour]]:
        """See `VectorSpace`. One pass over the matrix for every 16 tracks."""
        asked = [each for each in dict.fromkeys(track_ids) if each in self._rows]
        self._take_statistics()
        found: dict[str, list[Neighbour]] = {}
        for start in range(0, len(asked), _QUERIES_AT_ONCE):
            part = asked[start : start + _QUERIES_AT_ONCE]
            cosines = self._cosines([self._rows[each] for each in part])
            found |= {each: self._best(row, first=first) for each, row in zip(part, cosines, strict=True)}
        return found

    def _cosines(self, rows: Sequence[int]) -> Float32s:
        """Return the cosine of each of these rows with every row, -inf with itself [shape=(n_rows, n_tracks)]."""
        matrix = self._matrix[: len(self._ids)]
        queries = (matrix[rows] - self._mean) * self._weights
        queries *= self._weights / self._lengths[rows, np.newaxis]
        # (x - mean) * weights · query without a standardised copy of the matrix.
        cosines = queries @ matrix.T
        cosines -= (queries @ self._mean)[:, np.newaxis]
        cosines /= self._lengths
        cosines[np.arange(len(rows)), rows] = -np.inf
        return np.asarray(cosines)

    def _best(self, cosines: Float32s, *, first: int) -> list[Neighbour]:
        n = min(first, len(cosines) - 1)
        if n <= 0:
            return []
        best = np.argpartition(cosines, -n)[-n:]
        distances = np.clip(1.0 - cosines[best], 0.0, 2.0)
        neighbours = [Neighbour(self._ids[row], float(distance)) for row, distance in zip(best, distances, strict=True)]
        return sorted(neighbours, key=lambda each: (each.distance, each.track_id))

    def _changed(self) -> None:
        self._n_changed += 1
        self._lengths_are_current = False

    def _take_statistics(self) -> None:
        """Take mean and deviation anew if much has changed, and the lengths of the rows if anything has."""
        if self._lengths_are_current or not self._ids:
            return
        n = len(self._ids)
        matrix = self._matrix[:n]
        if n < _ALWAYS_RETAKE_BELOW or self._n_changed > _RETAKE_SHARE * n:
            mean = matrix.mean(axis=0, dtype=np.float64)
            std = matrix.std(axis=0, dtype=np.float64)
            telling = std > _MIN_RELATIVE_STD * np.maximum(1.0, np.abs(mean + self._origin))
            self._mean = mean.astype(np.float32)
            self._weights = np.divide(1.0, std, out=np.zeros_like(std), where=telling).astype(np.float32)
            self._n_changed = 0
        lengths = np.empty(n, dtype=np.float32)
        for first in range(0, n, 4096):
            standard = (matrix[first : first + 4096] - self._mean) * self._weights
            lengths[first : first + 4096] = np.sqrt(np.einsum("ij,ij->i", standard, standard))
        # A track in the very middle has no direction: a distance of 1 to all.
        self._lengths = np.maximum(lengths, np.finfo(np.float32).tiny ** 0.25)
        self._lengths_are_current = True
