"""Every answer of the shop validates against the contract derived from WooCommerce's own documentation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator

from flipsync.sandbox.buyers import Buyer

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)


@pytest.fixture(scope="module")
def contract(contracts: Path) -> dict[str, Any]:
    """The contract, widened in the places where real stores answer otherwise than the documents say."""
    document: dict[str, Any] = json.loads(
        (contracts / "woocommerce" / "wc-v3.openapi.derived.json").read_text(encoding="utf-8")
    )
    schemas = document["components"]["schemas"]
    # line_items[].price is a float on real stores.
    for name in ("OrderLineItems", "OrderRefundLineItems"):
        schemas[name]["properties"]["price"]["anyOf"].append({"type": "number"})
    # A variation without an image has null there, and the SKU filter shows variations among the products.
    image = schemas["ProductVariation"]["properties"]["image"]
    schemas["ProductVariation"]["properties"]["image"] = {"anyOf": [image, {"enum": [None]}]}
    schemas["Product"]["properties"]["type"]["enum"].append("variation")
    # The documents' own example of system_status is an object, not a list.
    status = document["paths"]["/system_status"]["get"]["responses"]["200"]["content"]["application/json"]
    status["schema"] = status["schema"]["items"]
    # Some 500s carry a number where the documents have an object.
    schemas["Error"]["properties"]["data"] = {"anyOf": [schemas["Error"]["properties"]["data"], {"type": "integer"}]}
    return document


def problems(contract: dict[str, Any], method: str, path: str, response: Any) -> list[str]:
    """Where a response departs from what the contract says about that call."""
    responses = contract["paths"][path][method.lower()]["responses"]
    declared = responses.get(str(response.status_code), responses["default"])
    schema = copy.copy(declared["content"]["application/json"]["schema"])
    schema["components"] = contract["components"]
    validator = OAS30Validator(schema)
    return [
        f"{method} {path}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(response.json())
    ]


async def test_the_validator_itself_can_say_no(contract: dict[str, Any], rig: Any) -> None:
    response = await rig.woo("GET", "/products/1")
    response.json = lambda: {"message": "no code"}
    assert problems(contract, "GET", "/products/{id}", response)


async def test_every_answer_validates(contract: dict[str, Any], rig: Any, listener: Any) -> None:
    found: list[str] = []
    called: set[tuple[str, str]] = set()

    async def check(method: str, template: str, path: str, body: Any = None, status: int | None = None) -> Any:
        response = await rig.woo(method, path, body)
        assert status is None or response.status_code == status, response.text
        found.extend(problems(contract, method, template, response))
        called.add((method, template))
        return response.json()

    full = {
        "name": "Mug & saucer",
        "sku": "MUG",
        "regular_price": "12.50",
        "sale_price": "10.00",
        "description": "A mug.",
        "manage_stock": True,
        "stock_quantity": 20,
        "weight": "0.4",
        "dimensions": {"length": "10"},
        "images": [{"src": "https://example.com/mug.jpg"}],
        "attributes": [{"name": "Colour", "options": ["blue"], "visible": True}],
        "meta_data": [{"key": "_origin", "value": "attic"}],
        "global_unique_id": "4006381333931",
    }
    category = await check("POST", "/products/categories", "/products/categories", {"name": "Kitchen"}, 201)
    await check("GET", "/products/categories", "/products/categories")
    await check("GET", "/products/categories/{id}", f"/products/categories/{category['id']}")
    await check("POST", "/products/tags", "/products/tags", {"name": "blue"}, 201)
    full["categories"] = [{"id": category["id"]}]
    product = await check("POST", "/products", "/products", full, 201)
    await check("POST", "/products", "/products", full, 400)
    await check("POST", "/products", "/products", {"name": "x", "regular_price": 1}, 400)
    item = f"/products/{product['id']}"
    await check("GET", "/products", "/products?sku=MUG", status=200)
    await check("GET", "/products", "/products?per_page=1000", status=400)
    await check("GET", "/products/{id}", item, status=200)
    await check("GET", "/products/{id}", "/products/999999", status=404)
    await check("PUT", "/products/{id}", item, {"regular_price": "13.00"}, 200)
    rows = {"create": [{"name": "a"}, full], "update": [{"id": product["id"], "stock_quantity": 9}], "delete": [999]}
    await check("POST", "/products/batch", "/products/batch", rows, 200)

    attributes = [{"name": "Size", "variation": True, "visible": True, "options": ["S", "M"]}]
    parent = await check(
        "POST", "/products", "/products", {"name": "Tee", "type": "variable", "attributes": attributes}
    )
    part, parts = "/products/{product_id}/variations", f"/products/{parent['id']}/variations"
    small = {"sku": "TEE-S", "regular_price": "9.00", "manage_stock": True, "stock_quantity": 5}
    small |= {"attributes": [{"name": "Size", "option": "S"}], "image": {"src": "https://example.com/s.jpg"}}
    made = await check("POST", part, parts, small, 201)
    await check("POST", part, parts, small, 400)
    await check("GET", part, parts, status=200)
    await check("GET", f"{part}/{{id}}", f"{parts}/{made['id']}", status=200)
    await check("GET", f"{part}/{{id}}", f"{parts}/424242", status=404)
    await check("PUT", f"{part}/{{id}}", f"{parts}/{made['id']}", {"stock_quantity": 4}, 200)
    await check("PUT", f"{part}/{{id}}", f"{parts}/424242", {"stock_quantity": 4}, 400)
    await check("PUT", f"{part}/{{id}}", f"{parts}/{made['id']}", {"manage_stock": "parent"}, 400)
    rows = {
        "create": [{"sku": "TEE-M"}, small],
        "update": [{"id": made["id"], "status": "private"}],
        "delete": [424242],
    }
    await check("POST", f"{part}/batch", f"{parts}/batch", rows, 200)
    await check("GET", "/products", "/products?sku=TEE-S", status=200)
    await check("GET", "/products/{id}", f"/products/{parent['id']}", status=200)
    await check("PUT", "/products/{id}", f"/products/{made['id']}", {"regular_price": "1"}, 404)
    await check("DELETE", f"{part}/{{id}}", f"{parts}/{made['id']}?force=true", status=200)
    await check("DELETE", "/products/{id}", f"/products/{parent['id']}?force=true", status=200)
    assert await check("GET", "/products", "/products?sku=TEE-M", status=200) == []

    bought = rig.sandbox.market.place("woo", "MUG", 3, BUYER)
    line = [{"product_id": product["id"], "quantity": 3, "total": "10.00"}]
    order = await check("POST", "/orders", "/orders", {"line_items": line, "set_paid": True}, 201)
    await check("GET", "/orders", "/orders", status=200)
    await check("GET", "/orders", "/orders?status=nonsense", status=400)
    await check("GET", "/orders/{id}", f"/orders/{bought.id}", status=200)
    await check("PUT", "/orders/{id}", f"/orders/{order['id']}", {"status": "completed"}, 200)
    await check("POST", "/orders/batch", "/orders/batch", {"update": [{"id": bought.id, "status": "completed"}]}, 200)
    refund = {"amount": "5.00", "line_items": [{"id": bought.lines[0].id, "quantity": 1, "refund_total": 5}]}
    refunds = f"/orders/{bought.id}/refunds"
    given = await check("POST", "/orders/{id}/refunds", refunds, refund, 201)
    await check("POST", "/orders/{id}/refunds", refunds, {"amount": "500.00"}, 500)
    await check("GET", "/orders/{id}/refunds", refunds, status=200)
    await check("GET", "/orders/{id}/refunds/{refund_id}", f"{refunds}/{given['id']}", status=200)
    await check("GET", "/orders/{id}", f"/orders/{bought.id}", status=200)
    await check("POST", "/orders/{id}/notes", f"/orders/{bought.id}/notes", {"note": "sent"}, 201)
    await check("GET", "/orders/{id}/notes", f"/orders/{bought.id}/notes", status=200)
    await check("DELETE", "/orders/{id}", f"/orders/{order['id']}?force=true", status=200)

    hook = {"name": "h", "topic": "order.updated", "delivery_url": listener.url, "secret": "s"}
    made = await check("POST", "/webhooks", "/webhooks", hook, 201)
    await check("POST", "/webhooks", "/webhooks", {"topic": "nonsense", "delivery_url": listener.url}, 400)
    await check("GET", "/webhooks", "/webhooks", status=200)
    await check("GET", "/webhooks/{id}", f"/webhooks/{made['id']}", status=200)
    await check("PUT", "/webhooks/{id}", f"/webhooks/{made['id']}", {"status": "paused"}, 200)
    await check("DELETE", "/webhooks/{id}", f"/webhooks/{made['id']}", status=501)
    await check("DELETE", "/webhooks/{id}", f"/webhooks/{made['id']}?force=true", status=200)

    await check("GET", "/settings/{id}", "/settings/general", status=200)
    await check("GET", "/settings/{group_id}/{id}", "/settings/general/woocommerce_currency", status=200)
    await check("GET", "/system_status", "/system_status", status=200)
    await check("GET", "/data/currencies", "/data/currencies", status=200)
    await check("GET", "/data/currencies/current", "/data/currencies/current", status=200)
    await check("DELETE", "/products/{id}", f"{item}?force=true", status=200)
    assert found == []
    assert len(called) >= 30
