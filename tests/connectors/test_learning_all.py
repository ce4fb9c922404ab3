"""Of all listings at once: what must be known before units are written is learnt in few calls, and nothing is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import build_client_schema, parse, validate

from flipsync.connectors.base import MarketplaceConnector, QuantityChange, QuantityOutcome, Unlimited
from flipsync.connectors.marketplaces.amazon import client as amazon_client
from flipsync.connectors.marketplaces.shopify import documents, export
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import usd

VENDORS = ["amazon", "ebay", "shopify"]


def lamp(number: int, **more: Any) -> Offer:
    given = {"sku": f"LAMP-{number}", "title": "Lamp", "price": usd("19.90"), "quantity": 5, "brand": "L"}
    return Offer.model_validate({**given, "images": ("https://i.example/1",), **more})


async def published(connector: MarketplaceConnector, count: int = 3) -> list[str]:
    return [(await connector.publish(lamp(n), f"k{n}")).external_id for n in range(count)]


async def push(
    connector: MarketplaceConnector, ids: Sequence[str], units: int, told: Any = None
) -> list[QuantityOutcome]:
    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        return None

    changes = [QuantityChange(one, units + place, f"k{units}{place}") for place, one in enumerate(ids)]
    return await connector.push_quantities(changes, taken, told)


async def learn(connector: MarketplaceConnector) -> int:
    return sum([count async for count in connector.learn_all()])


def since(channel: Any, before: int) -> list[httpx2.Request]:
    return [each for each in channel.tap.requests[before:] if "token" not in each.url.path]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_the_first_push_reads_no_listing_before_it_writes(
    vendor: str, open_channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amazon_client, "FEED_FROM", 2)
    ids = await published(open_channel(vendor).connector)
    channel = open_channel(vendor)
    assert channel.connector.learns_all is not None
    assert channel.connector.lacks(ids) == ids
    assert await learn(channel.connector) == 3
    assert channel.connector.lacks(ids) == [] and set(channel.connector.learnt()) == set(ids)
    before = len(channel.tap.requests)
    outcomes = await push(channel.connector, ids, 20)
    assert [outcome.state.quantity for outcome in outcomes if outcome.state] == [20, 21, 22]
    asked = since(channel, before)
    if vendor == "amazon":
        assert "searchListingsItems" not in {each.url.path for each in asked[:2]}
        assert len([each for each in asked if each.method == "GET" and "/listings/" in each.url.path]) == 1
    elif vendor == "ebay":
        assert [each.url.path.rpartition("/")[2] for each in asked] == [
            "bulk_update_price_quantity",
            "bulk_get_inventory_item",
        ]
    else:
        assert [json.loads(each.content)["operationName"] for each in asked] == ["SetQuantities"]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_account_without_a_listing_has_nothing_to_learn(vendor: str, open_channel: Any) -> None:
    assert await learn(open_channel(vendor).connector) == 0


# -- Amazon -----------------------------------------------------------------------------------------------------------


async def test_amazons_own_units_are_merged_and_its_warehouses_are_left_alone(
    open_channel: Any, contracts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amazon_client, "FEED_FROM", 2)
    channel = open_channel("amazon")
    ids = await published(channel.connector)
    world = channel.sandbox.server("/amazon").world
    slow = {"fulfillment_channel_code": "DEFAULT", "quantity": 5, "lead_time_to_ship_max_days": 4}
    with world.books.transaction():
        stored, taken_care_of = world.listing(ids[0]), world.listing(ids[1])
        stored.doc["attributes"]["fulfillment_availability"] = [slow]
        world.books.save_listing(stored)
        taken_care_of.doc["warehouse"] = "AMAZON_NA"
        taken_care_of.doc["attributes"]["fulfillment_availability"] = [{"fulfillment_channel_code": "AMAZON_NA"}]
        world.books.save_listing(taken_care_of)
    fresh = open_channel("amazon")
    assert await learn(fresh.connector) == 2
    assert fresh.connector.lacks(ids) == [ids[1]], "what a warehouse supplies is looked at by itself"
    first, second, third = await push(fresh.connector, ids, 7)
    assert (first.state and first.state.quantity, third.state and third.state.quantity) == (7, 9)
    assert isinstance(second.error, Rejected) and second.error.vendor_code == "fba"
    (sent,) = [json.loads(r.content) for r in fresh.tap.requests if r.method == "PUT" and "documents" in r.url.path]
    patches = [message["patches"][0] for message in sent["messages"]]
    assert {patch["op"] for patch in patches} == {"merge"}
    assert {message["productType"] for message in sent["messages"]} == {"PRODUCT"}
    assert world.listing(ids[0]).doc["attributes"]["fulfillment_availability"] == [{**slow, "quantity": 7}]
    again = await push(fresh.connector, ids[:1] * 1 + ids[2:], 30)
    assert [outcome.state.quantity for outcome in again if outcome.state] == [30, 31]
    last = [json.loads(r.content) for r in fresh.tap.requests if r.method == "PUT" and "documents" in r.url.path][-1]
    assert {message["patches"][0]["op"] for message in last["messages"]} == {"replace"}, "read back, it is known whole"


async def test_amazon_tells_what_each_reading_back_shows(open_channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amazon_client, "FEED_FROM", 2)
    channel = open_channel("amazon")
    ids = await published(channel.connector, 22)
    told: list[list[QuantityOutcome]] = []
    outcomes = await push(channel.connector, [*ids, "nobody"], 3, told.append)
    assert sorted(map(len, told)) == [2, 20]
    early = {each.change.external_id: each for part in told for each in part}
    assert [early.get(each.change.external_id) for each in outcomes[:-1]] == outcomes[:-1]
    assert isinstance(outcomes[-1].error, Rejected) and "nobody" not in early


# -- eBay -------------------------------------------------------------------------------------------------------------


async def test_ebays_offer_with_a_quantity_of_its_own_is_found_by_what_is_allocated(open_channel: Any) -> None:
    channel = open_channel("ebay")
    ids = await published(channel.connector)
    shop = channel.sandbox.server("/ebay").items.shop
    with shop.books.transaction():
        listing = shop.known(ids[1])
        shop.set_available(listing, 5, "test")
        shop.books.save_listing(listing)
    fresh = open_channel("ebay")
    await learn(fresh.connector)
    before = len(fresh.tap.requests)
    outcomes = await push(fresh.connector, ids, 20)
    assert [outcome.state.quantity for outcome in outcomes if outcome.state] == [20, 21, 22]
    assert [shop.known(one).quantity for one in ids] == [20, 21, 22], "buyers see it too"
    assert len([r for r in since(fresh, before) if r.method == "GET" and r.url.path.endswith("/offer")]) <= 2


async def test_ebays_silence_about_allocations_makes_offers_be_asked_for(open_channel: Any) -> None:
    ids = await published(open_channel("ebay").connector)
    fresh = open_channel("ebay")
    await learn(fresh.connector)
    passed = fresh.tap.inner.handle_async_request

    async def silent(request: httpx2.Request) -> httpx2.Response:
        answer = await passed(request)
        if not request.url.path.endswith("bulk_get_inventory_item"):
            return answer
        body = json.loads(await answer.aread())
        for row in body["responses"]:
            del row["inventoryItem"]["availability"]["shipToLocationAvailability"]["allocationByFormat"]
        return httpx2.Response(answer.status_code, json=body)

    fresh.tap.inner.handle_async_request = silent
    before = len(fresh.tap.requests)
    outcomes = await push(fresh.connector, ids, 20)
    assert [outcome.state.quantity for outcome in outcomes if outcome.state] == [20, 21, 22]
    asked = [r.url.path.rpartition("/")[2] for r in since(fresh, before)]
    assert asked.count("offer") == 3 and asked.count("bulk_update_price_quantity") == 1


@pytest.mark.parametrize("status", [503, 403])
async def test_ebays_offers_that_cannot_be_asked_for_leave_the_write_unknown(open_channel: Any, status: int) -> None:
    channel = open_channel("ebay")
    ids = await published(channel.connector)
    shop = channel.sandbox.server("/ebay").items.shop
    with shop.books.transaction():
        listing = shop.known(ids[1])
        shop.set_available(listing, 5, "test")
        shop.books.save_listing(listing)
    fresh = open_channel("ebay")
    await learn(fresh.connector)
    passed = fresh.tap.inner.handle_async_request

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and request.url.path.endswith("/offer"):
            return httpx2.Response(status, json={"errors": [{"errorId": 1, "message": "not now"}]})
        return await passed(request)

    fresh.tap.inner.handle_async_request = refuse
    first, second, third = await push(fresh.connector, ids, 20)
    assert first.state is not None and third.state is not None
    assert isinstance(second.error, OutcomeUnknown)
    fresh.tap.inner.handle_async_request = passed
    (again,) = await push(fresh.connector, ids[1:2], 30)
    assert again.state is not None and again.state.quantity == shop.known(ids[1]).quantity == 30


async def test_ebays_report_without_usable_prices_teaches_nothing(open_channel: Any) -> None:
    channel = open_channel("ebay")
    ids = await published(channel.connector)
    fresh = open_channel("ebay")
    passed = fresh.tap.inner.handle_async_request
    rows = "".join(
        f"<SKUDetails><SKU>{sku}</SKU>{price}<Quantity>5</Quantity><ItemID>1{sku}</ItemID></SKUDetails>"
        for sku, price in zip(
            ids, ('<Price currencyID="USD">dear</Price>', "", '<Price currencyID="EUR">5.0</Price>'), strict=True
        )
    )

    async def report(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("download_result_file"):
            return httpx2.Response(200, content=f"<ActiveInventoryReport>{rows}</ActiveInventoryReport>".encode())
        return await passed(request)

    fresh.tap.inner.handle_async_request = report
    assert await learn(fresh.connector) == 0 and fresh.connector.lacks(ids) == ids


async def test_ebays_draft_is_in_no_report_and_goes_on_sale_with_its_first_unit(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(0, quantity=0), "k0")
    assert made.status == "draft"
    fresh = open_channel("ebay")
    assert await learn(fresh.connector) == 0
    (outcome,) = await push(fresh.connector, [made.external_id], 4)
    assert outcome.state is not None and (outcome.state.quantity, outcome.state.status) == (4, "active")


# -- Shopify ----------------------------------------------------------------------------------------------------------


def test_what_shopify_exports_is_asked_for_by_the_official_schema(contracts: Path) -> None:
    data = json.loads(gzip.decompress((contracts / "shopify" / "admin_2026-10.json.gz").read_bytes()))["data"]
    admin = build_client_schema(data, assume_valid=True)
    query = parse(documents.counted_variants("gid://shopify/Location/1"))
    assert [problem.message for problem in validate(admin, query)] == []


async def test_shopifys_export_takes_no_location_that_is_none(open_channel: Any) -> None:
    api = open_channel("shopify").connector._api
    with pytest.raises(Rejected, match="no location"):
        found = export.counted_variants(api, 'gid://shopify/Location/1") { id } evil(x: "', Rows("listings", "id"))
        _ = [rows async for rows in found]


async def test_a_line_of_shopifys_export_that_cannot_be_read_hinders_no_other(
    open_channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = open_channel("shopify")
    made = await published(channel.connector)
    fresh = type(channel.connector)(
        channel.connector.config, channel.connector.credentials, Unlimited(), "b", transport=channel.tap
    )
    fetch = fresh._api.fetch

    async def spoilt(url: str) -> bytes:
        lines = (await fetch(url)).splitlines()
        return b"\n".join([b'{"id": 7}', *lines[1:], b'{"id": "gid://shop'])

    monkeypatch.setattr(fresh._api, "fetch", spoilt)
    assert await learn(fresh) == len(made) - 1
    assert len(fresh.lacks(made)) == 1

    async def page(_url: str) -> bytes:
        return b"<html>busy</html>"

    monkeypatch.setattr(fresh._api, "fetch", page)
    with pytest.raises(Unreadable):
        await learn(fresh)


async def test_shopify_makes_one_export_at_a_time(open_channel: Any) -> None:
    channel = open_channel("shopify")
    await published(channel.connector)
    await channel.connector._api.write(
        documents.EXPORT, export.wire.ExportPayload, {"query": documents.counted_variants("gid://shopify/Location/1")}
    )
    with pytest.raises(Rejected, match="already in progress"):
        await learn(channel.connector)


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ({"id": "gid://shopify/BulkOperation/1", "status": "FAILED", "errorCode": "TIMEOUT"}, Rejected),
        ({"id": "gid://shopify/BulkOperation/1", "status": "COMPLETED", "url": "ftp://shop.test/export"}, Unreadable),
        (None, Retryable),
    ],
)
async def test_shopifys_export_that_ends_otherwise_teaches_nothing(
    open_channel: Any, answer: Any, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_FIRST_LOOK", 0.01)
    channel = open_channel("shopify")
    ids = await published(channel.connector)
    fresh = open_channel("shopify")
    passed = fresh.tap.inner.handle_async_request

    async def otherwise(request: httpx2.Request) -> httpx2.Response:
        if b"query Exported" in request.content:
            return httpx2.Response(200, json={"data": {"bulkOperation": answer}})
        return await passed(request)

    fresh.tap.inner.handle_async_request = otherwise
    with pytest.raises(raised):
        await learn(fresh.connector)
    assert fresh.connector.lacks(ids) == ids
    outcomes = await push(fresh.connector, ids, 20)
    assert [outcome.state.quantity for outcome in outcomes if outcome.state] == [20, 21, 22]


async def test_shopifys_goods_that_nobody_counts_are_not_learnt(open_channel: Any) -> None:
    channel = open_channel("shopify")
    ids = await published(channel.connector)
    books = channel.sandbox.books
    with books.transaction():
        listing = books.listing(int(ids[0].rpartition("/")[2]))
        listing.doc["tracked"] = False
        books.save_listing(listing)
    fresh = open_channel("shopify")
    await learn(fresh.connector)
    assert fresh.connector.lacks(ids) == ids[:1]
