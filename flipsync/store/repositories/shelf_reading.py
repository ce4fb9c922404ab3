"""Queries over what lies on the shelf: its worth, its age, and how much of it sells. And what a dashboard counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.reading import Sentence

#: days of age at which the buckets end, and the last has no end; two columns of each query are of one bucket
AGES = (30, 60, 90, 180)
_BUCKETS = tuple(zip((0, *(age + 1 for age in AGES)), (*AGES, None), strict=True))
# Worked out once and kept (MATERIALIZED), or each of the sums over it would work it out anew.
# First in, first out: what is there now is what came last. A return and a count upwards come in when they are booked.
_LAYERS = """
    SELECT i.id AS stock_item_id, v.sku, p.title, v.currency, l.units,
           greatest(0, CAST(:today AS date) - (l.at AT TIME ZONE :zone)::date) AS age,
           CASE WHEN r.id IS NOT NULL  -- less what its first units cost, rounded half up (services.fees.landed_cost)
                THEN r.landed_minor - div(r.landed_minor::numeric * (r.units - l.units) + r.units / 2, r.units)::bigint
                ELSE l.units * v.cost_minor END AS worth
      FROM (SELECT f.stock_item_id, f.at, f.key, least(f.delta, i.on_hand - f.newer) AS units
              FROM (SELECT m.stock_item_id, m.at, m.key, m.on_hand_delta AS delta,
                           (sum(m.on_hand_delta) OVER (PARTITION BY m.stock_item_id ORDER BY m.at DESC, m.id DESC)
                               - m.on_hand_delta)::bigint AS newer
                      FROM stock_movement m WHERE m.on_hand_delta > 0) f
              JOIN stock_item i ON i.id = f.stock_item_id
             WHERE f.newer < i.on_hand) l
      JOIN stock_item i ON i.id = l.stock_item_id
      JOIN variant v ON v.id = i.variant_id
      JOIN product p ON p.id = v.product_id
      LEFT JOIN stock_receipt r ON r.key = l.key AND r.stock_item_id = l.stock_item_id AND r.currency = v.currency
     WHERE (CAST(:sku AS text) IS NULL OR v.sku = :sku)
"""


def _within(bucket: tuple[int, int | None]) -> str:
    first, last = bucket
    return f"age >= {first}" + ("" if last is None else f" AND age <= {last}")


_BY_BUCKET = ", ".join(
    f"coalesce(sum(units) FILTER (WHERE {_within(bucket)}), 0)::bigint AS units_{index},"
    f" coalesce(sum(worth) FILTER (WHERE {_within(bucket)}), 0)::bigint AS worth_{index}"
    for index, bucket in enumerate(_BUCKETS)
)
_WHOLE = (
    "sum(units)::bigint AS units, coalesce(sum(worth), 0)::bigint AS worth, max(age) AS oldest,"
    " coalesce(sum(units) FILTER (WHERE worth IS NULL), 0)::bigint AS units_without_cost"
)
_AGEING = text(
    f"""
    WITH l AS MATERIALIZED ({_LAYERS})
    SELECT * FROM (
        SELECT stock_item_id, sku, title, currency, {_WHOLE}, {_BY_BUCKET} FROM l GROUP BY 1, 2, 3, 4) s
     WHERE CAST(:after_worth AS bigint) IS NULL OR (s.worth, s.stock_item_id) < (:after_worth, CAST(:after AS uuid))
     ORDER BY s.worth DESC, s.stock_item_id DESC LIMIT :most
    """  # noqa: S608 - made of constants
)
_AGES = text(
    f"WITH l AS MATERIALIZED ({_LAYERS}) SELECT currency, {_WHOLE}, {_BY_BUCKET} FROM l GROUP BY 1 ORDER BY 1"  # noqa: S608
)


async def ageing(
    session: AsyncSession, today: date, *, zone: str, sku: str | None, after: tuple[int, UUID] | None, most: int
) -> Sequence[Any]:
    """Stock items by the money tied up in them, most first; units and money by age."""
    values: dict[str, Any] = {"today": today, "zone": zone, "sku": sku, "most": most}
    values |= dict(zip(("after_worth", "after"), after or (None, None), strict=True))
    return (await session.execute(_AGEING, values)).all()


async def ages(session: AsyncSession, today: date, *, zone: str, sku: str | None) -> Sequence[Any]:
    """All stock by currency and age."""
    return (await session.execute(_AGES, {"today": today, "zone": zone, "sku": sku})).all()


_SELL_THROUGH = text(
    """
    WITH goods AS (
        SELECT v.id, v.sku, p.title, sum(i.on_hand)::bigint AS on_hand, array_agg(i.id) AS items
          FROM variant v JOIN product p ON p.id = v.product_id JOIN stock_item i ON i.variant_id = v.id
         WHERE v.sku > :after AND (CAST(:sku AS text) IS NULL OR v.sku = :sku)
         GROUP BY v.id, v.sku, p.title ORDER BY v.sku LIMIT :most),
    sold AS (
        SELECT d.sku, sum(d.units)::bigint AS units, sum(d.returned)::bigint AS returned FROM sku_day d
         WHERE d.day BETWEEN :first AND :last AND d.sku IN (SELECT sku FROM goods) GROUP BY d.sku)
    SELECT g.sku, g.title, g.on_hand - coalesce(m.since, 0) AS at_start, coalesce(m.received, 0)::bigint AS received,
           g.on_hand - coalesce(m.after_end, 0) AS at_end,
           coalesce(s.units, 0) AS units, coalesce(s.returned, 0) AS returned
      FROM goods g LEFT JOIN sold s ON s.sku = g.sku
      LEFT JOIN LATERAL (
        SELECT sum(m.on_hand_delta)::bigint AS since,
               sum(m.on_hand_delta) FILTER (WHERE m.at >= :until)::bigint AS after_end,
               sum(m.on_hand_delta) FILTER (WHERE m.kind = 'receive' AND m.at < :until) AS received
          FROM stock_movement m
         WHERE m.stock_item_id = ANY (g.items) AND m.at >= :since AND m.on_hand_delta <> 0) m ON true
     ORDER BY g.sku
    """
)


async def sell_through(
    session: AsyncSession,
    *,
    first: date,
    last: date,
    since: datetime,
    until: datetime,
    sku: str | None,
    after: str,
    most: int,
) -> Sequence[Any]:
    """Stocked goods by SKU: units there at the start, received since, there at the end, and sold. `since` and `until`
    are when `first` begins and `last` ends."""
    values = {
        "first": first,
        "last": last,
        "since": since,
        "until": until,
        "sku": sku,
        "after": after,
        "most": most,
    }
    return (await session.execute(_SELL_THROUGH, values)).all()


#: what lies on the shelf at its landed unit cost, by currency
WORTH = Sentence(
    """
    SELECT v.currency, sum(i.on_hand)::bigint AS units, coalesce(sum(i.on_hand * v.cost_minor), 0)::bigint AS worth,
           coalesce(sum(i.on_hand) FILTER (WHERE v.cost_minor IS NULL), 0)::bigint AS units_without_cost
      FROM stock_item i JOIN variant v ON v.id = i.variant_id
     WHERE i.on_hand > 0 GROUP BY v.currency ORDER BY v.currency
    """
)

OPEN_QUESTIONS = Sentence("SELECT count(*) AS open FROM approval WHERE state = 'open'")
#: oldest first
OPEN_FAULTS = Sentence(
    """
    SELECT f.account_id, a.name, f.cause, f.since, f.hint FROM channel_fault f
      JOIN marketplace_account a ON a.id = f.account_id
     WHERE f.closed_at IS NULL ORDER BY f.since, f.id LIMIT :most
    """
)

#: the newest decisions with an id from this one on, by agent and what became of them
DECIDED = Sentence(
    """
    SELECT agent, state, count(*) AS decisions FROM (
        SELECT agent, state FROM agent_decision WHERE id >= :after ORDER BY id DESC LIMIT :most) AS newest
     GROUP BY agent, state ORDER BY agent, state
    """
)
