"""The market: deterministic by seed, demand answers to price, and the books add up."""

from __future__ import annotations

import json
from typing import Any

from flipsync.sandbox import audit
from flipsync.sandbox.app import Sandbox, SandboxConfig
from flipsync.sandbox.promotion import RATES
from flipsync.sandbox.records import Channel, Listing

START_MS = 1_772_460_000_000
DAY = 86_400.0


def stocked(seed: int, prices: dict[str, int], *, channel: Channel = "custom", quantity: int = 10_000) -> Sandbox:
    sandbox = Sandbox(SandboxConfig(seed=seed, start_ms=START_MS))
    with sandbox.books.transaction():
        for sku, price_minor in prices.items():
            sandbox.market.set_reference_price(sku, 2000)
            doc: dict[str, Any] = {"stock_status": "instock"} if channel == "woo" else {}
            sandbox.books.add_listing(
                Listing(
                    id=sandbox.books.next_id(),
                    channel=channel,
                    sku=sku,
                    title=sku,
                    status="publish" if channel == "woo" else "active",
                    price_minor=price_minor,
                    quantity=quantity,
                    stock_version=0,
                    created_ms=sandbox.clock.now_ms(),
                    modified_ms=sandbox.clock.now_ms(),
                    doc=doc,
                ),
                "test",
            )
    return sandbox


def story(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    return [
        (o.channel, o.status, o.placed_ms, o.total_minor, [(line.sku, line.quantity) for line in o.lines])
        for o in sandbox.books.orders("1 ORDER BY id", ())
    ]


async def test_the_same_seed_tells_the_same_story_however_time_is_cut(rig: Any) -> None:
    prices = {f"S{n}": 2000 for n in range(5)}
    whole, pieces, other = stocked(7, prices), stocked(7, prices), stocked(8, prices)
    await whole.market.advance(3 * DAY)
    for _ in range(12):
        await pieces.market.advance(DAY / 4)
    await other.market.advance(3 * DAY)
    assert story(whole) == story(pieces)
    assert len(story(whole)) > 20
    assert story(whole) != story(other)


async def test_demand_falls_with_the_price() -> None:
    sold = []
    for price_minor in (1700, 2000, 2400, 4000):
        sandbox = stocked(7, {f"S{n}": price_minor for n in range(8)}, channel="woo")
        happened = await sandbox.market.advance(10 * DAY)
        sold.append(happened.get("orders_placed", 0))
    assert sold == sorted(sold, reverse=True)
    assert sold[0] > 1.15 * sold[1] > 1.15 * sold[2]
    assert sold[3] < 0.1 * sold[1]


async def test_ads_bring_buyers_who_are_charged_for_and_change_nothing_else() -> None:
    async def fees(ads: dict[str, str]) -> list[tuple[int, int]]:
        sandbox = stocked(7, {"A": 2000, "B": 2000}, channel="ebay")
        sandbox.books.set_meta(RATES, json.dumps(ads))
        await sandbox.market.advance(20 * DAY)
        found = sandbox.books.orders("1 ORDER BY id", ())
        assert all(order.lines[0].sku in ads for order in found if "ad_fee_minor" in order.doc)
        return [(o.lines[0].total_minor, o.doc.get("ad_fee_minor", 0)) for o in found if o.lines[0].sku == "A"]

    without, beside, some, much = [await fees(ads) for ads in ({}, {"B": "9.0"}, {"A": "3.0"}, {"A": "20.0"})]
    assert [fee for _, fee in without] == [0] * len(without)
    assert without[:5] == beside[:5] and len(without) == len(beside)
    assert len(without) < len(some) < len(much)
    assert {fee for _, fee in some} > {0}
    assert all(fee in (0, round(total * 0.03)) for total, fee in some)


async def test_rivals_answer_prices_and_take_sales() -> None:
    sandbox = stocked(7, {f"S{n}": 2000 for n in range(8)})
    before = {n: [r.price_minor for r in sandbox.market.rival_offers(f"S{n}")] for n in range(8)}
    happened = await sandbox.market.advance(4 * DAY)
    after = {n: [r.price_minor for r in sandbox.market.rival_offers(f"S{n}")] for n in range(8)}
    assert all(before[n] != after[n] for n in range(8))
    assert happened["sold_by_rivals"] > 0
    alone = stocked(7, {f"S{n}": 2000 for n in range(8)})
    alone.market.configure({"rivals": False})
    assert (await alone.market.advance(4 * DAY))["orders_placed"] > happened["orders_placed"]


async def test_more_traffic_brings_more_orders_and_a_closed_market_none() -> None:
    quiet, busy, closed = (stocked(7, {f"S{n}": 2000 for n in range(6)}) for _ in range(3))
    busy.market.configure({"traffic": 6})
    closed.market.configure({"open": False})
    orders = [(await sandbox.market.advance(2 * DAY)).get("orders_placed", 0) for sandbox in (quiet, busy, closed)]
    assert 4 * orders[0] < orders[1] < 9 * orders[0]
    assert orders[2] == 0


async def test_buyers_pay_cancel_and_send_back_and_every_unit_is_accounted_for() -> None:
    for channel in ("custom", "woo"):
        sandbox = stocked(7, {f"S{n}": 1900 for n in range(8)}, channel=channel, quantity=40)
        sandbox.market.configure({"traffic": 4, "cancel_share": 0.15, "refund_share": 0.15})
        happened = await sandbox.market.advance(6 * DAY)
        assert min(happened[name] for name in ("orders_cancelled", "orders_refunded", "orders_placed")) > 0, happened
        report = audit.report(sandbox.books)
        assert report["inconsistencies"] == []
        for sku, truth in report["skus"].items():
            shelf = truth["channels"][channel]["quantity"]
            assert shelf >= 0
            assert shelf + truth["units_held"] == 40, sku
        assert report["orders_total"] == happened["orders_placed"]


async def test_the_books_notice_when_they_are_wrong() -> None:
    sandbox = stocked(7, {"S": 2000})
    assert audit.inconsistencies(sandbox.books) == []
    sandbox.books.db.execute("UPDATE listing SET quantity = quantity - 1")
    assert len(audit.inconsistencies(sandbox.books)) == 1
