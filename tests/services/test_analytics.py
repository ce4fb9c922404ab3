"""Series, comparisons, ageing, sell-through and the dashboard, from small books whose figures are plain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from shop import Goods, Shop, dollars, open_store
from sqlalchemy import text

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, ChannelRefund
from flipsync.domain.clock import Clock
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services import analytics, landed, orders, sales_facts
from flipsync.services.analytics import SellThroughFilter, SeriesFilter, Span
from flipsync.services.dashboard import Dashboard, dashboard, kpis
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import PageRequest
from flipsync.services.revenue import revenue
from flipsync.store.database import SessionReader
from flipsync.store.models.sales import FIGURES

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TODAY = NOW.date()
WHOLE = {"from": date(2026, 1, 1), "to": TODAY}


class Stopped(Clock):
    """A clock that is set by hand."""

    at = NOW

    def now(self) -> datetime:
        return self.at


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=Stopped())
    yield await Shop(store).found()
    await store.aclose()


async def sell(
    shop: Shop,
    account: AccountRef,
    sku: str,
    placed: datetime,
    *,
    units: int = 1,
    price: int = 1_000,
    currency: str = "USD",
    refunded: int = 0,
) -> None:
    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    refunds = (ChannelRefund(external_id="r", amount=money(refunded), created_at=placed),) if refunded else ()
    told = ChannelOrder(
        external_id=f"{sku}-{placed.isoformat()}-{currency}",
        number="1",
        status="paid",
        vendor_status="paid",
        holds_stock=True,
        placed_at=placed,
        modified_at=placed,
        currency=currency,
        lines=(
            ChannelOrderLine(
                external_id="l",
                listing_external_id=f"x-{sku}",
                sku=sku,
                title=sku,
                quantity=units,
                total=money(price * units),
                tax=money(0),
            ),
        ),
        shipping=money(0),
        tax=money(0),
        total=money(price * units),
        refunds=refunds,
    )
    async with shop.unit() as unit:
        await orders.ingest_order(unit, account, told)


async def listed(shop: Shop, units: int = 50, **more: Any) -> tuple[AccountRef, Goods]:
    account, goods = await shop.account(), await shop.variant(units=units, cost=400, **more)
    await shop.listing(account, goods, units=units)
    return account, goods


async def series(shop: Shop, page: PageRequest = PageRequest(), **query: Any) -> analytics.ProfitSeries:  # noqa: B008
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.store.reader(shop.tenant_id) as session:
        return await analytics.profit(session, page, SeriesFilter.model_validate(WHOLE | query), TODAY)


def at(month: int, day: int) -> datetime:
    return datetime(2026, month, day, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 1, 2), date(2026, 3, 30)),
        (date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 2, 3), date(2026, 2, 20)),
        (date(2026, 1, 31), date(2026, 2, 1)),
    ],
)
async def test_months_and_what_is_left_of_a_span_add_up_to_its_days(shop: Shop, first: date, last: date) -> None:
    account, goods = await listed(shop, units=90)
    for offset in range(0, 90, 7):
        await sell(shop, account, goods.sku, at(1, 1) + timedelta(days=offset), price=1_000 + offset)
    span = {"from": first, "to": last, "group": "sku"}
    days = (await series(shop, PageRequest(limit=200), **span)).items
    by_month: dict[date, int] = {}
    for row in days:
        month = row.period.replace(day=1)
        by_month[month] = by_month.get(month, 0) + row.profit.amount_minor
    months = (await series(shop, by="month", **span)).items
    assert {row.period: row.profit.amount_minor for row in months} == by_month
    (whole,) = (await series(shop, by="all", **span)).items or (None,)
    assert (whole.profit.amount_minor if whole else 0) == sum(by_month.values())
    assert by_month or last - first < timedelta(days=7)


async def test_profit_by_day_week_and_month(shop: Shop) -> None:
    account, goods = await listed(shop)
    for placed in (at(3, 30), at(3, 31), at(3, 1), at(2, 28)):
        await sell(shop, account, goods.sku, placed)
    got = {
        by: [(row.period.isoformat(), row.orders) for row in (await series(shop, by=by)).items]
        for by in ("day", "week", "month", "all")
    }
    assert got["day"] == [("2026-03-31", 1), ("2026-03-30", 1), ("2026-03-01", 1), ("2026-02-28", 1)]
    assert got["week"] == [("2026-03-30", 2), ("2026-02-23", 2)]  # from Monday
    assert got["month"] == [("2026-03-01", 3), ("2026-02-01", 1)]
    assert got["all"] == [("2026-01-01", 4)]
    (whole,) = (await series(shop, by="all")).items
    # 4 x 10.00, 12 % of each to the channel, 4.00 each for the goods
    assert (whole.revenue, whole.fees, whole.cost, whole.profit) == (
        dollars(4_000),
        dollars(480),
        dollars(1_600),
        dollars(1_920),
    )
    assert whole.margin == 0.48


async def test_groups_are_channels_skus_and_categories_and_come_in_pages(shop: Shop) -> None:
    first, second = await listed(shop), await listed(shop)
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE product SET category = 'Cups' WHERE id = ANY (:ids)"),
            {"ids": [first[1].product_id, second[1].product_id]},
        )
    for account, goods in (first, second):
        await sell(shop, account, goods.sku, at(3, 5), units=2)
    await sell(shop, first[0], first[1].sku, at(3, 6), currency="EUR")
    by_sku = (await series(shop, by="all", group="sku")).items
    assert {(row.key, row.currency, row.units) for row in by_sku} == {
        (first[1].sku, "USD", 2),
        (second[1].sku, "USD", 2),
        (first[1].sku, "EUR", 1),
    }
    by_channel = (await series(shop, by="all", group="channel")).items
    assert {(row.key, row.currency, row.orders) for row in by_channel} == {
        (str(first[0].id), "USD", 1),
        (str(second[0].id), "USD", 1),
        (str(first[0].id), "EUR", 1),
    }
    by_category = (await series(shop, by="all", group="category")).items
    assert [(row.key, row.currency, row.units, row.orders) for row in by_category] == [
        ("Cups", "EUR", 1, None),
        ("Cups", "USD", 4, None),
    ]
    seen, cursor = [], None
    while True:
        page = await series(shop, PageRequest(limit=1, cursor=cursor), by="all", group="sku")
        seen += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert seen == by_sku
    only = (await series(shop, by="all", sku=first[1].sku, currency="USD")).items
    assert [(row.orders, row.units) for row in only] == [(1, 2)]


async def test_channels_side_by_side(shop: Shop) -> None:
    account, goods = await listed(shop)
    other = await shop.account("ebay", name="eBay")
    await sell(shop, account, goods.sku, at(3, 30), units=3, refunded=600)
    await sell(shop, other, "not ours", at(3, 30), price=1_000)
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.store.reader(shop.tenant_id) as session:
        told = await analytics.channels(session, Span(), TODAY)
    one, two = told.items
    assert (one.vendor, one.share, one.refund_rate, one.average_order) == ("custom", 0.75, 0.2, dollars(3_000))
    assert (two.label, two.share, two.units_without_cost) == ("eBay", 0.25, 1)
    assert (told.first, told.last) == (TODAY - timedelta(days=27), TODAY)


async def test_a_span_that_is_none_is_refused(shop: Shop) -> None:
    for wrong in ({"from": date(2026, 3, 2), "to": date(2026, 3, 1)}, {"from": date(1990, 1, 1), "to": TODAY}):
        with pytest.raises(InvalidInput):
            Span.model_validate(wrong).days(TODAY)


async def test_what_lies_there_is_what_came_last(shop: Shop) -> None:
    """Layers first in, first out, to the cent as the landed costs say."""
    goods = await shop.variant(units=0, cost=None)
    clock = shop.store.clock
    assert isinstance(clock, Stopped)
    for days, units, cost in ((200, 10, 1_001), (100, 5, 777), (10, 4, 500)):
        clock.at = NOW - timedelta(days=days)
        async with shop.unit() as unit:
            await landed.receive(unit, goods.variant_id, units, dollars(cost), key=f"{days}:{goods.sku}", mode="escrow")
    account = await shop.account()
    await shop.listing(account, goods, units=12)
    clock.at = NOW
    async with shop.unit() as unit:
        told = shop.order({goods.sku: 8}).model_copy(update={"placed_at": NOW, "modified_at": NOW})
        sold = await orders.ingest_order(unit, account, told)
        await orders.mark_ready(unit, sold.order_id)
        await orders.confirm_shipped(unit, account, sold.order_id)
    async with shop.store.reader(shop.tenant_id) as session:
        told_ages = await analytics.ageing(session, PageRequest(), goods.sku, TODAY)
        value = await landed.valuation(session, goods.stock_item_id, "fifo")
    (row,) = told_ages.items
    assert [(each.days_from, each.units, each.worth.amount_minor) for each in row.buckets] == [
        (0, 4, 500),
        (31, 0, 0),
        (61, 0, 0),
        (91, 5, 777),
        (181, 2, 200),
    ]
    assert (row.units, row.oldest_days, row.units_without_cost) == (11, 200, 0)
    assert value is not None and row.worth.amount_minor == value.left_cost == told_ages.totals[0].worth.amount_minor


async def test_sell_through_is_what_sold_of_what_was_there_and_came(shop: Shop) -> None:
    clock = shop.store.clock
    assert isinstance(clock, Stopped)
    clock.at = NOW - timedelta(days=40)
    account, goods = await listed(shop, units=10)
    clock.at = NOW - timedelta(days=5)
    async with shop.unit() as unit:
        await landed.receive(unit, goods.variant_id, 10, dollars(4_000), key=f"more:{goods.sku}", mode="escrow")
    await sell(shop, account, goods.sku, NOW - timedelta(days=4), units=5)
    clock.at = NOW
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.store.reader(shop.tenant_id) as session:
        (row,) = (await analytics.sell_through(session, PageRequest(), SellThroughFilter(sku=goods.sku), TODAY)).items
        empty = await analytics.sell_through(
            session,
            PageRequest(),
            SellThroughFilter.model_validate({"from": date(2026, 1, 1), "to": date(2026, 1, 2)}),
            TODAY,
        )
    assert (row.at_start, row.received, row.sold, row.at_end, row.sell_through) == (10, 10, 5, 20, 0.25)
    assert [(each.at_start, each.sell_through) for each in empty.items] == [(0, None)]


async def look(shop: Shop, **may: bool) -> Dashboard:
    await sales_facts.run(shop.store, shop.tenant_id)
    async with shop.store.reader(shop.tenant_id) as session:
        told = {"questions": True, "faults": True, "agents": True} | may
        return await dashboard(SessionReader(session), NOW, **told)


async def test_the_dashboard_compares_with_the_days_before_and_leads_to_the_rows(shop: Shop) -> None:
    account, goods = await listed(shop)
    for days, units in ((0, 3), (1, 2), (7, 1), (30, 4)):
        await sell(shop, account, goods.sku, NOW - timedelta(days=days), units=units)
    told = await look(shop)
    net = {each.window: each for each in told.kpis if each.name == "net_revenue"}
    assert {window: (each.now.amount, each.now.amount_before, each.now.change) for window, each in net.items()} == {
        "today": (dollars(3_000), dollars(2_000), 0.5),
        "7d": (dollars(5_000), dollars(1_000), 4.0),
        "28d": (dollars(6_000), dollars(4_000), 0.5),
    }
    assert net["7d"].rows == "/api/v1/analytics/rows?from=2026-03-25&to=2026-03-31&currency=USD"
    assert [(each.units, each.worth) for each in told.stock] == [(50, dollars(20_000))]
    assert {each.name for each in told.definitions} == {each.name for each in told.kpis}
    assert (told.questions, told.faults, told.agents) == (told.questions, [], []) and told.questions.open == 0
    hidden = await look(shop, questions=False, faults=False, agents=False)
    assert (hidden.questions, hidden.faults, hidden.agents) == (None, None, None)
    async with shop.store.reader(shop.tenant_id) as session:
        rows = await analytics.sale_rows(
            session, PageRequest(), analytics.SalesFilter.model_validate({"from": net["7d"].first, "to": TODAY}), TODAY
        )
        income = await revenue(session, Span.model_validate({"from": net["7d"].first, "to": TODAY}), TODAY)
    assert sum(row.net_revenue.amount_minor for row in rows.items) == 5_000
    assert [(each.net, each.net_before, each.change) for each in income.currencies] == [
        (dollars(5_000), dollars(1_000), 4.0)
    ]


def test_key_figures_of_two_currencies_stay_apart() -> None:
    day = dict.fromkeys(FIGURES, 0) | {"orders": 1, "goods": 100}
    found = kpis({(TODAY, "USD"): day, (TODAY, "EUR"): day}, TODAY)
    assert {(each.currency, each.now.amount) for each in found if each.name == "revenue" and each.window == "7d"} == {
        ("USD", dollars(100)),
        ("EUR", Money(amount_minor=100, currency="EUR")),
    }
