"""What the books know to judge goods by before they are bought: what others brought, and what came of advice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

#: of a business with more, the newest
MOST_GOODS, MOST_LISTINGS, MOST_DAYS = 50_000, 5_000, 20_000
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class GoodsRow:
    variant_id: UUID
    title: str
    barcode: str | None


_GOODS = """
    SELECT v.id, p.title, v.options, v.barcode FROM variant v JOIN product p ON p.id = v.product_id
     WHERE v.tenant_id = current_tenant() {where} ORDER BY v.id DESC LIMIT :most
"""
_ALL_GOODS = text(_GOODS.format(where=""))
_CODED = text(_GOODS.format(where="AND v.barcode IS NOT NULL AND lpad(btrim(v.barcode), 14, '0') = ANY(:codes)"))


async def goods(session: AsyncSession, codes: Collection[str] | None) -> list[GoodsRow]:
    """Our goods with one of these GTINs of 14 digits (None: all goods), by title with their choices."""
    if codes is None:
        found = await session.execute(_ALL_GOODS, {"most": MOST_GOODS})
    else:
        found = await session.execute(_CODED, {"most": MOST_GOODS, "codes": sorted(codes)})
    rows = []
    for variant_id, title, options, barcode in found:
        suffix = " / ".join(str(value) for value in options.values())
        rows.append(GoodsRow(variant_id, f"{title} – {suffix}" if suffix else title, barcode))
    return rows


@dataclass(frozen=True)
class SoldRow:
    """One of our listings: units with the mean and mean square deviation of the logarithm of their price, and what is
    known beside it. `days` on show (less those without stock where that was forecast), `rate` units a day forecast."""

    account_id: UUID
    variant_id: UUID
    units: int
    mean_log: float | None
    square: float | None
    goods_minor: int
    refunded_minor: int
    restocked: int
    days: float
    ever_sold: int
    rate: float | None
    rivals: int
    market_minor: int | None
    listed_minor: int | None


_SOLD = """
    WITH recent AS MATERIALIZED (
        SELECT account_id, sku, units, returned, goods, refunds_before_tax, ln(goods::float8 / units) AS price
          FROM sku_day
         WHERE tenant_id = current_tenant() AND units > 0 AND goods > 0 AND currency = :currency AND day >= :since
         ORDER BY day DESC LIMIT :most_days),
    per AS (
        SELECT account_id, sku, sum(units) AS units, sum(units * price) / sum(units) AS mean,
               greatest(0, sum(units * price * price) / sum(units) - (sum(units * price) / sum(units)) ^ 2) AS square,
               sum(goods) AS goods, sum(refunds_before_tax) AS refunded, sum(returned) AS restocked
          FROM recent GROUP BY account_id, sku),
    newest AS (SELECT id FROM forecast_run WHERE tenant_id = current_tenant() ORDER BY origin DESC LIMIT 1)
    SELECT k.account_id, k.variant_id, coalesce(per.units, 0)::int, per.mean, per.square,
           coalesce(per.goods, 0)::bigint, coalesce(per.refunded, 0)::bigint, coalesce(per.restocked, 0)::int,
           coalesce(f.weeks_on_shelf * 7, greatest(0, extract(epoch FROM :now - k.published_at) / 86400), 0)::float8,
           coalesce(f.units_sold, per.units, 0)::int, (f.weekly / 7)::float8, coalesce(o.rivals, 0)::int, o.cheapest,
           CASE WHEN v.currency = :currency THEN v.price_minor END
      FROM listing k
      JOIN variant v ON v.id = k.variant_id
      LEFT JOIN per ON per.account_id = k.account_id AND per.sku = k.sku
      LEFT JOIN stock_item s ON s.variant_id = k.variant_id AND s.pool = 'own'
      LEFT JOIN forecast f ON f.run_id = (SELECT id FROM newest) AND f.stock_item_id = s.id
                          AND f.account_id = k.account_id
      LEFT JOIN LATERAL (SELECT count(*) AS rivals, min(price_minor) AS cheapest FROM rival_offer r
                          WHERE r.listing_id = k.id AND r.in_stock AND r.currency = :currency) o ON true
     WHERE k.tenant_id = current_tenant() AND k.currency = :currency AND k.published_at IS NOT NULL {where}
     ORDER BY k.id DESC LIMIT :most
"""
_ALL_SOLD = text(_SOLD.format(where=""))
_SOLD_OF = text(_SOLD.format(where="AND k.variant_id = ANY(:variants)"))


async def sold(
    session: AsyncSession, currency: str, now: datetime, variants: Collection[UUID] | None = None
) -> list[SoldRow]:
    """What our goods brought within a year, listing by listing; None for `variants`: the newest of all."""
    values: dict[str, Any] = {
        "currency": currency,
        "now": now,
        "since": (now - _YEAR).date(),
        "most": MOST_LISTINGS,
        "most_days": MOST_DAYS,
    }
    if variants is None:
        found = await session.execute(_ALL_SOLD, values)
    else:
        found = await session.execute(_SOLD_OF, {**values, "variants": sorted(variants)})
    return [SoldRow(*row) for row in found]


_PARCELS = text(
    "SELECT cost_minor FROM label_purchase WHERE tenant_id = current_tenant() AND state = 'bought'"
    " AND cost_minor > 0 AND currency = :currency ORDER BY id DESC LIMIT 500"
)


async def parcels(session: AsyncSession, currency: str) -> list[int]:
    """What the newest labels cost."""
    return [row[0] for row in await session.execute(_PARCELS, {"currency": currency})]


@dataclass(frozen=True)
class OutcomeRow:
    """Advice on goods that were bought afterwards and sold: what was told, and what they cost and brought in all.

    `sold_minor` is goods and shipping less money given back and fees, before cost and parcels.
    """

    line_id: UUID
    product: str
    verdict: str
    decided_at: datetime
    currency: str
    cost_minor: int
    low_minor: int
    likely_minor: int
    high_minor: int
    bought_units: int
    landed_minor: int
    sold_units: int
    returned_units: int
    sold_minor: int

    def earned(self, parcel_minor: float) -> float:
        """Net profit of a unit at the cost the advice was for, in minor units; what it was bought for is not its doing.

        Units back on the shelf are not sold: what they brought was given back, and their parcels are gone.
        """
        parcels = parcel_minor * (self.sold_units + self.returned_units)
        return (self.sold_minor - parcels) / max(self.sold_units - self.returned_units, 1) - self.cost_minor


# The last advice on goods before they came in: those that were ours then, or have come to bear the code asked about.
_OUTCOMES = """
    WITH zone AS (  -- whose days are kept
        SELECT coalesce(settings->>'time_zone', 'UTC') AS name FROM tenant WHERE id = current_tenant()),
    advice AS (
        SELECT l.id, l.variant_id, l.gtin FROM sourcing_line l
         WHERE l.tenant_id = current_tenant() AND l.low_minor IS NOT NULL AND l.decided_at < :until
           AND coalesce(l.cost_minor, l.most_minor) > 0 {where}),
    goods AS (
        SELECT id AS line_id, variant_id FROM advice WHERE variant_id IS NOT NULL
         UNION
        SELECT a.id, v.id FROM advice a JOIN variant v ON lpad(btrim(v.barcode), 14, '0') = a.gtin
         WHERE a.variant_id IS NULL AND v.tenant_id = current_tenant()),
    told AS (
        SELECT DISTINCT ON (g.variant_id) l.*, g.variant_id AS goods_id
          FROM goods g JOIN sourcing_line l ON l.id = g.line_id
         WHERE EXISTS (SELECT FROM stock_receipt r JOIN stock_item i ON i.id = r.stock_item_id
                        WHERE i.variant_id = g.variant_id AND r.at >= l.decided_at)
         ORDER BY g.variant_id, l.decided_at DESC)
    SELECT t.id, t.product, t.verdict, t.decided_at, t.currency, coalesce(t.cost_minor, t.most_minor), t.low_minor,
           t.likely_minor, t.high_minor, b.units::int, b.landed::bigint, s.units::int, s.returned::int, s.minor::bigint
      FROM told t
     CROSS JOIN zone z
     CROSS JOIN LATERAL (
           SELECT min(r.at) AS at, sum(r.units) AS units, sum(r.landed_minor) AS landed
             FROM stock_receipt r JOIN stock_item i ON i.id = r.stock_item_id
            WHERE i.variant_id = t.goods_id AND r.at >= t.decided_at AND r.at < :until
              AND r.currency = t.currency) b
     CROSS JOIN LATERAL (
           SELECT sum(d.units) AS units, sum(d.returned) AS returned,
                  sum(d.goods + d.shipping - d.refunds_before_tax - d.fees) AS minor
             FROM sku_day d JOIN listing k ON k.account_id = d.account_id AND k.sku = d.sku
            WHERE k.variant_id = t.goods_id AND d.tenant_id = current_tenant() AND d.currency = t.currency
              AND d.day >= (b.at AT TIME ZONE z.name)::date AND d.day < (:until AT TIME ZONE z.name)::date
              AND d.orders_without_fees = 0) s
     WHERE b.units > 0 AND s.units > 0
     ORDER BY t.decided_at DESC LIMIT :most
"""
_ALL_OUTCOMES = text(_OUTCOMES.format(where=""))
_OUTCOMES_OF = text(_OUTCOMES.format(where="AND l.id = ANY(:lines)"))


async def outcomes(
    session: AsyncSession, until: datetime, lines: Sequence[UUID] | None = None, *, most: int = 500
) -> list[OutcomeRow]:
    """What came of advice by `until`, newest advice first; `lines`: of these alone."""
    values: dict[str, Any] = {"until": until, "most": most}
    if lines is None:
        return [OutcomeRow(*row) for row in await session.execute(_ALL_OUTCOMES, values)]
    return [OutcomeRow(*row) for row in await session.execute(_OUTCOMES_OF, {**values, "lines": list(lines)})]
