"""Analytics: sales and profit over time, channels side by side, how stock sells and ages, and the rows behind it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import analytics
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

User = Annotated[Claims, may("analytics:read")]
_ANSWERS = problems(401, 403)


class SeriesQuery(PageRequest, analytics.SeriesFilter):
    model_config = ConfigDict(extra="forbid")


class RowQuery(PageRequest, analytics.SalesFilter):
    model_config = ConfigDict(extra="forbid")


class SpanQuery(analytics.Span):
    model_config = ConfigDict(extra="forbid")


class SellThroughQuery(PageRequest, analytics.SellThroughFilter):
    model_config = ConfigDict(extra="forbid")


class AgeingQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")

    sku: str | None = None


@router.get("/sales", summary="Sales over time", responses=_ANSWERS)
async def get_sales(query: Annotated[SeriesQuery, Query()], user: User, backend: BackendDep) -> analytics.SalesSeries:
    """By day, week or month (or the span as a whole), and by channel, SKU or category. Newest period first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.sales(session, query, query, backend.store.clock.now().date())


@router.get("/profit", summary="Profit after fees over time", responses=_ANSWERS)
async def get_profit(query: Annotated[SeriesQuery, Query()], user: User, backend: BackendDep) -> analytics.ProfitSeries:
    """As sales, with fees, landed cost and what is left."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.profit(session, query, query, backend.store.clock.now().date())


@router.get("/channels", summary="Channels side by side", responses=_ANSWERS)
async def compare_channels(
    query: Annotated[SpanQuery, Query()], user: User, backend: BackendDep
) -> analytics.ChannelComparison:
    """What each account sold and left over, its fees and refunds as shares of revenue, and its part of the whole."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.channels(session, query, backend.store.clock.now().date())


@router.get("/sell-through", summary="How much of the stock sells", responses=_ANSWERS)
async def get_sell_through(
    query: Annotated[SellThroughQuery, Query()], user: User, backend: BackendDep
) -> Page[analytics.SellThroughRow]:
    """Units sold of those there at the start and received since, by SKU."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.sell_through(session, query, query, backend.store.clock.now().date())


@router.get("/ageing", summary="How long stock lies, and the money in it", responses=_ANSWERS)
async def get_ageing(query: Annotated[AgeingQuery, Query()], user: User, backend: BackendDep) -> analytics.Ageing:
    """Stock items with the most money tied up first; totals by currency."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.ageing(session, query, query.sku, backend.store.clock.now().date())


@router.get("/rows", summary="The rows behind the sums", responses=_ANSWERS)
async def list_rows(query: Annotated[RowQuery, Query()], user: User, backend: BackendDep) -> Page[analytics.SaleRow]:
    """One for each SKU of an order, as it is in the sums; newest day first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await analytics.sale_rows(session, query, query, backend.store.clock.now().date())
