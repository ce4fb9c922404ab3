"""Amazon's own sandbox examples, replayed: each example's call goes out, its answer comes in through our shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from amazon_models import Example, Models, Operation, path_parts
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.amazon import (
    fees,
    mapping,
    order_mapping,
    wire,
    wire_market,
    wire_money,
    wire_orders,
    wire_work,
)
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.operations import OPERATIONS
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, Rejected

#: What each operation's answer becomes; the same as in the code that calls it.
DECODERS: dict[str, Callable[[Any], Any]] = {
    "getMarketplaceParticipations": wire.Participations.model_validate,
    "getListingsItem": wire.Item.model_validate,
    "searchListingsItems": wire.ItemSearch.model_validate,
    "putListingsItem": wire.Submission.model_validate,
    "patchListingsItem": wire.Submission.model_validate,
    "deleteListingsItem": wire.Submission.model_validate,
    "searchCatalogItems": wire.CatalogSearch.model_validate,
    "searchDefinitionsProductTypes": wire.ProductTypes.model_validate,
    "getDefinitionsProductType": wire.ProductTypeDefinition.model_validate,
    "searchOrders": wire_orders.OrderSearch.model_validate,
    "getOrder": wire_orders.OrderAnswer.model_validate,
    "confirmShipment": lambda data: data,
    "createRestrictedDataToken": wire.RestrictedDataToken.model_validate,
    "getListingOffersBatch": wire_market.OffersBatch.model_validate,
    "getCompetitivePricing": wire_market.CompetitivePricing.model_validate,
    "getFeaturedOfferExpectedPriceBatch": wire_market.ExpectedPriceBatch.model_validate,
    "getCompetitiveSummary": wire_market.CompetitiveBatch.model_validate,
    "getMyFeesEstimates": fees._results,
    "getMyFeesEstimateForSKU": wire_market.FeesAnswer.model_validate,
    "getInventorySummaries": wire_market.InventoryPage.model_validate,
    "createFeedDocument": wire_work.CreatedDocument.model_validate,
    "createFeed": wire_work.CreatedFeed.model_validate,
    "getFeed": wire_work.Feed.model_validate,
    "getFeedDocument": wire_work.FeedDocument.model_validate,
    "getDestinations": wire_work.Destinations.model_validate,
    "createDestination": wire_work.CreatedDestination.model_validate,
    "getSubscription": wire_work.SubscriptionAnswer.model_validate,
    "createSubscription": wire_work.SubscriptionAnswer.model_validate,
    "deleteSubscriptionById": lambda data: data,
    "createReport": wire_work.CreatedReport.model_validate,
    "getReport": wire_work.Report.model_validate,
    "getReportDocument": wire_work.ReportDocument.model_validate,
    "listTransactions": wire_money.TransactionPage.model_validate,
    "getMessagingActionsForOrder": wire_work.MessagingActions.model_validate,
    "createConfirmOrderDetails": lambda data: data,
    "createConfirmDeliveryDetails": lambda data: data,
    "createUnexpectedProblem": lambda data: data,
    "getEligibleShipmentServices": wire_money.EligibleAnswer.model_validate,
    "createShipment": wire_money.ShipmentAnswer.model_validate,
    "getShipment": wire_money.ShipmentAnswer.model_validate,
    "createFulfillmentOrder": lambda data: data,
    "getFulfillmentOrder": wire_work.FulfillmentOrderAnswer.model_validate,
    "cancelFulfillmentOrder": lambda data: data,
    "cancelShipment": wire_money.ShipmentAnswer.model_validate,
}
#: Two models have an operation of this name.
_MODEL = {"getOrder": "orders_2026-01-01"}


def declared(models: Models, name: str) -> Operation:
    return models.operation(name, _MODEL.get(name))


async def replay(example: Example, operation: Operation) -> Any:
    """Carry the example's call out against a server that knows this one example."""
    asked: list[httpx2.Request] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/auth/o2/token":
            return httpx2.Response(200, json={"access_token": "Atza|x", "token_type": "bearer", "expires_in": 3600})
        asked.append(request)
        if example.response is None:
            return httpx2.Response(example.status)
        return httpx2.Response(example.status, json=example.response)

    config = AccountConfig(
        vendor="amazon",
        base_url="http://amazon.test",  # type: ignore[arg-type]
        token_url="http://amazon.test/auth/o2/token",  # type: ignore[arg-type]
        currency="USD",
        options={"marketplace_id": "ATVPDKIKX0DER", "seller_id": "SELLER"},
    )
    keys = {name: SecretStr("x") for name in ("client_id", "client_secret", "refresh_token")}
    api = SellerApi(config, keys, Unlimited(), "a", MemoryVault(keys), httpx2.MockTransport(serve))
    given = {parameter["name"]: parameter for parameter in operation.parameters}
    names = re.findall(r"\{([^}]+)\}", operation.template)
    path = {name: str(example.parameters.get(name, "ANY")) for name in names}
    params = [
        (name, ",".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in example.parameters.items()
        if name in given and given[name]["in"] == "query"
    ]
    body_name = next((name for name, parameter in given.items() if parameter["in"] == "body"), None)
    body = None if body_name is None else example.parameters.get("body", example.parameters.get(body_name, {}))
    try:
        return await api.call(operation.name, DECODERS[operation.name], path=path, params=params, body=body)
    finally:
        await api.aclose()
        (request,) = asked
        assert request.method == operation.method
        assert path_parts(operation, request.url.path) == path
        assert parse_qsl(request.url.query.decode(), keep_blank_values=True) == params
        if body_name is not None:
            assert json.loads(request.content) == body


def every_example(models: Models) -> Iterator[tuple[Example, Operation]]:
    for name in OPERATIONS:
        operation = declared(models, name)
        for example in models.examples(operation):
            yield example, operation


async def test_every_example_of_the_operations_that_are_used(models: Models) -> None:
    replayed = 0
    for example, operation in every_example(models):
        if example.status < 300:
            value = await replay(example, operation)
            assert (value is None) == (example.response is None), example.operation
        else:
            with pytest.raises(ChannelError) as failed:
                await replay(example, operation)
            assert isinstance(failed.value, Rejected) and failed.value.vendor_status == example.status
            assert failed.value.vendor_code == example.response["errors"][0]["code"]
        replayed += 1
    assert replayed == EXAMPLES


#: Static examples of the operations in OPERATIONS.
EXAMPLES = 85


def test_the_table_of_operations_is_that_of_the_models(models: Models) -> None:
    derived = {
        (row["operationId"], row["path"]): row
        for api in models.load("operations.derived.json")["apis"].values()
        for row in api["operations"]
    }
    assert set(DECODERS) == set(OPERATIONS)
    for name, operation in OPERATIONS.items():
        told = declared(models, name)
        assert (operation.method, operation.path) == (told.method, told.template)
        row = derived[(name, told.template)]
        assert (operation.rate, operation.burst) == (row["rate"], row["burst"]), name


def example_of(models: Models, name: str, number: int = 0) -> Any:
    found = [e for e in models.examples(declared(models, name)) if e.status == 200]
    return found[number].response


def test_the_listing_example(models: Models) -> None:
    item = wire.Item.model_validate(example_of(models, "getListingsItem"))
    state = mapping.listing(item, "ATVPDKIKX0DER")
    assert (state.sku, state.status, str(state.price), state.quantity) == ("GM-ZDPI-9B4E", "active", "100.00 USD", 100)
    assert state.title == "Hardside Carry-On Spinner Suitcase Luggage"
    there = mapping.listing(item, "A2EUQ1WTGCTBG2")
    assert (there.status, str(there.price)) == ("draft", "130.00 CAD"), "suppressed there, with another price"
    page = wire.ItemSearch.model_validate(example_of(models, "searchListingsItems"))
    assert page.pagination.next_token and page.items[0].sku == "GM-ZDPI-9B4E"


def test_the_invalid_example_names_attributes(models: Models) -> None:
    judged = wire.Submission.model_validate(example_of(models, "putListingsItem", 2))
    refused = mapping.refusal(judged.issues, "")
    assert refused.vendor_code == "90220"
    assert refused.message == (
        "condition_type: 'condition_type' is required but not supplied.; fake_attribute: The attributes are invalid."
    )


def test_the_order_examples(models: Models) -> None:
    pages = [wire_orders.OrderSearch.model_validate(example_of(models, "searchOrders", n)) for n in range(3)]
    orders = [order_mapping.order(order, "USD") for page in pages for order in page.orders]
    assert [(o.status, o.holds_stock, str(o.total)) for o in orders] == [
        ("shipped", True, "19940 JPY"),
        ("shipped", True, "34.99 GBP"),
        ("paid", True, "1599.90 BRL"),
    ]
    assert [order.fulfilled_by for order in orders] == ["channel", "seller", "seller"]
    assert [line.total.amount_minor for line in orders[0].lines] == [5980, 13960]
    assert pages[0].pagination.next_token
    taxed = order_mapping.order(wire_orders.OrderAnswer.model_validate(example_of(models, "getOrder", 2)).order, "USD")
    assert (str(taxed.lines[0].total), str(taxed.tax), str(taxed.total)) == ("39.99 USD", "10.00 USD", "49.99 USD")
    assert (taxed.ship_to.city, taxed.ship_to.region, taxed.ship_to.company) == ("Seattle", "WA", "Test Store")


def test_the_offers_example(models: Models) -> None:
    batch = wire_market.OffersBatch.model_validate(example_of(models, "getListingOffersBatch"))
    found = [rival for answer in batch.responses for rival in mapping.rivals(answer, utc_now())]
    own = sum(
        offer.my_offer for answer in batch.responses if answer.body.payload for offer in answer.body.payload.offers
    )
    told = sum(len(answer.body.payload.offers) for answer in batch.responses if answer.body.payload)
    assert len(batch.responses) == 5 and len(found) == told - own > 0
    assert all(rival.sku and rival.price.currency == "USD" for rival in found)
    first = [
        offer.seller_id
        for answer in batch.responses
        if answer.body.payload
        for offer in answer.body.payload.offers
        if offer.is_buy_box_winner and not offer.my_offer
    ]
    assert [rival.seller for rival in found if rival.featured] == first
