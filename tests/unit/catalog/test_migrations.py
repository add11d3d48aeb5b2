"""The schema, on SQLite and on PostgreSQL."""

import importlib

import numpy as np
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import inspect, update
from sqlmodel import col, select

from musicfp.catalog import fingerprints, index_upkeep, migrate, relations, revisions
from musicfp.catalog.engine import Database
from musicfp.catalog.index_upkeep import IndexReport
from musicfp.catalog.tables import FingerprintRow
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from tests.support.seeds import music, seed_id, seed_track


def test_migrations_make_exactly_the_tables_of_the_models(database: Database) -> None:
    """Alembic finds no difference between migrated tables and models."""
    migrate.check_models_match(database)
    assert migrate.schema_is_current(database)


def test_migrations_can_be_undone_and_repeated(database: Database) -> None:
    """Down to nothing and up again, and up twice."""
    migrate.downgrade(database, "base")
    assert migrate.current_revision(database) is None
    migrate.upgrade(database)
    migrate.upgrade(database)
    migrate.check_models_match(database)


def test_fingerprints_of_the_first_release_are_indexed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Music with silence, a loop, nothing at all; in one batch or several: as if the index had always been there."""
    for number in range(1, 6):
        seed_track(database, number)
    loop = np.tile(music(9, n_items=20).sub_fingerprints, 60)
    silence = np.full(100, 0x256DF977, dtype=np.uint32)
    _replace(database, 2, np.concatenate([music(2).sub_fingerprints, silence, music(8).sub_fingerprints[:50], loop]))
    _replace(database, 3, silence)
    _replace(database, 4, silence[:0])
    _replace(database, 5, music(5, n_items=20_000).sub_fingerprints)
    index_upkeep.rebuild(database, progress=lambda _done, _all: None)
    with database.snapshot() as session:
        report = index_upkeep.verify(session)
    assert report.n_postings > 5000

    migrate.downgrade(database, "0001")
    assert "fingerprint_term" not in inspect(database.engine).get_table_names()
    migrate.upgrade(database)
    _assert_verified(database, report)

    migrate.downgrade(database, "0001")
    migration = importlib.import_module("musicfp.catalog.migrations.versions.0002_fingerprint_terms")
    monkeypatch.setattr(migration, "_BATCH_TRACKS", 2)
    with database.write() as session, Operations.context(MigrationContext.configure(session.connection())):
        migration.upgrade()
    _assert_verified(database, report)


def test_fingerprints_of_the_second_release_are_numbered(database: Database) -> None:
    """In the order of their tracks; what is stored next gets the next number."""
    for number in range(1, 4):
        seed_track(database, number)
    with database.exclusive() as session:
        track = relations.tracks(session, [seed_id(1)])[seed_id(1)]
        fingerprints.store(session, track, music(9), kind=FingerprintKind.BAND, version="1")
    migrate.downgrade(database, "0002")
    migrate.upgrade(database)
    with database.write() as session:
        found = session.exec(select(FingerprintRow).order_by(col(FingerprintRow.revision))).all()
        assert [(row.revision, row.track_id, row.kind) for row in found] == [
            (1, seed_id(1), "band_300_3400"),
            (2, seed_id(1), "full"),
            (3, seed_id(2), "full"),
            (4, seed_id(3), "full"),
        ]
        assert found[2].sub_fingerprints == music(2).to_bytes()
        assert (revisions.newest_revision(session), revisions.next_revision(session)) == (4, 5)


def _assert_verified(database: Database, report: IndexReport) -> None:
    with database.snapshot() as session:
        assert index_upkeep.verify(session) == report
    assert report.differences == ()


def _replace(database: Database, number: int, items: np.ndarray) -> None:
    data = Fingerprint.of_items(items).to_bytes()
    with database.write() as session:
        session.exec(
            update(FingerprintRow)
            .where(col(FingerprintRow.track_id) == seed_id(number))
            .values(sub_fingerprints=data, n_items=items.size)
        )
