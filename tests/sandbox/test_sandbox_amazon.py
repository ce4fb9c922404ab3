"""The sandbox's Amazon over its HTTP surface: its answers, refusals included, are those of Amazon's own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from amazon_caller import BUYER, HERE, ITEMS, Amazon, units

from flipsync.sandbox.amazon.world import MARKETPLACE
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.audit import report
from flipsync.sandbox.records import order_external_id


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


async def test_a_buyer_is_written_to_while_the_order_is_open(amazon: Amazon) -> None:
    await amazon.put("LAMP")
    sale = amazon.rig.sandbox.market.place("amazon", "LAMP", 1, BUYER)
    path = f"/messaging/v1/orders/{order_external_id('amazon', sale.id)}"
    allowed = await amazon.call("GET", path, 200, HERE)
    assert [each["name"] for each in allowed["_links"]["actions"]] == ["unexpectedProblem"]
    await amazon.call("POST", f"{path}/messages/unexpectedProblem", 400, HERE, {"text": ""})
    for _ in range(2):
        await amazon.call("POST", f"{path}/messages/unexpectedProblem", 201, HERE, {"text": "We are sorry."})
    doubles = report(amazon.rig.sandbox.books)["double_side_effects"]["messages"]
    assert doubles == [{"order_id": sale.id, "note": "We are sorry.", "count": 2}], "no key: twice is twice"
    assert amazon.rig.sandbox.market.call_off("amazon", order_external_id("amazon", sale.id), "cancellation")
    assert (await amazon.call("GET", path, 200, HERE))["_links"]["actions"] == []
    await amazon.call("POST", f"{path}/messages/unexpectedProblem", 400, HERE, {"text": "Still sorry."})


async def test_labels_are_sold_read_and_taken_back_as_the_model_says(amazon: Amazon) -> None:
    amazon.rig.sandbox.books.set_meta("amazon.usage_factor", "1000")
    await amazon.put("LAMP")
    sale = amazon.rig.sandbox.market.place("amazon", "LAMP", 1, BUYER)
    order_id = order_external_id("amazon", sale.id)
    sender = {
        "Name": "Seller",
        "AddressLine1": "1 Dock St",
        "City": "Seattle",
        "PostalCode": "98101",
        "CountryCode": "US",
        "Email": "seller@example.com",
        "Phone": "5550100",
    }
    details = {
        "AmazonOrderId": order_id,
        "ItemList": [{"OrderItemId": str(sale.lines[0].id), "Quantity": 1}],
        "ShipFromAddress": sender,
        "PackageDimensions": {"Length": 30, "Width": 20, "Height": 10, "Unit": "centimeters"},
        "Weight": {"Value": 700, "Unit": "g"},
        "ShippingServiceOptions": {
            "DeliveryExperience": "DeliveryConfirmationWithoutSignature",
            "CarrierWillPickUp": False,
        },
    }
    asked = {"ShipmentRequestDetails": details}
    offered = await amazon.call("POST", "/mfn/v0/eligibleShippingServices", 200, body=asked)
    service = offered["payload"]["ShippingServiceList"][0]["ShippingServiceId"]

    async def restricted(method: str, path: str, status: int = 200, body: Any = None) -> Any:
        wanted = {"restrictedResources": [{"method": method, "path": path}]}
        token = await amazon.call("POST", "/tokens/2021-03-01/restrictedDataToken", 200, body=wanted)
        headers = {"x-amz-access-token": token["restrictedDataToken"]}
        return await amazon.call(method, path, status, body=body, **headers)

    purchase = {**asked, "ShippingServiceId": service}
    await amazon.call("POST", "/mfn/v0/shipments", 403, body=purchase)  # it shows where buyers live
    bought = (await restricted("POST", "/mfn/v0/shipments", body=purchase))["payload"]
    path = f"/mfn/v0/shipments/{bought['ShipmentId']}"
    assert (await restricted("GET", path))["payload"] == bought
    assert (await restricted("DELETE", path))["payload"]["Status"] == "RefundPending"
    twice = [(await restricted("POST", "/mfn/v0/shipments", body=purchase))["payload"] for _ in range(2)]
    assert twice[0]["ShipmentId"] != twice[1]["ShipmentId"], "no key: twice is twice"
    doubles = report(amazon.rig.sandbox.books)["double_side_effects"]["labels"]
    assert doubles == [{"channel": "amazon", "order_id": sale.id, "count": 2}]
