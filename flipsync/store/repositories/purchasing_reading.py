"""What buying rests on, for all goods that a supplier offers in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.repositories.forecasting import joined_at_once
from flipsync.store.repositories.stock import OWED

_MOST_GOODS = 100_000


@dataclass(frozen=True)
class BuyRow:
    """Goods at the cheapest of the suppliers that offer them now. Amounts are minor units of the supplier's currency.

    `free` is what is nobody's, on our shelf, in channels' own warehouses and on its way there: the forecast is of what
    both sell (echelon stock: A. J. Clark and H. Scarf, Management Science 6, 1960).
    `variance` is of one week's demand by the forecast's interval, `path` the weeks of a channel where they differ.
    `net_minor` is what a unit brought in lately after fees, `net_units` of how many; `asked_minor` what is asked now.
    """

    supplier_id: UUID
    variant_id: UUID
    stock_item_id: UUID
    sku: str
    pack_units: int
    pack_cost_minor: int
    least_units: int
    free: int
    on_order: int
    weekly: float
    variance: float
    weeks_on_shelf: float
    paths: list[list[float]] | None
    net_minor: float | None
    net_units: int
    asked_minor: float | None


_GOODS = text(
    f"""
    WITH picked AS (
        SELECT DISTINCT ON (o.variant_id) o.*, s.currency
          FROM supplier_offer o JOIN supplier s ON s.id = o.supplier_id
         WHERE o.tenant_id = current_tenant() AND s.active
           AND (o.valid_from IS NULL OR o.valid_from <= :now) AND (o.valid_until IS NULL OR o.valid_until > :now)
         ORDER BY o.variant_id, o.pack_cost_minor::float8 / o.pack_units, s.lead_mean_days, o.id),
    wanted AS (
        SELECT stock_item_id, sum(weekly) AS weekly, sum(((high - low) / 2.5631) ^ 2) AS variance,
               max(weeks_on_shelf) AS shelf, jsonb_agg(path->'weekly') FILTER (WHERE path IS NOT NULL) AS paths
          FROM forecast WHERE run_id = :run_id GROUP BY stock_item_id),
    coming AS (
        SELECT l.variant_id, sum(greatest(l.units - l.received, 0))::bigint AS units
          FROM purchase_order p JOIN purchase_order_line l ON l.order_id = p.id
         WHERE p.tenant_id = current_tenant() AND p.state IN ('placing', 'ordered', 'partly_received')
         GROUP BY l.variant_id),
    elsewhere AS (
        SELECT variant_id, sum(greatest(0, on_hand - reserved))::bigint AS units
          FROM stock_item WHERE tenant_id = current_tenant() AND pool <> 'own' GROUP BY variant_id),
    under_way AS (
        SELECT from_item_id, sum(CASE state WHEN 'planned' THEN planned ELSE sent - received END)::bigint AS units
          FROM stock_transfer WHERE tenant_id = current_tenant() AND state IN ('planned', 'sent')
         GROUP BY from_item_id),
    asked AS (
        SELECT l.variant_id, l.currency, avg(l.price_minor)::float8 AS minor
          FROM listing l WHERE l.tenant_id = current_tenant() AND l.status = 'active' AND l.price_minor IS NOT NULL
         GROUP BY l.variant_id, l.currency),
    brought AS (
        SELECT sku, currency, sum(units)::bigint AS units,
               sum(goods + shipping - refunds_before_tax - fees)::float8 AS minor
          FROM sku_day WHERE tenant_id = current_tenant() AND day >= :since GROUP BY sku, currency)
    SELECT p.supplier_id, p.variant_id, i.id, v.sku, p.pack_units, p.pack_cost_minor, p.least_units,
           (least(i.on_hand, coalesce(i.pending_count, i.on_hand)) - i.reserved - {OWED}
            + coalesce(elsewhere.units, 0) + coalesce(under_way.units, 0))::bigint AS free,
           coalesce(coming.units, 0) AS on_order, w.weekly, w.variance, w.shelf, w.paths,
           b.minor / nullif(b.units, 0) AS net_minor, coalesce(b.units, 0) AS net_units, asked.minor AS asked_minor
      FROM picked p
      JOIN variant v ON v.id = p.variant_id AND v.currency = p.currency
      JOIN product ON product.id = v.product_id AND product.published
      JOIN stock_item i ON i.variant_id = v.id AND i.pool = 'own'
      JOIN wanted w ON w.stock_item_id = i.id
      LEFT JOIN coming ON coming.variant_id = v.id
      LEFT JOIN elsewhere ON elsewhere.variant_id = v.id
      LEFT JOIN under_way ON under_way.from_item_id = i.id
      LEFT JOIN asked ON asked.variant_id = v.id AND asked.currency = p.currency
      LEFT JOIN brought b ON b.sku = v.sku AND b.currency = p.currency
     ORDER BY v.sku LIMIT :most
    """  # noqa: S608 - made of two constants
)


async def goods(session: AsyncSession, forecast_run_id: UUID, now: datetime) -> list[BuyRow]:
    """All that a supplier offers, that is for sale and that was forecast; by SKU."""
    since = (now - timedelta(days=90)).date()
    values = {"run_id": forecast_run_id, "now": now, "since": since, "most": _MOST_GOODS}
    async with joined_at_once(session):
        return [BuyRow(*row) for row in await session.execute(_GOODS, values)]


_ANY = text(
    "SELECT EXISTS (SELECT FROM supplier_offer o JOIN supplier s ON s.id = o.supplier_id"
    " WHERE o.tenant_id = current_tenant() AND s.active)"
)


async def anything_offered(session: AsyncSession) -> bool:
    return bool(await session.scalar(_ANY))


@dataclass(frozen=True)
class Lately:
    """When an order was last placed with a supplier, and when the owner last said no to one."""

    supplier_id: UUID
    placed_at: datetime | None
    refused_at: datetime | None


_LATELY = text(
    """
    SELECT s.id, (SELECT max(o.placed_at) FROM purchase_order o
                   WHERE o.supplier_id = s.id AND o.state <> 'cancelled') AS placed_at,
           (SELECT max(e.occurred_at) FROM proposal p JOIN agent_decision d ON d.id = p.decision_id
              JOIN event e ON e.id = d.event_id
             WHERE p.tenant_id = s.tenant_id AND p.subject_kind = 'supplier' AND p.subject_id = s.id
               AND p.command = ANY(:commands) AND p.rule = 'overruled' AND p.reason = :reason) AS refused_at
      FROM supplier s WHERE s.tenant_id = current_tenant() AND s.active
    """
)


async def lately(session: AsyncSession, commands: Sequence[str], reason: str) -> dict[UUID, Lately]:
    """Of every supplier; `reason` is how a refusal of the owner's reads."""
    values: dict[str, Any] = {"commands": list(commands), "reason": reason}
    return {row[0]: Lately(*row) for row in await session.execute(_LATELY, values)}
