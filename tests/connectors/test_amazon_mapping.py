"""Amazon's shapes and ours, both ways, without a network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from flipsync.connectors.marketplaces.amazon import attributes, mapping, order_mapping, wire, wire_market, wire_orders
from flipsync.connectors.marketplaces.amazon.attributes import Place
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.money import Money, usd

HERE = Place("ATVPDKIKX0DER", "en_US")
MOMENT = "2026-03-02T14:00:00Z"


def item(**changes: Any) -> wire.Item:
    summary = {
        "marketplaceId": HERE.marketplace_id,
        "productType": "LAMP",
        "status": ["BUYABLE", "DISCOVERABLE"],
        "itemName": "Lamp",
        "createdDate": MOMENT,
        "lastUpdatedDate": MOMENT,
    }
    offer = {
        "marketplaceId": HERE.marketplace_id,
        "offerType": "B2C",
        "price": {"currencyCode": "USD", "amount": "30.0"},
    }
    fields: dict[str, Any] = {
        "sku": "A",
        "summaries": [summary | changes.pop("summary", {})],
        "offers": [offer],
        "fulfillmentAvailability": [{"fulfillmentChannelCode": "DEFAULT", "quantity": 4}],
    }
    return wire.Item.model_validate({**fields, **changes})


ERROR = {"code": "1", "message": "bad", "severity": "ERROR", "categories": []}
NONE_LEFT = [{"fulfillmentChannelCode": "DEFAULT", "quantity": 0}]


@pytest.mark.parametrize(
    ("changes", "status", "quantity"),
    [
        ({}, "active", 4),
        ({"summary": {"status": ["DISCOVERABLE"]}, "fulfillmentAvailability": NONE_LEFT}, "active", 0),
        ({"summary": {"status": []}, "fulfillmentAvailability": NONE_LEFT, "issues": [ERROR]}, "draft", 0),
        ({"summary": {"status": ["DISCOVERABLE"]}}, "draft", 4),
        ({"summary": {"status": ["DISCOVERABLE"]}, "offers": []}, "ended", 4),
        ({"summaries": []}, "draft", 4),
        ({"fulfillmentAvailability": [{"fulfillmentChannelCode": "AMAZON_NA"}]}, "active", None),
        ({"fulfillmentAvailability": []}, "active", 0),
        ({"fulfillmentAvailability": [{"fulfillmentChannelCode": "AMAZON_EU"}, *NONE_LEFT]}, "active", 0),
    ],
)
def test_what_a_listings_status_and_units_mean(changes: dict[str, Any], status: str, quantity: int | None) -> None:
    state = mapping.listing(item(**changes), HERE.marketplace_id)
    assert (state.status, state.quantity) == (status, quantity)


def test_before_an_offer_shows_the_submitted_price_is_told() -> None:
    rows = attributes.price_rows(usd("19.99"), HERE)
    state = mapping.listing(item(offers=[], attributes={"purchasable_offer": rows}), HERE.marketplace_id)
    assert state.price == usd("19.99")
    assert mapping.listing(item(offers=[], attributes={"purchasable_offer": [{}]}), HERE.marketplace_id).price is None


def test_business_prices_are_not_the_price() -> None:
    offer = {"marketplaceId": "ATVPDKIKX0DER", "offerType": "B2B", "price": {"currencyCode": "USD", "amount": "1"}}
    assert mapping.listing(item(offers=[offer]), HERE.marketplace_id).price is None


def test_family_head_and_children() -> None:
    def related(**more: Any) -> list[dict[str, Any]]:
        return [{"marketplaceId": HERE.marketplace_id, "relationships": [{"type": "VARIATION", **more}]}]

    child = item(relationships=related(parentSkus=["G-PARENT"]))
    assert mapping.listing(child, HERE.marketplace_id).group_external_id == "G-PARENT"
    assert not mapping.is_parent(child)
    assert mapping.is_parent(item(relationships=related(childSkus=["A"])))
    assert mapping.is_parent(item(attributes={"parentage_level": [{"value": "parent"}]}))


# Errors


@pytest.mark.parametrize(
    ("status", "message", "details", "expired"),
    [
        (403, "Access to requested resource is denied.", "The access token you provided has expired.", True),
        (403, "The access token you provided has expired.", "", True),
        (401, "Unauthorized", "The access token you provided has expired.", True),
        (403, "Access to requested resource is denied.", "", False),
        (403, "Access to requested resource is denied.", "The access token you provided is revoked.", True),
        (400, "The access token you provided has expired.", "", False),
    ],
)
def test_a_stale_token_is_told_from_a_missing_role(status: int, message: str, details: str, expired: bool) -> None:
    body = {"errors": [{"code": "Unauthorized", "message": message, "details": details}]}
    error = mapping.read_error(status, body)
    assert (error.code, error.expired) == ("Unauthorized", expired)
    assert bool(error.hint) == (status == 403 and not expired)


@pytest.mark.parametrize("body", [None, [], {}, {"errors": []}, {"errors": "no"}, "text", {"error": "x"}])
def test_a_refusal_in_another_shape_says_nothing(body: Any) -> None:
    error = mapping.read_error(403, body)
    assert (error.code, error.message, error.expired) == ("", "", False)


@pytest.mark.parametrize(
    ("text", "rate"), [("5.0", 5.0), ("0.0056", 0.0056), ("", None), ("fast", None), ("-1", None), ("nan", None)]
)
def test_the_rate_an_answer_tells(text: str, rate: float | None) -> None:
    assert mapping.read_limits(httpx2.Headers({"x-amzn-RateLimit-Limit": text})) == (rate, None, None)
    assert mapping.read_limits(httpx2.Headers()) == (None, None, None)


# Orders


def order(status: str = "UNSHIPPED", by: str = "MERCHANT", **changes: Any) -> wire_orders.Order:
    fields: dict[str, Any] = {
        "orderId": "111-0000000-0000001",
        "createdTime": MOMENT,
        "lastUpdatedTime": MOMENT,
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": "ATVPDKIKX0DER"},
        "fulfillment": {"fulfillmentStatus": status, "fulfilledBy": by},
        "orderItems": [{"orderItemId": "1", "quantityOrdered": 2, "product": {"sellerSku": "A"}}],
    }
    return wire_orders.Order.model_validate({**fields, **changes})


@pytest.mark.parametrize(
    ("status", "by", "ours", "holds"),
    [
        ("PENDING_AVAILABILITY", "MERCHANT", "pending", False),
        ("PENDING", "MERCHANT", "pending", True),
        ("UNSHIPPED", "MERCHANT", "paid", True),
        ("PARTIALLY_SHIPPED", "MERCHANT", "paid", True),
        ("SHIPPED", "MERCHANT", "shipped", True),
        ("CANCELLED", "MERCHANT", "cancelled", False),
        ("UNFULFILLABLE", "MERCHANT", "failed", False),
        ("UNSHIPPED", "AMAZON", "paid", True),
        ("SHIPPED", "AMAZON", "shipped", True),
    ],
)
def test_what_an_orders_status_means(status: str, by: str, ours: str, holds: bool) -> None:
    found = order_mapping.order(order(status, by), "USD")
    assert (found.status, found.holds_stock) == (ours, holds)
    assert found.fulfilled_by == ("channel" if by == "AMAZON" else "seller")


def test_a_pending_order_has_no_amounts_yet() -> None:
    found = order_mapping.order(order("PENDING"), "EUR")
    assert (found.currency, str(found.total), str(found.lines[0].total)) == ("EUR", "0.00 EUR", "0.00 EUR")
    assert found.lines[0].quantity == 2 and found.ship_to.name == ""


def test_tax_shipping_and_discounts_are_told_apart() -> None:
    def money(amount: str) -> dict[str, str]:
        return {"amount": amount, "currencyCode": "USD"}

    parts = [("ITEM", "40.00"), ("DISCOUNT", "-4.00"), ("SHIPPING", "5.00"), ("TAX", "3.28"), ("GIFT_WRAP", "2.00")]
    proceeds = {
        "proceedsTotal": money("46.28"),
        "breakdowns": [{"type": kind, "subtotal": money(amount)} for kind, amount in parts],
    }
    row = {"orderItemId": "1", "quantityOrdered": 2, "product": {"sellerSku": "A"}, "proceeds": proceeds}
    found = order_mapping.order(order(orderItems=[row], proceeds={"grandTotal": money("46.28")}), "USD")
    assert (found.lines[0].total, found.tax, found.shipping) == (usd("38.00"), usd("3.28"), usd("5.00"))
    assert found.total == found.lines[0].total + found.tax + found.shipping == usd("46.28")


def test_a_replacement_costs_nothing() -> None:
    zero = {"amount": "0.00", "currencyCode": "USD"}
    product = {"sellerSku": "A", "price": {"unitPrice": {"amount": "19.90", "currencyCode": "USD"}}}
    row = {"orderItemId": "1", "quantityOrdered": 1, "product": product}
    found = order_mapping.order(order(orderItems=[row], proceeds={"grandTotal": zero}), "USD")
    assert found.total == usd("0.00")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("111-0000000-0000001", True),
        ("S01-1234567-1234567", True),
        ("902-x", True),
        ("..", False),
        ("../x", False),
        ("", False),
    ],
)
def test_what_can_be_an_orders_id(text: str, good: bool) -> None:
    assert order_mapping.is_order_id(text) == good


def test_a_shipment_names_every_item_of_the_order() -> None:
    body = order_mapping.shipment_body(order(), "M", "FedEx", "T1", datetime(2026, 3, 3, tzinfo=UTC))
    assert body["packageDetail"] == {
        "packageReferenceId": "1",
        "carrierCode": "FedEx",
        "trackingNumber": "T1",
        "shipDate": "2026-03-03T00:00:00Z",
        "orderItems": [{"orderItemId": "1", "quantity": 2}],
    }


def test_a_rest_goes_in_a_package_of_its_own() -> None:
    def row(number: str, left: int) -> dict[str, Any]:
        done = {"quantityFulfilled": 2 - left, "quantityUnfulfilled": left}
        return {"orderItemId": number, "quantityOrdered": 2, "product": {"sellerSku": "A"}, "fulfillment": done}

    partly = order(
        "PARTIALLY_SHIPPED",
        orderItems=[row("1", 0), row("2", 1)],
        packages=[{"packageReferenceId": "1", "trackingNumber": "T0"}],
    )
    detail = order_mapping.shipment_body(partly, "M", "UPS", "T1", datetime(2026, 3, 3, tzinfo=UTC))["packageDetail"]
    assert detail["orderItems"] == [{"orderItemId": "2", "quantity": 1}]
    assert detail["packageReferenceId"] == "2"


# Rivals


def test_rivals_are_compared_with_their_shipping() -> None:
    def money(amount: float) -> dict[str, Any]:
        return {"CurrencyCode": "USD", "Amount": amount}

    offers = [
        {"SellerId": "R", "ListingPrice": money(17.99), "Shipping": money(4.01), "IsFulfilledByAmazon": False},
        {"MyOffer": True, "SellerId": "US", "ListingPrice": money(1), "IsFulfilledByAmazon": False},
    ]
    answer = wire_market.OffersAnswer.model_validate(
        {"body": {"payload": {"SKU": "A", "status": "Success", "Offers": offers}}, "status": {"statusCode": 200}}
    )
    (rival,) = mapping.rivals(answer, datetime(2026, 3, 2, tzinfo=UTC))
    assert (rival.sku, rival.seller, rival.price) == ("A", "R", usd("22.00"))


# Offers as attributes


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {"sku": "A", "title": "Lamp", "price": usd("19.90"), "quantity": 3}
    return Offer(**{**fields, **changes})


@pytest.mark.parametrize(
    ("barcode", "found"),
    [
        ("4006381333931", ("ean", "4006381333931")),
        ("0 36000 29145 2", ("upc", "036000291452")),
        ("00036000291452", ("gtin", "00036000291452")),
        ("96385074", ("ean", "96385074")),
        ("none", None),
        ("123", None),
        (None, None),
    ],
)
def test_barcodes_and_their_kinds(barcode: str | None, found: tuple[str, str] | None) -> None:
    assert attributes.barcode(offer(barcode=barcode)) == found


@pytest.mark.parametrize(
    ("told", "condition"),
    [("Very Good", "used_very_good"), ("NEW", "new_new"), ("odd", "used_good"), (None, "used_good")],
)
def test_the_goods_condition(told: str | None, condition: str) -> None:
    given = offer(attributes={} if told is None else {"Condition": told})
    assert attributes.condition(given, "used_good") == condition


def test_options_go_where_the_type_has_a_name_for_them() -> None:
    group = OfferGroup(key="G", title="Lamps", options=("Size", "Frame colour"), values={"Size": ("S",)})
    given = offer(group=group, choices=("S", "Red"), attributes={"Material": "Brass", "Odd thing": "x"})
    found = attributes.facts(given, HERE, frozenset({"size", "frame_color", "material"}))
    assert {name: found[name][0]["value"] for name in ("size", "frame_color", "material")} == {
        "size": "S",
        "frame_color": "Red",
        "material": "Brass",
    }
    assert "odd_thing" not in found


@pytest.mark.parametrize(
    ("options", "themes", "chosen"),
    [
        (("Size", "Colour"), ("COLOR", "SIZE", "COLOR/SIZE"), "COLOR/SIZE"),
        (("Color", "Size"), ("SIZE_COLOR",), "SIZE_COLOR"),
        (("Size",), ("SIZE_NAME",), "SIZE_NAME"),
        (("Size", "Color"), ("SIZE_NAME/COLOR_NAME",), "SIZE_NAME/COLOR_NAME"),
        (("Length",), ("COLOR",), None),
        (("Size", "Color"), ("COLOR/SIZE/STYLE",), None),
    ],
)
def test_variation_themes(options: tuple[str, ...], themes: tuple[str, ...], chosen: str | None) -> None:
    assert attributes.theme_for(options, themes) == chosen


def test_money_keeps_its_digits() -> None:
    def written(price: Money) -> Any:
        return attributes.price_rows(price, HERE)[0]["our_price"][0]["schedule"][0]["value_with_tax"]

    assert [written(usd(text)) for text in ("0.10", "1234567.89", "20.00")] == [0.1, 1234567.89, 20.0]
    assert written(Money(amount_minor=1980, currency="JPY")) == 1980
    assert wire.Price.model_validate({"currencyCode": "USD", "amount": 17.99}).money() == usd("17.99")


@pytest.mark.parametrize(
    ("told", "meant"),
    [(8.059999999999999, "8.06"), (0.1 + 0.2, "0.30"), (0.3 * 3, "0.90"), (12345678901234.56, "12345678901234.56")],
)
def test_digits_that_arithmetic_left_behind_are_none_of_an_amounts(told: float, meant: str) -> None:
    assert wire.Price.model_validate({"currencyCode": "USD", "amount": told}).money() == usd(meant)
    with pytest.raises(ValueError, match="more decimals"):
        wire.Price.model_validate({"currencyCode": "USD", "amount": 8.055}).money()


def test_warehouses_stay_named_without_units() -> None:
    assert attributes.quantity_rows(3, ("AMAZON_NA",)) == [
        {"fulfillment_channel_code": "DEFAULT", "quantity": 3},
        {"fulfillment_channel_code": "AMAZON_NA"},
    ]


def test_descriptions_lose_their_markup() -> None:
    text = "<h1>Brass</h1><script>evil()</script><ul><li>one</li><li>two &amp; three</li></ul>"
    assert attributes.plain_text(text) == "Brass one two & three"
