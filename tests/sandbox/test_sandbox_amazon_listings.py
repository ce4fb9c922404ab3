"""The sandbox's listings and catalogue: accepted, judged, shown later, fed in bulk."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from amazon_caller import HERE, ITEMS, Amazon, priced, units, value
from amazon_models import Models

from flipsync.sandbox.amazon.world import MARKETPLACE, SELLER


async def test_a_listing_is_accepted_and_shown_later(amazon: Amazon) -> None:
    amazon.world.settle_seconds = 0.3
    submitted = await amazon.put("A")
    assert submitted["status"] == "ACCEPTED"
    await amazon.get("A", 404)
    assert amazon.rig.sandbox.books.listing_by_sku("amazon", "A").quantity == 5, "it is on sale already"
    await asyncio.sleep(0.35)
    shown = await amazon.get("A")
    assert shown["summaries"][0]["status"] == ["BUYABLE", "DISCOVERABLE"]
    assert shown["offers"][0]["price"] == {"currencyCode": "USD", "amount": "19.90"}
    patch = {"op": "replace", "path": "/attributes/fulfillment_availability", "value": units(2)}
    await amazon.call("PATCH", f"{ITEMS}/A", 200, HERE, {"productType": "LAMP", "patches": [patch]})
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 5
    await asyncio.sleep(0.35)
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 2


@pytest.mark.parametrize(
    ("changes", "code", "attribute"),
    [
        ({"fake_attribute": value("x")}, "90000900", "fake_attribute"),
        ({"item_name": []}, "90220", "item_name"),
        ({"condition_type": value("shiny")}, "90000900", "condition_type"),
        ({"purchasable_offer": priced(0)}, "90000900", "purchasable_offer"),
        ({"purchasable_offer": priced(5, "EUR")}, "90000900", "purchasable_offer"),
        ({"purchasable_offer": priced("5.00")}, "90000900", "purchasable_offer"),
        ({"fulfillment_availability": units(-1)}, "90000900", "fulfillment_availability"),
        ({"fulfillment_availability": units(1, "MOON")}, "90000900", "fulfillment_availability"),
        ({"fulfillment_availability": units(1, "AMAZON_NA")}, "90000900", "fulfillment_availability"),
        ({"merchant_suggested_asin": value("B0NOWHERE1")}, "8560", "merchant_suggested_asin"),
        ({"variation_theme": [{"name": "TASTE"}]}, "90000900", "variation_theme"),
        ({"brand": "Lumen"}, "90000900", "brand"),
    ],
)
async def test_what_is_wrong_with_a_listing_is_an_issue(
    amazon: Amazon, changes: dict[str, Any], code: str, attribute: str
) -> None:
    for params in ({"mode": "VALIDATION_PREVIEW"}, {}):
        judged = await amazon.put("A", params=params, **changes)
        assert judged["status"] == "INVALID"
        assert (code, [attribute]) in [(issue["code"], issue["attributeNames"]) for issue in judged["issues"]]
    await amazon.get("A", 404)


async def test_a_preview_changes_nothing(amazon: Amazon) -> None:
    assert (await amazon.put("A", params={"mode": "VALIDATION_PREVIEW"}))["status"] == "VALID"
    await amazon.get("A", 404)


@pytest.mark.parametrize(
    ("params", "body"),
    [
        ({**HERE, "mode": "TRY"}, {"productType": "LAMP", "attributes": {}}),
        ({"marketplaceIds": "A1PA6795UKMFR9"}, {"productType": "LAMP", "attributes": {}}),
        ({}, {"productType": "LAMP", "attributes": {}}),
        ({**HERE, "dryRun": "1"}, {"productType": "LAMP", "attributes": {}}),
        (HERE, {"productType": "LAMP", "attributes": {}, "more": 1}),
        (HERE, {"productType": "LAMP"}),
        (HERE, {"productType": "LAMP", "attributes": {}, "requirements": "ALL"}),
        (HERE, []),
    ],
)
async def test_what_the_model_does_not_know_is_refused(amazon: Amazon, params: dict[str, str], body: Any) -> None:
    refused = await amazon.call("PUT", f"{ITEMS}/A", 400, params, body)
    assert refused["errors"][0]["code"] == "InvalidInput"


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "move", "path": "/attributes/item_name", "value": value("x")},
        {"op": "replace", "path": "/price", "value": value("x")},
        {"op": "replace", "path": "/attributes/item_name"},
    ],
)
async def test_patches_that_cannot_be_are_refused(amazon: Amazon, patch: dict[str, Any]) -> None:
    await amazon.put("A")
    await amazon.call("PATCH", f"{ITEMS}/A", 400, HERE, {"productType": "LAMP", "patches": [patch]})


async def test_own_units_take_a_listing_out_of_the_warehouse(amazon: Amazon) -> None:
    """What a seller's tool must not do by accident."""
    await amazon.put("A")
    amazon.world.store_with_amazon("A", 12)
    assert (await amazon.get("A"))["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "AMAZON_NA"}]
    params = {"granularityType": "Marketplace", "granularityId": MARKETPLACE, **HERE, "details": "true"}
    page = await amazon.call("GET", "/fba/inventory/v1/summaries", 200, params)
    assert page["payload"]["inventorySummaries"][0]["inventoryDetails"]["fulfillableQuantity"] == 12
    patch = {"op": "replace", "path": "/attributes/fulfillment_availability", "value": units(2)}
    await amazon.call("PATCH", f"{ITEMS}/A", 200, HERE, {"productType": "LAMP", "patches": [patch]})
    assert (await amazon.get("A"))["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "DEFAULT", "quantity": 2}]


async def test_deleted_listings_are_gone_and_come_back(amazon: Amazon) -> None:
    await amazon.put("A")
    await amazon.call("DELETE", f"{ITEMS}/A", 200, HERE)
    await amazon.get("A", 404)
    assert (await amazon.call("GET", ITEMS, 200, HERE))["items"] == []
    await amazon.put("A", fulfillment_availability=units(2))
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 2
    assert amazon.rig.sandbox.books.count("listing", "channel = 'amazon'", ()) == 1


async def test_pages_of_listings(amazon: Amazon) -> None:
    for number in range(5):
        await amazon.put(f"S{number}")
    seen: list[str] = []
    token: str | None = None
    while True:
        params = {**HERE, "pageSize": "2", **({"pageToken": token} if token else {})}
        page = await amazon.call("GET", ITEMS, 200, params)
        assert page["numberOfResults"] == 5
        seen += [item["sku"] for item in page["items"]]
        token = page["pagination"].get("nextToken")
        if token is None:
            break
    assert seen == [f"S{number}" for number in range(5)]
    await amazon.call("GET", ITEMS, 400, {**HERE, "pageSize": "21"})
    await amazon.call("GET", ITEMS, 400, {**HERE, "pageToken": "???"})
    await asyncio.sleep(0.25)  # five a second
    found = await amazon.call("GET", ITEMS, 200, {**HERE, "identifiers": "S1,S3,X", "identifiersType": "SKU"})
    assert [item["sku"] for item in found["items"]] == ["S1", "S3"]


async def test_catalogue_and_product_types(amazon: Amazon) -> None:
    page = amazon.world.add_to_catalogue("Brass lamp", "Lumen", "LAMP", "4006381333931")
    path, data = "/catalog/2022-04-01/items", "summaries,identifiers,productTypes,images,relationships"
    params = {**HERE, "includedData": data}
    for asked in (
        {"identifiers": "4006381333931", "identifiersType": "EAN"},
        {"identifiers": page.asin, "identifiersType": "ASIN"},
        {"keywords": "lamp"},
    ):
        found = await amazon.call("GET", path, 200, {**params, **asked})
        assert [item["asin"] for item in found["items"]] == [page.asin]
        await asyncio.sleep(0.5)  # two a second
    await amazon.call("GET", path, 400, params)
    await asyncio.sleep(0.5)
    await amazon.call("GET", f"{path}/B000000000", 404, HERE)
    types = "/definitions/2020-09-01/productTypes"
    found = await amazon.call("GET", types, 200, {**HERE, "keywords": "lamp"})
    assert [kind["name"] for kind in found["productTypes"]] == ["LAMP"]
    assert (await amazon.call("GET", types, 200, {**HERE, "itemName": "odd thing"}))["productTypes"]
    definition = await amazon.call("GET", f"{types}/LAMP", 200, {**HERE, "requirements": "LISTING"})
    schema = await amazon.rig.http.get(definition["schema"]["link"]["resource"])
    assert schema.json()["properties"]["variation_theme"]["items"]["properties"]["name"]["enum"] == ["COLOR", "SIZE"]
    await amazon.call("GET", f"{types}/NOTHING", 404, HERE)


async def test_a_feed_is_worked_through_and_reported(amazon: Amazon, models: Models) -> None:
    from jsonschema import Draft7Validator

    await amazon.put("A")
    document = await amazon.call("POST", "/feeds/2021-06-30/documents", 201, body={"contentType": "application/json"})
    specification = {
        "feedType": "JSON_LISTINGS_FEED",
        "marketplaceIds": [MARKETPLACE],
        "inputFeedDocumentId": document["feedDocumentId"],
    }
    await amazon.call("POST", "/feeds/2021-06-30/feeds", 400, body=specification)
    patches = [{"op": "replace", "path": "/attributes/fulfillment_availability", "value": units(9)}]
    messages = [
        {"messageId": n, "sku": sku, "operationType": "PATCH", "productType": "LAMP", "patches": patches}
        for n, sku in enumerate(("A", "NOBODY"), start=1)
    ]
    messages.append({"messageId": 3, "sku": "A", "operationType": "PATCH"})
    feed = json.dumps({"header": {"sellerId": SELLER, "version": "2.0"}, "messages": messages})
    url = document["url"]
    assert (await amazon.rig.http.put(url, content=feed)).status_code == 403, "the type is part of the permission"
    for address, status in ((url[:-1] + "?", 403), (url, 200)):
        sent = await amazon.rig.http.put(address, content=feed, headers={"Content-Type": "application/json"})
        assert sent.status_code == status
    number = (await amazon.call("POST", "/feeds/2021-06-30/feeds", 202, body=specification))["feedId"]
    state = await amazon.call("GET", f"/feeds/2021-06-30/feeds/{number}", 200)
    assert state["processingStatus"] == "IN_QUEUE"
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 5, "not yet"
    await asyncio.sleep(0.4)
    state = await amazon.call("GET", f"/feeds/2021-06-30/feeds/{number}", 200)
    assert state["processingStatus"] == "DONE"
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 9
    result = await amazon.call("GET", f"/feeds/2021-06-30/documents/{state['resultFeedDocumentId']}", 200)
    report = json.loads(gzip.decompress((await amazon.rig.http.get(result["url"])).content))
    schema = models.load("schemas/feeds/listings-feed-processing-report-schema-v2.json")
    assert [error.message for error in Draft7Validator(schema).iter_errors(report)] == []
    assert {issue["messageId"] for issue in report["issues"]} == {2, 3}
    assert report["summary"]["messagesAccepted"] == 1
    await amazon.call("GET", "/feeds/2021-06-30/feeds/404", 404)
