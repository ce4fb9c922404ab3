"""Analytics: sales and profit over time, channels side by side, how stock sells and ages, who buys again, and the rows
behind it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import analytics, customer_reading
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import BackendDep, KnownDep, may
from serve.errors import UNCHANGED, problems

router = APIRouter(prefix="/api/v1/analytics", tags=["analytics"])

User = Annotated[Claims, may("analytics:read")]
_ANSWERS = problems(401, 403) | UNCHANGED


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


class CohortQuery(PageRequest, customer_reading.CohortFilter):
    model_config = ConfigDict(extra="forbid")


class SegmentQuery(customer_reading.SegmentFilter):
    model_config = ConfigDict(extra="forbid")


class CustomerOrderQuery(PageRequest, customer_reading.CustomerOrderFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("/sales", summary="Sales over time", responses=_ANSWERS)
async def get_sales(
    query: Annotated[SeriesQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> analytics.SalesSeries:
    """By day, week or month (or the span as a whole), and by channel, SKU or category. Newest period first."""
    # of categories nothing tells: goods move to other ones, whatever the figures
    mark = None if query.group == "category" else known.unless
    async with analytics.figures(backend.store, user.tenant_id, mark) as (session, today):
        return await analytics.sales(session, query, query, today)


@router.get("/profit", summary="Profit after fees over time", responses=_ANSWERS)
async def get_profit(
    query: Annotated[SeriesQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> analytics.ProfitSeries:
    """As sales, with fees, landed cost and what is left."""
    # of categories nothing tells: goods move to other ones, whatever the figures
    mark = None if query.group == "category" else known.unless
    async with analytics.figures(backend.store, user.tenant_id, mark) as (session, today):
        return await analytics.profit(session, query, query, today)


@router.get("/channels", summary="Channels side by side", responses=_ANSWERS)
async def compare_channels(
    query: Annotated[SpanQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> analytics.ChannelComparison:
    """What each account sold and left over, its fees and refunds as shares of revenue, and its part of the whole."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, today):
        return await analytics.channels(session, query, today)


@router.get("/sell-through", summary="How much of the stock sells", responses=_ANSWERS)
async def get_sell_through(
    query: Annotated[SellThroughQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> Page[analytics.SellThroughRow]:
    """Units sold of those there at the start and received since, by SKU."""
    async with backend.store.reader(user.tenant_id) as session:
        today = await analytics.today(session, backend.store.clock.now())
        view = await analytics.sell_through(session, query, query, today)
    known.unless_same(view)
    return view


@router.get("/ageing", summary="How long stock lies, and the money in it", responses=_ANSWERS)
async def get_ageing(
    query: Annotated[AgeingQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> analytics.Ageing:
    """Stock items with the most money tied up first; totals by currency."""
    async with backend.store.reader(user.tenant_id) as session:
        today = await analytics.today(session, backend.store.clock.now())
        view = await analytics.ageing(session, query, query.sku, today)
    known.unless_same(view)
    return view


@router.get("/rows", summary="The rows behind the sums", responses=_ANSWERS)
async def list_rows(
    query: Annotated[RowQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> Page[analytics.SaleRow]:
    """One for each SKU of an order, as it is in the sums; newest day first."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, today):
        return await analytics.sale_rows(session, query, query, today)


@router.get("/cohorts", summary="Who buys again, by the month of the first order", responses=_ANSWERS)
async def get_cohorts(
    query: Annotated[CohortQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> customer_reading.Cohorts:
    """Customers of each month, how many came back in every month after, and their net revenue. Nobody's name is in it;
    `accounts` says whose buyers are left out, and why."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, _):
        return await customer_reading.cohorts(session, query, query)


@router.get("/customers", summary="Customers by recency, frequency and money", responses=_ANSWERS)
async def get_customers(
    query: Annotated[SegmentQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> customer_reading.Customers:
    """Segments with their definitions, customers, orders and net revenue, as of today."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, today):
        return await customer_reading.customers(session, query, today)


@router.get("/customers/orders", summary="The orders behind segments and cohorts", responses=_ANSWERS)
async def list_customer_orders(
    query: Annotated[CustomerOrderQuery, Query()], user: User, backend: BackendDep, known: KnownDep
) -> Page[customer_reading.CustomerOrder]:
    """Orders whose buyer is followed, of one segment, or of one cohort in one month; newest day first."""
    async with analytics.figures(backend.store, user.tenant_id, known.unless) as (session, today):
        return await customer_reading.customer_orders(session, query, query, today)
