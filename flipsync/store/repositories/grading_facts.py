"""What has happened since decisions, as their graders need it: one statement a kind, however many decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.repositories.grades import DueRow

_ASKED = (
    "WITH asked AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:subjects AS uuid[]), CAST(:effects AS uuid[]),"
    " CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[])) AS a(id, subject_id, effect_id, begins, ends))"
)


def _about(statement: str) -> TextClause:
    """A statement about the rows `asked` of `_values`."""
    return text(_ASKED + statement)


@dataclass(frozen=True)
class PriceFacts:
    """Hours at the price and at the one before, with what they sold. `emptied`: there was nothing left in between."""

    change_id: UUID
    old_minor: int | None
    new_minor: int
    currency: str
    vendor: str
    cost_minor: int | None
    hours_before: float
    hours_after: float
    units_before: int
    units_after: int
    emptied: bool


@dataclass(frozen=True)
class SoldFacts:
    """Units of one variant that a placement has sold, and what they brought in all."""

    units: int
    revenue_minor: int
    cost_minor: int | None
    vendor: str
    currency: str


@dataclass(frozen=True)
class RivalFacts:
    """A rival that an alarm rests on: what it asked then, the least since, and the last; and our price at the end."""

    move_id: UUID
    then_minor: int
    least_minor: int
    last_minor: int
    in_stock: bool
    ours_minor: int | None


@dataclass(frozen=True)
class Sign:
    """A row that says what happened; `note` where its words matter."""

    id: UUID
    note: str = ""


@dataclass(frozen=True)
class BoughtFacts:
    """An order with a supplier; `late` when its time is over, or was when it arrived. `given_up`: a part never came."""

    order_id: UUID
    state: str
    late: bool
    given_up: bool


def _values(rows: Sequence[DueRow], **more: Any) -> dict[str, Any]:
    return {
        "ids": [row.id for row in rows],
        "subjects": [row.subject_id for row in rows],
        "effects": [row.effect_id for row in rows],
        "begins": [row.decided_at for row in rows],
        "ends": [row.due_at for row in rows],
        **more,
    }


_PRICES = _about(
    """
    , spans AS (
        SELECT a.id, c.id AS change_id, c.listing_id, c.old_minor, c.new_minor, c.currency, c.at,
               LEAST(later.at, c.at + interval '7 days', :now) AS ends,
               GREATEST(COALESCE(earlier.at, l.published_at), c.at - interval '7 days') AS begins,
               m.vendor, v.cost_minor, v.currency AS cost_currency
          FROM asked a
          JOIN price_change c ON c.listing_id = a.subject_id AND c.effect_id = a.effect_id
          JOIN listing l ON l.id = c.listing_id
          JOIN variant v ON v.id = l.variant_id
          JOIN marketplace_account m ON m.id = l.account_id
          LEFT JOIN LATERAL (SELECT min(n.at) AS at FROM price_change n
                              WHERE n.listing_id = c.listing_id AND n.at > c.at) later ON true
          LEFT JOIN LATERAL (SELECT max(n.at) AS at FROM price_change n
                              WHERE n.listing_id = c.listing_id AND n.at < c.at) earlier ON true)
    SELECT s.id, s.change_id, s.old_minor, s.new_minor, s.currency, s.vendor,
           CASE WHEN s.cost_currency = s.currency THEN s.cost_minor END AS cost_minor,
           (EXTRACT(EPOCH FROM s.at - s.begins) / 3600)::float8 AS hours_before,
           (EXTRACT(EPOCH FROM s.ends - s.at) / 3600)::float8 AS hours_after,
           sold.before AS units_before, sold.after AS units_after,
           EXISTS (SELECT FROM allocation g
                     JOIN event e ON e.subject_kind = 'stock_item' AND e.subject_id = g.stock_item_id
                    WHERE g.listing_id = s.listing_id AND e.tenant_id = g.tenant_id AND e.type = 'StockMoved'
                      AND e.occurred_at >= s.begins AND e.occurred_at < s.ends
                      AND (e.payload->>'on_hand')::bigint <= (e.payload->>'reserved')::bigint) AS emptied
      FROM spans s
     CROSS JOIN LATERAL (
           SELECT COALESCE(SUM(line.quantity) FILTER (WHERE o.placed_at < s.at), 0)::bigint AS before,
                  COALESCE(SUM(line.quantity) FILTER (WHERE o.placed_at >= s.at), 0)::bigint AS after
             FROM order_line line
             JOIN customer_order o ON o.id = line.order_id
            WHERE line.listing_id = s.listing_id AND o.holds_stock AND line.quantity > 0
              AND o.placed_at >= s.begins AND o.placed_at < s.ends) sold
    """
)


async def prices(session: AsyncSession, rows: Sequence[DueRow], now: datetime) -> dict[UUID, PriceFacts]:
    found = await session.execute(_PRICES, _values(rows, now=now))
    return {row.id: PriceFacts(*row[1:]) for row in found}


_SHORT = _about(
    """
    SELECT a.id, short.id
      FROM asked a
      JOIN effect f ON f.id = a.effect_id
      JOIN allocation g ON g.listing_id = a.subject_id
      LEFT JOIN LATERAL (
           SELECT e.occurred_at
             FROM effect n
             JOIN proposal p ON p.id = n.proposal_id
             JOIN agent_decision d ON d.id = p.decision_id
             JOIN event e ON e.id = d.event_id
            WHERE n.tenant_id = f.tenant_id AND n.subject_kind = 'listing' AND n.subject_id = a.subject_id
              AND n.id > f.id AND n.command = 'SetChannelQuantity'
            ORDER BY n.id LIMIT 1) next ON true
     CROSS JOIN LATERAL (
           SELECT e.id
             FROM event e
            WHERE e.tenant_id = f.tenant_id AND e.subject_kind = 'stock_item' AND e.subject_id = g.stock_item_id
              AND e.type = 'StockMoved' AND e.payload->>'kind' = 'short'
              AND e.occurred_at > a.begins AND e.occurred_at <= LEAST(COALESCE(next.occurred_at, a.ends), a.ends)
            ORDER BY e.id LIMIT 1) short
    """
)


async def shortages(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, Sign]:
    """The first sale of what was not there, while the channel showed what was pushed."""
    return {row[0]: Sign(row[1]) for row in await session.execute(_SHORT, _values(rows))}


_VANISHED = _about(
    """
    SELECT a.id, gone.id
      FROM asked a
      JOIN listing l ON l.id = a.subject_id
     CROSS JOIN LATERAL (
           SELECT e.id FROM event e
            WHERE e.tenant_id = l.tenant_id AND e.subject_kind = 'listing' AND e.subject_id = a.subject_id
              AND e.type = 'ListingVanished' AND e.occurred_at > a.begins AND e.occurred_at <= a.ends
            ORDER BY e.id LIMIT 1) gone
    """
)


async def vanished(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, Sign]:
    """The channel did not show the listing any more."""
    return {row[0]: Sign(row[1]) for row in await session.execute(_VANISHED, _values(rows))}


_MENDED = text("SELECT f.id, f.closed_at FROM channel_fault f WHERE f.id = ANY(:faults) AND f.closed_at IS NOT NULL")


async def mended(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, Sign]:
    """The fault was closed in time."""
    wanted = {row.id: (UUID(row.event_payload["fault_id"]), row.due_at) for row in rows}
    faults = {fault for fault, _ in wanted.values()}
    closed = {row[0]: row[1] for row in await session.execute(_MENDED, {"faults": list(faults)})}
    return {each: Sign(fault) for each, (fault, due) in wanted.items() if fault in closed and closed[fault] <= due}


_STAGES = _about(
    """
    SELECT a.id, s.id, s.reason
      FROM asked a
     CROSS JOIN LATERAL (
           SELECT s.id, s.reason FROM policy_stage s
            WHERE s.policy_id = a.subject_id AND s.becomes = 'retired' AND s.at > a.begins AND s.at <= a.ends
            ORDER BY s.id LIMIT 1) s
    """
)


async def retired(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, Sign]:
    return {row[0]: Sign(row[1], row[2]) for row in await session.execute(_STAGES, _values(rows))}


_RIVALS = _about(
    """
    SELECT a.id, first.id, first.price_minor,
           COALESCE(since.least, first.price_minor), COALESCE(last.price_minor, first.price_minor),
           COALESCE(last.in_stock, first.in_stock), ours.new_minor
      FROM asked a
     CROSS JOIN LATERAL (
           SELECT m.* FROM rival_move m
            WHERE m.listing_id = a.subject_id AND m.seller IN (
                  SELECT w.seller FROM rival_move w
                    JOIN unnest(CAST(:evidence AS uuid[]), CAST(:owners AS uuid[])) AS x(move_id, id)
                      ON x.move_id = w.id AND x.id = a.id)
              AND m.at <= a.begins
            ORDER BY m.at DESC, m.id DESC LIMIT 1) first
      LEFT JOIN LATERAL (
           SELECT min(m.price_minor) FILTER (WHERE m.in_stock) AS least FROM rival_move m
            WHERE m.listing_id = a.subject_id AND m.seller = first.seller AND m.at > a.begins AND m.at <= a.ends) since
        ON true
      LEFT JOIN LATERAL (
           SELECT m.price_minor, m.in_stock FROM rival_move m
            WHERE m.listing_id = a.subject_id AND m.seller = first.seller AND m.at > a.begins AND m.at <= a.ends
            ORDER BY m.at DESC, m.id DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
           SELECT c.new_minor FROM price_change c
            WHERE c.listing_id = a.subject_id AND c.at <= a.ends ORDER BY c.at DESC LIMIT 1) ours ON true
    """
)


async def rivals(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, RivalFacts]:
    pairs = [(UUID(move), row.id) for row in rows for move in row.payload.get("evidence", ())]
    more = {"evidence": [move for move, _ in pairs], "owners": [owner for _, owner in pairs]}
    found = await session.execute(_RIVALS, _values(rows, **more))
    return {row[0]: RivalFacts(*row[1:]) for row in found}


_PLACED = text(
    """
    SELECT a.id, SUM(line.quantity)::bigint, SUM(line.total_minor)::bigint,
           CASE WHEN v.currency = l.currency THEN v.cost_minor END, m.vendor, l.currency
      FROM unnest(CAST(:ids AS uuid[]), CAST(:products AS uuid[]), CAST(:accounts AS uuid[]),
                  CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[]))
           AS a(id, product_id, account_id, begins, ends)
      JOIN variant v ON v.product_id = a.product_id
      JOIN listing l ON l.variant_id = v.id AND l.account_id = a.account_id
      JOIN marketplace_account m ON m.id = l.account_id
      JOIN order_line line ON line.listing_id = l.id
      JOIN customer_order o ON o.id = line.order_id
     WHERE o.holds_stock AND line.quantity > 0 AND o.placed_at > a.begins AND o.placed_at <= a.ends
     GROUP BY a.id, v.id, v.cost_minor, v.currency, m.vendor, l.currency
    """
)


async def placed(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, list[SoldFacts]]:
    values = {
        "ids": [row.id for row in rows],
        "products": [UUID(row.payload["product_id"]) for row in rows],
        "accounts": [UUID(row.payload["account_id"]) for row in rows],
        "begins": [row.decided_at for row in rows],
        "ends": [row.due_at for row in rows],
    }
    found: dict[UUID, list[SoldFacts]] = {}
    for row in await session.execute(_PLACED, values):
        found.setdefault(row[0], []).append(SoldFacts(*row[1:]))
    return found


_BOUGHT = text(
    """
    SELECT a.id, o.id, o.state,
           coalesce(coalesce(o.received_at, :now) > o.latest_at AND o.ordered_at IS NOT NULL, false),
           o.closed_at IS NOT NULL
      FROM unnest(CAST(:ids AS uuid[]), CAST(:decisions AS uuid[])) AS a(id, decision_id)
      JOIN purchase_order o ON o.decision_id = a.decision_id
    """
)


async def bought(session: AsyncSession, rows: Sequence[DueRow], now: datetime) -> dict[UUID, BoughtFacts]:
    values = {"ids": [row.id for row in rows], "decisions": [row.decision_id for row in rows], "now": now}
    return {row[0]: BoughtFacts(*row[1:]) for row in await session.execute(_BOUGHT, values)}


@dataclass(frozen=True)
class AdFacts:
    """Days at an ad rate and at the one before, with units sold and fees of ads; what a unit costs and sells for."""

    vendor: str
    currency: str
    cost_minor: int | None
    price_minor: int | None
    days_before: float
    units_before: int
    fees_before: int
    days_after: float
    units_after: int
    fees_after: int


# Before the first ad there are no days in the table: what was sold then is in the orders.
_ADS = _about(
    """
    SELECT a.id, m.vendor, l.currency, CASE WHEN v.currency = l.currency THEN v.cost_minor END, l.price_minor,
           CASE WHEN t.was > 0 THEN before.days ELSE idle.days END::float8,
           CASE WHEN t.was > 0 THEN before.units ELSE idle.units END::bigint,
           CASE WHEN t.was > 0 THEN before.fees ELSE 0 END::bigint,
           after.days::float8, after.units::bigint, after.fees::bigint
      FROM asked a
      JOIN effect f ON f.id = a.effect_id
     CROSS JOIN LATERAL (SELECT (f.payload->>'was_bps')::bigint AS was, (f.payload->>'rate_bps')::bigint AS rate,
                                (a.begins AT TIME ZONE 'UTC')::date AS day) t
      JOIN listing l ON l.id = a.subject_id
      JOIN variant v ON v.id = l.variant_id
      JOIN marketplace_account m ON m.id = l.account_id
     CROSS JOIN LATERAL (
           SELECT count(*) AS days, coalesce(sum(d.units), 0) AS units, coalesce(sum(d.ad_fees_minor), 0) AS fees
             FROM ad_day d
            WHERE d.listing_id = l.id AND d.offered AND d.rate_bps = t.was AND d.day < t.day AND d.day >= t.day - 14
           ) before
     CROSS JOIN LATERAL (
           SELECT count(*) AS days, coalesce(sum(d.units), 0) AS units, coalesce(sum(d.ad_fees_minor), 0) AS fees
             FROM ad_day d
            WHERE d.listing_id = l.id AND d.offered AND d.rate_bps = t.rate AND d.day > t.day
              AND d.day < (a.ends AT TIME ZONE 'UTC')::date) after
     CROSS JOIN LATERAL (
           SELECT greatest(0, least(14, extract(epoch FROM a.begins - l.published_at) / 86400)) AS days,
                  (SELECT coalesce(sum(line.quantity), 0)
                     FROM order_line line JOIN customer_order o ON o.id = line.order_id
                    WHERE line.listing_id = l.id AND o.holds_stock AND line.quantity > 0
                      AND o.placed_at < a.begins AND o.placed_at >= a.begins - interval '14 days') AS units) idle
    """
)


async def ads(session: AsyncSession, rows: Sequence[DueRow]) -> dict[UUID, AdFacts]:
    return {row[0]: AdFacts(*row[1:]) for row in await session.execute(_ADS, _values(rows))}
