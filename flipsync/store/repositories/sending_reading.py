"""What sending goods to channels' own warehouses rests on, for all goods and warehouses in one statement."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.repositories.forecasting import joined_at_once
from flipsync.store.repositories.stock import OWED
from flipsync.store.repositories.suppliers import Shown

_MOST_GOODS = 100_000


@dataclass(frozen=True)
class SendRow:
    """Goods that one account sells from its own warehouse. Amounts are minor units of the goods' currency.

    What the account sells of them counts as asked for there, what all that have no warehouse of their own sell as asked
    for of our shelf. `there` is what is to be had there, `under_way` what is planned or sent.
    """

    account_id: UUID
    variant_id: UUID
    stock_item_id: UUID
    sku: str
    cost_minor: int | None
    free: int
    there: int
    under_way: int
    weekly: float
    variance: float
    weeks_on_shelf: float
    weekly_here: float
    variance_here: float
    weeks_here: float
    net_minor: float | None
    net_units: int
    asked_minor: float | None


_ANY = text(
    "SELECT EXISTS (SELECT FROM listing WHERE tenant_id = current_tenant() AND pool <> 'own'"
    " AND status NOT IN ('recognised', 'ended', 'vanished', 'refused'))"
)


async def anything_there(session: AsyncSession) -> bool:
    """Whether anything is for sale from a channel's own warehouse."""
    return bool(await session.scalar(_ANY))


_GOODS = text(
    f"""
    WITH places AS (
        SELECT DISTINCT l.account_id, l.variant_id, l.pool
          FROM listing l JOIN marketplace_account m ON m.id = l.account_id
         WHERE l.tenant_id = current_tenant() AND l.pool <> 'own' AND m.status = 'connected'
           AND l.status NOT IN ('recognised', 'ended', 'vanished', 'refused')),
    wanted AS (
        SELECT f.stock_item_id, i.variant_id, f.account_id, f.weekly, ((f.high - f.low) / 2.5631) ^ 2 AS variance,
               f.weeks_on_shelf AS shelf
          FROM forecast f JOIN stock_item i ON i.id = f.stock_item_id
         WHERE f.run_id = :run_id),
    here AS (
        SELECT w.variant_id, sum(w.weekly) AS weekly, sum(w.variance) AS variance, max(w.shelf) AS shelf
          FROM wanted w LEFT JOIN places t ON t.account_id = w.account_id AND t.variant_id = w.variant_id
         WHERE t.account_id IS NULL GROUP BY w.variant_id),
    coming AS (
        SELECT to_item_id, sum(CASE state WHEN 'planned' THEN planned ELSE sent - received END)::bigint AS units
          FROM stock_transfer WHERE tenant_id = current_tenant() AND state IN ('planned', 'sent') GROUP BY to_item_id),
    asked AS (
        SELECT l.variant_id, l.currency, avg(l.price_minor)::float8 AS minor
          FROM listing l
         WHERE l.tenant_id = current_tenant() AND l.status = 'active' AND l.price_minor IS NOT NULL AND l.pool <> 'own'
         GROUP BY l.variant_id, l.currency),
    brought AS (
        SELECT sku, currency, sum(units)::bigint AS units,
               sum(goods + shipping - refunds_before_tax - fees)::float8 AS minor
          FROM sku_day WHERE tenant_id = current_tenant() AND day >= :since GROUP BY sku, currency)
    SELECT t.account_id, v.id, i.id, v.sku, v.cost_minor,
           (least(i.on_hand, coalesce(i.pending_count, i.on_hand)) - i.reserved - {OWED})::bigint AS free,
           greatest(0, coalesce(o.on_hand - o.reserved, 0))::bigint AS there, coalesce(coming.units, 0) AS under_way,
           w.weekly, w.variance, w.shelf, coalesce(h.weekly, 0)::float8, coalesce(h.variance, 0)::float8,
           coalesce(h.shelf, 0)::float8, b.minor / nullif(b.units, 0) AS net_minor, coalesce(b.units, 0) AS net_units,
           asked.minor AS asked_minor
      FROM places t
      JOIN variant v ON v.id = t.variant_id
      JOIN product ON product.id = v.product_id AND product.published
      JOIN stock_item i ON i.variant_id = v.id AND i.pool = 'own'
      JOIN wanted w ON w.stock_item_id = i.id AND w.account_id = t.account_id
      LEFT JOIN stock_item o ON o.variant_id = v.id AND o.pool = t.pool
      LEFT JOIN here h ON h.variant_id = v.id
      LEFT JOIN coming ON coming.to_item_id = o.id
      LEFT JOIN asked ON asked.variant_id = v.id AND asked.currency = v.currency
      LEFT JOIN brought b ON b.sku = v.sku AND b.currency = v.currency
     ORDER BY v.sku, t.account_id LIMIT :most
    """  # noqa: S608 - made of two constants
)


async def goods(session: AsyncSession, forecast_run_id: UUID, now: datetime) -> list[SendRow]:
    """All that is for sale from a channel's own warehouse and was forecast; by SKU."""
    since = (now - timedelta(days=90)).date()
    values = {"run_id": forecast_run_id, "since": since, "most": _MOST_GOODS}
    async with joined_at_once(session):
        return [SendRow(*row) for row in await session.execute(_GOODS, values)]


# What is still out and overdue took at least as long as that.
_DAYS = text(
    """
    SELECT account_id, count(*)::int, avg(days)::float8, var_pop(days)::float8 FROM (
        SELECT t.account_id, extract(epoch FROM CASE WHEN t.state = 'received' THEN t.received_at
                                                     ELSE CAST(:now AS timestamptz) END - t.created_at) / 86400 AS days
          FROM stock_transfer t
         WHERE t.tenant_id = current_tenant() AND t.created_at > CAST(:now AS timestamptz) - interval '2 years'
           AND ((t.state = 'received' AND t.received = t.sent) OR (t.state = 'sent' AND t.due_at < :now))) taken
     GROUP BY account_id
    """
)


async def days(session: AsyncSession, now: datetime) -> dict[UUID, Shown]:
    """By account, how long it took from planning a transfer until the channel had all of it on sale."""
    return {row[0]: Shown(*row) for row in await session.execute(_DAYS, {"now": now})}


@dataclass(frozen=True)
class Asked:
    """When the owner was last asked to send something to an account's warehouse, and when the answer was last no."""

    account_id: UUID
    name: str
    asked_at: datetime | None
    refused_at: datetime | None


_ASKED = text(
    """
    SELECT a.id, a.name, max(e.occurred_at),
           max(e.occurred_at) FILTER (WHERE p.rule = 'overruled' AND p.reason = :reason)
      FROM marketplace_account a
      LEFT JOIN proposal p ON p.tenant_id = a.tenant_id AND p.subject_kind = 'account' AND p.subject_id = a.id
                          AND p.command = :command
      LEFT JOIN agent_decision d ON d.id = p.decision_id
      LEFT JOIN event e ON e.id = d.event_id
     WHERE a.id = ANY(:account_ids) GROUP BY a.id, a.name
    """
)


async def asked(session: AsyncSession, account_ids: Collection[UUID], command: str, reason: str) -> dict[UUID, Asked]:
    """Of each account; `reason` is how a refusal of the owner's reads."""
    values = {"account_ids": list(account_ids), "command": command, "reason": reason}
    return {row[0]: Asked(*row) for row in await session.execute(_ASKED, values)}
