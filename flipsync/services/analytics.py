"""What was sold and what it earned, over time and side by side; and how goods on the shelf age and sell.

Figures come from the days that are kept (services.sales_facts): a day is one of the business's time zone, and an
order counts on the one it was placed on, with all that came of it later. An amount has one currency; amounts of two
are never added.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync import __version__
from flipsync.domain.clock import day_begins, local_day
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, PageRequest, View, amount, cut
from flipsync.store.repositories import sales_facts as counting
from flipsync.store.repositories import sales_reading as rows
from flipsync.store.repositories import shelf_reading as shelf
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store

#: days of a span that nobody named, and the most one may have
DEFAULT_DAYS, MOST_DAYS = 28, 3_660
_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(9000, 1, 1)
Period = Literal["day", "week", "month", "all"]
Group = Literal["none", "channel", "sku", "category"]


class Span(View):
    """Whole days of the business's time zone, the last one with it. Without them: the last 28 days."""

    first: date | None = Field(default=None, alias="from", ge=_FIRST_DAY, le=_LAST_DAY, examples=["2026-11-01"])
    last: date | None = Field(default=None, alias="to", ge=_FIRST_DAY, le=_LAST_DAY, examples=["2026-11-28"])

    def days(self, today: date) -> tuple[date, date]:
        """First and last day. Raises InvalidInput for a span that ends before it begins, or is too long."""
        last = self.last or (max(today, self.first) if self.first else today)
        first = self.first or last - timedelta(days=DEFAULT_DAYS - 1)
        if not 0 <= (last - first).days < MOST_DAYS:
            raise InvalidInput(f"{first} to {last} is not a span of 1 to {MOST_DAYS} days", hint="from comes before to")
        return first, last


def span_of(first: date | None, last: date | None) -> Span:
    """Raises InvalidInput for days that no business has books of."""
    for day in (first, last):
        if day is not None and not _FIRST_DAY <= day <= _LAST_DAY:
            raise InvalidInput(f"{day} is no day of any books", hint=f"{_FIRST_DAY} to {_LAST_DAY}")
    return Span.model_validate({"from": first, "to": last})


class SalesFilter(Span):
    account_id: UUID | None = None
    sku: str | None = Field(default=None, max_length=200)
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$", examples=["USD"])


class SeriesFilter(SalesFilter):
    by: Period = "day"
    group: Group = "none"


class SalesRow(View):
    """Orders of one period, currency and group that earn money: paid, shipped, or refunded since.

    `orders` is null by category: an order may be of several. By SKU it counts the orders that have it.
    """

    period: date = Field(description="the day; the week's Monday; the month's first; or the span's first")
    key: str = Field(description="the account's id, the SKU or the category; empty without a group or category")
    label: str
    currency: str
    orders: int | None
    cancelled: int | None = Field(description="orders called off, which are in nothing else here")
    units: int
    returned: int = Field(description="of those, units that went back on the shelf")
    goods: Money = Field(description="after discounts, before tax")
    shipping: Money = Field(description="charged to buyers, before tax")
    revenue: Money = Field(description="goods and shipping, before tax")
    tax: Money = Field(description="collected for others")
    refunds: Money = Field(description="as paid back, tax in it")
    net_revenue: Money = Field(description="revenue less refunds, both before tax")


class ProfitRow(SalesRow):
    """What is left after fees and goods. Fees are what the channel said it keeps, else exact by its published tables;
    cost is the landed cost of what did not come back. Postage and overheads are not in it."""

    fees: Money
    fees_told_by_channels: Money = Field(description="part of fees")
    cost: Money
    profit: Money = Field(description="net revenue less fees and cost")
    margin: float | None = Field(description="profit as a share of net revenue; null without revenue")
    orders_without_fees: int | None = Field(description="orders whose fees nobody knows: not in fees")
    units_without_cost: int = Field(description="units whose cost nobody knows: not in cost")


class SaleRow(View):
    """One SKU of one order, as it is in the sums."""

    order_id: UUID
    sku: str
    day: date
    account_id: UUID
    cancelled: bool
    units: int
    returned: int
    goods: Money
    shipping: Money
    tax: Money
    refunds: Money
    net_revenue: Money
    fees: Money
    cost: Money
    profit: Money


class SalesSeries(Page[SalesRow]):
    """`counted_at`: until when changes are in the figures; null: counting has just begun."""

    counted_at: Moment | None


class ProfitSeries(Page[ProfitRow]):
    """`counted_at`: until when changes are in the figures; null: counting has just begun."""

    counted_at: Moment | None


class ChannelRow(ProfitRow):
    """One account in one currency, with what makes it comparable to others."""

    vendor: str | None
    average_order: Money | None = Field(description="revenue by order")
    fee_rate: float | None = Field(description="fees as a share of revenue")
    refund_rate: float | None = Field(description="refunds before tax as a share of revenue")
    share: float | None = Field(description="of the revenue of all accounts in this currency")


class ChannelComparison(View):
    """By revenue, largest first, within each currency."""

    first: date
    last: date
    items: list[ChannelRow]
    counted_at: Moment | None


class SellThroughRow(View):
    """How much of what there was to sell was sold: units sold and not returned, of those there at the start and
    received since. By orders placed in the span, whether or not they were shipped."""

    sku: str
    title: str
    at_start: int
    received: int
    sold: int = Field(description="less what came back")
    at_end: int
    sell_through: float | None = Field(description="a share; null where there was nothing to sell")


class SellThroughFilter(Span):
    sku: str | None = Field(default=None, max_length=200)


class AgeBucket(View):
    """Units that lie on the shelf for so many days, and the money tied up in them."""

    days_from: int
    days_to: int | None
    units: int
    worth: Money


class AgeingRow(View):
    stock_item_id: UUID
    sku: str
    title: str
    units: int
    worth: Money = Field(description="landed cost, first in first out")
    units_without_cost: int = Field(description="units whose cost nobody knows: not in worth")
    oldest_days: int
    buckets: list[AgeBucket]


class AgeingTotal(View):
    """All stock in one currency."""

    currency: str
    units: int
    worth: Money
    units_without_cost: int
    buckets: list[AgeBucket]


class Ageing(Page[AgeingRow]):
    """The most money tied up first. What is there is what came in last (first in, first out); what was returned or
    counted upwards came in on that day."""

    totals: list[AgeingTotal]


async def sales(session: AsyncSession, page: PageRequest, where: SeriesFilter, today: date) -> SalesSeries:
    """Newest period first. Raises InvalidInput for a foreign cursor or a span that is none."""
    found = await _series(session, page, where, today)
    cut_off = cut(found, page.limit, lambda row: SalesRow.model_validate(sales_fields(row, where.group)), _place)
    return SalesSeries(items=cut_off.items, next_cursor=cut_off.next_cursor, counted_at=await counted_at(session))


async def profit(session: AsyncSession, page: PageRequest, where: SeriesFilter, today: date) -> ProfitSeries:
    """As `sales`, with fees, cost and what is left."""
    found = await _series(session, page, where, today)
    cut_off = cut(found, page.limit, lambda row: ProfitRow.model_validate(profit_fields(row, where.group)), _place)
    return ProfitSeries(items=cut_off.items, next_cursor=cut_off.next_cursor, counted_at=await counted_at(session))


async def channels(session: AsyncSession, where: Span, today: date) -> ChannelComparison:
    """Raises InvalidInput for a span that is none."""
    first, last = where.days(today)
    found = await rows.by_channel(session, first, last)
    revenue: dict[str, int] = {}
    for row in found:
        revenue[row.currency] = revenue.get(row.currency, 0) + row.goods + row.shipping
    ordered = sorted(found, key=lambda row: (row.currency, -(row.goods + row.shipping), row.key))
    items = [
        ChannelRow.model_validate(
            profit_fields(row, "channel")
            | {
                "vendor": row.vendor,
                "average_order": amount((row.goods + row.shipping) // row.orders, row.currency) if row.orders else None,
                "fee_rate": ratio(row.fees, row.goods + row.shipping),
                "refund_rate": ratio(row.refunds_before_tax, row.goods + row.shipping),
                "share": ratio(row.goods + row.shipping, revenue[row.currency]),
            }
        )
        for row in ordered
    ]
    return ChannelComparison(first=first, last=last, items=items, counted_at=await counted_at(session))


async def sale_rows(session: AsyncSession, page: PageRequest, where: SalesFilter, today: date) -> Page[SaleRow]:
    """What the sums are made of, newest day first. Raises InvalidInput."""
    first, last = where.days(today)
    key = page.after_key("date", "id", "text")
    found = await rows.sale_rows(
        session,
        first=first,
        last=last,
        account_id=where.account_id,
        sku=where.sku,
        currency=where.currency,
        after=None if key is None else (key[0], key[1], key[2]),
        most=page.limit + 1,
    )
    return cut(found, page.limit, _sale_row, lambda row: [row.day.isoformat(), str(row.order_id), row.sku])


async def sell_through(
    session: AsyncSession, page: PageRequest, where: SellThroughFilter, today: date
) -> Page[SellThroughRow]:
    """By SKU. Raises InvalidInput."""
    first, last = where.days(today)
    key = page.after_key("text")
    zone = await tenants.zone(session)
    found = await shelf.sell_through(
        session,
        first=first,
        last=last,
        since=day_begins(first, zone),
        until=day_begins(last + timedelta(days=1), zone),
        sku=where.sku,
        after="" if key is None else key[0],
        most=page.limit + 1,
    )
    return cut(found, page.limit, _sold_through, lambda row: [row.sku])


async def ageing(session: AsyncSession, page: PageRequest, sku: str | None, today: date) -> Ageing:
    """Raises InvalidInput for a foreign cursor."""
    key = page.after_key("number", "id")
    zone = await tenants.zone(session)
    found = await shelf.ageing(
        session, today, zone=zone, sku=sku, after=None if key is None else (key[0], key[1]), most=page.limit + 1
    )
    cut_off = cut(found, page.limit, _aged, lambda row: [str(row.worth), str(row.stock_item_id)])
    totals = [
        AgeingTotal(
            currency=row.currency,
            units=row.units,
            worth=Money(amount_minor=row.worth, currency=row.currency),
            units_without_cost=row.units_without_cost,
            buckets=_buckets(row),
        )
        for row in await shelf.ages(session, today, zone=zone, sku=sku)
    ]
    return Ageing(items=cut_off.items, next_cursor=cut_off.next_cursor, totals=totals)


@dataclass(frozen=True)
class Standing:
    """The business's day, and a mark that is another one when an answer made of figures alone would be."""

    today: date
    mark: str


async def standing(session: AsyncSession, now: datetime) -> Standing:
    state = await rows.state(session)
    day = local_day(now, state.time_zone)
    told = "|".join(map(str, (__version__, day, *state)))
    return Standing(day, hashlib.sha256(told.encode()).hexdigest()[:32])


@asynccontextmanager
async def figures(
    store: Store, tenant_id: UUID, mark: Callable[[str], None] | None
) -> AsyncIterator[tuple[AsyncSession, date]]:
    """The books for an answer made of figures, and the business's day. `mark` is called with the standing's before any
    figure is read, and may raise."""
    async with store.reader(tenant_id) as session:
        now = await standing(session, store.clock.now())
        if mark is not None:
            mark(now.mark)
        yield session, now.today


async def today(session: AsyncSession, now: datetime) -> date:
    """The day it is in the business's time zone."""
    return local_day(now, await tenants.zone(session))


async def counted_at(session: AsyncSession) -> datetime | None:
    position = await counting.position(session)
    return None if position is None else position.counted_at


def sales_fields(row: Any, group: str = "none") -> dict[str, Any]:
    """The fields of a SalesRow."""
    each = group == "category"

    def money(minor: int) -> dict[str, Any] | None:
        return amount(minor, row.currency)

    return {
        "period": row.period,
        "key": row.key,
        "label": row.label,
        "currency": row.currency,
        "orders": None if each else row.orders,
        "cancelled": None if each else row.cancelled,
        "units": row.units,
        "returned": row.returned,
        "goods": money(row.goods),
        "shipping": money(row.shipping),
        "revenue": money(row.goods + row.shipping),
        "tax": money(row.tax),
        "refunds": money(row.refunds),
        "net_revenue": money(net_of(row)),
    }


def profit_fields(row: Any, group: str = "none") -> dict[str, Any]:
    """The fields of a ProfitRow."""

    def money(minor: int) -> dict[str, Any] | None:
        return amount(minor, row.currency)

    return sales_fields(row, group) | {
        "fees": money(row.fees),
        "fees_told_by_channels": money(row.fees_told),
        "cost": money(row.cost),
        "profit": money(profit_of(row)),
        "margin": ratio(profit_of(row), net_of(row)),
        "orders_without_fees": None if group == "category" else row.orders_without_fees,
        "units_without_cost": row.units_without_cost,
    }


def net_of(row: Any) -> int:
    """Revenue less refunds, both before tax."""
    return int(row.goods + row.shipping - row.refunds_before_tax)


def profit_of(row: Any) -> int:
    return net_of(row) - int(row.fees) - int(row.cost)


def ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole > 0 else None


async def _series(session: AsyncSession, page: PageRequest, where: SeriesFilter, today: date) -> Sequence[Any]:
    first, last = where.days(today)
    key = page.after_key("date", "text", "text")
    return await rows.series(
        session,
        where.by,
        where.group,
        first=first,
        last=last,
        account_id=where.account_id,
        sku=where.sku,
        currency=where.currency,
        after=None if key is None else (key[0], key[1], key[2]),
        most=page.limit + 1,
    )


def _place(row: Any) -> list[str]:
    return [row.period.isoformat(), row.currency, row.key]


def _sale_row(row: Any) -> SaleRow:
    def money(minor: int) -> dict[str, Any] | None:
        return amount(minor, row.currency)

    return SaleRow.model_validate(
        {name: getattr(row, name) for name in ("order_id", "sku", "day", "account_id", "units", "returned")}
        | {name: money(getattr(row, name)) for name in ("goods", "shipping", "tax", "refunds", "fees", "cost")}
        | {
            "cancelled": bool(row.cancelled),
            "net_revenue": money(net_of(row)),
            "profit": money(profit_of(row)),
        }
    )


def _sold_through(row: Any) -> SellThroughRow:
    sold, there = row.units - row.returned, row.at_start + row.received
    return SellThroughRow(
        sku=row.sku,
        title=row.title,
        at_start=row.at_start,
        received=row.received,
        sold=sold,
        at_end=row.at_end,
        sell_through=ratio(sold, there),
    )


def _aged(row: Any) -> AgeingRow:
    return AgeingRow(
        stock_item_id=row.stock_item_id,
        sku=row.sku,
        title=row.title,
        units=row.units,
        worth=Money(amount_minor=row.worth, currency=row.currency),
        units_without_cost=row.units_without_cost,
        oldest_days=row.oldest,
        buckets=_buckets(row),
    )


def _buckets(row: Any) -> list[AgeBucket]:
    return [
        AgeBucket(
            days_from=0 if index == 0 else shelf.AGES[index - 1] + 1,
            days_to=shelf.AGES[index] if index < len(shelf.AGES) else None,
            units=getattr(row, f"units_{index}"),
            worth=Money(amount_minor=getattr(row, f"worth_{index}"), currency=row.currency),
        )
        for index in range(len(shelf.AGES) + 1)
    ]
