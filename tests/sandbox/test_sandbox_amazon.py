"""The sandbox's Amazon over its HTTP surface: its answers, refusals included, are those of Amazon's own models."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from amazon_models import Models, models_at

from flipsync.sandbox import audit
from flipsync.sandbox.amazon.world import MARKETPLACE, QUEUE_ARN, SELLER
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
ITEMS = f"/listings/2021-08-01/items/{SELLER}"
HERE = {"marketplaceIds": MARKETPLACE}
ALL_DATA = "summaries,attributes,issues,offers,fulfillmentAvailability,relationships,productTypes"


@pytest.fixture
def models(contracts: Path) -> Models:
    return models_at(contracts)


class Amazon:
    """Calls to the sandbox's Amazon, each judged by the models."""

    def __init__(self, rig: Any, models: Models) -> None:
        self.rig = rig
        self.models = models
        self.server = rig.sandbox.server("/amazon")
        self.world = self.server.world
        self.world.settle_seconds = 0.0
        self.keys = rig.sandbox.credentials()["amazon"]
        self.token = ""

    async def login(self, name: str = "amazon", **form: str) -> httpx2.Response:
        keys = self.rig.sandbox.credentials()[name]
        given = {key: keys[key] for key in ("client_id", "client_secret", "refresh_token")}
        response = await self.rig.http.post(
            "/amazon/auth/o2/token", data={"grant_type": "refresh_token", **given, **form}
        )
        if response.status_code == 200:
            self.token = response.json()["access_token"]
        return response  # type: ignore[no-any-return]

    async def call(
        self,
        method: str,
        path: str,
        status: int,
        params: dict[str, str] | None = None,
        body: Any = None,
        **headers: str,
    ) -> Any:
        sent = {"x-amz-access-token": self.token, **headers}
        response = await self.rig.http.request(method, f"/amazon{path}", params=params, json=body, headers=sent)
        assert response.status_code == status, response.text
        operation = next(o for o in self.models.operations if o.matches(method, path))
        assert self.models.answer_errors(operation, response) == []
        return response.json() if response.content else None

    async def put(self, sku: str, status: int = 200, params: dict[str, str] | None = None, **changes: Any) -> Any:
        body = {"productType": "LAMP", "requirements": "LISTING", "attributes": {**ATTRIBUTES, **changes}}
        path = f"{ITEMS}/{quote(sku, safe='')}"
        return await self.call("PUT", path, status, {**HERE, "includedData": "issues", **(params or {})}, body)

    async def get(self, sku: str, status: int = 200) -> Any:
        return await self.call("GET", f"{ITEMS}/{sku}", status, {**HERE, "includedData": ALL_DATA})


def value(text: Any) -> list[dict[str, Any]]:
    return [{"value": text, "marketplace_id": MARKETPLACE}]


def priced(amount: Any, currency: str = "USD") -> list[dict[str, Any]]:
    offer = {
        "marketplace_id": MARKETPLACE,
        "currency": currency,
        "our_price": [{"schedule": [{"value_with_tax": amount}]}],
    }
    return [offer]


def units(quantity: Any, code: str = "DEFAULT") -> list[dict[str, Any]]:
    return [{"fulfillment_channel_code": code, "quantity": quantity}]


ATTRIBUTES: dict[str, Any] = {
    "item_name": value("Lamp"),
    "brand": value("Lumen"),
    "condition_type": value("new_new"),
    "purchasable_offer": priced(19.9),
    "fulfillment_availability": units(5),
    "supplier_declared_has_product_identifier_exemption": value(True),
}


@pytest.fixture
async def amazon(rig: Any, models: Models) -> AsyncIterator[Amazon]:
    amazon = Amazon(rig, models)
    await amazon.login()
    yield amazon
    assert audit.inconsistencies(rig.sandbox.books) == []


# Login


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"refresh_token": "Atzr|withdrawn"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "scope": "everything"}, 400, "invalid_scope"),
    ],
)
async def test_login_refuses(amazon: Amazon, form: dict[str, str], status: int, error: str) -> None:
    response = await amazon.login(**form)
    assert (response.status_code, response.json()["error"]) == (status, error)


async def test_tokens_end_and_are_for_one_thing(amazon: Amazon) -> None:
    granted = (await amazon.login()).json()
    assert granted["token_type"] == "bearer" and granted["expires_in"] == 3600 and granted["refresh_token"]
    for token, words in (("", "missing"), ("Atza|made-up", "malformed")):
        refused = await amazon.call("GET", f"{ITEMS}/A", 403, HERE, **{"x-amz-access-token": token})
        assert refused["errors"][0]["code"] == "Unauthorized" and words in refused["errors"][0]["details"]
    amazon.server.login.expire_all()
    refused = await amazon.get("A", 403)
    assert refused["errors"][0]["details"] == "The access token you provided has expired."
    await amazon.login(grant_type="client_credentials", scope="sellingpartnerapi::notifications")
    await amazon.call("GET", "/notifications/v1/destinations", 200)
    await amazon.get("A", 403)
    await amazon.login()
    await amazon.call("GET", "/notifications/v1/destinations", 403)


async def test_a_reader_may_not_write(amazon: Amazon) -> None:
    await amazon.login("amazon_read_only")
    await amazon.get("A", 404)
    refused = await amazon.put("A", 403)
    assert "expired" not in refused["errors"][0]["details"]


async def test_another_sellers_listings_are_closed(amazon: Amazon) -> None:
    await amazon.call("GET", "/listings/2021-08-01/items/SOMEBODY/A", 403, HERE)


# Usage plans


async def test_plans_throttle_and_tell_their_rate(amazon: Amazon) -> None:
    first = await amazon.rig.http.get(f"/amazon{ITEMS}", params=HERE, headers={"x-amz-access-token": amazon.token})
    assert first.headers["x-amzn-RateLimit-Limit"] == "5.0"
    told = [
        await amazon.rig.http.get(
            "/amazon/orders/2026-01-01/orders",
            params={"lastUpdatedAfter": "2026-03-01T00:00:00Z"},
            headers={"x-amz-access-token": amazon.token},
        )
        for _ in range(21)
    ]
    assert [response.status_code for response in told] == [200] * 20 + [429]
    assert told[-1].json()["errors"][0]["code"] == "QuotaExceeded"
    assert told[-1].headers["x-amzn-RateLimit-Limit"] == "0.0056" and "Retry-After" not in told[-1].headers
    await amazon.get("A", 404)  # another operation has its own plan


# Listings


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


# Orders


async def test_orders_and_shipments(amazon: Amazon) -> None:
    await amazon.put("A")
    placed = amazon.rig.sandbox.market.place("amazon", "A", 2, BUYER)
    order_id = f"111-0000000-{placed.id:07d}"
    path = f"/orders/2026-01-01/orders/{order_id}"
    bare = (await amazon.call("GET", path, 200))["order"]
    assert {"buyer", "recipient", "proceeds", "packages"}.isdisjoint(bare), "only what is asked for"
    data = {"includedData": "BUYER,RECIPIENT,PROCEEDS,FULFILLMENT,PACKAGES"}
    order = (await amazon.call("GET", path, 200, data))["order"]
    assert order["recipient"]["deliveryAddress"]["city"] and order["proceeds"]["grandTotal"]["amount"] == "39.80"
    package = {
        "packageReferenceId": "1",
        "carrierCode": "UPS",
        "trackingNumber": "1Z",
        "shipDate": "2026-03-02T15:00:00Z",
        "orderItems": [{"orderItemId": order["orderItems"][0]["orderItemId"], "quantity": 2}],
    }
    ship = f"/orders/v0/orders/{order_id}/shipmentConfirmation"
    good = {"marketplaceId": MARKETPLACE, "packageDetail": package}
    for bad in (
        {**package, "packageReferenceId": "first"},
        {**package, "carrierCode": "Other"},
        {**package, "orderItems": []},
        {**package, "shipDate": "today"},
        {name: held for name, held in package.items() if name != "trackingNumber"},
        {**package, "note": "x"},
    ):
        await amazon.call("POST", ship, 400, body={**good, "packageDetail": bad})
    await amazon.call("POST", ship, 204, body=good)
    order = (await amazon.call("GET", path, 200, data))["order"]
    assert order["fulfillment"]["fulfillmentStatus"] == "SHIPPED"
    assert order["packages"][0]["trackingNumber"] == "1Z"
    await amazon.call("GET", "/orders/2026-01-01/orders/111-0000000-9999999", 404)
    await amazon.call("GET", "/orders/2026-01-01/orders", 400)
    both = {"createdAfter": "2026-03-01T00:00:00Z", "lastUpdatedAfter": "2026-03-01T00:00:00Z"}
    await amazon.call("GET", "/orders/2026-01-01/orders", 400, both)
    await amazon.call("GET", "/orders/2026-01-01/orders", 400, {"lastUpdatedAfter": "yesterday"})


async def test_the_market_buys_here_and_nothing_is_put_back_for_the_seller(amazon: Amazon) -> None:
    await amazon.put("A", fulfillment_availability=units(10_000))
    amazon.rig.sandbox.market.configure({"traffic": 200, "refund_share": 0.5, "cancel_share": 0.1})
    await amazon.rig.sandbox.market.advance(3 * 86_400)
    books = amazon.rig.sandbox.books
    statuses = {order.status for order in books.orders("channel = 'amazon'", ())}
    assert {"paid", "cancelled"} <= statuses and "refunded" not in statuses, "what was not shipped is cancelled instead"
    assert books.db.execute("SELECT count(*) FROM stock_change WHERE cause = 'refund'").fetchone()[0] == 0
    data = {"lastUpdatedAfter": "2026-03-01T00:00:00Z", "includedData": "FULFILLMENT,PROCEEDS"}
    page = await amazon.call("GET", "/orders/2026-01-01/orders", 200, data)
    assert len(page["orders"]) == 100 and page["pagination"]["nextToken"] and page["lastUpdatedBefore"]


# Feeds


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


# Notifications and the queue


async def test_destinations_and_subscriptions(amazon: Amazon) -> None:
    seller = amazon.token
    await amazon.login(grant_type="client_credentials", scope="sellingpartnerapi::notifications")
    body = {"name": "q", "resourceSpecification": {"sqs": {"arn": QUEUE_ARN}}}
    made = await amazon.call("POST", "/notifications/v1/destinations", 200, body=body)
    refused = await amazon.rig.http.post(
        "/amazon/notifications/v1/destinations", json=body, headers={"x-amz-access-token": amazon.token}
    )
    assert refused.status_code == 409
    application, amazon.token = amazon.token, seller
    path = "/notifications/v1/subscriptions/ORDER_CHANGE"
    await amazon.call("GET", path, 404)
    wanted = {"payloadVersion": "1.0", "destinationId": made["payload"]["destinationId"]}
    for bad in ({**wanted, "payloadVersion": "9"}, {**wanted, "destinationId": "x"}, {**wanted, "more": 1}):
        await amazon.call("POST", path, 400, body=bad)
    subscription = await amazon.call("POST", path, 200, body=wanted)
    amazon.token = application
    await amazon.call("DELETE", f"{path}/{subscription['payload']['subscriptionId']}", 200)
    await amazon.call("DELETE", f"{path}/{subscription['payload']['subscriptionId']}", 404)


def signed(amazon: Amazon, target: str, body: bytes, **changes: Any) -> dict[str, str]:
    """Signature Version 4 of a request to the queue, written from AWS's description for the tests alone."""
    moment = changes.get("moment", datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/us-east-1/sqs/aws4_request"
    names = "content-type;host;x-amz-date;x-amz-target"
    lines = [
        "POST",
        "/amazon/queue",
        "",
        "content-type:application/x-amz-json-1.0",
        "host:shop.test",
        f"x-amz-date:{moment}",
        f"x-amz-target:{target}",
        "",
        names,
        hashlib.sha256(body).hexdigest(),
    ]
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    key = f"AWS4{amazon.keys['aws_secret_access_key']}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    credential = f"{amazon.keys['aws_access_key_id']}/{scope}"
    return {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": moment,
        "X-Amz-Target": target,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={key.hex()}",
    }


async def ask(amazon: Amazon, action: str, body: dict[str, Any], **changes: Any) -> httpx2.Response:
    content = json.dumps({"QueueUrl": "http://shop.test/amazon/queue/123456789012/flipsync", **body}).encode()
    headers = signed(amazon, f"AmazonSQS.{action}", content, **changes)
    return await amazon.rig.http.post("/amazon/queue", content=changes.get("sent", content), headers=headers)  # type: ignore[no-any-return]


async def test_the_queue_hands_out_again_what_was_not_deleted(amazon: Amazon) -> None:
    queue = amazon.server.queue
    with amazon.rig.sandbox.books.transaction():
        queue.send({"n": 1})
    first = (await ask(amazon, "ReceiveMessage", {"VisibilityTimeout": 1})).json()["Messages"][0]
    assert json.loads(first["Body"]) == {"n": 1}
    assert first["MD5OfBody"] == hashlib.md5(first["Body"].encode()).hexdigest()
    assert (await ask(amazon, "ReceiveMessage", {})).json() == {}, "it is being worked on"
    await asyncio.sleep(1.05)
    again = (await ask(amazon, "ReceiveMessage", {})).json()["Messages"][0]
    assert again["MessageId"] == first["MessageId"] and again["ReceiptHandle"] != first["ReceiptHandle"]
    assert (await ask(amazon, "DeleteMessage", {"ReceiptHandle": again["ReceiptHandle"]})).status_code == 200
    assert queue.waiting() == 0


async def test_the_queue_refuses(amazon: Amazon) -> None:
    late = datetime.now(UTC) - timedelta(minutes=20)
    for action, body, changes, status, kind in (
        ("ReceiveMessage", {"MaxNumberOfMessages": 11}, {}, 400, "InvalidParameterValue"),
        ("ReceiveMessage", {"QueueUrl": "http://shop.test/amazon/queue/1/other"}, {}, 400, "QueueDoesNotExist"),
        ("PurgeQueue", {}, {}, 404, "UnknownOperationException"),
        ("DeleteMessage", {}, {}, 400, "ReceiptHandleIsInvalid"),
        ("ReceiveMessage", {}, {"sent": b"{}"}, 403, "SignatureDoesNotMatch"),
        ("ReceiveMessage", {}, {"moment": late}, 403, "SignatureDoesNotMatch"),
    ):
        response = await ask(amazon, action, body, **changes)
        assert response.status_code == status and response.json()["__type"].endswith(kind)
    unsigned = await amazon.rig.http.post("/amazon/queue", content=b"{}")
    assert unsigned.status_code == 403


# The whole


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    config = SandboxConfig(seed=7, data=str(tmp_path / "books.sqlite"), start_ms=1_772_460_000_000)
    known = []
    for _ in range(2):
        sandbox = Sandbox(config, "http://shop.test")
        world = sandbox.server("/amazon").world
        if not known:
            world.add_to_catalogue("Lamp", "Lumen", "LAMP", "4006381333931")
        known.append((sandbox.credentials()["amazon"], world.catalogue()))
        transport = httpx2.ASGITransport(app=build_app(sandbox))
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as http:
            keys = {name: known[0][0][name] for name in ("client_id", "client_secret", "refresh_token")}
            answer = await http.post("/amazon/auth/o2/token", data={"grant_type": "refresh_token", **keys})
            assert answer.status_code == 200
        sandbox.books.close()
    assert known[0] == known[1]


async def test_faults_and_unknown_paths_are_told_in_amazons_way(amazon: Amazon) -> None:
    amazon.rig.sandbox.faults.configure("amazon", {"rate_limited": 1.0})
    assert (await amazon.get("A", 429))["errors"][0]["code"] == "QuotaExceeded"
    amazon.rig.sandbox.faults.configure("amazon", {"error_before": 1.0}, replace=True)
    assert (await amazon.get("A", 503))["errors"][0]["code"] == "InternalFailure"
    assert (await amazon.login()).status_code == 200, "Login is another machine"
    amazon.rig.sandbox.faults.configure("amazon", {}, replace=True)
    headers = {"x-amz-access-token": amazon.token}
    assert (await amazon.rig.http.get("/amazon/nowhere", headers=headers)).status_code == 404
    assert (await amazon.rig.http.post(f"/amazon{ITEMS}/A", headers=headers)).status_code == 405


async def test_an_ignored_write_is_answered_and_not_done(amazon: Amazon) -> None:
    await amazon.put("A")
    amazon.rig.sandbox.faults.configure("amazon", {"ignored_write": 1.0})
    patch = {"op": "replace", "path": "/attributes/fulfillment_availability", "value": units(2)}
    body = {"productType": "LAMP", "patches": [patch]}
    assert (await amazon.call("PATCH", f"{ITEMS}/A", 200, HERE, body))["status"] == "ACCEPTED"
    assert (await amazon.get("A"))["fulfillmentAvailability"][0]["quantity"] == 5
