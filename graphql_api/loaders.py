"""One DataLoader per relation: whatever a request asks of a page, each relation costs one statement.

What belongs here: batching, and one transaction per batch. What does not: the queries (`musicfp.catalog.relations`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from graphql import GraphQLError
from strawberry.dataloader import DataLoader

from graphql_api.errors import INVALID_ARGUMENT, client_error
from graphql_api.limits import MAX_TEXT_CHARACTERS
from graphql_api.services import Services
from musicfp.catalog import deletions, relations
from musicfp.catalog.engine import utc_now
from musicfp.catalog.relations import FingerprintFacts
from musicfp.catalog.tables import (
    DeletionRow,
    FeatureRow,
    MaterializationRow,
    ProblemRow,
    RelatedTrackRow,
    TrackRow,
    TrackTagRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.fingerprint import codec
from musicfp.fingerprint.model import Fingerprint
from musicfp.similarity.space import Neighbour

T = TypeVar("T")


@dataclass(frozen=True)
class SimilarAsked:
    """The neighbours of one track that a request asks for."""

    track_id: str
    by: str
    first: int


# SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535.
MAX_BATCH_ITEMS = 500
DOWNLOAD_EXPIRY_S = 3600


@dataclass(frozen=True)
class SignedUrl:
    """A URL that reads one object until it expires."""

    url: str
    expires_at: datetime


class Loaders:
    """The loaders of one request: rows that were loaded once are not asked for again within it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        one, many = self._one, self._many
        self.track: DataLoader[str, TrackRow | None] = one("track", relations.tracks)
        self.verdict: DataLoader[str, VerdictRow | None] = one("verdict", relations.verdicts)
        self.fingerprint: DataLoader[str, FingerprintFacts | None] = one("fingerprint", relations.fingerprint_facts)
        self.encoded_fingerprint: DataLoader[str, str | None] = one("encoded_fingerprint", _encoded_fingerprints)
        self.tags: DataLoader[str, list[TrackTagRow]] = many("tags", relations.tags)
        self.transcodes: DataLoader[str, list[TranscodeRow]] = many("transcodes", relations.transcodes)
        self.features: DataLoader[str, list[FeatureRow]] = many("features", relations.features)
        self.related: DataLoader[str, list[RelatedTrackRow]] = many("related", relations.related)
        self.deletion: DataLoader[str, DeletionRow | None] = one("deletion", deletions.get_many)
        self.problems: DataLoader[str, list[ProblemRow]] = many("problems", relations.problems)
        self.lineage: DataLoader[str, list[MaterializationRow]] = many("lineage", relations.materializations)
        self.similar: DataLoader[SimilarAsked, list[Neighbour]] = DataLoader(
            load_fn=self._similar, max_batch_size=MAX_BATCH_ITEMS
        )
        self.signed_url: DataLoader[tuple[str, str], SignedUrl] = DataLoader(
            load_fn=self._sign, max_batch_size=MAX_BATCH_ITEMS
        )

    def _one(self, name: str, query: Callable[[Any, Sequence[str]], Mapping[str, T]]) -> DataLoader[str, T | None]:
        async def load(keys: list[str]) -> list[T | None]:
            found = await self._query(name, query, keys)
            return [found.get(key) for key in keys]

        return DataLoader(load_fn=load, max_batch_size=MAX_BATCH_ITEMS)

    def _many(
        self, name: str, query: Callable[[Any, Sequence[str]], Mapping[str, list[T]]]
    ) -> DataLoader[str, list[T]]:
        async def load(keys: list[str]) -> list[list[T]]:
            found = await self._query(name, query, keys)
            return [found.get(key, []) for key in keys]

        return DataLoader(load_fn=load, max_batch_size=MAX_BATCH_ITEMS)

    async def _query(
        self, name: str, query: Callable[[Any, Sequence[str]], Mapping[str, T]], keys: list[str]
    ) -> Mapping[str, T]:
        def in_one_transaction() -> Mapping[str, T]:
            with self._services.database.read() as session:
                return query(session, keys)

        self._services.metrics.loaded(name, len(keys))
        return await self._services.workers.database.run(in_one_transaction)

    async def _similar(self, keys: list[SimilarAsked]) -> list[list[Neighbour] | BaseException]:
        services = self._services
        services.metrics.loaded("similar", len(keys))
        # The first time, that imports the extractor modules.
        embeddings = await services.workers.similar.run(services.similar_tracks.embeddings)
        # All tracks of a page that ask alike are one search.
        alike: dict[tuple[str, int], list[str]] = {}
        for key in keys:
            if key.by in embeddings:
                alike.setdefault((key.by, key.first), []).append(key.track_id)
        found = {
            (by, first): await services.workers.similar.run(
                services.similar_tracks.nearest, embeddings[by], track_ids, first=first
            )
            for (by, first), track_ids in alike.items()
        }
        return [
            found[key.by, key.first].get(key.track_id, [])
            if key.by in embeddings
            else _no_embedding(key.by, embeddings)
            for key in keys
        ]

    async def _sign(self, keys: list[tuple[str, str]]) -> list[SignedUrl]:
        # Signing asks nobody, but 120 signatures for a page are too much work for the event loop.
        def sign_all() -> list[SignedUrl]:
            store = self._services.store
            expires_at = utc_now() + timedelta(seconds=DOWNLOAD_EXPIRY_S)
            return [
                SignedUrl(store.presign_get(bucket, key, expires_s=DOWNLOAD_EXPIRY_S), expires_at)
                for bucket, key in keys
            ]

        self._services.metrics.loaded("signed_url", len(keys))
        return await self._services.workers.database.run(sign_all)


def _no_embedding(name: str, embeddings: Iterable[str]) -> GraphQLError:
    message = f"`by` is {name[:MAX_TEXT_CHARACTERS]!r}; embeddings here are {', '.join(embeddings)}."
    return client_error(INVALID_ARGUMENT, message, argument="by")


def _encoded_fingerprints(session: Any, track_ids: Sequence[str]) -> dict[str, str]:
    return {
        track_id: codec.encode(Fingerprint.from_bytes(row.sub_fingerprints, audio_duration_s=row.audio_duration_s))
        for track_id, row in relations.fingerprints(session, track_ids).items()
    }
