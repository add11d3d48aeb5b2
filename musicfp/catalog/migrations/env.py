"""Alembic's entry: runs on the connection that `musicfp.catalog.migrate` hands over, on SQLite and PostgreSQL."""

from typing import Any, Literal

from alembic import context
from sqlmodel.sql.sqltypes import AutoString

from musicfp.catalog.column_types import UtcDateTime
from musicfp.catalog.tables import Table


def _render_item(kind: str, item: Any, _autogen_context: Any) -> str | Literal[False]:
    """Write our own column types into migrations as what they are stored as: a migration must not import live code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    render_item=_render_item,
    compare_type=True,
)
context.run_migrations()
