"""Statements that put a new order into the books: the order, what it sells locked, its lines and what they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import ChannelOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.unit_of_work import UnitOfWork


@dataclass
class Goods:
    """What a listing sells: its share and its stock item's figures, both locked. Changes are written by the caller."""

    listing_id: UUID
    external_id: str | None
    sku: str
    cost_minor: int | None
    stock_item_id: UUID
    variant_id: UUID
    mode: str
    on_hand: int
    reserved: int
    allocated: int
    entitled: int
    pending: int
    target: int
    advertised: bool


@dataclass
class NewLine:
    """A row of `order_line` to be."""

    id: UUID
    external_id: str
    listing_id: UUID | None
    sku: str
    title: str
    quantity: int
    total_minor: int
    tax_minor: int
    cost_minor: int | None
    reserved: int = 0
    short: int = 0


_LOCK_GOODS = text(
    """
    SELECT l.id, l.external_id, l.sku, v.cost_minor, i.id, i.variant_id, i.mode, i.on_hand, i.reserved, i.allocated,
           a.entitled, a.pending, a.target, i.advertised
      FROM listing l
      JOIN variant v ON v.id = l.variant_id
      JOIN allocation a ON a.listing_id = l.id
      JOIN stock_item i ON i.id = a.stock_item_id
     WHERE l.account_id = :account_id AND (l.external_id = ANY(:external_ids) OR l.sku = ANY(:skus))
     ORDER BY i.id, l.id
       FOR UPDATE OF i, a
    """
)


async def lock_goods(
    session: AsyncSession, account_id: UUID, external_ids: Sequence[str], skus: Sequence[str]
) -> list[Goods]:
    """Stocked listings of an account, locked in the order of their items' ids until the transaction ends."""
    await session.flush()
    rows = await session.execute(
        _LOCK_GOODS, {"account_id": account_id, "external_ids": list(external_ids), "skus": list(skus)}
    )
    return [Goods(*row) for row in rows]


_CREATE = text(
    """
    INSERT INTO customer_order (id, tenant_id, account_id, external_id, number, status, vendor_status, holds_stock,
                                state, currency, total_minor, tax_minor, shipping_minor, fee_minor, placed_at,
                                modified_at, ship_to, buyer_id, pool, created_at, updated_at)
    SELECT :id, :tenant_id, :account_id, CAST(:external_id AS varchar), :number, :status, :vendor_status, :holds_stock,
           :state, :currency, :total_minor, :tax_minor, :shipping_minor, :fee_minor, :placed_at, :modified_at,
           CAST(:ship_to AS jsonb), :buyer_id, :pool, :now, :now
     WHERE NOT EXISTS (SELECT FROM held_order
                        WHERE account_id = :account_id AND key = CAST(:external_id AS varchar) AND outcome = 'by-hand')
    ON CONFLICT (account_id, external_id) DO NOTHING
    RETURNING id
    """
)


async def create_order(
    unit: UnitOfWork, account_id: UUID, told: ChannelOrder, *, holds_stock: bool, state: str, pool: str = "own"
) -> UUID | None:
    """Insert the order, locked then; None when it is there, another transaction has just inserted it, or a person has
    booked it by hand."""
    inserted = await unit.session.execute(
        _CREATE,
        {
            "id": new_id(),
            "tenant_id": unit.tenant_id,
            "account_id": account_id,
            "external_id": told.external_id,
            "number": told.number,
            "status": told.status,
            "vendor_status": told.vendor_status,
            "holds_stock": holds_stock,
            "state": state,
            "currency": told.currency,
            "total_minor": told.total.amount_minor,
            "tax_minor": told.tax.amount_minor,
            "shipping_minor": told.shipping.amount_minor,
            "fee_minor": told.channel_fee.amount_minor if told.channel_fee else None,
            "placed_at": told.placed_at,
            "modified_at": told.modified_at,
            "ship_to": told.ship_to.model_dump_json(),
            "buyer_id": told.buyer_id,
            "pool": pool,
            "now": utc_now(),
        },
    )
    order_id: UUID | None = inserted.scalar()
    return order_id


_LINES = """
    INSERT INTO order_line (id, tenant_id, order_id, external_id, listing_id, sku, title, quantity, total_minor,
                            tax_minor, cost_minor, reserved, short, shipped, returned)
    SELECT l.id, :tenant_id, :order_id, l.external_id, l.listing_id, l.sku, l.title, l.quantity, l.total_minor,
           l.tax_minor, l.cost_minor, l.reserved, l.short, 0, 0
      FROM json_to_recordset(CAST(:lines AS json)) AS l(
           id uuid, external_id text, listing_id uuid, sku text, title text, quantity bigint, total_minor bigint,
           tax_minor bigint, cost_minor bigint, reserved bigint, short bigint)
"""
_INSERT_LINES = text(_LINES)
# Shares before movements: what a channel lets go of is free before it is reserved, or the item's check would refuse it.
_INSERT_SOLD_LINES = text(
    f"""
    WITH lines AS ({_LINES}), shares AS (
        UPDATE allocation a SET entitled = s.entitled, pending = s.pending, target = s.target, updated_at = :now,
               sold = a.sold + (SELECT coalesce(sum(n.quantity), 0)
                                  FROM json_to_recordset(CAST(:lines AS json)) AS n(listing_id uuid, quantity bigint)
                                 WHERE n.listing_id = a.listing_id)
          FROM json_to_recordset(CAST(:shares AS json)) AS s(
               listing_id uuid, entitled bigint, pending bigint, target bigint)
         WHERE a.listing_id = s.listing_id
        RETURNING a.id
    )
    INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta, order_line_id, key,
                                note, at)
    SELECT m.id, :tenant_id, m.stock_item_id, 'reserve', 0, m.units, m.order_line_id, m.key, '', :at
      FROM json_to_recordset(CAST(:movements AS json)) AS m(
           id uuid, stock_item_id uuid, order_line_id uuid, units bigint, key text),
           (SELECT count(*) FROM shares) AS first
    """  # noqa: S608 - made of two constants
)


async def insert_lines(
    unit: UnitOfWork,
    order_id: UUID,
    lines: Sequence[NewLine],
    shares: Sequence[Goods] = (),
    movements: Sequence[dict[str, Any]] = (),
) -> None:
    """The lines of a new order, with what their reservations move. The goods' items are locked."""
    values: dict[str, Any] = {"tenant_id": unit.tenant_id, "order_id": order_id, "lines": _json(lines)}
    if not movements and not shares:
        await unit.session.execute(_INSERT_LINES, values)
        return
    values |= {"shares": _json(shares), "movements": _json(movements), "now": utc_now(), "at": unit.now}
    await unit.session.execute(_INSERT_SOLD_LINES, values)


async def set_short(unit: UnitOfWork, order_id: UUID, units: int) -> None:
    """It came with so many units that are not there."""
    await unit.session.execute(
        text("UPDATE customer_order SET state = 'received', oversold = :units WHERE id = :id"),
        {"id": order_id, "units": units},
    )


def _json(rows: Sequence[Any]) -> str:
    return orjson.dumps(rows).decode()
