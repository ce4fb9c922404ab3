"""Words, amounts and errors of eBay's that are new, missing or none, and what somebody else has done meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from ebay_channel import ITEM, OFFER, USD, Server, bulk, connector, failure, item_row, lamp, order
from pydantic import SecretStr

from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import usd

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


# Words and amounts


@pytest.mark.parametrize(
    ("payment", "status"),
    [("PAID", "paid"), ("PARTIALLY_REFUNDED", "paid"), ("PENDING", "pending"), ("A_WORD_ADDED_SINCE", "pending")],
)
async def test_nothing_is_shipped_on_a_payment_of_a_word_nobody_knows(payment: str, status: str) -> None:
    found = order("1", orderPaymentStatus=payment, orderFulfillmentStatus="IN_PROGRESS")
    async with connector(Server({("GET", "/order/1"): found, ("GET", "/shipping_fulfillment"): {}})) as ebay:
        told = await ebay.read_order("1")
        assert told is not None and (told.status, told.holds_stock) == (status, True)


@pytest.mark.parametrize(
    ("word", "status"), [("A_WORD_ADDED_SINCE", "active"), ("EBAY_ENDED", "ended"), ("INACTIVE", "draft")]
)
async def test_a_published_listing_is_on_sale_unless_ebay_says_it_is_not(word: str, status: str) -> None:
    offer = {**OFFER, "listing": {"listingId": "9", "listingStatus": word}}
    async with connector(Server({("GET", "/inventory_item/A"): ITEM, ("GET", "/offer"): {"offers": [offer]}})) as ebay:
        state = await ebay.find_listing("A")
    assert state is not None and state.status == status


@pytest.mark.parametrize("value", ["", "12,50", "1.005", "NaN"])
async def test_a_price_that_is_none_is_unreadable_and_no_crash(value: str) -> None:
    price = {"value": value, "currency": "USD"}
    offer = {**OFFER, "pricingSummary": {"price": price}}
    rivals = [
        {"legacyItemId": id, "title": "A", "price": told, "seller": {"username": id}}
        for id, told in (("1", price), ("2", USD))
    ]
    server = Server(
        {
            ("GET", "/inventory_item/A"): ITEM,
            ("GET", "/offer"): {"offers": [offer]},
            ("POST", "/bulk_get_inventory_item"): bulk(item_row("A")),
            ("GET", "/item_summary/search"): {"itemSummaries": rivals},
        }
    )
    async with connector(server, seller="me") as ebay:
        with pytest.raises(Unreadable):
            await ebay.find_listing("A")
        assert [each.seller for each in await ebay.rivals(["A"])] == ["2"]


async def test_an_order_told_of_when_it_is_shipped_again_is_unreadable_and_no_crash() -> None:
    mixed = order("1", pricingSummary={"total": USD, "deliveryCost": {"value": "1.00", "currency": "EUR"}})
    known = {"fulfillments": [{"fulfillmentId": "1Z9"}]}
    server = Server({("GET", "/order/1"): mixed, ("GET", "/shipping_fulfillment"): known})
    async with connector(server) as ebay:
        with pytest.raises(Unreadable):
            await ebay.confirm_shipment("1", "UPS", "1Z9", "k")


async def test_nulls_are_not_written_back() -> None:
    packed = {"dimensions": {"height": 5, "width": None}, "packageType": None, "weight": None}
    item = {**ITEM, "conditionDescriptors": [{"name": "n", "values": None}, None], "packageWeightAndSize": packed}
    server = Server(
        {
            ("GET", "/inventory_item/A"): item,
            ("GET", "/offer"): {"offers": []},
            ("PUT", "/inventory_item/A"): httpx2.Response(204),
        }
    )
    async with connector(server) as ebay:
        await ebay.revise("A", lamp("A", title="New"), "k")
    written = next(json.loads(request.content) for request in server.seen if request.method == "PUT")
    assert written["packageWeightAndSize"] == {"dimensions": {"height": 5}}
    assert written["conditionDescriptors"] == [{"name": "n"}]


async def test_specifics_that_come_as_a_text_are_read() -> None:
    for told in ('{"Brand": ["Lumen"]}', {"Brand": "Lumen", "Color": None}):
        item = {**ITEM, "product": {"title": "Lamp", "aspects": told}}
        async with connector(Server({("GET", "/inventory_item/A"): item, ("GET", "/offer"): {"offers": []}})) as ebay:
            state = await ebay.find_listing("A")
        assert state is not None and state.text is not None and state.text.specifics == {"Brand": "Lumen"}


async def test_a_parcel_for_ebays_own_shippers_carries_their_reference() -> None:
    place = {"addressLine1": "1850 Airport Exchange Blvd", "addressLine2": "Suite 100", "city": "Erlanger"}
    step = {"shipTo": {"fullName": "Buyer", "contactAddress": place}, "shipToReferenceId": "1234567890123456"}
    found = order("1", fulfillmentStartInstructions=[{"fulfillmentInstructionsType": "SHIP_TO", "shippingStep": step}])
    async with connector(Server({("GET", "/order/1"): found})) as ebay:
        told = await ebay.read_order("1")
    assert told is not None and told.ship_to is not None
    assert told.ship_to.line1 == "Reference #1234567890123456"
    assert told.ship_to.line2 == "1850 Airport Exchange Blvd, Suite 100"


# What eBay's catalogues of errors mean


@pytest.mark.parametrize(
    ("status", "id", "category", "kind"),
    [
        (500, 25001, "", OutcomeUnknown),
        (500, 25001, "Application", OutcomeUnknown),
        (400, 25002, "Request", Rejected),
        (409, 34929, "REQUEST", Retryable),
        (400, 34922, "REQUEST", Retryable),
        (409, 35061, "BUSINESS", Retryable),
        (403, 2001, "REQUEST", Retryable),
    ],
)
async def test_errors_are_told_apart(status: int, id: int, category: str, kind: Any) -> None:
    server = Server({("POST", "/send_offer_to_interested_buyers"): failure(status, id, category=category)})
    async with connector(server) as ebay:
        with pytest.raises(kind):
            await ebay.negotiation.offer("1", usd("9.00"))


async def test_an_address_that_leads_nowhere_says_nothing_of_a_listing() -> None:
    server = Server({("GET", "/inventory_item/A"): failure(404, 2002, "Resource not found")})
    async with connector(server) as ebay:
        with pytest.raises(Rejected, match="Resource not found"):
            await ebay.find_listing("A")


# Ending, offering, subscribing


@pytest.mark.parametrize(("id", "ended"), [(25713, True), (25002, False)])
async def test_what_somebody_else_has_just_ended_is_ended(id: int, ended: bool) -> None:
    offers = {"offers": [{**OFFER, "pricingSummary": {"price": USD}}]}
    server = Server(
        {("GET", "/inventory_item/A"): ITEM, ("GET", "/offer"): offers, ("POST", "/withdraw"): failure(400, id)}
    )
    async with connector(server) as ebay:
        if ended:
            await ebay.end("A", "k")
        else:
            with pytest.raises(Rejected):
                await ebay.end("A", "k")


async def test_a_group_is_not_ended_while_nobody_knows_of_its_other_variations() -> None:
    def offers(request: httpx2.Request) -> Any:
        return {"offers": [OFFER]} if request.url.params["sku"] == "A" else failure(500, 25001, category="APPLICATION")

    server = Server(
        {
            ("GET", "/inventory_item/A"): {**ITEM, "inventoryItemGroupKeys": ["G"]},
            ("GET", "/offer"): offers,
            ("GET", "/inventory_item_group/G"): {"inventoryItemGroupKey": "G", "variantSKUs": ["A", "B"]},
        }
    )
    async with connector(server) as ebay:
        with pytest.raises(Retryable):
            await ebay.end("A", "k")
    assert not [request for request in server.seen if "withdraw" in request.url.path]


async def test_an_offer_made_without_saying_its_number_is_looked_up() -> None:
    made: list[Any] = []

    def offers(request: httpx2.Request) -> Any:
        return {"offers": [{**OFFER, "status": "UNPUBLISHED"}] if made else []}

    def make(request: httpx2.Request) -> Any:
        made.append(request)
        return httpx2.Response(201)

    server = Server(
        {
            ("GET", "/inventory_item/LAMP-1"): ITEM,
            ("PUT", "/inventory_item/LAMP-1"): httpx2.Response(204),
            ("GET", "/offer"): offers,
            ("POST", "/offer"): make,
            ("POST", "/offer/1/publish"): {"listingId": "9"},
            ("GET", "/get_default_category_tree_id"): {"categoryTreeId": "0"},
            ("GET", "/get_item_aspects_for_category"): {"aspects": []},
        }
    )
    given = {f"{kind}_policy_id": "1" for kind in ("payment", "fulfillment", "return")}
    async with connector(server, category_id="1", merchant_location_key="L", **given) as ebay:
        await ebay.publish(lamp(), "k")
    assert len(made) == 1 and any(request.url.path.endswith("/offer/1/publish") for request in server.seen)


async def test_a_topic_that_ebay_refuses_hinders_no_other() -> None:
    made: list[dict[str, Any]] = []

    def subscribe(request: httpx2.Request) -> Any:
        body = json.loads(request.content)
        if body["topicId"] == "ORDER_CONFIRMATION":
            return failure(403, 195011, "Not authorized for this topic.")
        made.append({**body, "subscriptionId": body["topicId"]})
        return httpx2.Response(201)

    names = ("ORDER_CONFIRMATION", "ORDER_RETURN_ACTIVITY", "AUTHORIZATION_REVOCATION")
    there = {"destinationId": "D", "status": "ENABLED", "deliveryConfig": {"endpoint": "https://we.example/hook"}}
    server = Server(
        {
            ("GET", "/destination"): {"destinations": [{}, there]},
            ("PUT", "/destination/D"): httpx2.Response(204),
            ("GET", "/topic"): {"topics": [{}, *({"topicId": name, "scope": "USER"} for name in names)]},
            ("GET", "/subscription"): lambda _: {"subscriptions": [{}, *made]},
            ("POST", "/subscription"): subscribe,
        }
    )
    async with connector(server) as ebay:
        with pytest.raises(Rejected, match="Not authorized"):
            await ebay.ensure_webhooks("https://we.example/hook", SecretStr("s"))
    assert {each["topicId"] for each in made} == {"ORDER_RETURN_ACTIVITY", "AUTHORIZATION_REVOCATION"}


async def test_orders_are_asked_for_as_far_back_as_ebay_tells_of_them() -> None:
    server = Server({("GET", "/order"): {"orders": [], "total": 0}})
    async with connector(server) as ebay:
        assert [each async for each in ebay.orders(datetime(1970, 1, 1, tzinfo=UTC))] == []
    begin = datetime.fromisoformat(server.seen[-1].url.params["filter"].split("[")[1].split("..")[0])
    assert timedelta(days=728) < datetime.now(UTC) - begin < timedelta(days=730)


async def test_a_sku_of_dots_alone_is_no_way_up() -> None:
    server = Server({("GET", "/inventory_item/.."): ITEM})
    async with connector(server) as ebay:
        await ebay.find_listing("..")
    assert b"/sell/inventory/v1/inventory_item/%2E%2E" in {request.url.raw_path for request in server.seen}


async def test_a_campaign_without_a_number_is_none_of_ours() -> None:
    paid = {"marketplaceId": "EBAY_US", "fundingStrategy": {"fundingModel": "COST_PER_SALE"}}
    server = Server({("GET", "/ad_campaign"): {"campaigns": [paid, {**paid, "campaignId": "7"}], "total": 2}})
    async with connector(server) as ebay:
        assert [each.id for each in await ebay.marketing.campaigns()] == ["7"]
