"""Similar tracks as one process answers for them: vectors kept in memory, brought up to date by what has changed.

What belongs here: which vectors count at a given moment. What does not: the search (`musicfp.similarity.space`) and the
queries (`musicfp.catalog.vectors`).

Vectors of different versions of an extractor are never compared: each version has a space of its own, and a track is in
the one whose vector it has. While a new version is made for all tracks, the old ones go on finding each other.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from sqlmodel import Session

from musicfp.catalog import deletions, vectors
from musicfp.catalog.engine import Database
from musicfp.catalog.vectors import Change, TrackVector
from musicfp.features.registry import FeatureDefinition
from musicfp.pipeline.versions import FEATURE_PREFIX
from musicfp.similarity.embeddings import Embedding, available
from musicfp.similarity.space import ExactSpace, Neighbour, VectorSpace

LOGGER = logging.getLogger(__name__)
# Numbers that were taken and are not committed yet belong to the few transactions under way.
OVERLAP_ROWS = 1000


@dataclass
class _Followed:
    """The spaces of one embedding by version, and up to where the catalogue was read."""

    embedding: Embedding
    assets: frozenset[str]
    spaces: dict[str, VectorSpace] = field(default_factory=dict)
    version_of: dict[str, str] = field(default_factory=dict)
    read_up_to: int | None = None
    removed_up_to: int = 0
    recent: frozenset[Change] = frozenset()


class SimilarTracks:
    """Answers from memory for any of the available embeddings; each is read when it is asked for first.

    Threads may share it; one answers at a time.
    """

    def __init__(
        self,
        database: Database,
        definitions: Callable[[], Sequence[FeatureDefinition]],
        *,
        make_space: Callable[[int], VectorSpace] = ExactSpace,
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._make_space = make_space
        self._lock = Lock()
        self._followed: dict[str, _Followed] = {}

    def embeddings(self) -> Mapping[str, Embedding]:
        """Return by name what tracks can be compared by: the embeddings whose features are computed here."""
        return available(each.name for each in self._definitions())

    def nearest(self, embedding: Embedding, track_ids: Sequence[str], *, first: int) -> dict[str, list[Neighbour]]:
        """Return up to `first` neighbours of each track that has this vector now, nearest first."""
        with self._lock:
            followed = self._followed_by(embedding)
            with self._database.snapshot() as session:
                self._read(session, followed)
            by_version: dict[str, list[str]] = {}
            for track_id in track_ids:
                if track_id in followed.version_of:
                    by_version.setdefault(followed.version_of[track_id], []).append(track_id)
            found: dict[str, list[Neighbour]] = {}
            for version, asked in by_version.items():
                found |= followed.spaces[version].nearest(asked, first=first)
            return found

    def _followed_by(self, embedding: Embedding) -> _Followed:
        if embedding.name not in self._followed:
            extractors = {each.extractor for each in self._definitions() if each.name in embedding.features}
            assets = frozenset(f"{FEATURE_PREFIX}{each}" for each in extractors)
            self._followed[embedding.name] = _Followed(embedding, assets)
        return self._followed[embedding.name]

    def _read(self, session: Session, followed: _Followed) -> None:
        """Bring the spaces to what this session sees."""
        newest = vectors.newest_change(session)
        if followed.read_up_to is None:
            removed_up_to = deletions.newest_revision(session)
            for track_ids in vectors.all_tracks(session):
                self._take(session, followed, track_ids)
            found = vectors.changes(session, followed.assets, after=newest - OVERLAP_ROWS)
        else:
            removals = vectors.removals(session, after=followed.removed_up_to)
            removed_up_to = removals[-1].revision if removals else followed.removed_up_to
            for each in removals:
                self._drop(followed, each.track_id)
            # Numbers of rows that went with deleted tracks may be given again.
            given_again = sum(each.n_lineage_rows for each in removals)
            found = vectors.changes(session, followed.assets, after=followed.read_up_to - OVERLAP_ROWS - given_again)
            changed = dict.fromkeys(each.track_id for each in found if each not in followed.recent)
            self._take(session, followed, list(changed))
        followed.read_up_to, followed.removed_up_to, followed.recent = newest, removed_up_to, frozenset(found)

    def _take(self, session: Session, followed: _Followed, track_ids: Sequence[str]) -> None:
        """Read the vectors of these tracks; what had one and has none any more goes."""
        found = {each.track_id: each for each in vectors.of_tracks(session, track_ids, followed.embedding.features)}
        for track_id in track_ids:
            new = found.get(track_id)
            if new is None or followed.version_of.get(track_id) not in {None, new.version}:
                self._drop(followed, track_id)
            if new is not None:
                self._put(followed, new)

    def _put(self, followed: _Followed, new: TrackVector) -> None:
        if new.version not in followed.spaces:
            followed.spaces[new.version] = self._make_space(new.vector.size)
        try:
            followed.spaces[new.version].put(new.track_id, new.vector)
        except ValueError as error:
            LOGGER.warning("%s in version %s: %s", followed.embedding.name, new.version, error)
        else:
            followed.version_of[new.track_id] = new.version

    def _drop(self, followed: _Followed, track_id: str) -> None:
        version = followed.version_of.pop(track_id, None)
        if version is not None:
            followed.spaces[version].remove(track_id)
            if not len(followed.spaces[version]):
                del followed.spaces[version]
