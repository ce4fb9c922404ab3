"""Forecasts of demand as people see them: the newest, one stock item's beside what sold, how far to trust them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import TrendKind
from flipsync.domain.errors import NotFound
from flipsync.services.demand_desk import KEPT_WEEKLY
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import Forecast, ForecastRun, StockItem, Trend
from flipsync.store.repositories import forecast_runs as rows
from flipsync.store.repositories import trends as trend_rows

_MOST_SHOWN = 200
#: a forecast that was made so long ago is still told as the newest
FRESH = timedelta(hours=36)

if TYPE_CHECKING:
    from flipsync.services.forecasts import Forecasts


class PathView(View):
    weekly: list[float]
    low: list[float]
    high: list[float]


class ForecastView(View):
    """Goods on one channel: units a week, and an interval that is to hold `inside` of all weeks."""

    id: UUID
    stock_item_id: UUID
    sku: str
    account_id: UUID
    channel: str
    weekly: float
    low: float
    high: float
    path: PathView | None = Field(description="week by week, where the method tells weeks apart; else all are alike")
    own_share: float = Field(description="how much rests on the goods' own sales; the rest is those of all goods")
    weeks_on_shelf: float
    units_sold: int = Field(description="in the weeks that it rests on")


class ForecastRunView(View):
    """Forecasts of the whole catalogue, made at one time."""

    id: UUID
    origin: Moment = Field(description="from when on; what happened later had no part in it")
    horizon: int = Field(description="weeks that it is for, each of `weekly` units")
    inside: float
    method: str
    baseline_wins: bool
    why: str
    rmsse: dict[str, float] = Field(description="of each method on the last weeks before; empty for young books")
    coverage: float | None = Field(description="share of those weeks that were inside their interval")
    series: int
    code_version: str
    decision_id: UUID | None
    weeks_judged: int


class ForecastPage(Page[ForecastView]):
    """The newest forecasts; `run` is null while none were made."""

    run: ForecastRunView | None


class JudgedView(View):
    """One forecast beside what sold since, in the weeks in which the shelf was never empty."""

    sku: str
    account_id: UUID
    channel: str
    origin: Moment
    method: str
    weekly: float
    low: float
    high: float
    weeks: int = Field(description="weeks compared")
    sold: float = Field(description="units sold in them")
    inside: int = Field(description="how many of them were inside the interval")
    rmsse: float | None


class AccuracyView(View):
    """What the forecasts of one method came to, over all that were made and could be compared."""

    method: str
    baseline: bool
    runs: int
    forecasts: int
    weeks: int
    rmsse: float
    coverage: float
    inside: float = Field(description="the coverage that was aimed at")
    pinball: float = Field(description="mean loss of both edges of the interval, in each series' own step")
    sold: float
    expected: float
    first: Moment
    last: Moment


class GoodsView(View):
    stock_item_id: UUID
    forecasts: list[JudgedView]
    accuracy: list[AccuracyView]


class Accuracies(View):
    items: list[AccuracyView]


class TrendView(View):
    """What sells otherwise than before. `q`: the share of false alarms among all that are as sure."""

    id: UUID
    at: Moment
    kind: TrendKind
    stock_item_id: UUID | None
    sku: str | None
    category: str | None
    since: Moment
    ratio: float = Field(description="the new rate over the old; of a season, the best week over the worst")
    q: float
    why: str
    evidence: dict[str, float]
    decision_id: UUID | None


class TrendFilter(View):
    kind: TrendKind | None = None
    stock_item_id: UUID | None = None
    category: str | None = Field(default=None, max_length=500)


class ForecastFilter(View):
    sku: str | None = Field(default=None, max_length=200)
    account_id: UUID | None = None


async def list_forecasts(session: AsyncSession, page: PageRequest, where: ForecastFilter) -> ForecastPage:
    """The newest run's, in the order of their SKUs. Raises InvalidInput for a foreign cursor.

    A cursor outlives the run that it is of by no more than that run is kept: a newer run begins a new list.
    """
    after = page.after_time_and_id()
    run = await (rows.latest(session) if after is None else rows.run_at(session, after[0]))
    if run is None:
        return ForecastPage(items=[], run=None)
    found = await rows.page(
        session,
        run.id,
        limit=page.limit + 1,
        after=after[1] if after is not None else None,
        sku=where.sku,
        account_id=where.account_id,
    )
    origin = run.origin.isoformat()
    told = cut(found, page.limit, lambda row: _forecast(*row), lambda row: [origin, str(row[0].id)])
    return ForecastPage(
        items=told.items, next_cursor=told.next_cursor, run=ForecastRunView.model_validate(run, from_attributes=True)
    )


async def of_goods(session: AsyncSession, stock_item_id: UUID, now: datetime) -> GoodsView:
    """What was forecast of one stock item, newest first. Raises NotFound."""
    if await session.get(StockItem, stock_item_id) is None:
        raise NotFound(f"no stock item {stock_item_id}")
    found = await rows.of_goods(session, stock_item_id, _MOST_SHOWN)
    return GoodsView(
        stock_item_id=stock_item_id,
        forecasts=[_judged(*row) for row in found],
        accuracy=(await accuracy(session, now, stock_item_id)).items,
    )


async def accuracy(session: AsyncSession, now: datetime, stock_item_id: UUID | None = None) -> Accuracies:
    """By method, of all forecasts that are kept."""
    found = await rows.accuracy(session, now - KEPT_WEEKLY, stock_item_id)
    return Accuracies(items=[AccuracyView.model_validate(each, from_attributes=True) for each in found])


async def list_trends(session: AsyncSession, page: PageRequest, where: TrendFilter) -> Page[TrendView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await trend_rows.page(
        session,
        limit=page.limit + 1,
        after=page.after_id(),
        kind=where.kind,
        stock_item_id=where.stock_item_id,
        category=where.category,
    )
    return cut(found, page.limit, lambda row: _trend(*row), lambda row: [str(row[0].id)])


async def stored_forecasts(session: AsyncSession, now: datetime, sku: str | None = None) -> Forecasts | None:
    """The forecasts that were made last; None where they are older than `FRESH`, or know nothing of that SKU."""
    from flipsync.services.forecasts import Forecast as Told
    from flipsync.services.forecasts import Forecasts

    run = await rows.latest(session)
    if run is None or now - run.origin > FRESH:
        return None
    found = await rows.page(session, run.id, limit=run.series, after=None, sku=sku)
    if not found:
        return None
    items = tuple(
        Told(
            sku=known_as,
            stock_item_id=row.stock_item_id,
            account_id=row.account_id,
            channel=channel,
            weekly=row.weekly,
            low=row.low,
            high=row.high,
            method=run.method,
            weeks_on_shelf=row.weeks_on_shelf,
            units_sold=row.units_sold,
            own_share=row.own_share,
            rmsse={},
        )
        for row, known_as, channel in found
    )
    return Forecasts(
        at=run.origin,
        method=run.method,
        baseline_wins=run.baseline_wins,
        why=run.why,
        series=run.series,
        rmsse=run.rmsse,
        coverage=run.coverage,
        items=items,
        stored=True,
    )


def _trend(row: Trend, sku: str | None) -> TrendView:
    columns = ("id", "at", "kind", "stock_item_id", "category", "since", "ratio", "q", "why", "evidence", "decision_id")
    return TrendView.model_validate({each: getattr(row, each) for each in columns} | {"sku": sku})


def _forecast(row: Forecast, sku: str, channel: str) -> ForecastView:
    return ForecastView(
        id=row.id,
        stock_item_id=row.stock_item_id,
        sku=sku,
        account_id=row.account_id,
        channel=channel,
        weekly=row.weekly,
        low=row.low,
        high=row.high,
        path=PathView.model_validate(row.path) if row.path else None,
        own_share=row.own_share,
        weeks_on_shelf=row.weeks_on_shelf,
        units_sold=row.units_sold,
    )


def _judged(row: Forecast, sku: str, channel: str, run: ForecastRun) -> JudgedView:
    return JudgedView(
        sku=sku,
        account_id=row.account_id,
        channel=channel,
        origin=run.origin,
        method=run.method,
        weekly=row.weekly,
        low=row.low,
        high=row.high,
        weeks=row.weeks,
        sold=row.sold,
        inside=row.covered,
        rmsse=round((row.squared / row.weeks) ** 0.5 / row.scale, 4) if row.weeks else None,
    )
