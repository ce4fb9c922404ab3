"""Statements of the beginning of sync for a business: nothing is noted for those that never had a phone.

Triggers note changes once `sync_begun` has a row. A transaction that wrote while it could not see that row noted
nothing: its id is lower than that of any transaction begun when everybody could, the barrier. When all below the
barrier have ended, what they wrote can be seen, and is noted with all that was there before.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import SyncBegun

#: what is noted, and where it is; of orders those that changed lately, as phones keep them
KINDS = {
    "product": "product t",
    "variant": "variant t",
    "stock_item": "stock_item t",
    "listing": "listing t",
    "order": "customer_order t",
    "order_line": "order_line t JOIN customer_order o ON o.id = t.order_id",
    "notice": "sync_notice t",
}
_FRESH = {"order": "t.updated_at > :since", "order_line": "o.updated_at > :since"}


async def is_filled(session: AsyncSession) -> bool:
    """All that the business has is noted, and what changes will be."""
    query = select(SyncBegun.id).where(SyncBegun.filled_at.is_not(None))
    return (await session.scalars(query)).first() is not None


async def announce(session: AsyncSession, tenant_id: UUID) -> None:
    """Whoever sees this row notes what it changes."""
    values = {"id": new_id(), "tenant_id": tenant_id}
    await session.execute(insert(SyncBegun).values(values).on_conflict_do_nothing(index_elements=["tenant_id"]))


async def raise_barrier(session: AsyncSession) -> int:
    """In a transaction after `announce` was committed: the barrier, and of several the first, so that who asks again
    waits for nobody new. One of another history, before a restore, is beyond all ids here or behind all that work."""
    mine = text("pg_current_xact_id()::text::bigint")
    statement = update(SyncBegun).values(barrier=func.least(SyncBegun.barrier, mine)).returning(SyncBegun.barrier)
    raised = await session.execute(statement.execution_options(synchronize_session=False))
    barrier = raised.scalar_one()
    assert barrier is not None, "just set"
    return barrier


async def is_passed(session: AsyncSession, barrier: int) -> bool:
    """No transaction from before the barrier is under way any more, in any database of the server."""
    query = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= :barrier")
    return bool(await session.scalar(query, {"barrier": barrier}))


async def yield_to_others(session: AsyncSession) -> None:
    """In this transaction, wait no longer for others than PostgreSQL takes to look who waits in a circle: an order that
    waits for a mark of ours while we wait for one of its own is to go on, not we."""
    await session.execute(text("SELECT set_config('lock_timeout', '100ms', true)"))


async def fill(session: AsyncSession, kind: str, after: UUID, since: datetime, limit: int) -> UUID | None:
    """Note so many things of a kind with ids after `after`, where they are not noted; the last one's id, or None when
    there was none."""
    statement = text(
        f"""
        WITH found AS (
            SELECT t.tenant_id, t.id FROM {KINDS[kind]}
             WHERE t.tenant_id = current_tenant() AND t.id > :after AND {_FRESH.get(kind, "true")}
             ORDER BY t.id
             LIMIT :limit
        ), noted AS (
            INSERT INTO sync_change (tenant_id, kind, id, xid, at, gone)
            SELECT tenant_id, :kind, id, pg_current_xact_id()::text::bigint, clock_timestamp(), false FROM found
            ON CONFLICT (tenant_id, kind, id) DO NOTHING
        )
        SELECT id FROM found ORDER BY id DESC LIMIT 1
        """  # noqa: S608 - made of constants
    )
    values = {"kind": kind, "after": after, "limit": limit} | ({"since": since} if kind in _FRESH else {})
    last: UUID | None = await session.scalar(statement, values)
    return last


async def set_filled(session: AsyncSession, at: datetime) -> bool:
    """Whether it was not before."""
    statement = update(SyncBegun).where(SyncBegun.filled_at.is_(None)).values(filled_at=at)
    done = await session.execute(statement.execution_options(synchronize_session=False))
    return bool(done.rowcount)  # type: ignore[attr-defined]
