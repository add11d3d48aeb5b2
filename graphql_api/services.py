"""What every request works with, made once per process.

What belongs here: opening and closing the database, the store and the threads. What does not:
anything per request (`context`).
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from graphql_api.observability import Metrics
from graphql_api.workers import Workers
from musicfp.catalog.engine import Database
from musicfp.features.registry import FeatureDefinition, load_builtin
from musicfp.pipeline.recognition import Identification, Recogniser
from musicfp.pipeline.shared_index import SharedIndex
from musicfp.pipeline.similar_tracks import SimilarTracks
from musicfp.pipeline.uploads import UploadTicket, request_upload
from musicfp.pipeline.versions import feature_versions
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore, open_store


class Services:
    """The process-wide parts of the API. Tests pass their own database and store."""

    def __init__(
        self, settings: Settings, *, database: Database | None = None, store: ObjectStore | None = None
    ) -> None:
        self.settings = settings
        self.database = database or Database(settings.database_url)
        self.search_index = SharedIndex(self.database, settings, store=lambda: self.store)
        self.recogniser = Recogniser(self.database, max_duration_s=settings.max_duration_s, index=self.search_index)
        self.similar_tracks = SimilarTracks(self.database, lambda: self.feature_definitions)
        self.workers = Workers()
        self.metrics = Metrics()
        self._given_store = store

    @cached_property
    def store(self) -> ObjectStore:
        """The object store. Opened at first use: the API answers what needs no store while there is none."""
        return self._given_store or open_store(self.settings)

    @property
    def feature_definitions(self) -> tuple[FeatureDefinition, ...]:
        """All features that extractors declare; their versions change when a model is installed."""
        return load_builtin(self.settings.feature_modules).definitions()

    @property
    def feature_versions(self) -> Mapping[str, str]:
        """The assets of all extractors with the versions that they make now."""
        return feature_versions(load_builtin(self.settings.feature_modules))

    async def request_upload(self, *, filename: str, size_bytes: int, submitter: str | None = None) -> UploadTicket:
        """Open a submission in a thread. Raises InvalidRequest."""

        def request() -> UploadTicket:
            return request_upload(
                self.database,
                self.store,
                self.settings,
                filename=filename,
                size_bytes=size_bytes,
                submitter=submitter,
            )

        return await self.workers.database.run(request)

    async def search_fingerprint(self, fingerprint: str, *, limit: int, min_score: float | None) -> Identification:
        """Search in a thread and count it."""
        found = await self.workers.search.run(
            self.recogniser.identify_fingerprint, fingerprint, limit=limit, min_score=min_score
        )
        return self._counted(found)

    async def search_audio(self, path: Path, *, limit: int, min_score: float | None) -> Identification:
        """Decode and search in a thread and count it."""
        found = await self.workers.search.run(self.recogniser.identify_audio, path, limit=limit, min_score=min_score)
        return self._counted(found)

    def close(self) -> None:
        """Close the search index and the database's connections."""
        self.search_index.close()
        self.database.close()

    def _counted(self, found: Identification) -> Identification:
        self.metrics.searched(took_ms=found.took_ms, candidates_examined=found.candidates_examined)
        return found
