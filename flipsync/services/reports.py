"""Reports: what was sold, what it earned, what lies on the shelf, the tax in it, and who bought again, as tables for
people and programs.

Figures are those of services.analytics: by day of the order in the business's time zone, one currency a row, nothing
converted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any, Literal

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services import analytics, customer_reading
from flipsync.services.analytics import Group, Period, ProfitRow, Span
from flipsync.services.fees.engine import tax_is_ours_to_pay
from flipsync.services.reading_page import Moment, PageRequest, View
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import sales_reading as rows
from flipsync.store.repositories.report import tenant_id

Kind = Literal["sales", "profit", "stock", "tax", "customers", "cohorts"]
CellKind = Literal["text", "date", "count", "money", "share"]
Cell = str | int | float | date | Money | None
#: rows of one report; a longer span is to be asked for in parts
MOST_ROWS = 20_000
_CHUNK = 1_000


class Column(View):
    title: str
    kind: CellKind
    meaning: str = ""


class Report(View):
    """A table with what its columns mean. `rows` have a cell for each column; money has its currency."""

    kind: Kind
    title: str
    business: str
    first: date | None = Field(description="null: as it is now")
    last: date
    time_zone: str
    counted_at: Moment | None
    columns: list[Column]
    rows: list[list[Cell]]
    details: str | None = Field(description="where the orders behind it are")


_COUNTS = [
    Column(title="Orders", kind="count", meaning="paid, shipped or refunded"),
    Column(title="Units", kind="count"),
]
_SOLD = [
    Column(title="Goods", kind="money", meaning="after discounts, before tax"),
    Column(title="Shipping", kind="money", meaning="charged to buyers, before tax"),
    Column(title="Refunds", kind="money", meaning="as paid back, tax in it"),
    Column(title="Net revenue", kind="money", meaning="goods and shipping less refunds, before tax"),
]
_EARNED = [
    Column(title="Fees", kind="money", meaning="as channels told them, else exact by their tables"),
    Column(title="Cost", kind="money", meaning="landed cost of what did not come back"),
    Column(title="Profit", kind="money", meaning="net revenue less fees and cost; postage is not in it"),
    Column(title="Margin", kind="share", meaning="profit as a share of net revenue"),
    Column(title="Orders without fees", kind="count", meaning="fees nobody knows: not in fees"),
    Column(title="Units without cost", kind="count", meaning="cost nobody knows: not in cost"),
]
_STOCK = [
    Column(title="SKU", kind="text"),
    Column(title="Title", kind="text"),
    Column(title="Units", kind="count", meaning="on the shelf"),
    Column(title="Worth", kind="money", meaning="landed cost, first in first out"),
    Column(title="Units without cost", kind="count", meaning="cost nobody knows: not in worth"),
    Column(title="Oldest, days", kind="count"),
]
_TAX = [
    Column(title="Month", kind="date"),
    Column(title="Channel", kind="text"),
    Column(title="Taxed sales", kind="money", meaning="goods and shipping before tax, less refunds"),
    Column(title="Tax collected", kind="money", meaning="as channels told it"),
    Column(title="Tax given back", kind="money", meaning="in refunds, by each order's own share of tax"),
    Column(title="Tax left", kind="money", meaning="collected less given back"),
    Column(title="Paid by", kind="text", meaning="who pays it to the state: you, or the marketplace that keeps it"),
]
_CUSTOMERS = [
    Column(title="Customers", kind="count"),
    Column(title="Share of customers", kind="share", meaning="of the channel's, in this currency"),
    Column(title="Orders", kind="count", meaning="paid, shipped or refunded"),
    Column(title="Net revenue", kind="money", meaning="goods and shipping less refunds, before tax"),
]
_COHORTS = [
    Column(title="First order", kind="date", meaning="month of it"),
    Column(title="Customers", kind="count", meaning="whose first order was in that month"),
    Column(title="Bought again", kind="share", meaning="who ordered more than once until now"),
    Column(title="Month", kind="date"),
    Column(title="Customers in it", kind="count", meaning="of them, who ordered in this month"),
    Column(title="Share", kind="share", meaning="of them"),
    Column(title="Orders", kind="count", meaning="theirs, in this month"),
    Column(
        title="Net revenue", kind="money", meaning="theirs, in this month: goods and shipping less refunds, before tax"
    ),
]


async def build(session: AsyncSession, kind: Kind, where: Span, today: date) -> Report:
    """Raises InvalidInput for a span that is none, or one with more rows than a report has."""
    first, last = where.days(today)
    columns, found = await _BUILDERS[kind](session, first, last, today)
    books = await profile(session, await tenant_id(session))
    of_now = kind in _OF_NOW
    return Report(
        kind=kind,
        title=TITLES[kind],
        business=books.name,
        first=None if of_now else first,
        last=today if of_now else last,
        time_zone=books.settings.time_zone,
        counted_at=await analytics.counted_at(session),
        columns=columns,
        rows=found,
        details=_details(kind, first, last),
    )


async def _sales(session: AsyncSession, first: date, last: date, today: date) -> tuple[list[Column], list[list[Cell]]]:
    """By day and channel."""
    columns = [Column(title="Day", kind="date"), Column(title="Channel", kind="text"), *_COUNTS, *_SOLD]
    found: list[list[Cell]] = []
    async for row in _series(session, first, last, "day", "channel"):
        sold: list[Cell] = [row.orders, row.units, row.goods, row.shipping, row.refunds, row.net_revenue]
        found.append([row.period, row.label, *sold])
    return columns, found


async def _profit(session: AsyncSession, first: date, last: date, today: date) -> tuple[list[Column], list[list[Cell]]]:
    """By SKU over the whole span, and all of them together."""
    columns = [Column(title="SKU", kind="text"), *_COUNTS, *_SOLD, *_EARNED]
    found: list[list[Cell]] = []
    groups: tuple[Group, ...] = ("sku", "none")
    for group in groups:
        async for row in _series(session, first, last, "all", group):
            name = row.key if group == "sku" else f"All, {row.currency}"
            sold: list[Cell] = [name, row.orders, row.units, row.goods, row.shipping, row.refunds, row.net_revenue]
            earned: list[Cell] = [row.fees, row.cost, row.profit, row.margin]
            found.append([*sold, *earned, row.orders_without_fees, row.units_without_cost])
    return columns, found


async def _stock(session: AsyncSession, first: date, last: date, today: date) -> tuple[list[Column], list[list[Cell]]]:
    """What is there now, the most money first, by age."""
    found: list[list[Cell]] = []
    ages: list[str] = []
    cursor: str | None = None
    while True:
        page = await analytics.ageing(session, PageRequest(limit=200, cursor=cursor), None, today)
        for row in page.items:
            spans = [(each.days_from, each.days_to) for each in row.buckets]
            ages = [f"{begin} days and more" if end is None else f"{begin} to {end} days" for begin, end in spans]
            cells: list[Cell] = [row.sku, row.title, row.units, row.worth, row.units_without_cost, row.oldest_days]
            found.append([*cells, *(bucket.worth for bucket in row.buckets)])
        _bounded(len(found))
        if (cursor := page.next_cursor) is None:
            break
    return [*_STOCK, *(Column(title=age, kind="money", meaning="of the worth, by age") for age in ages)], found


async def _tax(session: AsyncSession, first: date, last: date, today: date) -> tuple[list[Column], list[list[Cell]]]:
    """By month and channel."""
    found: list[list[Cell]] = []
    async for row in _raw(session, first, last, "month", "channel"):

        def money(minor: int, currency: str = row.currency) -> Money:
            return Money(amount_minor=minor, currency=currency)

        back = row.refunds - row.refunds_before_tax
        whose = "you" if tax_is_ours_to_pay(row.vendor or "") else "marketplace"
        amounts: list[Cell] = [money(analytics.net_of(row)), money(row.tax), money(back), money(row.tax - back)]
        found.append([row.period, row.label, *amounts, whose])
    return _TAX, found


async def _customers(
    session: AsyncSession, first: date, last: date, today: date
) -> tuple[list[Column], list[list[Cell]]]:
    """By channel and segment, as it is today."""
    told = await customer_reading.customers(session, customer_reading.SegmentFilter(group="channel"), today)
    found: list[list[Cell]] = []
    for row in told.items:
        title = customer_reading.title_of(row.segment)
        cells: list[Cell] = [row.label, title, row.customers, row.share_of_customers, row.orders, row.net_revenue]
        found.append([*cells, row.share_of_revenue])
    segments = "; ".join(f"{each.title}: {each.meaning}" for each in told.definitions)
    columns = [
        Column(title="Channel", kind="text", meaning=_left_out(told.accounts)),
        Column(title="Segment", kind="text", meaning=f"{segments}. {told.source}"),
        *_CUSTOMERS,
        Column(title="Share of revenue", kind="share", meaning="of the channel's, in this currency"),
    ]
    return columns, found


async def _cohorts(
    session: AsyncSession, first: date, last: date, today: date
) -> tuple[list[Column], list[list[Cell]]]:
    """By channel, month of the first order, and month after; of first orders within the span."""
    found: list[list[Cell]] = []
    cursor: str | None = None
    where = customer_reading.CohortFilter.model_validate({"from": first, "to": last, "group": "channel"})
    while True:
        page = await customer_reading.cohorts(session, PageRequest(limit=200, cursor=cursor), where)
        for row in page.items:
            for month in row.months:
                cells: list[Cell] = [row.label, row.cohort, row.customers, row.repeat_rate, month.month]
                found.append([*cells, month.customers, month.share, month.orders, month.net_revenue])
            _bounded(len(found))
        if (cursor := page.next_cursor) is None:
            break
    return [Column(title="Channel", kind="text", meaning=_left_out(page.accounts)), *_COHORTS], found


def _left_out(accounts: Sequence[customer_reading.Coverage]) -> str:
    told = [
        f"{each.account}: {each.left_out:,} of {each.orders:,} orders left out, {each.why}"
        for each in accounts
        if each.left_out
    ]
    return "; ".join(["customers are known within one channel only", *told])


def _details(kind: Kind, first: date, last: date) -> str | None:
    if kind in ("customers", "cohorts"):
        return "/api/v1/analytics/customers/orders"
    return None if kind in _OF_NOW else f"/api/v1/analytics/rows?from={first}&to={last}"


_BUILDERS = {
    "sales": _sales,
    "profit": _profit,
    "stock": _stock,
    "tax": _tax,
    "customers": _customers,
    "cohorts": _cohorts,
}
#: how it is today, whatever the span
_OF_NOW = ("stock", "customers")
TITLES = {
    "customers": "Customers by segment",
    "cohorts": "Customers by first order",
    "sales": "Sales by day and channel",
    "profit": "Profit after fees by SKU",
    "stock": "Stock by age",
    "tax": "Tax by month and channel",
}


async def _series(session: AsyncSession, first: date, last: date, by: Period, group: Group) -> AsyncIterator[ProfitRow]:
    async for row in _raw(session, first, last, by, group):
        yield ProfitRow.model_validate(analytics.profit_fields(row, group))


async def _raw(session: AsyncSession, first: date, last: date, by: Period, group: Group) -> AsyncIterator[Any]:
    """All rows of a series, read so many at a time: nothing else waits for the whole. Raises InvalidInput for more
    than a report has."""
    after, seen = None, 0
    while True:
        chunk = await rows.series(
            session,
            by,
            group,
            first=first,
            last=last,
            account_id=None,
            sku=None,
            currency=None,
            after=after,
            most=_CHUNK,
        )
        seen += len(chunk)
        _bounded(seen)
        for row in chunk:
            yield row
        if len(chunk) < _CHUNK:
            return
        after = (chunk[-1].period, chunk[-1].currency, chunk[-1].key)


def _bounded(seen: int) -> None:
    if seen > MOST_ROWS:
        raise InvalidInput(f"that is more than the {MOST_ROWS:,} rows a report has", hint="ask for a shorter span")
