"""The schema, on SQLite and on PostgreSQL."""

from musicfp.catalog import migrate
from musicfp.catalog.engine import Database


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
