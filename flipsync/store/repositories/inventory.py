"""Read statements for deciding on stock: an item with all its listings and what they sold lately."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Allocation, Order, OrderLine
from flipsync.store.repositories.stock import OWED


@dataclass(frozen=True)
class ShareRow:
    """One listing's part of a stock item. Units; `sold` since the time asked for, of a partitioned item only;
    `ever_sold` and `on_show` (seconds) since they are counted."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    account_status: str
    listing_status: str
    entitled: int
    pending: int
    target: int
    quantity_shown: int | None
    sold: int
    ever_sold: int = 0
    on_show: float = 0.0


@dataclass(frozen=True)
class ItemRow:
    stock_item_id: UUID
    variant_id: UUID
    mode: str
    on_hand: int
    reserved: int
    allocated: int
    pending_count: int | None
    #: units that buyers wait for and nothing is set aside for, and those to be sent to a channel's warehouse
    owed: int = 0


# What a listing sold bears on its share of a partitioned item; pooled channels show the same units whatever they sold.
_ITEMS = text(
    f"""
    SELECT i.id, i.variant_id, i.mode, i.on_hand, i.reserved, i.allocated, i.pending_count, {OWED} AS owed,
           l.id AS listing_id, l.account_id, m.vendor, m.status AS account_status, l.status AS listing_status,
           a.entitled, a.pending, a.target, l.quantity_shown,
           CASE WHEN i.mode = 'escrow' THEN (
               SELECT coalesce(sum(s.quantity), 0)::bigint
                 FROM order_line s JOIN customer_order o ON o.id = s.order_id
                WHERE s.listing_id = l.id AND o.placed_at >= :since AND o.holds_stock) ELSE 0 END AS sold,
           a.sold AS ever_sold,
           a.shown_seconds + greatest(0, coalesce(extract(epoch FROM :now - a.shown_since), 0))::float8 AS on_show
      FROM stock_item i
      LEFT JOIN (allocation a JOIN listing l ON l.id = a.listing_id JOIN marketplace_account m ON m.id = l.account_id)
        ON a.stock_item_id = i.id AND l.pool = i.pool
     WHERE i.id = ANY(:ids)
     ORDER BY i.id, l.id
    """  # noqa: S608 - made of two constants
)


async def items(
    session: AsyncSession, ids: Collection[UUID], *, since: datetime, now: datetime
) -> dict[UUID, tuple[ItemRow, tuple[ShareRow, ...]]]:
    """Stock items with their listings in a stable order. Ids of something else find nothing."""
    found: dict[UUID, tuple[ItemRow, tuple[ShareRow, ...]]] = {}
    for row in await session.execute(_ITEMS, {"ids": list(ids), "since": since, "now": now}):
        item, shares = found.get(row[0]) or (ItemRow(*row[:8]), ())
        found[row[0]] = (item, (*shares, ShareRow(*row[8:])) if row[8] is not None else shares)
    return found


async def item_of_listing(session: AsyncSession, listing_id: UUID) -> UUID | None:
    return (
        await session.scalars(select(Allocation.stock_item_id).where(Allocation.listing_id == listing_id))
    ).one_or_none()


async def short_orders(session: AsyncSession, stock_item_id: UUID) -> Sequence[UUID]:
    """Orders that wait for units of this item, oldest first."""
    rows = await session.scalars(
        select(Order.id)
        .join(OrderLine, OrderLine.order_id == Order.id)
        .join(Allocation, Allocation.listing_id == OrderLine.listing_id)
        .where(Allocation.stock_item_id == stock_item_id, OrderLine.short > 0, Order.holds_stock)
        .group_by(Order.id, Order.placed_at)
        .order_by(Order.placed_at)
    )
    return rows.all()


@dataclass(frozen=True)
class OrderRow:
    order_id: UUID
    account_id: UUID
    vendor: str
    number: str
    status: str
    state: str
    holds_stock: bool
    total_minor: int
    currency: str
    short_units: int
    pool: str


_ORDERS = text(
    """
    SELECT o.id, o.account_id, m.vendor, o.number, o.status, o.state, o.holds_stock, o.total_minor, o.currency,
           (SELECT coalesce(sum(l.short), 0)::bigint FROM order_line l WHERE l.order_id = o.id) AS short,
           o.pool
      FROM customer_order o JOIN marketplace_account m ON m.id = o.account_id
     WHERE o.id = ANY(:ids)
    """
)


async def orders(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, OrderRow]:
    """Orders by id. Ids of something else find nothing."""
    return {row[0]: OrderRow(*row) for row in await session.execute(_ORDERS, {"ids": list(ids)})}
