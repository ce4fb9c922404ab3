"""Everything the eBay connector asks, and the sandbox answers, is what eBay's own documents describe."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ebay_documents import Documents
from pydantic import SecretStr

from flipsync.connectors.base import QuantityChange
from flipsync.domain.channel import Offer, OfferGroup, RefundOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money, usd
from flipsync.sandbox.clock import milliseconds

OFFER = Offer(
    sku="LAMP-1",
    title="Lamp & shade",
    description_html="<p>Brass.</p>",
    price=usd("19.90"),
    quantity=5,
    barcode="4006381333931",
    brand="Lumen",
    category="Lighting",
    images=("https://img.example/lamp.jpg",),
    weight_grams=1250,
    attributes={"Color": "Brass"},
)
SHIRT = OfferGroup(
    key="SHIRT",
    title="Shirt, plain",
    description_html="<p>Cotton.</p>",
    options=("Size", "Color"),
    images=("https://img.example/shirt.jpg",),
    values={"Size": ("S", "M"), "Color": ("Red", "Blue")},
)


def shirt(sku: str, *choices: str, quantity: int = 3) -> Offer:
    return Offer(
        sku=sku,
        title=f"Shirt {' '.join(choices)}",
        description_html="<p>Cotton.</p>",
        price=usd("12.00"),
        quantity=quantity,
        brand="Weft",
        images=("https://img.example/s.jpg",),
        group=SHIRT,
        choices=choices,
    )


class Judged(httpx2.AsyncBaseTransport):
    """Passes calls on and has both directions judged."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, documents: Documents) -> None:
        self.inner = inner
        self.documents = documents
        self.problems: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.problems += self.documents.request(request)
        response = await self.inner.handle_async_request(request)
        await response.aread()
        path = request.url.raw_path.decode()
        if not path.endswith("/oauth2/token"):
            self.problems += self.documents.answer(request.method, path, response)
        return response


@pytest.fixture
def judged(open_channel: Any, contracts: Path) -> Any:
    """A channel whose every call is judged."""
    channel = open_channel("ebay")
    channel.judge = Judged(channel.tap.inner, Documents(contracts))
    channel.tap.inner = channel.judge
    return channel


async def test_every_call_and_every_answer_is_in_the_documents(judged: Any) -> None:
    connector = judged.connector
    start = judged.sandbox.books.clock.now()
    assert (await connector.probe()).can_write
    made = await connector.publish(OFFER, "k1")
    assert (made.status, made.quantity) == ("active", 5)
    await connector.set_price(made.external_id, usd("21.00"), "k2")
    await connector.set_quantities([QuantityChange("LAMP-1", 4, "k3"), QuantityChange("NOBODY", 4, "k3")])
    revised = OFFER.model_copy(update={"title": "Lamp", "description_html": "<p>New.</p>"})
    assert (await connector.revise("LAMP-1", revised, "k4")).title == "Lamp"
    for sku, choices in (("SH-SR", ("S", "Red")), ("SH-MB", ("M", "Blue"))):
        assert (await connector.publish(shirt(sku, *choices), "k5")).group_external_id == "SHIRT"
    assert len([state async for state in connector.listings()]) == 3
    order_id = judged.sell("LAMP-1", 2)
    shipped = await connector.confirm_shipment(order_id, "ups", "1Z 999", "k6")
    assert shipped.status == "shipped"
    assert [order.external_id async for order in connector.orders(start)] == [order_id]
    assert await connector.rivals(["LAMP-1", "SH-SR"])
    await connector.end("SH-SR", "k7")
    await connector.end("SH-MB", "k8")
    await connector.end("LAMP-1", "k9")
    assert (await connector.publish(OFFER, "k10")).status == "active"
    assert await connector.ensure_webhooks("https://we.example/hook", SecretStr("s3cret"))
    for listing_id, problem in (("1", ""), ("2", "Auction.")):
        judged.sandbox.server("/ebay").elsewhere.add(listing_id, f"HAND-{listing_id}", "Vase", 900, 1, problem)
    connector._migration._allowed = True
    assert set((await connector.take_in({"LAMP-1"})).left_out) == {"2"}
    assert "\n".join(judged.judge.problems) == ""
    assert judged.judge.documents.calls == {
        "createInventoryTask", "getInventoryTasks", "getResultFile",
        "bulkGetInventoryItem", "bulkMigrateListing", "bulkUpdatePriceQuantity", "createDestination", "createOffer",
        "createOrReplaceInventoryItem", "createOrReplaceInventoryItemGroup", "createShippingFulfillment",
        "createSubscription", "getCategorySuggestions", "getDefaultCategoryTreeId", "getDestinations",
        "getFulfillmentPolicies", "getInventoryItem", "getInventoryItemGroup", "getInventoryItems",
        "getInventoryLocations", "getItemAspectsForCategory", "getOffers", "getOrder", "getOrders",
        "getPaymentPolicies", "getPrivileges", "getRateLimits", "getReturnPolicies", "getShippingFulfillments",
        "getSubscriptions", "getTopics", "getUser", "publishOffer", "publishOfferByInventoryItemGroup", "search",
        "updateConfig", "updateOffer", "withdrawOffer", "withdrawOfferByInventoryItemGroup",
    }  # fmt: skip


async def test_a_payout_is_what_its_lines_add_up_to(judged: Any) -> None:
    """Sold on one day, paid out as it ends; a refund of the next day is taken off the next payout."""
    ebay, clock = judged.connector, judged.sandbox.books.clock
    start = clock.now()
    await ebay.publish(OFFER.model_copy(update={"quantity": 30}), "k1")
    assert [each async for each in ebay.payouts(start)] == []
    first = judged.sell("LAMP-1", 2)
    clock.move_to(milliseconds(start + timedelta(days=1)))
    second = judged.sell("LAMP-1", 1)
    back = RefundOrder(order_external_id=first, amount=usd("3.00"), reason="a scratch", reference="FS-1")
    await ebay.issue_refund(back, "k")
    clock.move_to(milliseconds(start + timedelta(days=2)))
    payouts = [each async for each in ebay.payouts(start)]
    assert [each.state for each in payouts] == ["paid", "initiated"]
    assert {each.bank for each in payouts} == {"BANK 6789"}
    told = [[line async for line in ebay.payout_lines(each.external_id)] for each in payouts]
    for payout, lines in zip(payouts, told, strict=True):
        assert payout.amount + payout.fee == Money.total((line.amount for line in lines), "USD")
    (sale,), (refund, later) = told
    order = await ebay.read_order(first)
    assert order is not None
    assert (sale.kind, sale.order_external_id, sale.amount + sale.fee, sale.fee) == (
        "sale", first, order.total, order.channel_fee
    )  # fmt: skip
    assert (later.kind, later.order_external_id) == ("sale", second)
    assert (refund.kind, refund.order_external_id, refund.amount) == ("refund", first, usd("-3.00"))
    since = payouts[0].sent_at + timedelta(seconds=1)
    assert [each.external_id async for each in ebay.payouts(since)] == [payouts[1].external_id]
    assert judged.judge.problems == []
    assert {"getPayouts", "getTransactions"} <= judged.judge.documents.calls


async def test_refusals_are_in_the_documents_too(judged: Any) -> None:
    connector = judged.connector
    for sku in ("NOBODY", "no such thing"):
        assert await connector.read_listing(sku) is None
    assert await connector.read_order("what") is None
    with pytest.raises(Rejected, match="picture"):
        await connector.publish(OFFER.model_copy(update={"images": ()}), "k1")
    with pytest.raises(Rejected, match=r"requires item specifics .*: Brand"):
        await connector.publish(OFFER.model_copy(update={"brand": None}), "k2")
    empty = OFFER.model_copy(update={"quantity": 0})
    assert (await connector.publish(empty, "k3")).status == "draft"
    assert [order async for order in connector.orders(utc_now())] == []
    assert judged.judge.problems == []


async def test_the_judge_can_say_no(contracts: Path) -> None:
    documents = Documents(contracts)
    base = "http://shop.test/ebay/sell/inventory/v1"
    wrong = httpx2.Request(
        "PUT", f"{base}/inventory_item/A", params={"x": "1"}, json={"condition": "SHINY", "colour": 1}
    )
    found = " ".join(documents.request(wrong))
    for part in ("no parameter x", "Content-Language is missing", "SHINY", "colour"):
        assert part in found
    assert documents.request(httpx2.Request("PATCH", f"{base}/offer/1"))
    answered = httpx2.Response(200, json={"offers": [], "limit": 1, "size": 1, "total": "1", "href": ""})
    assert documents.answer("GET", "/ebay/sell/inventory/v1/offer", answered)
    refused = httpx2.Response(400, json={"errors": [{"errorId": 31, "category": "REQUEST"}]})
    assert documents.answer("GET", "/ebay/sell/inventory/v1/offer", refused)


async def test_what_stands_beside_the_interface_is_in_the_documents_too(judged: Any) -> None:
    ebay = judged.connector
    start = judged.sandbox.books.clock.now()
    for number in range(6):
        more = {"sku": f"L-{number}", "brand": None if number == 5 else "Lumen", "category": "88433", "barcode": None}
        await ebay.publish(OFFER.model_copy(update=more), f"k{number}")
    watched = await ebay.negotiation.listings_with_interest()
    assert watched and await ebay.negotiation.offer(watched[0], usd("15.00"))
    assert watched[0] not in await ebay.negotiation.listings_with_interest()
    with pytest.raises(Rejected, match="no interested buyers"):
        await ebay.negotiation.offer(watched[0], usd("15.00"))
    assert await ebay.compliance.counts() == {"LISTING_POLICY": 1}
    (violation,) = await ebay.compliance.violations("LISTING_POLICY")
    assert (violation.sku, violation.specifics, violation.at_risk) == ("L-5", ("Brand",), True)
    order_id = judged.sell("L-1", 2)
    (sale,) = [each async for each in ebay.finances.movements(start, start + timedelta(days=1))]
    assert (sale.kind, sale.order_id, sale.amount + sale.fees) == ("SALE", order_id, usd("39.80"))
    back = RefundOrder(order_external_id=order_id, amount=usd("1.00"), reason="a scratch", reference="FS-1")
    given = await ebay.issue_refund(back, "k")
    told = await ebay.read_order(order_id)
    assert told is not None
    assert [each.external_id for each in told.refunds] == [given]
    (campaign,) = await ebay.marketing.campaigns()
    assert await ebay.marketing.ad_rate(campaign.id, "L-1") is None
    for rate in ("4.5", "6.0"):
        assert await ebay.marketing.set_ad_rate(campaign.id, "L-1", Decimal(rate)) == Decimal(rate)
    with pytest.raises(Rejected, match="Minimum"):
        await ebay.marketing.set_ad_rate(campaign.id, "L-2", Decimal("1.0"))
    for level, rated in (("", "good"), ("BELOW_STANDARD", "below"), ("TOP_RATED", "top")):
        judged.sandbox.books.set_meta("ebay.standards_level", level)
        told = await ebay.rating()
        assert told is not None and (told.level, bool(told.because)) == (rated, rated == "below")
    assert "\n".join(judged.judge.problems) == ""
