"""Rows of plans and their initiatives; and what a plan is made from and compared with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Initiative, MarketplaceAccount, Plan
from flipsync.store.repositories.forecasting import joined_at_once
from flipsync.store.unit_of_work import UnitOfWork

# Each forecast of the newest run whose goods are on sale there now. Restocked: units came in within twelve weeks, not
# counting the first that ever did.
_OUTLOOK = text(
    """
    SELECT f.stock_item_id, f.account_id, l.sku, l.currency, l.price_minor, p.category, v.cost_minor,
           f.weekly, f.low, f.high, f.path->'weekly' AS path, f.weeks_on_shelf,
           GREATEST(si.on_hand - si.reserved, 0) AS available,
           (SELECT count(*) > 1 AND max(r.at) > :since FROM stock_receipt r
             WHERE r.tenant_id = current_tenant() AND r.stock_item_id = f.stock_item_id) AS restocked
      FROM forecast f
      JOIN stock_item si ON si.id = f.stock_item_id
      JOIN variant v ON v.id = si.variant_id
      JOIN product p ON p.id = v.product_id
      JOIN listing l ON l.variant_id = v.id AND l.account_id = f.account_id
     WHERE f.tenant_id = current_tenant() AND f.run_id = :run AND l.status = 'active' AND l.price_minor > 0
     ORDER BY f.account_id, f.stock_item_id
    """
)
_RUNS = text(
    """
    SELECT extract(epoch FROM :now - r.origin)::float8 / 604800 AS weeks, sum(f.sold)::float8 AS sold,
           sum(f.expected)::float8 AS expected
      FROM forecast f JOIN forecast_run r ON r.id = f.run_id
     WHERE f.tenant_id = current_tenant() AND r.origin >= :since AND r.weeks_judged >= 2
     GROUP BY r.id, r.origin ORDER BY r.id
    """
)
_BY_CHANNEL = text(
    """
    SELECT account_id, currency, sum(goods)::float8 AS goods, sum(units)::float8 AS units
      FROM channel_day WHERE tenant_id = current_tenant() AND day >= :first AND day < :until
     GROUP BY account_id, currency
    """
)
_BY_SKU = text(
    """
    SELECT coalesce(sum(units), 0)::float8 FROM sku_day
     WHERE tenant_id = current_tenant() AND day >= :first AND day < :until AND sku = ANY(:skus)
    """
)


@dataclass(frozen=True)
class SeriesRow:
    """One forecast with what its goods cost and what is there of them. `path` is by week, where weeks differ."""

    stock_item_id: UUID
    account_id: UUID
    sku: str
    currency: str
    price_minor: int
    category: str | None
    cost_minor: int | None
    weekly: float
    low: float
    high: float
    path: list[float] | None
    weeks_on_shelf: float
    available: int
    restocked: bool


@dataclass(frozen=True)
class ChannelSum:
    account_id: UUID
    currency: str
    goods: float
    units: float


async def series(session: AsyncSession, forecast_run_id: UUID, since: datetime) -> list[SeriesRow]:
    async with joined_at_once(session):
        return [SeriesRow(*row) for row in await session.execute(_OUTLOOK, {"run": forecast_run_id, "since": since})]


async def as_a_whole(session: AsyncSession, since: datetime, now: datetime) -> list[tuple[float, float, float]]:
    """What each judged forecast run saw sold and had expected, of all goods together, after the weeks since it."""
    found = await session.execute(_RUNS, {"since": since, "now": now})
    return [(row.weeks, row.sold, row.expected) for row in found]


async def by_channel(session: AsyncSession, first: date, until: date) -> list[ChannelSum]:
    return [ChannelSum(*row) for row in await session.execute(_BY_CHANNEL, {"first": first, "until": until})]


async def units_of(session: AsyncSession, first: date, until: date, skus: Collection[str]) -> float:
    values = {"first": first, "until": until, "skus": list(skus)}
    return float((await session.execute(_BY_SKU, values)).scalar_one())


async def replace(unit: UnitOfWork, **columns: Any) -> None:
    """Keep a plan; those that ran are replaced by it."""
    ran = update(Plan).where(Plan.replaced_at.is_(None)).values(replaced_at=unit.now)
    await unit.session.execute(ran.execution_options(synchronize_session=False))
    unit.session.add(Plan(id=new_id(), tenant_id=unit.tenant_id, **columns))
    await unit.session.flush()


async def starting(session: AsyncSession, starts_at: datetime) -> Plan | None:
    return await session.scalar(select(Plan).where(Plan.starts_at == starts_at))


async def add_initiative(unit: UnitOfWork, **columns: Any) -> None:
    unit.session.add(Initiative(tenant_id=unit.tenant_id, **columns))


async def running(session: AsyncSession, now: datetime) -> Plan | None:
    """The one in force or about to begin."""
    query = select(Plan).where(Plan.replaced_at.is_(None), Plan.ends_at > now).order_by(Plan.id.desc()).limit(1)
    return await session.scalar(query)


async def overdue(session: AsyncSession, until: datetime, limit: int = 20) -> Sequence[datetime]:
    """Beginnings of plans that ended by then and of which not all figures are known; oldest first."""
    open_ = select(Initiative.id).where(Initiative.plan_id == Plan.id, Initiative.reached_at.is_(None)).exists()
    query = select(Plan.starts_at).where(Plan.ends_at <= until, open_).order_by(Plan.starts_at).limit(limit)
    return (await session.scalars(query)).all()


async def initiatives(session: AsyncSession, plans: Collection[UUID]) -> Sequence[tuple[Initiative, str | None]]:
    """Of these plans, with their accounts' names."""
    query = (
        select(Initiative, MarketplaceAccount.name)
        .outerjoin(MarketplaceAccount, MarketplaceAccount.id == Initiative.account_id)
        .where(Initiative.plan_id.in_(list(plans)))
        .order_by(Initiative.id)
    )
    return [(row, name) for row, name in await session.execute(query)]


async def page(session: AsyncSession, *, limit: int, after: UUID | None) -> Sequence[Plan]:
    """Newest first."""
    query = select(Plan).order_by(Plan.id.desc()).limit(limit)
    return (await session.scalars(query if after is None else query.where(Plan.id < after))).all()


@dataclass(frozen=True)
class TargetFacts:
    initiative_id: UUID
    target: float
    reached: float | None


async def targets(session: AsyncSession, decisions: Collection[UUID]) -> dict[tuple[UUID, str], TargetFacts]:
    """What came of targets, by decision and title."""
    query = (
        select(Plan.decision_id, Initiative.title, Initiative.id, Initiative.target, Initiative.reached)
        .join(Plan, Plan.id == Initiative.plan_id)
        .where(Plan.decision_id.in_(list(decisions)))
    )
    return {
        (decision, title): TargetFacts(initiative_id, target, reached)
        for decision, title, initiative_id, target, reached in await session.execute(query)
        if decision is not None
    }
