"""Rows of forecasts that were made, and of what sold since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Forecast, ForecastRun, MarketplaceAccount, StockItem, Variant
from flipsync.store.repositories.forecasting import joined_at_once
from flipsync.store.unit_of_work import UnitOfWork

# The whole catalogue in one statement: an array for each column.
_ADD = text(
    """
    INSERT INTO forecast (id, tenant_id, run_id, stock_item_id, account_id, weekly, low, high, path, scale,
                          own_share, weeks_on_shelf, units_sold, weeks, sold, expected, covered, squared, pinball)
    SELECT f.id, :tenant, :run, f.item, f.account, f.weekly, f.low, f.high, CAST(f.path AS jsonb), f.scale,
           f.own_share, f.shelf, f.units, 0, 0, 0, 0, 0, 0
      FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS uuid[]), CAST(:accounts AS uuid[]), CAST(:weekly AS float8[]),
                  CAST(:low AS float8[]), CAST(:high AS float8[]), CAST(:path AS text[]), CAST(:scale AS float8[]),
                  CAST(:own_share AS float8[]), CAST(:shelf AS float8[]), CAST(:units AS bigint[]))
           AS f(id, item, account, weekly, low, high, path, scale, own_share, shelf, units)
    """
)
_JUDGE = text(
    """
    UPDATE forecast SET weeks = forecast.weeks + j.weeks, sold = forecast.sold + j.sold,
           expected = forecast.expected + j.expected, covered = forecast.covered + j.covered,
           squared = forecast.squared + j.squared, pinball = forecast.pinball + j.pinball
      FROM unnest(CAST(:ids AS uuid[]), CAST(:weeks AS bigint[]), CAST(:sold AS float8[]), CAST(:expected AS float8[]),
                  CAST(:covered AS bigint[]), CAST(:squared AS float8[]), CAST(:pinball AS float8[]))
           AS j(id, weeks, sold, expected, covered, squared, pinball)
     WHERE forecast.id = j.id
    """
)
# Of each model: how far off, in roots of squares over each series' own step; how many weeks were inside.
_ACCURACY = text(
    """
    SELECT r.method, bool_or(r.baseline_wins) AS baseline, count(DISTINCT r.id) AS runs, count(*) AS forecasts,
           sum(f.weeks)::bigint AS weeks, avg(sqrt(f.squared / f.weeks) / f.scale) AS rmsse,
           sum(f.covered)::float8 / sum(f.weeks) AS coverage, avg(r.inside) AS inside,
           sum(f.pinball / f.scale) / sum(f.weeks) AS pinball, sum(f.sold) AS sold,
           sum(f.expected) AS expected, min(r.origin) AS first, max(r.origin) AS last
      FROM forecast f JOIN forecast_run r ON r.id = f.run_id
     WHERE f.tenant_id = current_tenant() AND f.weeks > 0 AND r.origin >= :since
       AND (CAST(:item AS uuid) IS NULL OR f.stock_item_id = :item)
     GROUP BY r.method ORDER BY r.method
    """
)
_SOLD_SINCE = text(
    """
    SELECT coalesce(sum(ol.quantity), 0)::bigint
      FROM customer_order o JOIN order_line ol ON ol.order_id = o.id
     WHERE o.tenant_id = current_tenant() AND ol.listing_id IS NOT NULL AND o.status <> 'cancelled'
       AND o.state <> 'cancelled' AND o.placed_at >= :since AND o.placed_at < :until
    """
)


@dataclass(frozen=True)
class Accuracy:
    """Forecast against actual, of all forecasts one method made that could be judged. Errors are in each series' own
    step; `pinball` is the mean loss of both edges of the interval."""

    method: str
    baseline: bool
    runs: int
    forecasts: int
    weeks: int
    rmsse: float
    coverage: float
    inside: float
    pinball: float
    sold: float
    expected: float
    first: datetime
    last: datetime


async def add_run(unit: UnitOfWork, **columns: Any) -> UUID:
    run = ForecastRun(id=new_id(), tenant_id=unit.tenant_id, weeks_judged=0, **columns)
    unit.session.add(run)
    await unit.session.flush()
    return run.id


async def add_all(unit: UnitOfWork, forecast_run_id: UUID, columns: dict[str, list[Any]]) -> None:
    """`columns`: items, accounts, weekly, low, high, path (JSON), scale, own_share, shelf, units; all of one length."""
    ids = [new_id() for _ in columns["items"]]
    await unit.session.execute(_ADD, {"tenant": unit.tenant_id, "run": forecast_run_id, "ids": ids, **columns})


async def latest(session: AsyncSession) -> ForecastRun | None:
    return await session.scalar(select(ForecastRun).order_by(ForecastRun.origin.desc()).limit(1))


async def run_at(session: AsyncSession, origin: datetime) -> ForecastRun | None:
    return await session.scalar(select(ForecastRun).where(ForecastRun.origin == origin))


async def weekly_total(session: AsyncSession, forecast_run_id: UUID) -> float:
    """Units a week that a run expects of all goods."""
    return await session.scalar(select(func.sum(Forecast.weekly)).where(Forecast.run_id == forecast_run_id)) or 0.0


async def sold_since(session: AsyncSession, since: datetime, until: datetime) -> int:
    """Units sold on all channels."""
    async with joined_at_once(session):
        return int((await session.execute(_SOLD_SINCE, {"since": since, "until": until})).scalar_one())


async def to_judge(session: AsyncSession, now: datetime, limit: int) -> Sequence[ForecastRun]:
    """Runs of which another week is over, longest ago first."""
    over = func.floor(func.extract("epoch", now - ForecastRun.origin) / 604800)
    query = select(ForecastRun).where(ForecastRun.weeks_judged < func.least(ForecastRun.horizon, over))
    return (await session.scalars(query.order_by(ForecastRun.origin).limit(limit))).all()


async def of_run(session: AsyncSession, forecast_run_id: UUID) -> Sequence[Any]:
    """id, stock item, account, weekly, low, high, path."""
    told = (Forecast.weekly, Forecast.low, Forecast.high, Forecast.path)
    columns = (Forecast.id, Forecast.stock_item_id, Forecast.account_id, *told)
    return (
        await session.execute(select(*columns).where(Forecast.run_id == forecast_run_id).order_by(Forecast.id))
    ).all()


async def judge(session: AsyncSession, run: ForecastRun, weeks_judged: int, columns: dict[str, list[Any]]) -> None:
    """Add to what is known of a run's forecasts. `columns`: ids, weeks, sold, expected, covered, squared,
    pinball."""
    if columns["ids"]:
        await session.execute(_JUDGE, columns)
    run.weeks_judged = weeks_judged
    await session.flush()


async def accuracy(session: AsyncSession, since: datetime, stock_item_id: UUID | None = None) -> list[Accuracy]:
    found = await session.execute(_ACCURACY, {"since": since, "item": stock_item_id})
    return [Accuracy(**row) for row in found.mappings()]


async def thin_out(session: AsyncSession, since: datetime, until: datetime, span: str) -> None:
    """Of each day or week in that time, only the first run stays."""
    of_time = (ForecastRun.origin >= since) & (ForecastRun.origin < until)
    first = select(func.min(ForecastRun.origin)).where(of_time)
    first = first.group_by(func.date_trunc(span, ForecastRun.origin, "UTC"))
    others = delete(ForecastRun).where(of_time, ForecastRun.origin.not_in(first))
    await session.execute(others.execution_options(synchronize_session=False))


async def forget_before(session: AsyncSession, since: datetime) -> None:
    old = delete(ForecastRun).where(ForecastRun.origin < since)
    await session.execute(old.execution_options(synchronize_session=False))


async def page(
    session: AsyncSession,
    forecast_run_id: UUID,
    *,
    limit: int,
    after: UUID | None,
    sku: str | None = None,
    account_id: UUID | None = None,
) -> Sequence[Row[Forecast, str, str]]:
    """Forecasts of a run with SKU and channel, in the order of the SKUs when they were made."""
    query = _named().where(Forecast.run_id == forecast_run_id).order_by(Forecast.id).limit(limit)
    if after is not None:
        query = query.where(Forecast.id > after)
    if sku is not None:
        query = query.where(Variant.sku == sku)
    if account_id is not None:
        query = query.where(Forecast.account_id == account_id)
    return (await session.execute(query)).all()


async def of_goods(
    session: AsyncSession, stock_item_id: UUID, limit: int
) -> Sequence[Row[Forecast, str, str, ForecastRun]]:
    """All that was forecast of one stock item, newest run first."""
    query = (
        _named()
        .add_columns(ForecastRun)
        .join(ForecastRun, ForecastRun.id == Forecast.run_id)
        .where(Forecast.stock_item_id == stock_item_id)
        .order_by(ForecastRun.origin.desc(), Forecast.id)
        .limit(limit)
    )
    return (await session.execute(query)).all()


def _named() -> Any:
    return (
        select(Forecast, Variant.sku, MarketplaceAccount.name)
        .join(StockItem, StockItem.id == Forecast.stock_item_id)
        .join(Variant, Variant.id == StockItem.variant_id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Forecast.account_id)
    )


async def newest_of_products(
    session: AsyncSession, product_ids: Collection[UUID], limit: int
) -> Sequence[Row[UUID, float, float, float]]:
    """What the newest run expects of goods, on the channel that wants most of them first: id, weekly, low, high."""
    run = select(ForecastRun.id).order_by(ForecastRun.origin.desc()).limit(1).scalar_subquery()
    query = (
        select(Forecast.id, Forecast.weekly, Forecast.low, Forecast.high)
        .join(StockItem, StockItem.id == Forecast.stock_item_id)
        .join(Variant, Variant.id == StockItem.variant_id)
        .where(Forecast.run_id == run, Variant.product_id.in_(list(product_ids)))
        .order_by(Forecast.weekly.desc(), Forecast.id)
        .limit(limit)
    )
    return (await session.execute(query)).all()
