"""Who buys again: cohorts by the month of the first order, and segments by recency, frequency and money (RFM).

The three scores and their use are Hughes' ("Strategic Database Marketing", 1994); he cuts each in quintiles. Here the
cuts are fixed, so that a customer moves by what they did, not by what others did; most have ordered once, which no
quintile tells apart. Customers are those of one channel account in one currency: nothing else ties them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services.analytics import counted_at, ratio
from flipsync.services.customers import NOT_FOLLOWED
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import customer_reading as rows
from flipsync.store.repositories.report import tenant_id

_API = "/api/v1/analytics/customers/orders"
_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(9000, 1, 1)
Grouping = Literal["none", "channel"]
Segment = Literal["champions", "loyal", "promising", "new", "cooling", "at_risk", "cannot_lose", "asleep"]

#: days since the last order, below which it scores so much
RECENCY: Final = ((30, 5), (90, 4), (180, 3), (365, 2))
#: orders, from which on it scores so much; money is counted in average orders of the channel, by the same cuts
FREQUENCY: Final = ((10, 5), (5, 4), (3, 3), (2, 2))
CUTS: Final = (RECENCY, FREQUENCY, FREQUENCY)
_SOURCE = (
    "A. M. Hughes, Strategic Database Marketing (1994), with fixed cuts in the place of quintiles. R: days since the"
    " last order (under 30: 5, 90: 4, 180: 3, 365: 2, else 1). F: orders (10 and more: 5, 5: 4, 3: 3, 2: 2, one: 1)."
    " M: net revenue in average orders of the channel and currency (10 and more: 5, 5: 4, 3: 3, 2: 2, less: 1)."
    " FM: the mean of F and M, rounded up."
)
#: from R = 1 to 5: the segment of FM = 1 to 5
_GRID: Final[tuple[tuple[Segment, ...], ...]] = (
    ("asleep", "asleep", "at_risk", "cannot_lose", "cannot_lose"),
    ("asleep", "asleep", "at_risk", "at_risk", "at_risk"),
    ("cooling", "cooling", "loyal", "loyal", "loyal"),
    ("new", "promising", "loyal", "champions", "champions"),
    ("new", "promising", "loyal", "champions", "champions"),
)
_MEANINGS: Final[dict[Segment, tuple[str, str]]] = {
    "champions": ("Champions", "R 4 to 5, FM 4 to 5: bought lately, often and much"),
    "loyal": ("Loyal", "R 4 to 5, FM 3, or R 3, FM 3 to 5: come back, or did until a few months ago"),
    "promising": ("Promising", "R 4 to 5, FM 2: lately, and more than once or much at once"),
    "new": ("New", "R 4 to 5, FM 1: one small order, lately"),
    "cooling": ("Cooling", "R 3, FM 1 to 2: a few months ago, little"),
    "at_risk": ("At risk", "R 2, FM 3 to 5, or R 1, FM 3: were good customers, and stay away"),
    "cannot_lose": ("Cannot lose", "R 1, FM 4 to 5: were the best, more than a year ago"),
    "asleep": ("Asleep", "R 1 to 2, FM 1 to 2: long ago, little"),
}


class CustomerFilter(View):
    account_id: UUID | None = None
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$", examples=["USD"])


class SegmentFilter(CustomerFilter):
    group: Grouping = "none"


class CohortFilter(SegmentFilter):
    """Months of first orders, the last one with it; any day of a month means the month."""

    first: date | None = Field(default=None, alias="from", ge=_FIRST_DAY, le=_LAST_DAY, examples=["2026-01-01"])
    last: date | None = Field(default=None, alias="to", ge=_FIRST_DAY, le=_LAST_DAY, examples=["2026-11-01"])


class CustomerOrderFilter(CustomerFilter):
    segment: Segment | None = None
    cohort: date | None = Field(default=None, ge=_FIRST_DAY, le=_LAST_DAY, description="month of the first order")
    month: date | None = Field(default=None, ge=_FIRST_DAY, le=_LAST_DAY, description="month of this order")


class Coverage(View):
    """Orders of an account that earn, and those of them whose buyer is followed."""

    account_id: UUID
    account: str
    vendor: str
    orders: int
    followed: int
    left_out: int
    why: str = Field(description="why some are left out; empty where none is")


class CohortPoint(View):
    month: date
    after: int = Field(description="months after the first order's")
    customers: int = Field(description="of the cohort, who ordered in that month")
    share: float | None = Field(description="of the cohort")
    orders: int
    net_revenue: Money
    rows: str


class CohortRow(View):
    """Customers whose first order was in one month, and what they did in every month after."""

    cohort: date
    key: str
    label: str
    currency: str
    customers: int
    bought_again: int
    repeat_rate: float | None = Field(description="who ordered more than once until now, as a share of the cohort")
    orders: int
    net_revenue: Money
    months: list[CohortPoint]


class Cohorts(Page[CohortRow]):
    """Newest first. `forgotten_after_days`: buyers are forgotten then, and customers followed no longer than that;
    null: until somebody asks."""

    accounts: list[Coverage]
    forgotten_after_days: int | None
    counted_at: Moment | None


class SegmentDefinition(View):
    segment: Segment
    title: str
    meaning: str


class SegmentRow(View):
    segment: Segment
    key: str
    label: str
    currency: str
    customers: int
    orders: int
    net_revenue: Money
    share_of_customers: float | None
    share_of_revenue: float | None
    rows: str


class Customers(View):
    """Segments with customers in them, by currency and key; `source` says how scores are made."""

    today: date
    definitions: list[SegmentDefinition]
    source: str
    items: list[SegmentRow]
    accounts: list[Coverage]
    forgotten_after_days: int | None
    counted_at: Moment | None


class CustomerOrder(View):
    """An order whose buyer is followed; who that is stays with the order."""

    order_id: UUID
    day: date
    account_id: UUID
    net_revenue: Money
    cohort: date = Field(description="month of the buyer's first order")
    customer_orders: int = Field(description="orders of the same buyer until now")
    segment: Segment


async def cohorts(session: AsyncSession, page: PageRequest, where: CohortFilter) -> Cohorts:
    """Raises InvalidInput for a foreign cursor, or months that end before they begin."""
    first, last = where.first or _FIRST_DAY, where.last or _LAST_DAY
    if last < first:
        raise InvalidInput(f"{first} to {last} is no span", hint="from comes before to")
    key = page.after_key("date", "text", "text")
    found = await rows.cohorts(
        session,
        where.group,
        first=_month(first),
        last=_month(last),
        account_id=where.account_id,
        currency=where.currency,
        after=None if key is None else (key[0], key[1], key[2]),
        most=page.limit + 1,
    )
    cut_off = cut(found, page.limit, _cohort, lambda row: [row.cohort.isoformat(), row.currency, row.key])
    return Cohorts(items=cut_off.items, next_cursor=cut_off.next_cursor, **await _known(session, where.account_id))


async def customers(session: AsyncSession, where: SegmentFilter, today: date) -> Customers:
    scored = await rows.segments(
        session, where.group, CUTS, today=today, account_id=where.account_id, currency=where.currency
    )
    sums: dict[tuple[str, str, str], dict[Segment, list[int]]] = {}
    for row in scored:
        place = sums.setdefault((row.currency, row.key, row.label), {}).setdefault(segment_of(row.r, row.fm), [0] * 3)
        for index, value in enumerate((row.customers, row.orders, row.net)):
            place[index] += value
    return Customers(
        today=today,
        definitions=[
            SegmentDefinition(segment=name, title=title, meaning=meaning)
            for name, (title, meaning) in _MEANINGS.items()
        ],
        source=_SOURCE,
        items=[
            _segment(name, *place, each[name], [sum(column) for column in zip(*each.values(), strict=True)])
            for place, each in sums.items()
            for name in _MEANINGS
            if name in each
        ],
        **await _known(session, where.account_id),
    )


async def customer_orders(
    session: AsyncSession, page: PageRequest, where: CustomerOrderFilter, today: date
) -> Page[CustomerOrder]:
    """What segments and cohorts are made of, newest day first. Raises InvalidInput for a foreign cursor."""
    key = page.after_key("date", "id")
    found = await rows.orders(
        session,
        CUTS,
        today=today,
        cells=None if where.segment is None else _cells(where.segment),
        cohort=None if where.cohort is None else _month(where.cohort),
        month=None if where.month is None else _month(where.month),
        account_id=where.account_id,
        currency=where.currency,
        after=None if key is None else (key[0], key[1]),
        most=page.limit + 1,
    )
    return cut(found, page.limit, _order, lambda row: [row.day.isoformat(), str(row.order_id)])


def segment_of(recency: int, worth: int) -> Segment:
    """By R and FM, both 1 to 5."""
    return _GRID[recency - 1][worth - 1]


def title_of(segment: Segment) -> str:
    return _MEANINGS[segment][0]


def _cells(segment: Segment) -> Sequence[int]:
    return [r * 10 + fm for r in range(1, 6) for fm in range(1, 6) if segment_of(r, fm) == segment]


async def _known(session: AsyncSession, account_id: UUID | None) -> dict[str, Any]:
    """Whose buyers are followed and for how long, and until when changes are in."""
    privacy = (await profile(session, await tenant_id(session))).settings.privacy
    return {
        "accounts": [_coverage(row) for row in await rows.coverage(session, account_id)],
        "forgotten_after_days": privacy.buyer_days or None,
        "counted_at": await counted_at(session),
    }


def _coverage(row: Any) -> Coverage:
    left_out, why = row.orders - row.followed, ""
    if left_out and row.vendor in NOT_FOLLOWED:
        why = "buyers of this channel may be known for 30 days only, and are not followed"
    elif left_out:
        why = "the channel did not tell who bought, or the buyer was forgotten"
    return Coverage(
        account_id=row.account_id,
        account=row.name,
        vendor=row.vendor,
        orders=row.orders,
        followed=row.followed,
        left_out=left_out,
        why=why,
    )


def _cohort(row: Any) -> CohortRow:
    account = f"&account_id={row.key}" if row.key else ""
    points = []
    for told, buyers, orders, net in row.months:
        month = date.fromisoformat(told)
        points.append(
            CohortPoint(
                month=month,
                after=(month.year - row.cohort.year) * 12 + month.month - row.cohort.month,
                customers=buyers,
                share=ratio(buyers, row.customers),
                orders=orders,
                net_revenue=Money(amount_minor=net, currency=row.currency),
                rows=f"{_API}?cohort={row.cohort}&month={month}&currency={row.currency}{account}",
            )
        )
    return CohortRow(
        cohort=row.cohort,
        key=row.key,
        label=row.label,
        currency=row.currency,
        customers=row.customers,
        bought_again=row.again,
        repeat_rate=ratio(row.again, row.customers),
        orders=row.orders,
        net_revenue=Money(amount_minor=row.net, currency=row.currency),
        months=points,
    )


def _segment(
    name: Segment, currency: str, key: str, label: str, sums: Sequence[int], whole: Sequence[int]
) -> SegmentRow:
    account = f"&account_id={key}" if key else ""
    return SegmentRow(
        segment=name,
        key=key,
        label=label,
        currency=currency,
        customers=sums[0],
        orders=sums[1],
        net_revenue=Money(amount_minor=sums[2], currency=currency),
        share_of_customers=ratio(sums[0], whole[0]),
        share_of_revenue=ratio(sums[2], whole[2]),
        rows=f"{_API}?segment={name}&currency={currency}{account}",
    )


def _order(row: Any) -> CustomerOrder:
    return CustomerOrder(
        order_id=row.order_id,
        day=row.day,
        account_id=row.account_id,
        net_revenue=Money(amount_minor=row.net, currency=row.currency),
        cohort=row.cohort,
        customer_orders=row.orders,
        segment=segment_of(row.r, row.fm),
    )


def _month(day: date) -> date:
    return day.replace(day=1)
