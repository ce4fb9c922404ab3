"""What forecasts rest on: units sold by goods, channel and day, and when the shelf was empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_MOST_LISTINGS = 100_000

# One row for goods on a channel, however often they were listed there.
_OFFERED = text(
    """
    SELECT s.id, v.sku, m.id, m.name, min(coalesce(l.published_at, l.created_at)), bool_or(l.status = 'active')
      FROM listing l JOIN variant v ON v.id = l.variant_id
      JOIN marketplace_account m ON m.id = l.account_id
      JOIN stock_item s ON s.variant_id = v.id AND s.pool = 'own'
     WHERE l.tenant_id = current_tenant()
     GROUP BY s.id, v.sku, m.id, m.name ORDER BY v.sku, m.name, m.id LIMIT :most
    """
)
# What the buyer called off was wanted all the same, but nobody knows for how long: it does not count.
_SOLD = text(
    """
    SELECT s.id, o.account_id, o.placed_at, sum(ol.quantity)::int
      FROM order_line ol JOIN customer_order o ON o.id = ol.order_id
      JOIN listing l ON l.id = ol.listing_id
      JOIN stock_item s ON s.variant_id = l.variant_id AND s.pool = 'own'
     WHERE ol.tenant_id = current_tenant() AND o.status <> 'cancelled' AND o.state <> 'cancelled'
       AND o.placed_at >= :since AND o.placed_at < :until
     GROUP BY s.id, o.account_id, o.placed_at
    """
)
# Nothing was free on the shelf from one movement to the next; before the first one there was no shelf.
_EMPTY = text(
    """
    SELECT item, at, next FROM (
      SELECT stock_item_id AS item, at, coalesce(lead(at) OVER w, :until) AS next,
             sum(on_hand_delta - reserved_delta) OVER w AS free
        FROM stock_movement WHERE tenant_id = current_tenant() AND at < :until
      WINDOW w AS (PARTITION BY stock_item_id ORDER BY at, id)) moved
     WHERE free <= 0 AND next > :since AND next > at
    """
)
_FIRST = text(
    "SELECT stock_item_id, min(at) FROM stock_movement WHERE tenant_id = current_tenant() GROUP BY stock_item_id"
)


@dataclass(frozen=True)
class Offered:
    """Goods on one channel; `since` is when they were first for sale there."""

    stock_item_id: UUID
    sku: str
    account_id: UUID
    channel: str
    since: datetime
    active: bool


async def offered(session: AsyncSession) -> list[Offered]:
    """All goods on all channels; of more than `_MOST_LISTINGS`, the first by SKU."""
    return [Offered(*row) for row in await session.execute(_OFFERED, {"most": _MOST_LISTINGS})]


async def sold(session: AsyncSession, since: datetime, until: datetime) -> Sequence[tuple[UUID, UUID, datetime, int]]:
    """Stock item, account, when, units."""
    return [(*row,) for row in await session.execute(_SOLD, {"since": since, "until": until})]


async def empty(session: AsyncSession, since: datetime, until: datetime) -> Sequence[tuple[UUID, datetime, datetime]]:
    """Stock item, from, to: nothing could be sold then."""
    return [(*row,) for row in await session.execute(_EMPTY, {"since": since, "until": until})]


async def first_moved(session: AsyncSession) -> dict[UUID, datetime]:
    """When each stock item's ledger begins."""
    return {row[0]: row[1] for row in await session.execute(_FIRST)}
