"""The search accelerator as one process uses it: the newest build, opened in the background, or none.

What belongs here: when to look for a build, fetching it, and saying how it stands. What does not: looking terms up
(`musicfp.catalog.accelerated`) and building (`search_index`).

A search never waits for any of this. Until a build is open, and whenever one cannot be used, searches ask the database.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock, Thread

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from musicfp.catalog import search_index
from musicfp.catalog.accelerated import AcceleratedCatalogue, OpenIndex
from musicfp.catalog.engine import Database
from musicfp.catalog.search_index import Build
from musicfp.errors import MusicfpError
from musicfp.fingerprint.postings import SearchableCatalogue
from musicfp.pipeline.index_files import opened, remove_others
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore

LOGGER = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
# A store that is down is not asked every second.
_RETRY_AFTER_S = 30.0


@dataclass(frozen=True)
class IndexStatus:
    """How the accelerator stands: the newest build of the catalogue, the one that is open here, and what is wrong.

    `lag_fingerprints` is about how many fingerprints are newer than the newest build.
    """

    build_id: str | None
    created_at: datetime | None
    watermark: int
    lag_fingerprints: int
    open_build_id: str | None = None
    problem: str | None = None


class SharedIndex:
    """The newest build, kept open for all threads of a process."""

    def __init__(self, database: Database, settings: Settings, *, store: Callable[[], ObjectStore]) -> None:
        self._database = database
        self._settings = settings
        self._store = store
        self._open: OpenIndex | None = None
        self._problem: str | None = None
        self._look_at_s = 0.0
        self._starting = Lock()
        self._thread: Thread | None = None
        self._wanted = Event()
        self._closed = False

    def catalogue(self, session: Session) -> SearchableCatalogue | None:
        """Return the catalogue that this session sees, accelerated; None while there is no build open."""
        self._look_soon(session)
        index = self._open
        return None if index is None else AcceleratedCatalogue(session, index)

    def status(self, session: Session) -> IndexStatus:
        """Say how the accelerator stands; two look-ups."""
        self._look_soon(session)
        index = self._open
        return index_status(session, open_build_id=index.build.id if index else None, problem=self._problem)

    def refresh(self) -> None:
        """Open the newest build if it is another one, and read what is newer. What goes wrong is in `status`."""
        try:
            self._refresh()
        except (MusicfpError, SQLAlchemyError, OSError) as error:
            # The one open stays: what is newer comes from the database.
            self._look_at_s = time.monotonic() + _RETRY_AFTER_S
            problem = str(error).splitlines()[0]
            if problem != self._problem:
                LOGGER.warning("the newest search index cannot be used: %s", error)
            self._problem = problem

    def close(self) -> None:
        """Stop looking for builds. Files stay mapped until the last search that uses them is done."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)  # a download may take longer; the thread ends with the process
        self._open = None

    def _refresh(self) -> None:
        with self._database.read() as session:
            newest = search_index.newest_build_id(session)
            if self._open is not None and self._open.build.id == newest:
                self._open.catch_up(session)
                self._problem = None
                return
            kept = search_index.kept_builds(session)
        if not kept:
            self._open = None
        else:
            self._open = self._opened(kept[0])
            remove_others(self._settings, [segment for build in kept for segment in build.segments])
            LOGGER.info("search index %s is open, %d segments", kept[0].id, len(kept[0].segments))
        self._problem = None

    def _opened(self, build: Build) -> OpenIndex:
        segments = [opened(self._store, self._settings, each) for each in build.segments]
        return OpenIndex.open(self._database, build, segments)

    def _look_soon(self, session: Session) -> None:
        """Let the thread open the newest build, if there is any; asked at most once a second, by one look-up."""
        now = time.monotonic()
        if self._closed or now < self._look_at_s:
            return
        self._look_at_s = now + _LOOK_EVERY_S
        if self._open is None and search_index.newest_build_id(session) is None:
            return
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = Thread(target=self._look, name="search-index", daemon=True)
                    thread.start()
                    self._thread = thread
        self._wanted.set()

    def _look(self) -> None:
        while not self._closed:
            self._wanted.wait()
            self._wanted.clear()
            if not self._closed:
                self.refresh()


def index_status(session: Session, *, open_build_id: str | None = None, problem: str | None = None) -> IndexStatus:
    """Say how the accelerator of a catalogue stands."""
    build = search_index.newest_build(session)
    watermark = build.watermark if build else 0
    return IndexStatus(
        build_id=build.id if build else None,
        created_at=build.created_at if build else None,
        watermark=watermark,
        lag_fingerprints=search_index.lag_fingerprints(session, watermark=watermark),
        open_build_id=open_build_id,
        problem=problem,
    )
