"""One row that cannot be read hinders no other, and none is lost in silence: over every list of Amazon's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from amazon_answers import ORDER, Answers, listing, order, page

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.amazon import fees, labels
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.domain.channel import Address, Offer
from flipsync.domain.errors import OutcomeUnknown, Retryable, Unreadable
from flipsync.domain.money import usd
from flipsync.domain.sourcing import CatalogueQuestion

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
#: a thousandth of a dollar
ODD = "19.999"


async def told(rows: AsyncIterator[Any], match: str) -> list[Any]:
    """What a walk yields before it tells of what it could not read."""
    found = []
    with pytest.raises(Unreadable, match=match):
        async for row in rows:
            found.append(row)
    return found


# Listings


@pytest.mark.parametrize("odd", [listing("B", ODD), {**listing("B"), "offers": [{"offerType": "B2C"}]}])
async def test_listings_around_one_that_cannot_be_read(answers: Answers, amazon: AmazonConnector, odd: Any) -> None:
    answers.give("searchListingsItems", page(listing("A"), odd, listing("C")))
    assert [state.sku for state in await told(amazon.listings(), "1 listings cannot be read: B: ")] == ["A", "C"]
    assert list(await amazon.read_listings(["A", "B", "C"])) == ["A", "C"]
    answers.give("searchListingsItems", page(odd))
    with pytest.raises(Unreadable):
        await amazon.read_listings(["B"])
    answers.give("getListingsItem", odd)
    with pytest.raises(Unreadable):
        await amazon.read_listing("B")


async def test_a_write_that_cannot_be_read_back_is_unknown(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getListingsItem", listing("A"), listing("A", ODD))
    answers.give("patchListingsItem", {"sku": "A", "status": "ACCEPTED", "submissionId": "1"})
    with pytest.raises(OutcomeUnknown, match="accepted, but not read back"):
        await amazon.set_price("A", usd("20.00"), "k")


async def test_a_feed_leaves_out_what_cannot_be_read(answers: Answers, amazon: AmazonConnector) -> None:
    skus = [f"S{number}" for number in range(40)]
    odd = {**listing("S3"), "fulfillmentAvailability": [{"quantity": 1}]}
    rows = [odd if sku == "S3" else listing(sku, units=7) for sku in skus]
    answers.give("searchListingsItems", page(*rows[:20]), page(*rows[20:]), page(*rows[:20]), page(*rows[20:]))
    answers.give("createFeedDocument", {"feedDocumentId": "IN", "url": "http://documents.test/in"})
    answers.give("createFeed", {"feedId": "1"})
    done = {"feedId": "1", "processingStatus": "DONE", "resultFeedDocumentId": "OUT"}
    answers.give("getFeed", done)
    answers.give("getFeedDocument", {"feedDocumentId": "OUT", "url": "http://documents.test/out"})
    report = {"issues": [], "summary": {"messagesProcessed": 39, "messagesAccepted": 39}}
    answers.documents["/out"] = httpx2.Response(200, json=report)
    outcomes = await amazon.set_quantities([QuantityChange(sku, 7, sku) for sku in skus])
    failed = {outcome.change.external_id: outcome.error for outcome in outcomes if outcome.error is not None}
    assert list(failed) == ["S3"] and isinstance(failed["S3"], Unreadable)
    assert all(outcome.state.quantity == 7 for outcome in outcomes if outcome.state is not None)


async def test_a_search_by_sku_is_read_to_its_end(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("searchListingsItems", page(listing("A"), token="T"), page(listing("B")))
    assert set(await amazon.read_listings(["A", "B"])) == {"A", "B"}
    assert answers.sent("searchListingsItems")[1].url.params["pageToken"] == "T"


# Pages


async def test_a_page_that_comes_again_is_not_the_end(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("searchListingsItems", page(listing("A"), token="T"))
    answers.give("searchOrders", {"orders": [order()], "pagination": {"nextToken": "T"}})
    answers.give("getInventorySummaries", stock({"sellerSku": "A"}, token="T"))
    answers.give("listTransactions", {"payload": {"transactions": [], "nextToken": "T"}})
    for walk in (amazon.listings(), amazon.orders(SINCE), amazon.warehouse(), amazon.refunded(SINCE)):
        with pytest.raises(Retryable, match="the same page again"):
            async for _ in walk:
                pass


# Warehouses


def stock(*rows: Any, token: str = "") -> dict[str, Any]:
    payload = {"granularity": {"granularityType": "Marketplace"}, "inventorySummaries": list(rows)}
    return {"payload": payload, "pagination": {"nextToken": token} if token else None}


async def test_warehouses_around_figures_that_cannot_be(answers: Answers, amazon: AmazonConnector) -> None:
    rows = [{"sellerSku": sku, "inventoryDetails": {"fulfillableQuantity": n}} for sku, n in (("A", -1), ("B", 2))]
    answers.give("getInventorySummaries", stock(*rows, {}, {"asin": "B000000001"}))
    found = await told(amazon.warehouse(), "1 SKUs in the warehouses cannot be read: A")
    assert [(row.sku, row.available) for row in found] == [("B", 2)]


# Money


def movement(order_id: str, amount: Any, kind: str = "Refund") -> dict[str, Any]:
    return {
        "transactionId": f"{kind}-{order_id}",
        "transactionType": kind,
        "postedDate": "2026-03-02T14:00:00Z",
        "totalAmount": {"currencyCode": "USD", "currencyAmount": amount},
        "relatedIdentifiers": [{"relatedIdentifierName": "ORDER_ID", "relatedIdentifierValue": order_id}],
    }


async def test_refunds_around_one_that_cannot_be_read(answers: Answers, amazon: AmazonConnector) -> None:
    undated = {"transactionType": "Refund", "transactionId": "R9"}
    others = [movement("1", 0.00125, "Adjustment"), {"transactionType": "Transfer"}]
    rows = [undated, *others, movement(ORDER, -19.9)]
    answers.give("listTransactions", {"payload": {"transactions": rows}})
    answers.give("getOrder", {"order": order("SHIPPED")})
    (found,) = await told(amazon.refunded(SINCE), "1 movements of money cannot be read: R9")
    assert found.refunds[0].amount == usd("19.90")


async def test_a_refund_of_an_order_that_cannot_be_read(answers: Answers, amazon: AmazonConnector) -> None:
    rows = [movement("111-0000000-0000009", -1), movement(ORDER, -2)]
    answers.give("listTransactions", {"payload": {"transactions": rows}})
    answers.give("getOrder", {"order": {"orderId": "9"}}, {"order": order("SHIPPED")})
    (found,) = await told(amazon.refunded(SINCE), "cannot be read")
    assert found.external_id == ORDER


async def test_fees_of_one_that_cannot_be_read(answers: Answers, amazon: AmazonConnector) -> None:
    def result(number: int, amount: float) -> dict[str, Any]:
        total = {"CurrencyCode": "USD", "Amount": amount}
        return {
            "Status": "Success",
            "FeesEstimateIdentifier": {"SellerInputIdentifier": str(number)},
            "FeesEstimate": {"TotalFeesEstimate": total},
        }

    answers.give("getMyFeesEstimates", [result(0, 2.9985), {"FeesEstimate": 1}, result(2, 3)])
    asked = [fees.FeeQuestion(sku, usd("20.00"), usd("0.00")) for sku in "ABC"]
    first, second, third = await fees.estimate(amazon._api, asked)
    assert (first.total, second.total, third.total) == (None, None, usd("3.00"))
    assert "more decimals" in first.reason and second.reason


# Rivals and the catalogue


def offers(sku: str, *prices: Any, status: int = 200, **body: Any) -> dict[str, Any]:
    rows = [{"SellerId": f"R{n}", "ListingPrice": each, "IsFulfilledByAmazon": False} for n, each in enumerate(prices)]
    payload = {"SKU": sku, "status": "Success", "Offers": rows}
    return {"status": {"statusCode": status}, "body": body or {"payload": payload}, "request": {"SellerSKU": sku}}


def dollars(amount: Any, currency: str = "USD") -> dict[str, Any]:
    return {"CurrencyCode": currency, "Amount": amount}


async def test_rivals_around_a_price_that_cannot_be(answers: Answers, amazon: AmazonConnector) -> None:
    rows = [offers("A", dollars(1.005), dollars(17.99), {}, dollars(3, "dollars")), offers("B", dollars(2))]
    answers.give("getListingOffersBatch", {"responses": rows})
    assert [(rival.sku, str(rival.price)) for rival in await amazon.rivals(["A", "B"])] == [
        ("A", "17.99 USD"),
        ("B", "2.00 USD"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        offers("B", status=429, errors=[{"code": "QuotaExceeded", "message": "slow down"}]),
        offers("B", status=500, errors=[{"code": "InternalFailure"}]),
        offers("B", status=200, errors=[{"code": "QuotaExceeded"}]),
        {"request": {"SellerSKU": "B"}},
    ],
)
async def test_no_answer_about_rivals_is_not_no_rivals(answers: Answers, amazon: AmazonConnector, row: Any) -> None:
    answers.give("getListingOffersBatch", {"responses": [offers("A", dollars(2)), row]})
    with pytest.raises(Retryable):
        await amazon.rivals(["A", "B"])


async def test_a_sku_amazon_does_not_know_has_no_rivals(answers: Answers, amazon: AmazonConnector) -> None:
    unknown = offers("B", status=400, errors=[{"code": "InvalidInput", "message": "B is an invalid SKU"}])
    answers.give("getListingOffersBatch", {"responses": [offers("A", dollars(2)), unknown]})
    assert [rival.sku for rival in await amazon.rivals(["A", "B"])] == ["A"]


async def test_the_catalogue_around_pages_and_prices_that_cannot_be(answers: Answers, amazon: AmazonConnector) -> None:
    items = [{}, {"asin": "X" * 200}, {"asin": "B000000001"}]
    answers.give("searchCatalogItems", {"numberOfResults": 3, "items": items})

    def price(amount: float) -> dict[str, Any]:
        return {"condition": "New", "Price": {"ListingPrice": dollars(amount)}}

    product = {"CompetitivePricing": {"CompetitivePrices": [price(1.005), price(9.5), {"condition": "New"}]}}
    rows = [{"ASIN": "B000000001", "status": "Success", "Product": product}]
    answers.give("getCompetitivePricing", {"payload": rows})
    (found,) = await amazon.look_up([CatalogueQuestion(key="1", title="Lamp")])
    assert found.external_id == "B000000001"
    answers.give("searchCatalogItems", {"numberOfResults": 1, "items": [{"asin": "X" * 200}]})
    with pytest.raises(Unreadable):
        await amazon.look_up([CatalogueQuestion(key="1", title="Lamp")])


async def test_goods_are_matched_around_a_page_that_cannot_be(answers: Answers, amazon: AmazonConnector) -> None:
    lamp = Offer(sku="A", title="Lamp", price=usd("19.90"), quantity=1, barcode="4006381333931")
    answers.give("searchCatalogItems", {"numberOfResults": 2, "items": [{}, {"asin": "B000000001"}]})
    assert await amazon._publisher._match(lamp) == ("B000000001", "PRODUCT")
    answers.give("searchCatalogItems", {"numberOfResults": 1, "items": [{}]})
    with pytest.raises(Unreadable):
        await amazon._publisher._match(lamp)


# Labels


PARCEL = labels.Parcel(ORDER, {"1": 1}, Address(name="Jo"), 30, 20, 10, 900)
SERVICE = labels.Service("S", "O", "Ground", "UPS", usd("5.00"), None)


def service(name: str, amount: float, currency: str = "USD") -> dict[str, Any]:
    return {
        "ShippingServiceName": name,
        "CarrierName": "UPS",
        "ShippingServiceId": name,
        "ShippingServiceOfferId": "O",
        "Rate": dollars(amount, currency),
    }


def shipment(contents: str = "no file", amount: float = 5.0) -> dict[str, Any]:
    file = {"Contents": contents, "FileType": "application/pdf", "Checksum": ""}
    return {
        "payload": {
            "ShipmentId": "PAID-1",
            "AmazonOrderId": ORDER,
            "ShippingService": service("Ground", amount),
            "Label": {"FileContents": file},
            "Status": "RefundPending",
        }
    }


async def test_services_around_a_rate_that_cannot_be(answers: Answers, amazon: AmazonConnector) -> None:
    rows = [service("Odd", 7.125), service("Ground", 5), service("Yen", 0.5, "JPY"), {"CarrierName": "UPS"}]
    answers.give("getEligibleShipmentServices", {"payload": {"ShippingServiceList": rows}})
    assert [each.name for each in await labels.services(amazon._api, PARCEL)] == ["Ground"]
    answers.give("getEligibleShipmentServices", {"payload": {"ShippingServiceList": rows[:1]}})
    with pytest.raises(Unreadable):
        await labels.services(amazon._api, PARCEL)


@pytest.mark.parametrize("odd", [shipment(), shipment(amount=5.125)])
async def test_a_label_that_cannot_be_read(answers: Answers, amazon: AmazonConnector, odd: Any) -> None:
    answers.give("createRestrictedDataToken", {"restrictedDataToken": "Atz.sprdt|x"})
    answers.give("getShipment", odd)
    with pytest.raises(Unreadable, match="PAID-1"):
        await labels.read(amazon._api, "PAID-1")
    answers.give("createShipment", odd)
    with pytest.raises(OutcomeUnknown, match="PAID-1"):
        await labels.buy(amazon._api, PARCEL, SERVICE)


async def test_a_label_that_is_called_off_needs_no_file(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("createRestrictedDataToken", {"restrictedDataToken": "Atz.sprdt|x"})
    answers.give("cancelShipment", shipment())
    assert not (await amazon.cancel_label("PAID-1")).live


async def test_an_empty_restricted_token_is_none(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("createRestrictedDataToken", {"restrictedDataToken": ""})
    with pytest.raises(Retryable):
        await labels.buy(amazon._api, PARCEL, SERVICE)
    assert not answers.sent("createShipment")
