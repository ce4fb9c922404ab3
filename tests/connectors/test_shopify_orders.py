"""Orders of Shopify as ours: states, money, stock, refunds; orders too long for one answer; shipments."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from flipsync.connectors.marketplaces.shopify import order_mapping
from flipsync.connectors.marketplaces.shopify.order_wire import Order, Payments
from flipsync.connectors.marketplaces.shopify.wire import PageInfo
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import usd
from flipsync.sandbox.records import Line, Refund

START = datetime(2026, 3, 2, 14, tzinfo=UTC)


def bag(amount: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": amount}}


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"gid://shopify/LineItem/{number}",
        "sku": f"SKU-{number}",
        "title": "Shirt",
        "variantTitle": "S / Blue",
        "quantity": 2,
        "originalTotalSet": bag("40.00"),
        "discountAllocations": [],
        "taxLines": [],
        "variant": {"id": f"gid://shopify/ProductVariant/{number}0"},
    }
    return row | changes


def order(**changes: Any) -> Order:
    lines = changes.pop("lines", [line()])
    row: dict[str, Any] = {
        "id": "gid://shopify/Order/9",
        "name": "#1009",
        "createdAt": "2026-03-02T09:00:00-05:00",
        "updatedAt": "2026-03-02T15:00:00Z",
        "cancelledAt": None,
        "test": False,
        "confirmed": True,
        "restockable": True,
        "fullyPaid": True,
        "taxesIncluded": False,
        "currencyCode": "USD",
        "note": None,
        "email": "ann@example.com",
        "phone": "+1 555 0100",
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED",
        "totalPriceSet": bag("44.99"),
        "totalTaxSet": bag("0.00"),
        "totalShippingPriceSet": bag("4.99"),
        "shippingAddress": None,
        "lineItems": {"nodes": lines, "pageInfo": {"hasNextPage": False}},
        "refunds": [],
    }
    return Order.model_validate(row | changes)


def refund(number: int, amount: str, *items: tuple[int, int, str]) -> dict[str, Any]:
    nodes = [
        {"quantity": units, "restockType": kind, "lineItem": {"id": f"gid://shopify/LineItem/{line_number}"}}
        for line_number, units, kind in items
    ]
    return {
        "id": f"gid://shopify/Refund/{number}",
        "createdAt": f"2026-03-03T10:00:{number:02}Z",
        "totalRefundedSet": bag(amount),
        "refundLineItems": {"nodes": nodes, "pageInfo": {"hasNextPage": False}},
    }


@pytest.mark.parametrize(
    ("money", "goods", "more", "status"),
    [
        ("PAID", "UNFULFILLED", {}, "paid"),
        ("PAID", "PARTIALLY_FULFILLED", {}, "paid"),
        ("PAID", "ON_HOLD", {}, "paid"),
        ("PAID", "FULFILLED", {}, "shipped"),
        ("PENDING", "FULFILLED", {}, "shipped"),
        ("PAID", "FULFILLMENT_NOT_REQUIRED", {}, "shipped"),
        ("PARTIALLY_REFUNDED", "UNFULFILLED", {}, "paid"),
        ("REFUNDED", "FULFILLED", {}, "refunded"),
        ("PENDING", "UNFULFILLED", {}, "pending"),
        ("AUTHORIZED", "UNFULFILLED", {}, "pending"),
        ("PARTIALLY_PAID", "UNFULFILLED", {}, "pending"),
        ("EXPIRED", "UNFULFILLED", {}, "failed"),
        ("VOIDED", "UNFULFILLED", {}, "failed"),
        (None, "UNFULFILLED", {"fullyPaid": True}, "paid"),
        (None, "UNFULFILLED", {"fullyPaid": False}, "pending"),
        ("REFUNDED", "UNFULFILLED", {"cancelledAt": "2026-03-02T15:00:00Z"}, "cancelled"),
        ("PAID", "UNFULFILLED", {"test": True}, "pending"),
        ("PAID", "FULFILLED", {"test": True}, "pending"),
    ],
)
def test_the_states_of_money_and_goods_make_one(
    money: str | None, goods: str, more: dict[str, Any], status: str
) -> None:
    row = order(displayFinancialStatus=money, displayFulfillmentStatus=goods, **more)
    assert order_mapping.order(row).status == status


def test_test_orders_and_cancellations_are_flagged() -> None:
    told = order_mapping.order(order(test=True, cancelledAt="2026-03-02T15:00:00Z"))
    assert told.vendor_status == "PAID/UNFULFILLED/CANCELLED/TEST"
    assert order_mapping.order(order(displayFinancialStatus=None)).vendor_status == "UNKNOWN/UNFULFILLED"


def test_discounts_of_every_kind_come_off_the_line_and_tax_is_apart() -> None:
    discounts = [{"allocatedAmountSet": bag("3.00")}, {"allocatedAmountSet": bag("2.50")}]
    taxes = [{"priceSet": bag("2.07")}, {"priceSet": bag("0.69")}]
    row = order(lines=[line(discountAllocations=discounts, taxLines=taxes)], totalTaxSet=bag("3.16"))
    told = order_mapping.order(row)
    assert (told.lines[0].total, told.lines[0].tax) == (usd("34.50"), usd("2.76"))
    assert (told.shipping, told.tax, told.total) == (usd("4.99"), usd("3.16"), usd("44.99"))
    assert told.lines[0].title == "Shirt - S / Blue"
    assert told.lines[0].listing_external_id == "gid://shopify/ProductVariant/10"


def test_tax_that_is_in_the_prices_is_taken_out_of_them() -> None:
    row = order(
        lines=[line(originalTotalSet=bag("119.00"), taxLines=[{"priceSet": bag("19.00")}])],
        taxesIncluded=True,
        totalTaxSet=bag("19.80"),
        totalShippingPriceSet=bag("5.00"),
        totalPriceSet=bag("124.00"),
    )
    told = order_mapping.order(row)
    assert (told.lines[0].total, told.shipping, told.tax) == (usd("100.00"), usd("4.20"), usd("19.80"))
    assert told.lines[0].total + told.shipping + told.tax == told.total


def test_refunds_say_what_went_back_on_the_shelf() -> None:
    rows = [
        refund(2, "20.00", (1, 1, "NO_RESTOCK")),
        refund(1, "20.00", (1, 1, "CANCEL"), (2, 1, "RETURN"), (2, 1, "RETURN")),
    ]
    told = order_mapping.order(order(refunds=rows, lines=[line(1), line(2)]))
    assert [each.external_id.rpartition("/")[2] for each in told.refunds] == ["1", "2"], "oldest first"
    assert [each.restocked for each in told.refunds] == [
        {"gid://shopify/LineItem/1": 1, "gid://shopify/LineItem/2": 2},
        {},
    ]
    assert told.refunds[0].amount == usd("20.00")


def test_stock_is_held_from_confirmation_until_every_unit_is_back() -> None:
    cancelled = {"cancelledAt": "2026-03-02T15:00:00Z"}
    assert order_mapping.holds_stock(order(displayFinancialStatus="PENDING")), "paid or not"
    assert not order_mapping.holds_stock(order(confirmed=False))
    assert order_mapping.holds_stock(order(refunds=[refund(1, "40", (1, 2, "RETURN"))])), "told by the refund itself"
    assert not order_mapping.holds_stock(order(refunds=[refund(1, "44.99", (1, 2, "CANCEL"))], **cancelled))
    assert order_mapping.holds_stock(order(refunds=[refund(1, "44.99", (1, 2, "NO_RESTOCK"))], **cancelled))
    assert order_mapping.holds_stock(order(refunds=[refund(1, "44.99", (1, 1, "CANCEL"))], **cancelled))
    assert not order_mapping.holds_stock(order(restockable=False, **cancelled))
    assert order_mapping.holds_stock(order(restockable=True, **cancelled))


def test_times_are_utc_and_the_address_is_the_orders() -> None:
    told = order_mapping.order(order())
    assert told.placed_at == START and told.placed_at.tzinfo == UTC
    assert (told.ship_to.email, told.ship_to.phone, told.ship_to.line1) == ("ann@example.com", "+1 555 0100", "")


# Against the sandbox


@pytest.fixture
async def channel(open_channel: Any) -> Any:
    channel = open_channel("shopify")
    await channel.connector.publish(Offer(sku="LAMP", title="Lamp", price=usd("19.90"), quantity=500), "k1")
    return channel


def names(channel: Any) -> list[str]:
    sent = [json.loads(r.content) for r in channel.tap.requests if r.url.path.endswith("graphql.json")]
    return [body["operationName"] for body in sent]


def change(channel: Any, order_id: str, **changes: Any) -> Any:
    """Edit an order in the books."""
    books = channel.sandbox.books
    found = books.order(int(order_id.rpartition("/")[2]))
    for name, value in changes.items():
        setattr(found, name, value) if hasattr(found, name) else found.doc.update({name: value})
    with books.transaction():
        books.save_order(found)
    return found


async def test_an_order_with_many_lines_and_refunds_is_read_to_its_end(channel: Any) -> None:
    order_id = channel.sell("LAMP", 3)
    found = channel.sandbox.books.order(int(order_id.rpartition("/")[2]))
    lines = [*found.lines, *(Line(10_000 + n, None, f"X{n}", f"Extra {n}", 1, 100) for n in range(90))]
    refunds = [Refund(20_000 + n, 100, "", found.placed_ms, {10_000 + n: (1, 100)}, {10_000 + n: 1}) for n in range(12)]
    refunds.append(Refund(30_000, 3000, "", found.placed_ms, {10_000 + n: (1, 100) for n in range(30, 60)}, {}))
    change(channel, order_id, lines=lines, refunds=refunds)
    told = await channel.connector.read_order(order_id)
    assert len(told.lines) == 91 and len({each.external_id for each in told.lines}) == 91
    assert len(told.refunds) == 13
    assert told.refunds[0].restocked == {"gid://shopify/LineItem/10000": 1}
    assert names(channel).count("ReadOrder") == 5 and names(channel).count("ReadRefund") == 13
    (listed,) = [each async for each in channel.connector.orders(START)]
    assert listed == told


async def test_the_feed_reads_short_orders_in_pages_and_long_ones_alone(channel: Any) -> None:
    ids = [channel.sell("LAMP") for _ in range(23)]
    found = channel.sandbox.books.order(int(ids[4].rpartition("/")[2]))
    change(channel, ids[4], lines=[*found.lines, *(Line(10_000 + n, None, "", "Extra", 1, 1) for n in range(6))])
    told = [each async for each in channel.connector.orders(START)]
    assert sorted(each.external_id for each in told) == sorted(ids)
    assert names(channel).count("Orders") == 3 and names(channel).count("ReadOrder") == 1
    assert next(len(each.lines) for each in told if each.external_id == ids[4]) == 7


async def test_orders_of_the_same_second_are_not_lost(channel: Any) -> None:
    order_id = channel.sell("LAMP")
    later = START + timedelta(milliseconds=700)
    assert [each.external_id async for each in channel.connector.orders(later)] == [order_id]


async def test_a_cancellation_and_a_refund_give_stock_back_as_the_books_say(channel: Any) -> None:
    cancelled, refunded = channel.sell("LAMP", 2), channel.sell("LAMP", 2)
    market, books = channel.sandbox.market, channel.sandbox.books
    with books.transaction():
        market._order_event("cancellation", int(cancelled.rpartition("/")[2]), {})
        market._order_event("refund", int(refunded.rpartition("/")[2]), {"units": 1, "restock": True})
    one, two = [await channel.connector.read_order(each) for each in (cancelled, refunded)]
    assert (one.status, one.holds_stock, one.refunds[0].amount) == ("cancelled", False, one.total)
    assert list(one.refunds[0].restocked.values()) == [2]
    assert (two.status, two.holds_stock, two.refunds[0].amount) == ("paid", True, usd("19.90"))
    assert list(two.refunds[0].restocked.values()) == [1]
    assert (await channel.connector.find_listing("LAMP")).quantity == 500 - 4 + 2 + 1


async def test_a_shipment_names_carrier_and_number_and_tells_the_buyer(channel: Any) -> None:
    order_id = channel.sell("LAMP")
    told = await channel.connector.confirm_shipment(order_id, "UPS", "1Z999", "k")
    assert told.status == "shipped"
    (body,) = [json.loads(r.content) for r in channel.tap.requests if b"mutation Fulfill" in r.content]
    fulfillment = body["variables"]["fulfillment"]
    assert fulfillment["trackingInfo"] == {"company": "UPS", "number": "1Z999"} and fulfillment["notifyCustomer"]
    number = order_id.rpartition("/")[2]
    assert fulfillment["lineItemsByFulfillmentOrder"] == [
        {"fulfillmentOrderId": f"gid://shopify/FulfillmentOrder/{number}"}
    ]


async def test_what_cannot_be_shipped_is_refused_with_the_reason(channel: Any) -> None:
    held, cancelled = channel.sell("LAMP"), channel.sell("LAMP")
    change(channel, held, on_hold=True)
    change(channel, cancelled, status="cancelled", holds_stock=False)
    for order_id, reason in ((held, "ON_HOLD"), (cancelled, "cancelled")):
        with pytest.raises(Rejected, match=reason) as refused:
            await channel.connector.confirm_shipment(order_id, "UPS", "1Z", "k")
        assert refused.value.vendor_code == "status"


async def test_a_shipment_whose_order_cannot_be_read_afterwards_is_unknown(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flipsync.connectors.marketplaces.shopify import orders

    order_id = channel.sell("LAMP")

    async def broken(api: Any, order: str) -> None:
        return None

    monkeypatch.setattr(orders, "read_order", broken)
    with pytest.raises(OutcomeUnknown, match="the shipment was done"):
        await channel.connector.confirm_shipment(order_id, "UPS", "1Z", "k")


async def test_an_address_the_app_may_not_see_does_not_hide_the_order(channel: Any) -> None:
    """Protected customer data is answered with null and an ACCESS_DENIED error beside the rest of the order."""
    from flipsync.connectors.marketplaces.shopify import errors, wire

    denied = {
        "data": {"order": {"id": "x"}},
        "errors": [{"message": "no", "path": ["order", "shippingAddress"], "extensions": {"code": "ACCESS_DENIED"}}],
    }
    envelope = wire.Envelope.model_validate(denied)
    assert errors.failure(envelope, "order", writes=False, partial=True) is None
    assert isinstance(errors.failure(envelope, "order", writes=False, partial=False), Rejected)


def test_money_goes_back_to_the_payments_it_came_from() -> None:
    def moved(number: int, kind: str, amount: str, of: int | None = None, status: str = "SUCCESS") -> dict[str, Any]:
        parent = None if of is None else {"id": f"gid://shopify/OrderTransaction/{of}"}
        name = f"gid://shopify/OrderTransaction/{number}"
        both = {**bag(amount), "presentmentMoney": {"amount": str(Decimal(amount) * rate)}}
        row = {"id": name, "kind": kind, "status": status, "gateway": f"g{of or number}", "amountSet": both}
        return {**row, "parentTransaction": parent}

    def payments(currency: str) -> Payments:
        return Payments.model_validate(
            {
                "id": "gid://shopify/Order/1",
                "currencyCode": "USD",
                "presentmentCurrencyCode": currency,
                "transactions": [
                    moved(1, "SALE", "30.00"),
                    moved(2, "SALE", "99.00", status="FAILURE"),
                    moved(5, "SALE", "99.00", status="PENDING"),
                    moved(3, "CAPTURE", "12.50"),
                    moved(4, "REFUND", "25.00", of=1),
                ],
            }
        )

    rate = Decimal(1)
    paid = payments("USD")
    given = order_mapping.give_back(paid, usd("10.00"))
    assert "currency" not in given
    parts = given["transactions"]
    assert [(part["parentId"][-1], part["amount"], part["gateway"]) for part in parts] == [
        ("1", "5.00", "g1"),
        ("3", "5.00", "g3"),
    ]
    assert len(order_mapping.give_back(paid, usd("17.50"))["transactions"]) == 2
    with pytest.raises(Rejected, match="do not have that much left"):
        order_mapping.give_back(paid, usd("17.51"))
    # a buyer who paid in yen gets yen back, the last of a payment to the yen
    rate = Decimal("149.5")
    given = order_mapping.give_back(payments("JPY"), usd("10.00"))
    assert given["currency"] == "JPY" and [part["amount"] for part in given["transactions"]] == ["748", "748"]
    many = payments("USD").model_copy(update={"transactions": payments("USD").transactions * 20})
    with pytest.raises(Rejected, match="too many payments"):
        order_mapping.give_back(many, usd("1.00"))


def test_what_nobody_knows_yet_is_neither_paid_nor_put_back() -> None:
    assert order_mapping.order(order(displayFinancialStatus="ON_REVIEW", fullyPaid=False)).status == "pending"
    assert order_mapping.order(order(displayFinancialStatus="ON_REVIEW", fullyPaid=True)).status == "paid"
    told = order_mapping.order(order(refunds=[refund(1, "5.00", (1, 1, "SENT_ELSEWHERE"), (1, 1, "CANCEL"))]))
    assert told.refunds[0].restocked == {"gid://shopify/LineItem/1": 1}


async def test_every_part_of_an_order_is_shipped_however_many(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = channel.sell("LAMP")
    read = channel.connector._api.read

    async def parted(document: Any, decode: Any, variables: Any) -> Any:
        if document.name != "FulfillmentOrders":
            return await read(document, decode, variables)
        row = await read(document, decode, {**variables, "after": None})
        if variables["after"] == "second":
            return row
        # nothing that can be shipped is on the first page
        held = [part.model_copy(update={"status": "ON_HOLD"}) for part in row.fulfillment_orders.nodes]
        page = {"nodes": held, "page_info": PageInfo(has_next_page=True, end_cursor="second")}
        return row.model_copy(update={"fulfillment_orders": row.fulfillment_orders.model_copy(update=page)})

    monkeypatch.setattr(channel.connector._api, "read", parted)
    assert (await channel.connector.confirm_shipment(order_id, "UPS", "1Z", "k")).status == "shipped"
