"""Statements that keep the figures of what was sold: which orders to count, what they say, and their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models.sales import FIGURES
from flipsync.store.reading import Sentence
from flipsync.store.unit_of_work import UnitOfWork

#: figures that count orders: by day and account an order counts once, by SKU with each that it has
_OF_ORDERS = ("orders", "cancelled", "orders_without_fees")
_NAMES = ", ".join(FIGURES)


@dataclass
class Position:
    """How far the counting is (models.SalesCount)."""

    looked_at: datetime
    walk_after: UUID | None
    walk_all: bool
    walked_at: datetime | None
    fees_mark: str
    counted_at: datetime | None
    revision: int


_BEGIN = text(
    "INSERT INTO sales_count (id, tenant_id, looked_at, walk_all, fees_mark) VALUES (:id, :tenant, :now, false, '')"
    " ON CONFLICT (tenant_id) DO NOTHING"
)
_POSITION = "SELECT looked_at, walk_after, walk_all, walked_at, fees_mark, counted_at, revision FROM sales_count"
#: until when changes were counted
COUNTED = Sentence("SELECT counted_at FROM sales_count")
_LOCK = text(f"{_POSITION} WHERE tenant_id = :tenant FOR UPDATE SKIP LOCKED")


async def lock(unit: UnitOfWork, now: datetime) -> Position | None:
    """The position, ours until the transaction ends; None while somebody else counts."""
    values = {"tenant": unit.tenant_id}
    row = (await unit.session.execute(_LOCK, values)).one_or_none()
    if row is None:
        await unit.session.execute(_BEGIN, {"id": new_id(), "now": now, **values})
        row = (await unit.session.execute(_LOCK, values)).one_or_none()
    return None if row is None else Position(*row)


async def position(session: AsyncSession) -> Position | None:
    """As it is; None where nothing was ever counted."""
    row = (await session.execute(text(_POSITION))).one_or_none()
    return None if row is None else Position(*row)


_MOVE = text(
    """
    UPDATE sales_count SET looked_at = :looked_at, walk_after = :walk_after, walk_all = :walk_all,
           walked_at = :walked_at, fees_mark = :fees_mark, counted_at = :counted_at, revision = :revision
     WHERE tenant_id = :tenant
    """
)


async def move(unit: UnitOfWork, position: Position) -> None:
    await unit.session.execute(_MOVE, {**vars(position), "tenant": unit.tenant_id})


async def due(session: AsyncSession, most: int) -> list[tuple[UUID, UUID]]:
    """(id, order id) of changes that were not counted."""
    found = await session.execute(text("SELECT id, order_id FROM sale_due ORDER BY id LIMIT :most"), {"most": most})
    return [(row[0], row[1]) for row in found]


async def done(session: AsyncSession, due_ids: Sequence[UUID]) -> None:
    await session.execute(text("DELETE FROM sale_due WHERE id = ANY (:ids)"), {"ids": list(due_ids)})


_UNCOUNTED = """
    SELECT o.id FROM customer_order o
     WHERE o.id > :after AND NOT EXISTS (SELECT FROM sale_fact f WHERE f.order_id = o.id)
     ORDER BY o.id LIMIT :most
"""
_ALL = "SELECT o.id FROM customer_order o WHERE o.id > :after ORDER BY o.id LIMIT :most"


async def uncounted(session: AsyncSession, after: UUID, most: int) -> list[UUID]:
    """Orders above this id that have no figures, by id."""
    return list((await session.execute(text(_UNCOUNTED), {"after": after, "most": most})).scalars())


async def orders_after(session: AsyncSession, after: UUID, most: int) -> list[UUID]:
    """By id."""
    return list((await session.execute(text(_ALL), {"after": after, "most": most})).scalars())


_ORDERS = text(
    """
    SELECT o.id, o.account_id, m.vendor, o.currency, o.status, o.placed_at, o.tax_minor, o.shipping_minor, o.fee_minor,
           o.buyer_id, coalesce(o.ship_to ->> 'email', '') AS email,
           EXISTS (SELECT FROM erasure e WHERE e.account_id = o.account_id AND e.order_external_id = o.external_id)
               AS to_be_forgotten
      FROM customer_order o JOIN marketplace_account m ON m.id = o.account_id
     WHERE o.id = ANY (:ids)
    """
)
_LINES = text(
    """
    SELECT order_id, sku, quantity, total_minor, tax_minor, cost_minor, returned FROM order_line
     WHERE order_id = ANY (:ids) ORDER BY order_id, id
    """
)
_REFUNDS = text(
    "SELECT order_id, sum(amount_minor) AS amount FROM refund WHERE order_id = ANY (:ids) GROUP BY order_id"
)


async def books_of(session: AsyncSession, ids: Sequence[UUID]) -> tuple[Sequence[Any], Sequence[Any], dict[UUID, int]]:
    """What the books say of these orders: the orders, their lines in order, and what was given back."""
    values = {"ids": list(ids)}
    orders = (await session.execute(_ORDERS, values)).all()
    lines = (await session.execute(_LINES, values)).all()
    return orders, lines, {row.order_id: int(row.amount) for row in await session.execute(_REFUNDS, values)}


#: table → its key; `day` of a table of months is the month's first
_KEYS = {
    "sku_day": "day, account_id, sku, currency",
    "sku_month": "day, account_id, sku, currency",
    "channel_day": "day, account_id, currency",
}


def _sums(source: str, table: str) -> str:
    """The figures of rows of sale_fact, added up by the key of a table."""
    key = _KEYS[table]
    by = key.replace("day", "date_trunc('month', day)::date", 1) if table == "sku_month" else key
    added = ", ".join(
        f"sum({name}) FILTER (WHERE lead)" if name in _OF_ORDERS and table == "channel_day" else f"sum({name})"
        for name in FIGURES
    )
    typed = ", ".join(f"coalesce({name}, 0)::bigint AS {name}" for name in FIGURES)
    return f"SELECT {key}, {typed} FROM (SELECT {by}, {added} FROM {source} GROUP BY {by}) AS s ({key}, {_NAMES})"  # noqa: S608


def _less(table: str) -> str:
    return (
        f"UPDATE {table} d SET {', '.join(f'{name} = d.{name} - g.{name}' for name in FIGURES)}"  # noqa: S608
        f" FROM ({_sums('gone', table)}) g WHERE d.tenant_id = :tenant"
        f" AND {' AND '.join(f'd.{name} = g.{name}' for name in _KEYS[table].split(', '))}"
    )


def _more(table: str) -> str:
    return (
        f"INSERT INTO {table} (tenant_id, {_KEYS[table]}, {_NAMES})"  # noqa: S608
        f" SELECT :tenant, s.* FROM ({_sums('come', table)}) s"
        f" ON CONFLICT (tenant_id, {_KEYS[table]}) DO UPDATE SET"
        f" {', '.join(f'{name} = {table}.{name} + excluded.{name}' for name in FIGURES)}"
    )


_TAKE_OUT = text(
    "WITH gone AS (DELETE FROM sale_fact WHERE order_id = ANY (:ids) RETURNING *),"  # noqa: S608
    f" skus AS ({_less('sku_day')}), months AS ({_less('sku_month')}) {_less('channel_day')}"
)
_PUT_IN = text(
    "WITH come AS (INSERT INTO sale_fact (tenant_id, order_id, sku, lead, day, account_id, currency,"  # noqa: S608
    f" {_NAMES}) SELECT :tenant, f.* FROM json_to_recordset(CAST(:facts AS json)) AS f(order_id uuid, sku text,"
    f" lead boolean, day date, account_id uuid, currency text, {', '.join(f'{name} bigint' for name in FIGURES)})"
    f" RETURNING *), skus AS ({_more('sku_day')}), months AS ({_more('sku_month')}) {_more('channel_day')}"
)


async def replace(unit: UnitOfWork, ids: Sequence[UUID], facts: Sequence[dict[str, Any]], *, counted: bool) -> None:
    """These are the rows of these orders now; the days follow. `counted`: some of them had rows before."""
    if counted:
        await unit.session.execute(_TAKE_OUT, {"ids": list(ids), "tenant": unit.tenant_id})
    if facts:
        await unit.session.execute(_PUT_IN, {"facts": orjson.dumps(facts).decode(), "tenant": unit.tenant_id})
