"""Statements about orders of goods that are not there: what they are, who else holds units, how the account stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import MarketplaceAccount, Order, OrderLine

_ITEMS = text(
    """
    SELECT i.id, sum(w.short)::bigint AS short, i.on_hand - i.reserved AS unsold,
           (SELECT coalesce(sum(e.on_hand - e.reserved), 0)::bigint FROM stock_item e
             WHERE e.variant_id = i.variant_id AND e.id <> i.id) AS elsewhere,
           (SELECT coalesce(sum(x.short), 0)::bigint FROM order_line x JOIN allocation y ON y.listing_id = x.listing_id
             WHERE y.stock_item_id = i.id AND x.short > 0) AS owed,
           min(v.cost_minor) AS cost_minor
      FROM order_line w JOIN allocation a ON a.listing_id = w.listing_id JOIN stock_item i ON i.id = a.stock_item_id
      JOIN variant v ON v.id = i.variant_id
     WHERE w.order_id = :order_id AND w.short > 0
     GROUP BY i.id
    """
)
_HOLDERS = text(
    """
    SELECT o.id, sum(l.reserved)::bigint AS units
      FROM allocation a JOIN order_line l ON l.listing_id = a.listing_id AND l.reserved > 0
      JOIN customer_order o ON o.id = l.order_id
     WHERE a.stock_item_id = :item_id AND o.id <> :order_id AND o.pool = 'own' AND o.holds_stock
       AND o.state IN ('reserved', 'ready') AND NOT EXISTS (SELECT 1 FROM shipment s WHERE s.order_id = o.id)
     GROUP BY o.id, o.placed_at
     HAVING sum(l.reserved) = :units
     ORDER BY o.placed_at DESC LIMIT 5
    """
)
_STANDING = text(
    """
    SELECT count(*) AS orders, count(*) FILTER (WHERE status = 'cancelled' AND oversold > 0) AS cancelled,
           coalesce(sum(total_minor) FILTER (WHERE currency = :currency), 0)::bigint AS sales
      FROM customer_order WHERE account_id = :account_id AND placed_at >= :since
    """
)


async def order(session: AsyncSession, order_id: UUID) -> Any:
    """The order's columns with its account's vendor and name; None when it is not there."""
    account = MarketplaceAccount
    query = select(*Order.__table__.c, account.vendor, account.name.label("account")).join(
        account, account.id == Order.account_id
    )
    return (await session.execute(query.where(Order.id == order_id))).one_or_none()


async def lines(session: AsyncSession, order_id: UUID) -> Sequence[Any]:
    query = select(*OrderLine.__table__.c).where(OrderLine.order_id == order_id).order_by(OrderLine.id)
    return (await session.execute(query)).all()


async def missing(session: AsyncSession, order_id: UUID) -> Sequence[Any]:
    """By stock item: units this order lacks, units no buyer has, units in other pools, units all buyers lack."""
    return (await session.execute(_ITEMS, {"order_id": order_id})).all()


async def holders(session: AsyncSession, order_id: UUID, item_id: UUID, units: int) -> Sequence[UUID]:
    """Orders not handed over yet that hold exactly so many units of the item, newest first."""
    rows = await session.execute(_HOLDERS, {"order_id": order_id, "item_id": item_id, "units": units})
    return [row.id for row in rows]


async def standing(session: AsyncSession, account_id: UUID, currency: str, since: datetime) -> tuple[int, int, int]:
    """Orders of an account since then, those of them that were oversold and cancelled, and its sales."""
    values = {"account_id": account_id, "currency": currency, "since": since}
    row = (await session.execute(_STANDING, values)).one()
    return row.orders, row.cancelled, row.sales
