"""eBay's items, offers, groups and orders, to and from ours."""

from __future__ import annotations

from typing import Any

import pytest

from flipsync.connectors.marketplaces.ebay import errors, mapping, mapping_orders, wire, wire_orders
from flipsync.connectors.marketplaces.ebay.settings import Terms
from flipsync.connectors.marketplaces.ebay.sites import site
from flipsync.connectors.marketplaces.ebay.skus import spell, unspell
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money, usd

TERMS = Terms("pay", "ship", "back", "here", "USED_GOOD", "112581")


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": "LAMP-1",
        "title": "Lamp",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "images": ("https://img.example/1.jpg",),
    }
    return Offer(**{**fields, **changes})


# SKUs


@pytest.mark.parametrize("sku", ["LAMP-1", "a.b_c", "0", "x" * 50])
def test_a_sku_that_ebay_takes_stays_as_it_is(sku: str) -> None:
    assert spell(sku) == sku == unspell(sku)


@pytest.mark.parametrize("sku", ["A/B", "50% off?", "ü-1", "a b", "fs.x", "fs.A_2FB", "_", "日本"])
def test_any_other_sku_is_spelled_and_read_back(sku: str) -> None:
    spelled = spell(sku)
    assert unspell(spelled) == sku and len(spelled) <= 50
    assert all(char.isascii() and (char.isalnum() or char in "._-") for char in spelled)


def test_somebody_elses_sku_is_not_read_as_ours() -> None:
    for theirs in ("fs.ABC", "fs.A_2", "fs.A_41", "fs.", "fs._FF", "a b/c"):
        assert unspell(theirs) == theirs


def test_a_sku_too_long_for_ebay_is_refused() -> None:
    for sku in ("x" * 51, "ü" * 10):
        with pytest.raises(Rejected, match="too long"):
            spell(sku)


# What eBay is told


def test_a_long_title_is_cut_at_a_word_and_stands_whole_in_the_text() -> None:
    title = "Vintage brass table lamp with a green glass shade, rewired in 2024, tested and working – ships today"
    body = mapping.item_body(offer(title=title), TERMS)["product"]
    assert body["title"] == "Vintage brass table lamp with a green glass shade, rewired in 2024, tested and"
    assert len(body["title"]) <= 80
    assert body["description"] == f"<p>{title}</p><p>Brass.</p>"
    assert mapping.title_of("x" * 100) == "x" * 80
    assert mapping.title_of("x" * 80) == "x" * 80
    assert mapping.title_of("x" * 79 + " y") == "x" * 79


def test_a_cut_title_is_read_whole_and_its_head_goes_with_it() -> None:
    title, other = f"Lamp {'very ' * 20}old", f"Lamp {'very ' * 20}new"
    assert mapping.title_of(title) == mapping.title_of(other)
    item = wire.Item.model_validate(mapping.item_body(offer(title=title), TERMS))
    assert mapping.listing_state(item, "A", None).title == title
    for text, told in (("", "<p>Brass.</p>"), ("<p>Steel.</p>", "<p>Steel.</p>")):
        revised = mapping.revised_item(item, offer(title=other, description_html=text))
        assert revised["product"]["description"] == f"<p>{other}</p>{told}"
        assert mapping.listing_state(wire.Item.model_validate(revised), "A", None).title == other
    assert mapping.without_head("<p>Lamp</p><p>Brass.</p>", "Lamp") == "<p>Lamp</p><p>Brass.</p>", "the seller's own"
    assert mapping.without_head("<p>Lamp</p>", "Lamp") == ""
    bare = wire.Item.model_validate({"product": {"title": "Lamp"}})
    assert "description" not in mapping.revised_item(bare, offer(title="Lamp", description_html=""))["product"]


def test_a_text_is_never_empty_and_never_too_long_for_the_item() -> None:
    assert mapping.description_of("A & B", "") == "<p>A &amp; B</p>"
    long = mapping.item_body(offer(description_html="<b>word</b> " * 900), TERMS)["product"]["description"]
    assert len(long) <= 4000 and long.startswith("word word") and "<" not in long


@pytest.mark.parametrize(
    ("barcode", "field"),
    [
        ("4006381333931", "ean"),
        ("96385074", "ean"),
        ("012345678905", "upc"),
        ("9780306406157", "isbn"),
        ("030640615X", "isbn"),
        ("ABC", None),
        ("123", None),
    ],
)
def test_a_barcode_goes_into_the_field_of_its_kind(barcode: str, field: str | None) -> None:
    body = mapping.product_body(offer(barcode=barcode))
    assert {name: body[name] for name in ("ean", "upc", "isbn") if name in body} == (
        {field: [barcode]} if field else {}
    )


def test_condition_and_specifics_come_from_brand_and_attributes() -> None:
    plain = mapping.item_body(offer(brand="Lumen", attributes={"Color": "Brass", "Condition": "Like new"}), TERMS)
    assert plain["condition"] == "LIKE_NEW"
    assert plain["product"]["aspects"] == {"Color": ["Brass"], "Brand": ["Lumen"]}
    for said, meant in (("used", "USED_EXCELLENT"), ("shiny", "USED_GOOD"), ("For parts or not working", None)):
        told = mapping.condition_of(offer(attributes={"condition": said}), "USED_GOOD")
        assert told == (meant or "FOR_PARTS_OR_NOT_WORKING")
    own = mapping.aspects_of(offer(brand="Lumen", attributes={"brand": "LUMEN"}))
    assert own == {"brand": ["LUMEN"]}


GROUP = OfferGroup(
    key="SHIRT",
    title="Shirt",
    options=("Size", "Color"),
    values={"Size": ("S", "M", "L"), "Color": ("Red", "Blue")},
    images=("https://img.example/g.jpg",),
)


def test_a_group_names_only_the_choices_it_has_in_the_products_order() -> None:
    first = mapping.group_body(offer(group=GROUP, choices=("L", "Red"), brand="Weft"), GROUP, "A", None)
    assert first["variantSKUs"] == ["A"]
    assert first["variesBy"]["specifications"] == [
        {"name": "Size", "values": ["L"]},
        {"name": "Color", "values": ["Red"]},
    ]
    before = wire.Group.model_validate(first)
    second = mapping.group_body(
        offer(group=GROUP, choices=("S", "Red"), brand="Other", description_html="<p>Else.</p>"), GROUP, "B", before
    )
    assert second["variantSKUs"] == ["A", "B"]
    assert second["variesBy"]["specifications"][0] == {"name": "Size", "values": ["S", "L"]}
    assert second["aspects"] == {}, "what differs between variations is not the group's"
    assert second["description"] == first["description"], "variations do not take turns"
    again = mapping.group_body(offer(group=GROUP, choices=("S", "Red")), GROUP, "B", wire.Group.model_validate(second))
    assert again == second


def test_what_is_replaced_keeps_what_we_do_not_know() -> None:
    item = wire.Item.model_validate(
        {
            "sku": "A",
            "locale": "en_US",
            "condition": "NEW",
            "conditionDescription": "boxed",
            "availability": {"shipToLocationAvailability": {"quantity": 4, "allocationByFormat": {"auction": 1}}},
            "product": {"title": "Old", "description": "Text", "aspects": {"Era": ["1960s"]}, "mpn": "X1"},
        }
    )
    body = mapping.revised_item(item, offer(title="New", description_html="", brand="Lumen"))
    assert body["availability"] == {"shipToLocationAvailability": {"quantity": 4}}
    assert (body["conditionDescription"], body["product"]["mpn"]) == ("boxed", "X1")
    assert (body["product"]["title"], body["product"]["description"]) == ("New", "Text")
    assert body["product"]["aspects"] == {"Era": ["1960s"], "Brand": ["Lumen"]}
    assert not {"sku", "locale"} & set(body)
    same = mapping.revised_item(item, Offer(sku="A", title="Old", price=usd("1.00"), quantity=0))
    assert same == mapping.writable(item)
    before = wire.Offer.model_validate(
        {"offerId": "1", "sku": "A", "status": "PUBLISHED", "listingPolicies": {"paymentPolicyId": "p"}, "lotSize": 2}
    )
    assert mapping.revised_offer(before, {"listingDescription": "T"}) == {
        "listingPolicies": {"paymentPolicyId": "p"},
        "lotSize": 2,
        "listingDescription": "T",
    }


# What eBay says


@pytest.mark.parametrize(
    ("told", "quantity", "status"),
    [
        ({"status": "PUBLISHED", "listing": {"listingStatus": "ACTIVE"}}, 4, "active"),
        ({"status": "PUBLISHED", "listing": {"listingStatus": "OUT_OF_STOCK"}}, 0, "active"),
        ({"status": "PUBLISHED"}, 4, "active"),
        ({"status": "PUBLISHED", "listing": {"listingStatus": "EBAY_ENDED"}}, 4, "ended"),
        ({"status": "PUBLISHED", "listing": {"listingStatus": "INACTIVE"}}, 4, "draft"),
        ({"status": "UNPUBLISHED"}, 4, "ended"),
        ({"status": "UNPUBLISHED"}, 0, "draft"),
        (None, 4, "ended"),
    ],
)
def test_the_state_of_a_listing(told: Any, quantity: int, status: str) -> None:
    item = wire.Item.model_validate({"availability": {"shipToLocationAvailability": {"quantity": quantity}}})
    found = None if told is None else wire.Offer.model_validate({"offerId": "1", **told})
    assert mapping.listing_state(item, "A", found).status == status


def test_a_listing_shows_the_smaller_quantity() -> None:
    item = wire.Item.model_validate(
        {"availability": {"shipToLocationAvailability": {"quantity": 9}}, "groupIds": ["G"]}
    )
    found = wire.Offer.model_validate(
        {"offerId": "1", "availableQuantity": 4, "pricingSummary": {"price": {"value": "5.0", "currency": "USD"}}}
    )
    state = mapping.listing_state(item, "fs.A_2FB", found)
    assert (state.quantity, state.sku, state.price, state.group_external_id) == (4, "A/B", usd("5.00"), "G")


def test_of_several_offers_ours_is_chosen() -> None:
    def made(id: str, **more: Any) -> wire.Offer:
        return wire.Offer.model_validate({"offerId": id, "marketplaceId": "EBAY_US", "format": "FIXED_PRICE", **more})

    offers = [made("1", format="AUCTION"), made("2", marketplaceId="EBAY_GB"), made("3"), made("4", status="PUBLISHED")]
    chosen = mapping.choose(offers, "EBAY_US")
    assert chosen is not None and chosen.offer_id == "4"
    assert mapping.choose(offers[:2], "EBAY_US") is None


# Orders


def amount(value: str, currency: str = "USD", **more: str) -> dict[str, str]:
    return {"value": value, "currency": currency, **more}


def order(**changes: Any) -> wire_orders.Order:
    fields: dict[str, Any] = {
        "orderId": "27-1",
        "creationDate": "2026-03-02T14:00:00.000Z",
        "lastModifiedDate": "2026-03-02T15:00:00.000Z",
        "orderPaymentStatus": "PAID",
        "orderFulfillmentStatus": "NOT_STARTED",
        "cancelStatus": {"cancelState": "NONE_REQUESTED"},
        "lineItems": [
            {
                "lineItemId": "1",
                "sku": "fs.A_2FB",
                "title": "Lamp",
                "quantity": 2,
                "lineItemCost": amount("40.00"),
                "discountedLineItemCost": amount("36.00"),
                "taxes": [],
                "ebayCollectAndRemitTaxes": [{"amount": amount("3.00"), "taxType": "STATE_SALES_TAX"}],
            }
        ],
        "pricingSummary": {
            "priceSubtotal": amount("40.00"),
            "priceDiscount": amount("-4.00"),
            "deliveryCost": amount("6.00"),
            "deliveryDiscount": amount("-1.00"),
            "total": amount("44.00"),
        },
        "paymentSummary": {"refunds": [], "payments": []},
        "totalMarketplaceFee": amount("5.30"),
    }
    return wire_orders.Order.model_validate({**fields, **changes})


def test_an_order_with_discounts_and_taxes_that_ebay_collects() -> None:
    found = mapping_orders.order(order(), "USD")
    (line,) = found.lines
    assert (line.sku, line.listing_external_id, line.total, line.tax) == ("A/B", "fs.A_2FB", usd("36.00"), usd("3.00"))
    assert (found.shipping, found.tax, found.total) == (usd("5.00"), usd("3.00"), usd("44.00"))
    assert found.total == line.total + found.shipping + found.tax
    assert found.channel_fee == usd("5.30")
    assert (found.status, found.holds_stock) == ("paid", True)


def test_taxes_are_not_counted_twice_nor_when_they_are_not_in_the_total() -> None:
    summary = {"deliveryCost": amount("5.00"), "tax": amount("3.00"), "total": amount("44.00")}
    assert mapping_orders.order(order(pricingSummary=summary), "USD").tax == usd("3.00")
    without = {"deliveryCost": amount("5.00"), "total": amount("41.00")}
    assert mapping_orders.order(order(pricingSummary=without), "USD").tax == usd("0.00")


def test_converted_amounts_are_taken_in_the_accounts_currency() -> None:
    def both(pounds: str, dollars: str) -> dict[str, str]:
        return amount(dollars, convertedFromValue=pounds, convertedFromCurrency="GBP")

    line = {
        "lineItemId": "1",
        "sku": "A",
        "title": "Lamp",
        "quantity": 1,
        "lineItemCost": both("10.00", "12.70"),
    }
    found = order(lineItems=[line], pricingSummary={"total": both("10.00", "12.70")}, totalMarketplaceFee=None)
    assert mapping_orders.order(found, "GBP").total == Money.parse("10.00", "GBP")
    assert mapping_orders.order(found, "USD").total == usd("12.70")
    assert mapping_orders.order(found, "EUR").total == Money.parse("10.00", "GBP"), "as it was before any conversion"


@pytest.mark.parametrize(
    ("payment", "fulfilment", "cancel", "status", "holds"),
    [
        ("PAID", "NOT_STARTED", "NONE_REQUESTED", "paid", True),
        ("PAID", "IN_PROGRESS", "IN_PROGRESS", "paid", True),
        ("PARTIALLY_REFUNDED", "FULFILLED", "NONE_REQUESTED", "shipped", True),
        ("PENDING", "NOT_STARTED", "NONE_REQUESTED", "pending", True),
        ("FAILED", "NOT_STARTED", "NONE_REQUESTED", "failed", False),
        ("FULLY_REFUNDED", "FULFILLED", "NONE_REQUESTED", "refunded", True),
        ("FULLY_REFUNDED", "NOT_STARTED", "CANCELED", "cancelled", False),
    ],
)
def test_the_status_of_an_order(payment: str, fulfilment: str, cancel: str, status: str, holds: bool) -> None:
    found = mapping_orders.order(
        order(orderPaymentStatus=payment, orderFulfillmentStatus=fulfilment, cancelStatus={"cancelState": cancel}),
        "USD",
    )
    assert (found.status, found.holds_stock) == (status, holds)


def test_refunds_that_went_through_are_shown_without_units() -> None:
    rows = [
        {"refundId": "r1", "refundStatus": "REFUNDED", "refundDate": "2026-03-03T00:00:00Z", "amount": amount("4.00")},
        {"refundId": "r2", "refundStatus": "FAILED", "amount": amount("9.00")},
        {"refundStatus": "PENDING", "amount": amount("1.00")},
    ]
    found = mapping_orders.order(order(paymentSummary={"refunds": rows}), "USD")
    assert [(each.external_id, each.amount, each.restocked) for each in found.refunds] == [
        ("r1", usd("4.00"), {}),
        ("27-1:2", usd("1.00"), {}),
    ]


def test_carriers_and_numbers_as_ebay_spells_them() -> None:
    for carrier, code in (("ups", "UPS"), ("Royal Mail", "RoyalMail"), ("La Poste", "LaPoste"), ("–", "Other")):
        assert mapping_orders.carrier_code(carrier) == code
    assert mapping_orders.tracking("1Z 999-AA") == "1Z999AA"
    with pytest.raises(Rejected):
        mapping_orders.tracking("–")


# Errors


def error(id: int, category: str = "REQUEST", **more: Any) -> dict[str, Any]:
    return {"errorId": id, "category": category, "message": "It failed.", **more}


@pytest.mark.parametrize(
    ("status", "rows", "meaning"),
    [
        (500, [error(25001, "APPLICATION")], "broken"),
        (500, [error(25002)], "refused"),
        (500, [error(25025, "APPLICATION")], "later"),
        (400, [error(25002)], "refused"),
        (400, [error(25001, "APPLICATION")], "broken"),
        (400, [error(25002), error(25001, "SYSTEM")], "broken"),
        (500, [error(25002, "BUSINESS")], "refused"),
        (404, [error(25710)], "as the status"),
        (500, [], "as the status"),
    ],
)
def test_whose_fault_it_was_is_told_by_the_category(status: int, rows: Any, meaning: str) -> None:
    assert errors.read_error(status, {"errors": rows}).meaning == meaning


def test_rows_of_a_bulk_write_fail_in_the_same_three_ways() -> None:
    def row(status: int, *rows: Any) -> Any:
        return errors.of_item(status, wire.Errors.model_validate({"errors": rows}).errors)

    assert row(200) is None
    assert isinstance(row(400, error(25002)), Rejected)
    assert row(404, error(25702)).missing
    assert isinstance(row(500, error(25001, "APPLICATION")), OutcomeUnknown)
    assert isinstance(row(500, error(25025, "APPLICATION")), Retryable)
    assert isinstance(row(500, error(25002)), Rejected)
    assert isinstance(row(429, error(2001)), Retryable)
    assert isinstance(row(502), OutcomeUnknown)


def test_expired_tokens_and_missing_permissions_are_told_apart() -> None:
    for id in (1001, 1002):
        assert errors.read_error(401, {"errors": [error(id)]}).expired
    denied = errors.read_error(403, {"errors": [error(1100)]})
    assert denied.auth and not denied.expired and "scope" in denied.hint
    again = errors.token_error(400, {"error": "invalid_grant", "error_description": "the token is invalid"})
    assert again.auth and "connect the eBay account again" in again.hint
    assert errors.read_error(400, {"errors": [{"errorId": "what"}]}).meaning == "as the status"
    named = errors.read_error(400, {"errors": [error(25709, parameters=[{"name": "fieldName", "value": "sku"}])]})
    assert named.message == "It failed. (fieldName=sku)"


def test_marketplaces_that_do_not_exist_are_refused_at_once() -> None:
    assert (site("EBAY_DE").currency, site("EBAY_DE").language) == ("EUR", "de-DE")
    with pytest.raises(InvalidInput, match="EBAY_MOON") as refused:
        site("EBAY_MOON")
    assert "EBAY_US" in refused.value.hint
