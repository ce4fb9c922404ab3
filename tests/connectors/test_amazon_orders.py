"""Orders of Amazon's: lists of many pages, who ships them, and with whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from amazon_channel import START, bodies, judge_all, offer, watched, world_of
from amazon_models import Models

from flipsync.domain.errors import Rejected


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return watched(open_channel)


@pytest.fixture
def world(channel: Any) -> Any:
    return world_of(channel)


async def test_an_order_amazon_ships_is_not_ours(channel: Any, world: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    world.store_with_amazon("LAMP-1", 12)
    order = await connector.read_order(channel.sell("LAMP-1"))
    assert (order.status, order.holds_stock, order.vendor_status) == ("paid", True, "UNSHIPPED by AMAZON")
    assert order.fulfilled_by == "channel"
    with pytest.raises(Rejected, match="ships this order itself"):
        await connector.confirm_shipment(order.external_id, "UPS", "1Z", "k2")


async def test_orders_of_many_pages(channel: Any, models: Models) -> None:
    connector = channel.connector
    await connector.publish(offer(quantity=400), "k1")
    ids = []
    for _ in range(120):
        ids.append(channel.sell("LAMP-1"))
        await channel.sandbox.market.advance(1)
    seen = [order async for order in connector.orders(START)]
    assert {order.external_id for order in seen} >= set(ids)
    assert [order.modified_at for order in seen] == sorted(order.modified_at for order in seen)
    assert len([r for r in channel.tap.requests if "paginationToken" in str(r.url)]) == 1
    judge_all(models, channel.tap)


async def test_orders_that_cannot_be_shipped(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(quantity=9), "k1")
    order_id = channel.sell("LAMP-1", 2)
    order = channel.sandbox.books.orders("channel = 'amazon'", ())[0]
    with channel.sandbox.books.transaction():
        channel.sandbox.market.orders.give_back(order, "cancellation")
        order.status = "cancelled"
        channel.sandbox.books.save_order(order)
    read = await connector.read_order(order_id)
    assert (read.status, read.holds_stock) == ("cancelled", False)
    with pytest.raises(Rejected, match="CANCELLED"):
        await connector.confirm_shipment(order_id, "UPS", "1Z", "k2")


async def test_carriers_amazon_knows_and_others(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(quantity=9), "k1")
    for carrier in ("ups", "Bike Courier"):
        await connector.confirm_shipment(channel.sell("LAMP-1"), carrier, f"T-{carrier}", carrier)
    known, other = (body["packageDetail"] for body in bodies(channel, "POST", "shipmentConfirmation"))
    assert known["carrierCode"] == "UPS" and "carrierName" not in known
    assert (other["carrierCode"], other["carrierName"]) == ("Other", "Bike Courier")


async def test_the_order_list_is_complete_to_its_last(channel: Any) -> None:
    """Nothing that changed after the first page was true is yielded: it comes with the next question."""
    connector = channel.connector
    await connector.publish(offer(quantity=400), "k1")
    first = channel.sell("LAMP-1")
    for _ in range(100):
        channel.sell("LAMP-1")
    await channel.sandbox.market.advance(60)
    passed = channel.tap.inner.handle_async_request

    async def change_between_pages(request: httpx2.Request) -> httpx2.Response:
        answer = await passed(request)
        if "searchOrders" not in str(request.url) and "/orders/2026-01-01/orders" in request.url.path:
            channel.tap.inner.handle_async_request = passed
            await channel.sandbox.market.advance(60)
            order = channel.sandbox.books.orders("channel = 'amazon' ORDER BY id LIMIT 1", ())[0]
            with channel.sandbox.books.transaction():
                channel.sandbox.books.save_order(order)
        return answer

    channel.tap.inner.handle_async_request = change_between_pages
    seen = [order async for order in connector.orders(START)]
    last = seen[-1].modified_at
    again = [order async for order in connector.orders(last)]
    assert first in {order.external_id for order in again if order.modified_at > START + timedelta(seconds=60)}
