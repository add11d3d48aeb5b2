"""Lineage rows, on SQLite and on PostgreSQL."""

from sqlmodel import select

from musicfp.catalog import lineage, relations
from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.catalog.tables import MaterializationRow
from tests.support.seeds import seed_id

ASSETS = {"fingerprint": "1", "dedupe_verdict": None}


def test_a_repeated_run_leaves_one_row_per_asset(database: Database) -> None:
    """A run that starts again after a crash records nothing twice, but what it made beyond the first time."""
    with database.write() as session:
        lineage.record(session, Provenance("a"), {seed_id(1): ASSETS})
    with database.write() as session:
        lineage.record(session, Provenance("a"), {seed_id(1): ASSETS | {"track_metadata": "3"}})
    with database.read() as session:
        rows = session.exec(select(MaterializationRow)).all()
    assert sorted((row.asset_key, row.code_version) for row in rows if row.code_version) == [
        ("fingerprint", "1"),
        ("track_metadata", "3"),
    ]
    assert len(rows) == 3


def test_another_run_of_the_same_asset_is_recorded_beside_the_first(database: Database) -> None:
    """Who made a version and who made the next can both be seen, oldest first."""
    for run in ("a", "b"):
        with database.write() as session:
            lineage.record(session, Provenance(run), {seed_id(1): {"fingerprint": "1"}})
    with database.read() as session:
        rows = relations.materializations(session, [seed_id(1)])[seed_id(1)]
    assert [row.run_id for row in rows] == ["a", "b"]
