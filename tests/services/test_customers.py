"""Who buys again: cohorts and segments without names, equal to a slow recount, and gone with the buyer."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Shop, open_store
from sqlalchemy import text

from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund
from flipsync.domain.money import Money
from flipsync.services import (
    customer_reading,
    customer_recount,
    erasure,
    orders,
    privacy_export,
    report_files,
    reports,
    retention,
    sales_facts,
)
from flipsync.services.analytics import Span
from flipsync.services.customer_reading import CohortFilter, CustomerOrderFilter, SegmentFilter
from flipsync.services.erasure import Buyer
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import PageRequest

TODAY = date(2026, 6, 15)
PAGE = PageRequest()


def order(
    number: int,
    placed: datetime,
    *,
    buyer: str = "",
    email: str = "",
    price: int = 1_000,
    currency: str = "USD",
    **more: Any,
) -> ChannelOrder:
    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    line = ChannelOrderLine(
        external_id="l", listing_external_id="x", sku="TEA", title="Tea", quantity=1, total=money(price), tax=money(0)
    )
    told = {
        "external_id": f"order-{number}",
        "number": str(number),
        "status": "paid",
        "vendor_status": "paid",
        "holds_stock": True,
        "placed_at": placed,
        "modified_at": placed,
        "currency": currency,
        "lines": (line,),
        "shipping": money(0),
        "tax": money(0),
        "total": money(price),
        "buyer_id": buyer,
        "ship_to": Address(name=buyer or email, line1=f"{buyer}{email} St", city="Bend", country="US", email=email),
    }
    return ChannelOrder(**(told | more))


async def tell(shop: Shop, account: AccountRef, *told: ChannelOrder) -> list[UUID]:
    async with shop.unit() as unit:
        return [(await orders.ingest_order(unit, account, each)).order_id for each in told]


async def count(shop: Shop) -> None:
    while (await sales_facts.run(shop.store, shop.tenant_id)).more:
        pass


def on(month: int, day: int, year: int = 2026) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


async def cohorts(shop: Shop, **where: Any) -> customer_reading.Cohorts:
    async with shop.store.reader(shop.tenant_id) as session:
        return await customer_reading.cohorts(session, PAGE, CohortFilter.model_validate(where))


async def segments(shop: Shop, **where: Any) -> dict[str, tuple[int, int, int]]:
    async with shop.store.reader(shop.tenant_id) as session:
        told = await customer_reading.customers(session, SegmentFilter.model_validate(where), TODAY)
    return {each.segment: (each.customers, each.orders, each.net_revenue.amount_minor) for each in told.items}


async def compared(shop: Shop) -> customer_recount.CustomerRecount:
    async with shop.store.reader(shop.tenant_id) as session:
        return await customer_recount.recount(session)


async def test_who_came_back_and_what_they_paid(shop: Shop) -> None:
    account = await shop.account("ebay")
    await tell(
        shop,
        account,
        order(1, on(1, 5), buyer="ann_b"),
        order(2, on(1, 20), buyer="bob"),
        order(3, on(3, 2), buyer="ANN_B", price=2_500),
        order(4, on(3, 9), buyer="carl"),
        order(5, on(4, 1)),
    )
    await count(shop)
    told = await cohorts(shop, group="channel")
    march, january = told.items
    assert (march.cohort, march.customers, march.repeat_rate) == (date(2026, 3, 1), 1, 0.0)
    assert (january.customers, january.bought_again, january.repeat_rate) == (2, 1, 0.5)
    assert [(each.after, each.customers, each.share, each.net_revenue.amount_minor) for each in january.months] == [
        (0, 2, 1.0, 2_000),
        (2, 1, 0.5, 2_500),
    ]
    (covered,) = told.accounts
    assert (covered.orders, covered.followed, covered.left_out) == (5, 4, 1) and "did not tell" in covered.why
    async with shop.store.reader(shop.tenant_id) as session:
        where = CustomerOrderFilter(cohort=date(2026, 1, 9), month=date(2026, 3, 1))
        (row,) = (await customer_reading.customer_orders(session, PAGE, where, TODAY)).items
    assert (row.net_revenue.amount_minor, row.cohort, row.customer_orders) == (2_500, date(2026, 1, 1), 2)


async def test_an_earlier_order_moves_the_cohort_and_one_called_off_leaves_it(shop: Shop) -> None:
    account = await shop.account("ebay")
    later = order(1, on(5, 5), buyer="ann")
    await tell(shop, account, later)
    await count(shop)
    await tell(shop, account, order(2, on(2, 5), buyer="ann"))
    await count(shop)
    assert [(row.cohort.month, len(row.months)) for row in (await cohorts(shop)).items] == [(2, 2)]
    off = {"status": "cancelled", "holds_stock": False, "modified_at": later.modified_at + timedelta(days=1)}
    await tell(shop, account, later.model_copy(update=off))
    await count(shop)
    (row,) = (await cohorts(shop)).items
    assert (row.cohort.month, row.bought_again, [each.orders for each in row.months]) == (2, 0, [1])
    assert (await compared(shop)).differences == []


async def test_segments_by_recency_frequency_and_money(shop: Shop) -> None:
    account = await shop.account("woocommerce")
    number = 0
    for email, placed, orders_, price in (
        ("champion@mail.example", on(6, 10), 6, 1_000),
        ("new@mail.example", on(6, 1), 1, 1_000),
        ("promising@mail.example", on(5, 1), 2, 1_000),
        ("cooling@mail.example", on(2, 1), 1, 1_000),
        ("risk@mail.example", on(11, 1, 2025), 4, 1_000),
        ("lost@mail.example", on(1, 1, 2025), 12, 1_000),
        ("asleep@mail.example", on(1, 1, 2025), 1, 1_000),
    ):
        for index in range(orders_):
            number += 1
            await tell(shop, account, order(number, placed - timedelta(hours=index), email=email, price=price))
    await count(shop)
    assert await segments(shop) == {
        "champions": (1, 6, 6_000),
        "promising": (1, 2, 2_000),
        "new": (1, 1, 1_000),
        "cooling": (1, 1, 1_000),
        "at_risk": (1, 4, 4_000),
        "cannot_lose": (1, 12, 12_000),
        "asleep": (1, 1, 1_000),
    }
    async with shop.store.reader(shop.tenant_id) as session:
        where = CustomerOrderFilter(segment="champions")
        first = await customer_reading.customer_orders(session, PageRequest(limit=4), where, TODAY)
        page = PageRequest(limit=4, cursor=first.next_cursor)
        rest = await customer_reading.customer_orders(session, page, where, TODAY)
        told = await reports.build(session, "customers", Span(), TODAY)
        by_month = await reports.build(session, "cohorts", Span.model_validate({"from": on(1, 1, 2025).date()}), TODAY)
    assert len({row.order_id for row in (*first.items, *rest.items)}) == 6 and rest.next_cursor is None
    assert [row[1] for row in told.rows][:2] == ["Champions", "Promising"]
    for form in ("csv", "xlsx", "pdf"):
        assert len(report_files.write(told, form)) > 500  # type: ignore[arg-type]
    assert "mail.example" not in str(told) + str(by_month) and len(by_month.rows) == 5


async def test_amazons_buyers_are_left_out_and_a_buyer_is_one_channels(shop: Shop) -> None:
    amazon, one, other = await shop.account("amazon"), await shop.account("ebay"), await shop.account("ebay")
    await tell(shop, amazon, order(1, on(1, 1), buyer="ann", email="x@marketplace.amazon.example"))
    for account in (one, other):
        await tell(shop, account, order(2, on(1, 1), buyer="ann"))
    await count(shop)
    told = await cohorts(shop)
    assert [row.customers for row in told.items] == [2]
    left = {each.vendor: (each.orders, each.followed, each.why) for each in told.accounts}
    assert left["amazon"][:2] == (1, 0) and "30 days" in left["amazon"][2]
    found = await shop.rows("SELECT buyer FROM buyer_sale")
    assert len({row.buyer for row in found}) == 2


async def test_two_businesses_call_the_same_buyer_differently(shop: Shop) -> None:
    another = await Shop(shop.store).found()
    account = await shop.account("ebay")
    await tell(shop, account, order(1, on(1, 1), buyer="ann"))
    await tell(another, await another.account("ebay"), order(1, on(1, 1), buyer="ann"))
    for each in (shop, another):
        await count(each)
    keys = [(await each.rows("SELECT key FROM buyer_key WHERE tenant_id = :tenant"))[0].key for each in (shop, another)]
    assert keys[0] != keys[1] and len(keys[0]) == 32


async def test_whoever_is_forgotten_is_in_no_cohort_any_more(shop: Shop, database_urls: dict[str, str]) -> None:
    account = await shop.account("ebay")
    over = {"status": "shipped", "holds_stock": False}
    first, second, open_ = await tell(
        shop,
        account,
        order(1, on(1, 1), buyer="ann", **over),
        order(2, on(3, 1), buyer="ann", **over),
        order(3, on(4, 1), buyer="ann"),
    )
    await tell(shop, account, order(4, on(1, 1), buyer="bob", **over))
    await count(shop)
    store = open_store(database_urls["app"])  # the API forgets, the worker counts
    async with store.unit(shop.tenant_id) as unit:
        done = await erasure.forget(unit, await erasure.find(unit.session, Buyer(order_id=first)), reason="asked")
    await store.aclose()
    assert (done.orders, done.waiting) == (2, 1)
    kept = "SELECT order_id FROM buyer_sale WHERE tenant_id = :tenant"
    for _ in range(2):  # at once, and after the next count, which reads the open order's name again
        assert {row.order_id for row in await shop.rows(kept)}.isdisjoint({first, second, open_})
        assert [(row.customers, row.orders) for row in (await cohorts(shop)).items] == [(1, 1)]
        await count(shop)
    assert (await compared(shop)).differences == []


async def test_a_count_that_read_the_name_before_it_was_forgotten_looks_again(shop: Shop) -> None:
    account = await shop.account("ebay")
    (order_id,) = await tell(shop, account, order(1, on(1, 1), buyer="ann", status="shipped", holds_stock=False))
    async with shop.unit() as unit:
        await erasure.forget(unit, await erasure.find(unit.session, Buyer(order_id=order_id)), reason="asked")
    # what a count that began before would have written
    async with shop.unit() as unit:
        await unit.session.execute(
            text(
                "INSERT INTO buyer_sale (tenant_id, order_id, account_id, buyer, day, currency, net)"
                " VALUES (:tenant, :order, :account, gen_random_uuid(), '2026-01-01', 'USD', 1)"
            ),
            {"tenant": shop.tenant_id, "order": order_id, "account": account.id},
        )
    await count(shop)
    assert await shop.rows("SELECT 1 FROM buyer_sale WHERE tenant_id = :tenant") == []


async def test_books_put_back_follow_nobody_whom_a_tombstone_names(shop: Shop) -> None:
    account = await shop.account("ebay")
    await tell(shop, account, order(1, on(1, 1), buyer="ann"))
    await count(shop)
    stone = {"account_id": account.id, "order_external_id": "order-1", "reason": "asked", "erased_at": None}
    async with shop.unit() as unit:
        await erasure.lay_again(unit, [stone | {"asked_at": unit.now}])
    await count(shop)
    assert (await cohorts(shop)).items == [] and (await compared(shop)).differences == []


async def test_retention_ends_what_is_followed(shop: Shop) -> None:
    account = await shop.account("ebay")
    await tell(shop, account, order(1, on(1, 1), buyer="ann", status="shipped", holds_stock=False))
    await count(shop)
    async with shop.unit() as unit:
        await unit.session.execute(
            text('UPDATE tenant SET settings = \'{"privacy": {"buyer_days": 30}}\' WHERE id = :tenant'),
            {"tenant": shop.tenant_id},
        )
        await unit.session.execute(text("UPDATE customer_order SET closed_at = now() - interval '31 days'"))
    await retention.run(shop.store, shop.tenant_id)
    told = await cohorts(shop)
    assert (told.items, told.forgotten_after_days) == ([], 30)


async def test_whoever_asks_gets_what_they_are_followed_under(shop: Shop) -> None:
    account = await shop.account("ebay")
    (order_id,) = await tell(shop, account, order(1, on(1, 1), buyer="ann"))
    await count(shop)
    async with shop.store.reader(shop.tenant_id) as session:
        told = await privacy_export.buyer(session, shop.box, shop.tenant_id, Buyer(order_id=order_id))
    (row,) = told.records["followed_as"]
    assert row["order_id"] == str(order_id) and "key" not in row


STEP = st.one_of(
    st.tuples(
        st.just("sell"),
        st.sampled_from(["ann", "bob", "carl", ""]),
        st.sampled_from(["USD", "EUR"]),
        st.integers(0, 9_000),
        st.integers(0, 500),
    ),
    st.tuples(st.just("refund"), st.integers(0, 9), st.integers(1, 4_000)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("rename"), st.integers(0, 9), st.sampled_from(["ann", "bob"])),
    st.tuples(st.just("forget"), st.integers(0, 9)),
    st.tuples(st.just("count"), st.integers(1, 3)),
)


async def play(shop: Shop, history: list[tuple[Any, ...]]) -> None:
    accounts = [await shop.account("ebay"), await shop.account("amazon"), await shop.account("woocommerce")]
    sold: list[tuple[AccountRef, ChannelOrder, UUID]] = []
    for kind, *rest in history:
        if kind == "sell":
            buyer, currency, price, days = rest
            account = accounts[len(sold) % 3]
            who = {"email": f"{buyer}@mail.example" if buyer else ""} if account.vendor == "woocommerce" else {}
            placed = on(6, 14) - timedelta(days=days)
            told = order(len(sold), placed, **(who or {"buyer": buyer}), price=price, currency=currency)
            sold.append((account, told, (await tell(shop, account, told))[0]))
        elif kind == "count":
            async with shop.unit() as unit:
                await sales_facts.count(unit, rest[0])
        elif sold:
            place = rest[0] % len(sold)
            account, told, order_id = sold[place]
            changes: dict[str, Any] = {"modified_at": told.modified_at + timedelta(seconds=1)}
            if kind == "refund":
                back = Money(amount_minor=min(rest[1], max(1, told.total.amount_minor // 4)), currency=told.currency)
                refund = ChannelRefund(external_id=f"r{len(told.refunds)}", amount=back, created_at=told.placed_at)
                changes["refunds"] = (*told.refunds, refund)
            elif kind == "cancel":
                changes |= {"status": "cancelled", "holds_stock": False}
            elif kind == "rename":
                changes["buyer_id"] = rest[1]
            else:
                async with shop.unit() as unit:
                    found = await erasure.rows.orders_of_buyer(unit.session, order_id=order_id)
                    await erasure.forget(unit, found, reason="asked") if found else None
                continue
            told = told.model_copy(update=changes)
            await tell(shop, account, told)
            sold[place] = (account, told, order_id)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(STEP, min_size=4, max_size=24))
def test_whatever_happened_customers_are_those_of_the_books(
    history: list[tuple[Any, ...]], database_urls: dict[str, str]
) -> None:
    async def run() -> None:
        store = open_store(database_urls["worker"], pool_size=1)
        try:
            shop = await Shop(store).found()
            await play(shop, history)
            await count(shop)
            found = await compared(shop)
            assert found.differences == []
            async with store.reader(shop.tenant_id) as session:
                told = await customer_reading.customers(session, SegmentFilter(), TODAY)
            kept = {(row.currency, row.segment): (row.customers, row.orders) for row in told.items}
            assert kept == {key: sums[:2] for key, sums in found.segments(TODAY).items()}
        finally:
            await store.aclose()

    asyncio.run(run())
