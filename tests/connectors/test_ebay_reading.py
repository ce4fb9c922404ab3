"""What is read of eBay: pages, orders, rivals."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from ebay_channel import Server, connector, failure, lamp

from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd


async def test_pages_are_followed_by_their_query_alone_and_never_twice() -> None:
    def page(request: httpx2.Request) -> Any:
        offset = int(request.url.params["offset"])
        item = {"sku": f"A{min(offset, 2)}", "product": {"title": "T"}}
        # a server that forgets to end its list, and names another host
        return {"inventoryItems": [item], "total": 3, "next": f"https://evil.example/x?limit=100&offset={offset + 1}"}

    server = Server({("GET", "/inventory_item"): page})
    async with connector(server) as ebay:
        states = [state async for state in ebay.listings()]
    assert [state.sku for state in states] == ["A0", "A1", "A2"]
    assert {request.url.host for request in server.seen} == {"api.example"}


async def test_orders_of_several_pages_come_once_and_in_order(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(quantity=500), "k1")
    start = channel.sandbox.books.clock.now()
    ids = []
    for _ in range(205):
        ids.append(channel.sell("LAMP-1"))
        await channel.sandbox.market.advance(1)
    found = [order.external_id async for order in channel.connector.orders(start)]
    assert [id for id in found if id in set(ids)] == ids and len(found) == len(set(found))


async def test_what_sort_of_rival_counts(open_channel: Any) -> None:
    def summary(seller: str, price: str, title: str, currency: str = "USD") -> dict[str, Any]:
        return {"title": title, "price": {"value": price, "currency": currency}, "seller": {"username": seller}}

    rows = [
        summary("one", "9.00", "LAMP with shade, blue"),
        summary("two", "8.00", "Lamp base"),
        summary("Me", "7.00", "Lamp & Shade"),
        summary("three", "6.00", "lamp shade", "EUR"),
    ]
    item = {"statusCode": 200, "sku": "A", "inventoryItem": {"product": {"title": "Lamp & shade"}}}
    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): {"responses": [item]},
            ("GET", "/item_summary/search"): {"itemSummaries": rows},
        }
    )
    async with connector(server, seller="me") as ebay:
        (rival,) = await ebay.rivals(["A"])
    assert (rival.seller, rival.price, rival.in_stock) == ("one", usd("9.00"), True)
    asked = next(request for request in server.seen if "search" in request.url.path).url.params
    assert asked["q"] == "Lamp shade"
    assert asked["filter"] == "buyingOptions:{FIXED_PRICE},excludeSellers:{me}"


async def test_without_a_name_our_own_listing_is_left_out_by_its_number() -> None:
    item = {"statusCode": 200, "sku": "A", "inventoryItem": {"product": {"title": "Lamp", "ean": ["4006381333931"]}}}
    ours = {"offerId": "1", "marketplaceId": "EBAY_US", "status": "PUBLISHED", "listing": {"listingId": "110"}}
    price = {"value": "9.00", "currency": "USD"}
    found = [
        {"legacyItemId": number, "title": "Lamp", "price": price, "seller": {"username": name}}
        for number, name in (("110", "us"), ("120", "them"))
    ]
    server = Server(
        {
            ("POST", "/bulk_get_inventory_item"): {"responses": [item]},
            ("GET", "/user/"): failure(403, 1100, "Access denied"),
            ("GET", "/offer"): {"offers": [ours]},
            ("GET", "/item_summary/search"): {"itemSummaries": found},
        }
    )
    async with connector(server) as ebay:
        assert [rival.seller for rival in await ebay.rivals(["A"])] == ["them"]
        await ebay.rivals(["A"])
    assert sum(request.url.path.endswith("/user/") for request in server.seen) == 1
    asked = next(request for request in server.seen if "search" in request.url.path).url.params
    assert (asked["gtin"], asked["filter"]) == ("4006381333931", "buyingOptions:{FIXED_PRICE}")


async def test_shipping_finds_what_was_told_and_refuses_a_second_number(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(), "k1")
    order_id = channel.sell("LAMP-1")
    await channel.connector.confirm_shipment(order_id, "Royal Mail", "AB 12-34", "k2")
    await channel.connector.confirm_shipment(order_id, "Royal Mail", "AB1234", "k3")
    with pytest.raises(Rejected, match="another tracking number"):
        await channel.connector.confirm_shipment(order_id, "UPS", "1Z999", "k4")
    rows = channel.sandbox.books.db.execute("SELECT carrier, tracking_number FROM shipment").fetchall()
    assert rows == [("RoyalMail", "AB1234")]
