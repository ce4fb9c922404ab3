"""What was sold, by day: kept beside the hot path, and equal to a slow recount to the cent, whatever happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Goods, Shop, open_store
from sqlalchemy import text, update

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, ChannelRefund
from flipsync.domain.clock import utc_now
from flipsync.domain.money import Money
from flipsync.runtime.scheduler import Scheduler
from flipsync.services import orders, sales_facts
from flipsync.services.orders import AccountRef
from flipsync.services.sales_facts import Counted, spread
from flipsync.services.sales_recount import Recount, check, recount
from flipsync.settings import Cadence
from flipsync.store.models import Tenant


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"])
    yield Shop(store)
    await store.aclose()


async def compare(shop: Shop) -> Recount:
    async with shop.store.reader(shop.tenant_id) as session:
        return await recount(session)


async def count(shop: Shop) -> Counted:
    """Until nothing is left over."""
    total = 0
    while (done := await sales_facts.run(shop.store, shop.tenant_id)).more:
        total += done.orders
    return Counted(total + done.orders)


@dataclass
class Sold:
    """An order as its channel tells it, which can be told again otherwise."""

    told: ChannelOrder
    refunds: list[ChannelRefund] = field(default_factory=list)


def telling(
    goods: list[str],
    *,
    currency: str = "USD",
    units: tuple[int, ...] = (1,),
    unit_price: int = 2999,
    shipping: int = 0,
    tax: int = 0,
    days_ago: int = 0,
    number: int = 0,
) -> ChannelOrder:
    placed = utc_now() - timedelta(days=days_ago, hours=1)

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    lines = tuple(
        ChannelOrderLine(
            external_id=f"line-{index}",
            listing_external_id=f"x-{sku}",
            sku=sku,
            title=sku,
            quantity=count,
            total=money(unit_price * count + index),
            tax=money(tax if index == 0 else 0),
        )
        for index, (sku, count) in enumerate(zip(goods, units, strict=True))
    )
    total = sum(line.total.amount_minor for line in lines) + shipping + tax
    return ChannelOrder(
        external_id=f"order-{number}",
        number=str(number),
        status="paid",
        vendor_status="paid",
        holds_stock=True,
        placed_at=placed,
        modified_at=placed,
        currency=currency,
        lines=lines,
        shipping=money(shipping),
        tax=money(tax),
        total=money(total),
    )


async def tell(shop: Shop, account: AccountRef, told: ChannelOrder) -> UUID:
    async with shop.unit() as unit:
        return (await orders.ingest_order(unit, account, told)).order_id


def again(told: ChannelOrder, **changes: Any) -> ChannelOrder:
    return told.model_copy(update={"modified_at": told.modified_at + timedelta(seconds=1), **changes})


async def furnished(shop: Shop, **settings: Any) -> tuple[AccountRef, Goods]:
    await shop.found(**settings)
    account, goods = await shop.account(), await shop.variant(units=50, cost=1_000)
    await shop.listing(account, goods, units=50)
    return account, goods


async def days(shop: Shop, figures: str) -> list[Any]:
    rows = await shop.rows(f"SELECT {figures} FROM channel_day WHERE orders + cancelled > 0 ORDER BY day, currency")
    return [tuple(row) for row in rows]


async def test_a_sale_a_refund_and_the_channels_own_fee_end_in_the_profit_of_its_day(shop: Shop) -> None:
    account, goods = await furnished(shop)
    told = telling([goods.sku], units=(2,), shipping=500, tax=300)
    await tell(shop, account, told)
    await count(shop)
    # 12 % of 64.98 by the owner's setting for a custom channel
    assert await days(shop, "orders, units, goods, shipping, tax, fees, cost") == [(1, 2, 5998, 500, 300, 780, 2000)]
    back = ChannelRefund(
        external_id="r", amount=Money(amount_minor=3399, currency="USD"), restocked={"line-0": 1}, created_at=utc_now()
    )
    told = again(told, refunds=(back,))
    await tell(shop, account, told)
    await count(shop)
    kept = await days(shop, "orders, units, returned, refunds, refunds_before_tax, cost")
    assert kept == [(1, 2, 1, 3399, 3249, 1000)]  # 33.99 of 67.98 is half of 64.98 before tax
    await tell(shop, account, again(told, channel_fee=Money(amount_minor=812, currency="USD")))
    await count(shop)
    assert await days(shop, "fees, fees_told, orders_without_fees") == [(812, 812, 0)]
    assert (await compare(shop)).differences == {}


async def test_nothing_is_counted_twice_and_what_does_not_matter_is_not_counted_again(shop: Shop) -> None:
    account, goods = await furnished(shop)
    told = telling([goods.sku])
    order_id = await tell(shop, account, told)
    assert (await count(shop)).orders == 1
    await tell(shop, account, again(told))  # told again without news
    async with shop.unit() as unit:
        await orders.mark_ready(unit, order_id)
    async with shop.unit() as unit:
        await orders.hand_over(unit, account, order_id, "UPS", "1Z")
        await orders.confirm_shipped(unit, account, order_id)
    await tell(shop, account, again(told, status="shipped", modified_at=told.modified_at + timedelta(minutes=1)))
    assert (await count(shop)).orders == 0
    assert await shop.rows("SELECT 1 FROM sale_due WHERE tenant_id = :tenant") == []
    assert await days(shop, "orders, units") == [(1, 1)]


async def test_an_order_that_is_called_off_takes_its_money_with_it(shop: Shop) -> None:
    account, goods = await furnished(shop)
    told = telling([goods.sku], units=(3,))
    await tell(shop, account, told)
    await count(shop)
    await tell(shop, account, again(told, status="cancelled", holds_stock=False))
    await count(shop)
    assert await days(shop, "orders, cancelled, units, goods, fees, cost") == [(0, 1, 0, 0, 0, 0)]
    assert (await compare(shop)).differences == {}


async def test_currencies_are_never_added(shop: Shop) -> None:
    account, goods = await furnished(shop)
    for number, currency in enumerate(("USD", "EUR", "JPY")):
        await tell(shop, account, telling([goods.sku], currency=currency, number=number))
    await count(shop)
    assert await days(shop, "currency, orders, goods") == [("EUR", 1, 2999), ("JPY", 1, 2999), ("USD", 1, 2999)]
    assert (await compare(shop)).differences == {}


async def test_other_fees_by_the_owners_setting_count_everything_anew(shop: Shop) -> None:
    account, goods = await furnished(shop)
    for number in range(5):
        await tell(shop, account, telling([goods.sku], number=number))
    await count(shop)
    assert await days(shop, "fees") == [(5 * 360,)]
    async with shop.unit() as unit:
        await unit.session.execute(
            update(Tenant).where(Tenant.id == shop.tenant_id).values(settings={"pricing": {"marketplace_fee_bps": 500}})
        )
    assert (await count(shop)).orders == 5
    assert await days(shop, "fees") == [(5 * 150,)]
    assert (await compare(shop)).differences == {}


async def test_what_a_look_missed_the_daily_walk_finds(shop: Shop) -> None:
    """An order whose transaction ended later than anybody looks back."""
    account, goods = await furnished(shop)
    await tell(shop, account, telling([goods.sku]))
    await count(shop)
    await tell(shop, account, telling([goods.sku], number=1))
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE sales_count SET looked_at = now() + interval '1 hour'"))
    assert (await count(shop)).orders == 0
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE sales_count SET walked_at = now() - interval '25 hours'"))
    assert (await count(shop)).orders == 1
    assert await days(shop, "orders") == [(2,)]


async def test_two_at_once_count_each_order_once(shop: Shop) -> None:
    account, goods = await furnished(shop)
    for number in range(12):
        await tell(shop, account, telling([goods.sku], number=number))

    async def one() -> None:
        for _ in range(20):
            async with shop.unit() as unit:
                await sales_facts.count(unit, 2)

    await asyncio.gather(one(), one(), one())
    await count(shop)
    assert await days(shop, "orders, units") == [(12, 12)]
    assert (await compare(shop)).differences == {}


async def test_the_check_looks_once_at_books_that_go_on(shop: Shop) -> None:
    account, goods = await furnished(shop)
    await tell(shop, account, telling([goods.sku]))
    await count(shop)
    stop = asyncio.Event()

    async def trade() -> None:
        number = 1
        while not stop.is_set():
            await tell(shop, account, telling([goods.sku], number=number))
            async with shop.unit() as unit:
                await sales_facts.count(unit)
            number += 1
            await asyncio.sleep(0.05)

    trading = asyncio.create_task(trade())
    looks = [await check(shop.store, shop.tenant_id, date(2000, 1, 1), date(9000, 1, 1)) for _ in range(3)]
    stop.set()
    await trading
    assert [look.differences for look in looks] == [{}, {}, {}] and all(look.books for look in looks)
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE sku_day SET cost = cost + 1"))
    wrong = await check(shop.store, shop.tenant_id, date(2000, 1, 1), date(9000, 1, 1))
    assert [list(each) for each in wrong.differences.values()] == [["cost"]]


async def test_a_count_that_is_cut_off_has_done_nothing(shop: Shop) -> None:
    account, goods = await furnished(shop)
    await tell(shop, account, telling([goods.sku]))
    with pytest.raises(RuntimeError):
        async with shop.unit() as unit:
            await sales_facts.count(unit)
            raise RuntimeError("the plug was pulled")
    assert await days(shop, "orders") == []
    await count(shop)
    assert await days(shop, "orders") == [(1,)]


async def test_the_clock_of_the_house_has_it_counted(make_database: Callable[[], dict[str, str]]) -> None:
    store = open_store(make_database()["worker"])
    shops = [Shop(store), Shop(store)]
    for shop in shops:
        account, goods = await furnished(shop)
        await tell(shop, account, telling([goods.sku]))
    scheduler = Scheduler(store, Cadence())
    await scheduler.beat()
    assert scheduler.counting is not None
    await scheduler.counting
    assert [await days(shop, "orders") for shop in shops] == [[(1,)], [(1,)]]
    scheduler.stop()
    await store.aclose()


async def test_amounts_beyond_belief_are_left_out_and_stop_nobody(shop: Shop) -> None:
    account, goods = await furnished(shop)
    await tell(shop, account, telling([goods.sku], unit_price=2**62))
    await tell(shop, account, telling([goods.sku], number=1))
    await count(shop)
    assert await days(shop, "orders, goods") == [(1, 2999)]
    assert (await compare(shop)).differences == {}


@given(amount=st.integers(-(10**9), 10**12), weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=12))
def test_shares_add_up_and_keep_their_sign(amount: int, weights: list[int]) -> None:
    shares = spread(amount, weights)
    assert sum(shares) == amount and len(shares) == len(weights)
    if sum(weights):
        assert all(abs(got - amount * weight / sum(weights)) <= 1 for got, weight in zip(shares, weights, strict=True))


STEP = st.one_of(
    st.tuples(
        st.just("sell"),
        st.sampled_from(["USD", "EUR", "JPY"]),
        st.lists(st.integers(1, 4), min_size=1, max_size=3),
        st.integers(1, 60_000),
        st.integers(0, 1500),
        st.integers(0, 999),
        st.integers(0, 3),
    ),
    st.tuples(st.just("refund"), st.integers(0, 9), st.integers(1, 9_000), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("fee"), st.integers(0, 9), st.integers(0, 2_000)),
    st.tuples(st.just("reprice"), st.integers(0, 9), st.integers(0, 999), st.integers(0, 999)),
    st.tuples(st.just("count"), st.integers(1, 3)),
    st.tuples(st.just("crash")),
)


class History:
    """A shop with three kinds of goods, one of them without a known cost, on two channels."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.sold: list[tuple[AccountRef, ChannelOrder]] = []

    async def begin(self) -> None:
        await self.shop.found()
        self.accounts = [await self.shop.account("custom"), await self.shop.account("ebay")]
        self.goods = [await self.shop.variant(units=90, cost=cost) for cost in (700, 1_333, None)]
        for account in self.accounts:
            for goods in self.goods:
                await self.shop.listing(account, goods, units=40)

    async def step(self, step: tuple[Any, ...]) -> None:
        kind, *rest = step
        if kind == "sell":
            currency, units, price, shipping, tax, days_ago = rest
            skus = [goods.sku for goods in self.goods[: len(units)]]
            told = telling(
                skus,
                currency=currency,
                units=tuple(units),
                unit_price=price,
                shipping=shipping,
                tax=tax,
                days_ago=days_ago,
                number=len(self.sold),
            )
            account = self.accounts[len(self.sold) % 2]
            await tell(self.shop, account, told)
            self.sold.append((account, told))
        elif kind == "count":
            async with self.shop.unit() as unit:
                await sales_facts.count(unit, rest[0])
        elif kind == "crash":
            with pytest.raises(ZeroDivisionError):
                async with self.shop.unit() as unit:
                    await sales_facts.count(unit)
                    raise ZeroDivisionError
        elif self.sold:
            await self.change(kind, rest[0] % len(self.sold), rest[1:])

    async def change(self, kind: str, which: int, values: list[Any]) -> None:
        account, told = self.sold[which]

        def money(minor: int) -> Money:
            return Money(amount_minor=minor, currency=told.currency)

        if kind == "refund":
            most = max(1, told.total.amount_minor // 4)
            back = ChannelRefund(
                external_id=f"r{len(told.refunds)}",
                amount=money(min(values[0], most)),
                restocked={"line-0": 1} if values[1] else {},
                created_at=utc_now(),
            )
            told = again(told, refunds=(*told.refunds, back))
        elif kind == "cancel":
            told = again(told, status="cancelled", holds_stock=False)
        elif kind == "fee":
            told = again(told, channel_fee=money(values[0]))
        else:
            told = again(told, shipping=money(values[0]), tax=money(values[1]))
        await tell(self.shop, account, told)
        self.sold[which] = (account, told)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, max_size=20))
def test_whatever_happened_the_days_are_those_of_the_books(
    history: list[tuple[Any, ...]], database_urls: dict[str, str]
) -> None:
    async def play() -> None:
        store = open_store(database_urls["worker"], pool_size=1)
        try:
            told = History(Shop(store))
            await told.begin()
            for step in history:
                await told.step(step)
            await count(told.shop)
            compared = await compare(told.shop)
            assert compared.differences == {}
            assert bool(compared.books) == bool(told.sold)
            for table in ("sku_day", "channel_day"):  # money is in as many places as it should be
                rows = await told.shop.rows(f"SELECT currency, sum(goods) AS goods FROM {table} GROUP BY 1 ORDER BY 1")
                by_line = await told.shop.rows(
                    "SELECT o.currency, sum(l.total_minor) AS goods FROM order_line l JOIN customer_order o"
                    " ON o.id = l.order_id WHERE o.status IN ('paid','shipped','refunded') GROUP BY 1 ORDER BY 1"
                )
                assert [tuple(row) for row in rows if row.goods] == [tuple(row) for row in by_line]
        finally:
            await store.aclose()

    asyncio.run(play())
