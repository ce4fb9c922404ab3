"""What goes to Amazon and what comes back: every request and answer validates against Amazon's own models."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from amazon_channel import START, bodies, judge_all, offer, shirt, watched, world_of
from amazon_models import Models
from pydantic import SecretStr

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.amazon import listings as connector_listings
from flipsync.connectors.marketplaces.amazon import reports
from flipsync.connectors.marketplaces.amazon.fees import FeeQuestion, estimate, estimate_one
from flipsync.connectors.marketplaces.amazon.inventory import warehouse_stock
from flipsync.connectors.marketplaces.amazon.operations import OPERATIONS
from flipsync.connectors.marketplaces.amazon.pricing import competitive_summary, expected_prices
from flipsync.domain.channel import OfferGroup
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import Money, usd
from flipsync.domain.sourcing import CatalogueQuestion
from flipsync.sandbox.amazon import listings as sandbox_listings


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return watched(open_channel)


@pytest.fixture
def world(channel: Any) -> Any:
    return world_of(channel)


#: Tested with the queue, and with the services that the connector's interface does not need.
ELSEWHERE_TESTED = {
    *("deleteSubscriptionById", "createRestrictedDataToken", "createReport", "getReport", "getReportDocument"),
    *("getMessagingActionsForOrder", "createConfirmOrderDetails", "createConfirmDeliveryDetails"),
    *("createUnexpectedProblem", "getEligibleShipmentServices", "createShipment", "getShipment", "cancelShipment"),
    *("createFulfillmentOrder", "getFulfillmentOrder", "cancelFulfillmentOrder"),
}


def give_back(channel: Any, order_id: str) -> None:
    """The buyer's money for one line of an order."""
    books = channel.sandbox.books
    with books.transaction():
        (order,) = [each for each in books.orders("channel = 'amazon'", ()) if order_id.endswith(f"{each.id:07d}")]
        line = order.lines[0]
        refunded = {line.id: (1, line.total_minor)}
        channel.sandbox.market.orders.refund(order, refunded, line.total_minor, "", restock=False)
        books.save_order(order)


async def test_everything_exchanged_is_as_the_models_say(channel: Any, world: Any, models: Models) -> None:
    connector, api = channel.connector, channel.connector._api
    await connector.probe()
    made = await connector.publish(offer(), "k1")
    await connector.publish(offer("LAMP-2"), "k2")  # the same barcode: offered on the same page
    for size in ("S", "M"):
        await connector.publish(shirt(f"SHIRT-{size}", size, "Blue"), f"k-{size}")
    await connector.set_price(made.external_id, usd("24.50"), "k3")
    await connector.set_quantity(made.external_id, 3, "k4")
    await connector.revise(made.external_id, offer(title="Brass lamp, new"), "k5")
    assert await connector.read_listing("NOBODY") is None
    assert len([state async for state in connector.listings()]) == 4
    order = channel.sell("LAMP-1")
    assert len([found async for found in connector.orders(START)]) == 1
    await connector.confirm_shipment(order, "Some Courier", "T-1", "k6")
    give_back(channel, order)
    (refunded,) = [found async for found in connector.refunded(START)]
    assert (refunded.external_id, refunded.status) == (order, "shipped"), "the order itself does not tell"
    assert [(str(refund.amount), refund.restocked) for refund in refunded.refunds] == [("24.50 USD", {})]
    assert await connector.read_order("111-0000000-9999999") is None
    assert await connector.rivals(["LAMP-1", "NOBODY"])
    assert (await expected_prices(api, ["LAMP-1", "NOBODY"]))["LAMP-1"].featured_offer_expected_price is not None
    asin = (world.listing("LAMP-1")).doc["asin"]
    assert [body.asin for body in await competitive_summary(api, [asin, "B000000000"])] == [asin]
    assert [page.external_id for page in await connector.look_up([CatalogueQuestion(key="1", asin=asin)])] == [asin]
    await estimate(api, [FeeQuestion("LAMP-1", usd("20.00"), usd("0.00"))])
    await estimate_one(api, FeeQuestion("LAMP-1", usd("20.00"), usd("4.00")))
    world.store_with_amazon("LAMP-2", 12)
    assert [stock.available async for stock in warehouse_stock(api)] == [12]
    await connector.ensure_webhooks("", SecretStr(""))
    changes = [QuantityChange(f"S{n}", n, f"q{n}") for n in range(40)] + [QuantityChange("LAMP-1", 7, "q")]
    assert (await connector.set_quantities(changes))[-1].state.quantity == 7
    await connector.end("LAMP-2", "k7")
    await connector.end("LAMP-1", "k8")
    seen = judge_all(models, channel.tap)
    assert seen == set(OPERATIONS) - ELSEWHERE_TESTED


async def test_the_judge_itself_can_say_no(channel: Any, models: Models) -> None:
    answer = httpx2.Response(200, json={"sku": "A", "status": "MAYBE", "submissionId": "1"})
    path = "http://shop.test/listings/2021-08-01/items/S/A"
    body = {"productType": "X", "patches": [{"op": "move", "path": "/a"}], "more": 1}
    request = httpx2.Request("PATCH", f"{path}?marketplaceIds=M&mode=TRY&other=1", json=body)
    problems = " ".join(models.judge(request, answer)[1])
    for word in ("other is not declared", "'TRY'", "'move'", "'more'", "'MAYBE'"):
        assert word in problems


async def test_a_new_page_is_described_in_full(channel: Any) -> None:
    await channel.connector.publish(offer(), "k1")
    preview, sent = bodies(channel, "PUT", "/items/")
    assert preview == sent and sent["requirements"] == "LISTING" and sent["productType"] == "LAMP"
    told = sent["attributes"]
    assert told["item_name"] == [
        {"value": "Brass lamp, 40 cm", "language_tag": "en_US", "marketplace_id": "ATVPDKIKX0DER"}
    ]
    assert told["product_description"][0]["value"] == "Brass & glass ."
    assert told["color"][0]["value"] == "Brass" and "voltage" not in told, "what the type has no name for stays out"
    assert told["externally_assigned_product_identifier"][0]["type"] == "ean"
    assert told["purchasable_offer"][0]["our_price"] == [{"schedule": [{"value_with_tax": 19.9}]}]
    assert told["fulfillment_availability"] == [{"fulfillment_channel_code": "DEFAULT", "quantity": 5}]
    assert told["other_product_image_locator_1"][0]["media_location"] == "https://img.example/2.jpg"
    urls = [str(r.url) for r in channel.tap.requests if r.method == "PUT"]
    assert ["VALIDATION_PREVIEW" in url for url in urls] == [True, False], "asked first, then sent"


async def test_goods_in_the_catalogue_are_offered_on_their_page(channel: Any, world: Any) -> None:
    world.add_to_catalogue("Something else", "Other", "HOME", "4006381333931")
    page = world.add_to_catalogue("Lumen brass lamp, 40 cm", "Lumen", "LAMP", "4006381333931")
    states = [await channel.connector.publish(offer(sku), sku) for sku in ("LAMP-NEW", "LAMP-USED")]
    sent = bodies(channel, "PUT", "/items/")[-1]
    assert sent["requirements"] == "LISTING_OFFER_ONLY" and sent["productType"] == "LAMP"
    assert sent["attributes"]["merchant_suggested_asin"][0]["value"] == page.asin
    assert "item_name" not in sent["attributes"], "the page's words are not ours"
    assert [state.title for state in states] == ["Lumen brass lamp, 40 cm"] * 2, "two SKUs sell on one page"
    with pytest.raises(Rejected) as refused:
        await channel.connector.revise("LAMP-NEW", offer("LAMP-NEW", title="Mine"), "k3")
    assert refused.value.vendor_code == "catalogue_page"


async def test_goods_without_a_barcode_say_so(channel: Any) -> None:
    await channel.connector.publish(offer(barcode=None), "k1")
    told = bodies(channel, "PUT", "/items/")[-1]["attributes"]
    assert told["supplier_declared_has_product_identifier_exemption"][0]["value"] is True
    assert "externally_assigned_product_identifier" not in told


async def test_variations_are_one_family(channel: Any) -> None:
    connector = channel.connector
    states = [await connector.publish(shirt(f"S-{size}", size, "Blue"), size) for size in ("S", "M")]
    assert {state.group_external_id for state in states} == {"SHIRT-9-PARENT"}
    sent = bodies(channel, "PUT", "/items/")
    parents = [body for body in sent if body["requirements"] == "LISTING_PRODUCT_ONLY"]
    assert len(parents) == 2, "the head is asked about and sent once"
    assert parents[0]["attributes"]["parentage_level"][0]["value"] == "parent"
    child = sent[-1]["attributes"]
    assert child["variation_theme"] == [{"name": "COLOR/SIZE"}]
    assert (child["size"][0]["value"], child["color"][0]["value"]) == ("M", "Blue")
    assert child["child_parent_sku_relationship"][0]["parent_sku"] == "SHIRT-9-PARENT"
    assert sorted([state.sku async for state in connector.listings()]) == ["S-M", "S-S"], "nobody can buy the head"
    assert await connector.read_listing("SHIRT-9-PARENT") is None


async def test_a_type_without_the_theme_sells_the_goods_apart(channel: Any) -> None:
    group = OfferGroup(key="LAMP-G", title="Lamp", options=("Length",), values={"Length": ("1 m", "2 m")})
    state = await channel.connector.publish(offer(barcode=None, group=group, choices=("1 m",)), "k1")
    assert state.group_external_id is None and state.status == "active"


async def test_what_amazon_has_against_a_listing_is_named(channel: Any) -> None:
    with pytest.raises(Rejected) as refused:
        await channel.connector.publish(offer(price=Money(amount_minor=100, currency="EUR")), "k1")
    assert "purchasable_offer" in refused.value.message and refused.value.vendor_code == "90000900"
    assert len(bodies(channel, "PUT", "/items/")) == 1, "asked, and not sent"
    await channel.connector.publish(offer(), "k2")
    with pytest.raises(Rejected, match="purchasable_offer"):
        await channel.connector.set_price("LAMP-1", usd("0.00"), "k3")


async def test_a_price_leaves_the_rest_of_the_offer(channel: Any, world: Any) -> None:
    await channel.connector.publish(offer(), "k1")
    listing = world.listing("LAMP-1")
    business = {"marketplace_id": "ATVPDKIKX0DER", "currency": "USD", "audience": "B2B"}
    business["our_price"] = [{"schedule": [{"value_with_tax": 18}]}]
    listing.doc["attributes"]["purchasable_offer"][0]["minimum_seller_allowed_price"] = [{"schedule": []}]
    listing.doc["attributes"]["purchasable_offer"].append(business)
    with world.books.transaction():
        world.books.save_listing(listing)
    assert (await channel.connector.set_price("LAMP-1", usd("21.00"), "k2")).price == usd("21.00")
    (body,) = bodies(channel, "PATCH", "/items/")
    (patch,) = body["patches"]
    assert (patch["op"], patch["path"]) == ("replace", "/attributes/purchasable_offer")
    assert "minimum_seller_allowed_price" in patch["value"][0] and patch["value"][1] == business


async def test_a_write_is_read_back_until_it_shows(channel: Any, world: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    world.settle_seconds = 0.4
    before = len(channel.tap.requests)
    assert (await connector.set_quantity("LAMP-1", 2, "k2")).quantity == 2
    reads = [r for r in channel.tap.requests[before:] if r.method == "GET"]
    assert len(reads) >= 3, "once before the write, and again until it showed"
    world.settle_seconds = 30
    assert (await connector.set_quantity("LAMP-1", 1, "k3")).quantity == 2, "what the channel says now"


async def test_an_accepted_listing_that_does_not_show_is_unknown(channel: Any, world: Any) -> None:
    world.settle_seconds = 30
    with pytest.raises(OutcomeUnknown, match="accepted"):
        await channel.connector.publish(offer(), "k1")
    world.settle_seconds = 0.1
    world._shown.clear()
    again = await channel.connector.publish(offer(), "k1")
    assert again.status == "active"
    assert channel.sandbox.books.count("listing", "channel = 'amazon'", ()) == 1


async def test_a_write_whose_reading_back_fails_is_unknown(channel: Any) -> None:
    await channel.connector.publish(offer(), "k1")
    passed = channel.tap.inner.handle_async_request

    async def fail_after_patch(request: httpx2.Request) -> httpx2.Response:
        answer = await passed(request)
        if request.method == "PATCH":
            channel.tap.down = {"GET"}
        return answer

    channel.tap.inner.handle_async_request = fail_after_patch
    with pytest.raises(OutcomeUnknown, match="not read back"):
        await channel.connector.set_quantity("LAMP-1", 1, "k2")


async def test_amazons_own_pool_is_never_written(channel: Any, world: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    world.store_with_amazon("LAMP-1", 12)
    state = await connector.read_listing("LAMP-1")
    assert state.quantity is None and state.status == "active"
    with pytest.raises(Rejected) as refused:
        await connector.set_quantity("LAMP-1", 3, "k2")
    assert refused.value.vendor_code == "fba"
    many = [QuantityChange("LAMP-1", 3, "k3")] + [QuantityChange(f"N{n}", 1, f"k{n}") for n in range(50)]
    assert (await connector.set_quantities(many))[0].error.vendor_code == "fba"
    assert (await connector.set_price("LAMP-1", usd("30.00"), "k4")).price == usd("30.00")
    listing = world.listing("LAMP-1")
    assert (listing.doc["warehouse"], listing.quantity) == ("AMAZON_NA", 12)
    await connector.end("LAMP-1", "k5")
    ended = await connector.read_listing("LAMP-1")
    assert ended.status == "ended" and world.listing("LAMP-1").doc["warehouse"] == "AMAZON_NA", "goods are not stranded"
    again = await connector.publish(offer(price=usd("31.00")), "k6")
    assert (again.status, again.price, again.quantity) == ("active", usd("31.00"), None)
    listing = world.listing("LAMP-1")
    assert (listing.doc["warehouse"], listing.quantity) == ("AMAZON_NA", 12), "relisted with its price alone"


async def test_missing_attributes_are_named_before_amazon_is_asked(channel: Any, world: Any) -> None:
    backpack = offer("PACK-1", title="Canvas backpack", category="Backpack", barcode=None)
    with pytest.raises(
        Rejected, match=r"product type BACKPACK requires what the product has not: Capacity \(capacity\)"
    ):
        await channel.connector.publish(backpack, "k1")
    assert bodies(channel, "PUT", "PACK-1") == [] and world.listing("PACK-1") is None
    whole = backpack.model_copy(update={"attributes": {"Capacity": "20 litres"}})
    assert (await channel.connector.publish(whole, "k2")).status == "active"


async def test_many_listings_page_after_page(channel: Any) -> None:
    connector = channel.connector
    for number in range(45):
        await connector._publisher._submit(
            f"S{number:02d}", await connector._publisher._listing_body(offer(f"S{number:02d}", barcode=None))
        )
    import asyncio

    await asyncio.sleep(0.15)
    assert len({state.sku async for state in connector.listings()}) == 45
    pages = [r for r in channel.tap.requests if r.method == "GET" and r.url.path.endswith("/items/A3SANDBOXSELLER")]
    assert len(pages) == 3


async def test_more_listings_than_one_search_shows(
    channel: Any, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_FIRST_LOOK", 0.1)
    for module in (connector_listings, sandbox_listings):
        monkeypatch.setattr(module, "_WINDOW", 4)
    connector = channel.connector
    monkeypatch.setattr(connector_listings, "_PAGE", 2)
    for number in range(10):
        await connector.publish(offer(f"S{number}", barcode=None), f"k{number}")
        await channel.sandbox.market.advance(60)
    assert [state.sku async for state in connector.listings()] == [f"S{number}" for number in range(10)]
    for number in range(10, 15):
        await connector.publish(offer(f"S{number}", barcode=None), f"k{number}")
    assert len({state.sku async for state in connector.listings()}) == 15, "five at one moment: the report names them"
    names = {request.url.path.rpartition("/")[2] for request in channel.tap.requests if "/reports/" in request.url.path}
    assert "reports" in names and len(names) == 3
    judge_all(models, channel.tap)


async def test_fees_and_their_reasons(channel: Any) -> None:
    api = channel.connector._api
    await channel.connector.publish(offer(), "k1")
    known, unknown = await estimate(
        api,
        [FeeQuestion("LAMP-1", usd("20.00"), usd("5.00")), FeeQuestion("NOBODY", usd("1.00"), usd("0.00"))],
    )
    assert known.total == usd("3.00") and known.parts == {"ReferralFee": usd("3.00")}
    assert unknown.total is None and "not known" in unknown.reason
