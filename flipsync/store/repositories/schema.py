"""Whether the database has the tables this version works with; any role may ask, whatever it may read."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Base

_COLUMNS = text(
    "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
)


async def missing_columns(session: AsyncSession) -> list[str]:
    """Columns of the models ("table.column") that the database lacks: not empty when migrations are behind."""
    present = {(table, column) for table, column in await session.execute(_COLUMNS)}
    return sorted(
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if (table.name, column.name) not in present
    )
