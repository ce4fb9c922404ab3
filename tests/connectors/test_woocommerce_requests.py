"""Every request the connector makes is one WooCommerce documents; and what it does where shops differ from them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openapi_schema_validator import OAS30Validator
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, QuantityChange, Unlimited
from flipsync.connectors.marketplaces.woocommerce.client import WooCommerceConnector
from flipsync.domain.channel import Offer, OfferGroup, RefundOrder
from flipsync.domain.errors import Rejected, Retryable
from flipsync.domain.money import usd

_API = "/wp-json/wc/v3"
SECRET = SecretStr("s3cret")


class Contract:
    """Finds the documented call behind a request and says what is wrong with it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        # A fixed segment is a better match than a parameter: /products/batch is not a product.
        paths = sorted(document["paths"], key=lambda path: (path.count("{"), path))
        self.paths = [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for path in paths]

    def problems(self, request: httpx2.Request) -> list[str]:
        _, found, path = request.url.path.partition(_API)
        if not found:
            # WordPress's own index is below the API and described by nobody.
            return [] if request.method == "GET" and request.url.path.endswith("/wp-json/") else ["outside the API"]
        label = f"{request.method} {path}"
        for pattern, template in self.paths:
            operation = self.document["paths"][template].get(request.method.lower())
            if pattern.fullmatch(path) and operation is not None:
                return [f"{label}: {text}" for text in self._query(operation, request) + self._body(operation, request)]
        return [f"{label}: no such call"]

    def _query(self, operation: dict[str, Any], request: httpx2.Request) -> list[str]:
        known = {row["name"]: row for row in operation.get("parameters", []) if row["in"] == "query"}
        found = []
        for name, value in request.url.params.multi_items():
            if name.startswith("oauth_"):
                continue
            if (name, value) == ("context", "edit") and request.url.path.rpartition("/")[2].isdigit():
                continue  # documented of lists only; WordPress takes it for one thing just the same (get_context_param)
            if name not in known:
                found.append(f"no parameter {name}")
                continue
            schema = known[name]["schema"]
            typed: Any = value
            if schema.get("type") == "integer" and value.isdigit():
                typed = int(value)
            elif schema.get("type") == "boolean":
                typed = {"true": True, "false": False}.get(value, value)
            elif schema.get("type") == "array":
                typed = value.split(",")
            found += self._errors(schema, typed, name)
        return found

    def _body(self, operation: dict[str, Any], request: httpx2.Request) -> list[str]:
        if "requestBody" not in operation:
            return ["no body expected"] if request.content else []
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        return self._errors(schema, json.loads(request.content), "body")

    def _errors(self, schema: dict[str, Any], value: Any, where: str) -> list[str]:
        whole = {**copy.copy(schema), "components": self.document["components"]}
        return [f"{where}{e.json_path}: {e.message[:120]}" for e in OAS30Validator(whole).iter_errors(value)]


@pytest.fixture(scope="session")
def contract(woocommerce_document: Callable[[str], Any]) -> Contract:
    return Contract(woocommerce_document("wc-v3.openapi.derived.json"))


def test_the_check_can_say_no(contract: Contract) -> None:
    base = f"https://shop.test{_API}"
    wrong = [
        httpx2.Request("GET", f"{base}/nothing"),
        httpx2.Request("GET", f"{base}/orders?orderby=modified"),
        httpx2.Request("GET", f"{base}/orders?per_page=101"),
        httpx2.Request("GET", f"{base}/orders?colour=red"),
        httpx2.Request("PUT", f"{base}/products/5", json={"regular_price": 5}),
        httpx2.Request("PUT", f"{base}/products/5", json={"price": "5"}),
        httpx2.Request("POST", f"{base}/webhooks", json={"topic": "order.created"}),
        httpx2.Request("DELETE", f"{base}/products/5", json={}),
    ]
    for request in wrong:
        assert contract.problems(request), request.url


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": "LAMP-1",
        "title": "Lamp & shade",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "barcode": "4006381333931",
        "brand": "Lumen",
        "category": "Lighting",
        "images": ("https://img.example/lamp.jpg",),
        "weight_grams": 1250,
        "attributes": {"Color": "Brass"},
    }
    return Offer(**{**fields, **changes})


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_every_request_is_documented(contract: Contract, open_channel: Any, scheme: str) -> None:
    channel = open_channel("woocommerce", scheme=scheme)
    connector = channel.connector
    await connector.probe()
    made = await connector.publish(offer(), "k1")
    await connector.set_price(made.external_id, usd("21.00"), "k2")
    await connector.set_quantity(made.external_id, 7, "k3")
    await connector.revise(made.external_id, offer(images=("https://img.example/2.jpg",)), "k4")
    assert [state async for state in connector.listings()]
    order_id = channel.sell("LAMP-1", 2)
    line = (await connector.read_order(order_id)).lines[0]
    give_back(channel, order_id, line.external_id, 1, restock=True)
    assert [order async for order in connector.orders(made.modified_at)]
    await connector.confirm_shipment(order_id, "UPS", "1Z999", "k5")
    await connector.tell_buyer(order_id, "Black & white <b>tea</b> is gone")
    assert await connector.was_told(order_id, "Black & white <b>tea</b> is gone")
    await connector.ensure_webhooks("http://listener.test/hook", SECRET)
    channel.sandbox.books.db.execute("UPDATE webhook SET status = 'disabled'")
    await connector.ensure_webhooks("http://listener.test/hook", SECRET)
    await connector.end(made.external_id, "k6")
    await connector.publish(offer(), "k7")
    group = OfferGroup(key="TEE", title="Tee", options=("Size",), values={"Size": ("S", "M")})
    for size in ("S", "M", "L"):
        part = await connector.publish(offer(sku=f"TEE-{size}", group=group, choices=(size,)), f"k-{size}")
    await connector.revise(part.external_id, offer(group=group, choices=("XL",)), "k8")
    await connector.set_price(part.external_id, usd("9.00"), "k9")
    await connector.set_quantities([QuantityChange(made.external_id, 3, "k"), QuantityChange(part.external_id, 4, "k")])
    await connector.end(part.external_id, "k10")
    await connector.publish(offer(sku="TEE-L", group=group, choices=("XL",)), "k11")
    requests = channel.tap.requests
    assert [text for request in requests for text in contract.problems(request)] == []
    calls = {(request.method, re.sub(r"\d+", "N", request.url.path.partition(_API)[2])) for request in requests}
    assert {
        ("GET", "/products"),
        ("POST", "/products"),
        ("GET", "/products/N"),
        ("PUT", "/products/N"),
        ("GET", "/orders"),
        ("GET", "/orders/N"),
        ("PUT", "/orders/N"),
        ("GET", "/orders/N/refunds"),
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("PUT", "/webhooks/N"),
        ("POST", "/products/batch"),
        ("GET", "/settings/general"),
        ("GET", "/products/N/variations"),
        ("POST", "/products/N/variations"),
        ("GET", "/products/N/variations/N"),
        ("PUT", "/products/N/variations/N"),
        ("POST", "/products/N/variations/batch"),
    } <= calls
    signed = [request for request in requests if not request.url.path.endswith("/wp-json/")]
    nonces = [request.url.params.get("oauth_nonce") for request in signed]
    if scheme == "http":
        assert len(set(nonces)) == len(signed) and not any("authorization" in r.headers for r in signed)
    else:
        assert set(nonces) == {None} and all(r.headers["authorization"].startswith("Basic ") for r in signed)


def give_back(channel: Any, order_id: str, line_id: str, units: int, *, restock: bool) -> None:
    """The merchant refunds units of a line by hand."""
    books = channel.sandbox.books
    with books.transaction():
        order = books.order(int(order_id))
        channel.sandbox.market.orders.refund(order, {int(line_id): (units, 100)}, 100, "", restock=restock)
        books.save_order(order)


async def test_refunds_come_with_their_lines(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    connector = channel.connector
    await connector.publish(offer(), "k1")
    order_id = channel.sell("LAMP-1", 3)
    line = (await connector.read_order(order_id)).lines[0].external_id
    give_back(channel, order_id, line, 2, restock=True)
    order = await connector.read_order(order_id)
    (refund,) = order.refunds
    assert (refund.amount, refund.restocked, order.holds_stock) == (usd("1.00"), {line: 2}, True)


async def test_an_order_that_was_binned_is_told_of(open_channel: Any) -> None:
    """The list leaves the bin out, and nothing else would ever say that nobody waits for the goods any more."""
    channel = open_channel("woocommerce")
    made = await channel.connector.publish(offer(), "k1")
    gone, cancelled, kept = (channel.sell("LAMP-1") for _ in range(3))
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.orders.update(int(cancelled), {"status": "cancelled"})
        for order_id in (gone, cancelled):
            channel.sandbox.woo.orders.remove(int(order_id), force=False)
    told = {order.external_id: order async for order in channel.connector.orders(made.modified_at)}
    seen = {order_id: (told[order_id].vendor_status, told[order_id].holds_stock) for order_id in told}
    assert seen == {gone: ("trash", True), cancelled: ("trash", False), kept: ("processing", True)}


async def test_money_that_the_shop_cannot_give_back_is_refused(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    await channel.connector.publish(offer(), "k1")
    order_id = channel.sell("LAMP-1")
    wish = RefundOrder(order_external_id=order_id, amount=usd("5.00"), reason="late", reference="R1")
    much = wish.model_copy(update={"amount": usd("500.00")})
    with pytest.raises(Rejected, match="Invalid refund amount") as refused:
        await channel.connector.issue_refund(much, "k2")
    assert "do it in the shop" in refused.value.hint
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.orders.update(int(order_id), {"payment_method": "cod"})
    with pytest.raises(Rejected, match="payment gateway"):
        await channel.connector.issue_refund(wish, "k3")
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.orders.update(int(order_id), {"payment_method": "stripe"})
    assert await channel.connector.issue_refund(wish, "k4")
    assert [refund.amount for refund in (await channel.connector.read_order(order_id)).refunds] == [usd("5.00")]


def requests_of(channel: Any, method: str) -> list[dict[str, Any]]:
    return [json.loads(r.content) for r in channel.tap.requests if r.method == method and r.content]


async def test_images_are_sent_again_only_when_they_change(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    made = await channel.connector.publish(offer(), "k1")
    await channel.connector.revise(made.external_id, offer(title="New"), "k2")
    await channel.connector.revise(made.external_id, offer(images=("https://img.example/2.jpg",)), "k3")
    await channel.connector.revise(made.external_id, offer(images=(), description_html="", attributes={}), "k4")
    sent = requests_of(channel, "PUT")
    assert ["images" in body for body in sent] == [False, True, False]
    # What an offer leaves open is not taken from the shop.
    assert "description" not in sent[2]
    assert all("regular_price" not in body and "stock_quantity" not in body for body in sent)


async def test_an_existing_category_is_used_and_none_is_made(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    with channel.sandbox.books.transaction():
        category = channel.sandbox.woo.products.terms._insert("categories", "Lighting", "lighting", 0)
    await channel.connector.publish(offer(), "k1")
    await channel.connector.publish(offer(sku="B", category="Unheard of", barcode=None), "k2")
    first, second = requests_of(channel, "POST")
    assert first["categories"] == [{"id": category}] and "categories" not in second


async def test_a_sku_in_the_bin_is_explained(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    connector = channel.connector
    made = await connector.publish(offer(barcode=None), "k1")
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.products.remove(int(made.external_id), force=False)
    assert await connector.find_listing("LAMP-1") is None
    trashed = await connector.read_listing(made.external_id)
    assert trashed is not None and trashed.status == "ended"
    with pytest.raises(Rejected) as refused:
        await connector.publish(offer(barcode=None), "k2")
    assert "bin" in refused.value.hint


async def test_one_barcode_on_two_listings(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    await channel.connector.publish(offer(), "k1")
    used = await channel.connector.publish(offer(sku="LAMP-1-USED", title="Lamp, used"), "k2")
    assert (used.sku, used.status) == ("LAMP-1-USED", "active")
    assert ["global_unique_id" in body for body in requests_of(channel, "POST")] == [True, True, False]


async def test_an_old_repeat_does_not_put_an_ended_listing_back_on_sale(open_channel: Any) -> None:
    connector = open_channel("woocommerce").connector
    made = await connector.publish(offer(), "k1")
    await connector.end(made.external_id, "k2")
    assert (await connector.publish(offer(), "k1")).status == "ended"
    assert (await connector.publish(offer(), "k3")).status == "active"


async def test_a_price_replaces_the_sale_price(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.products.update(int(made.external_id), {"sale_price": "10.00"})
    assert (await connector.read_listing(made.external_id)).price == usd("10.00")
    assert (await connector.set_price(made.external_id, usd("19.90"), "k2")).price == usd("19.90")


async def test_unpaid_and_cancelled_orders_are_not_shipped(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    await channel.connector.publish(offer(), "k1")
    for status in ("pending", "cancelled", "failed", "refunded"):
        order_id = channel.sell("LAMP-1")
        with channel.sandbox.books.transaction():
            channel.sandbox.woo.orders.update(int(order_id), {"status": status})
        with pytest.raises(Rejected) as refused:
            await channel.connector.confirm_shipment(order_id, "UPS", "1Z", "k2")
        assert refused.value.vendor_code == "status"
        assert (await channel.connector.read_order(order_id)).vendor_status == status


async def test_webhooks_are_left_alone_when_nothing_differs(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    url = "http://listener.test/hook"
    first = await channel.connector.ensure_webhooks(url, SECRET)
    writes = [r for r in channel.tap.requests if r.method != "GET"]
    assert await channel.connector.ensure_webhooks(url, SECRET) == first
    assert [r for r in channel.tap.requests if r.method != "GET"] == writes
    # A new secret is noticed although no answer shows it; a doubled subscription goes.
    extra = {"topic": "order.created", "delivery_url": url, "secret": "x"}
    with channel.sandbox.books.transaction():
        channel.sandbox.woo.hooks.create(extra)
    assert await channel.connector.ensure_webhooks(url, SecretStr("new")) == first
    secrets = channel.sandbox.books.db.execute("SELECT secret FROM webhook").fetchall()
    assert secrets == [("new",)] * len(first)
    deleted = [r for r in channel.tap.requests if r.method == "DELETE"]
    assert [r.url.params["force"] for r in deleted] == ["true"]


async def test_webhooks_we_no_longer_want_are_taken_back_and_others_stay(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    url = "http://listener.test/hook"
    kept = {"name": "Mine", "topic": "product.updated", "delivery_url": url}
    other = {"name": "FlipSync product.updated 1", "topic": "product.updated", "delivery_url": "http://other.test/"}
    with channel.sandbox.books.transaction():
        for body in ({**kept, "name": "FlipSync product.updated 0123abcd"}, kept, other):
            channel.sandbox.woo.hooks.create({"secret": "x", **body})
    first = await channel.connector.ensure_webhooks(url, SECRET)
    assert "product.updated" not in {hook.topic for hook in first}
    names = [row[0] for row in channel.sandbox.books.db.execute("SELECT name FROM webhook WHERE topics LIKE '%upd%'")]
    assert sorted(name for name in names if "product" in name or name == "Mine") == [other["name"], "Mine"]


async def test_orders_do_not_wait_behind_what_we_wrote_ourselves(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    made = [await channel.connector.publish(offer(sku=f"S{n}"), f"k{n}") for n in range(30)]
    await channel.connector.ensure_webhooks("http://listener.test/hook", SECRET)
    await channel.connector.set_quantities([QuantityChange(state.external_id, 7, state.sku) for state in made])
    channel.sell("S3")
    waiting = channel.sandbox.books.db.execute("SELECT topic FROM delivery ORDER BY due_s, id").fetchall()
    assert {topic.partition(".")[0] for (topic,) in waiting} == {"order"}


class Variations:
    """A shop with one variable product, as the official documents show it."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        rows = load("wc-v3.examples.json")["examples"]

        def body(title: str, path: str) -> Any:
            return next(r["response_body"] for r in rows if r["title"] == title and r["path"].endswith(path))

        self.parent = {**body("Retrieve a product", "/products/<id>"), "type": "variable", "sku": "SHIRT"}
        row = body("Retrieve a product variation", "/variations/<id>")
        self.rows = {
            733: {**row, "id": 733, "sku": "SHIRT-1", "manage_stock": True, "stock_quantity": 4},
            734: {**row, "id": 734, "sku": "SHIRT", "manage_stock": "parent", "stock_quantity": 9},
            735: {**row, "id": 735, "sku": "SHIRT", "manage_stock": "parent", "stock_quantity": 9},
        }
        self.requests: list[httpx2.Request] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        path = request.url.path.partition(_API)[2]
        parent = f"/products/{self.parent['id']}"
        if path == "/products":
            sku = request.url.params.get("sku")
            child = {**self.rows[733], "type": "variation", "parent_id": self.parent["id"], "name": "Shirt - M"}
            found = [row for row in (self.parent, child) if row["sku"] == sku] if sku else [self.parent]
            return httpx2.Response(200, json=found, headers={"X-WP-Total": str(len(found))})
        if path == parent:
            return httpx2.Response(200, json=self.parent)
        if path == f"{parent}/variations":
            return httpx2.Response(200, json=list(self.rows.values()), headers={"X-WP-Total": str(len(self.rows))})
        match = re.fullmatch(rf"{parent}/variations/(\d+)", path)
        row = self.rows.get(int(match.group(1))) if match else None
        if row is None:
            status = 400 if request.method == "PUT" else 404
            error = {"code": "woocommerce_rest_product_variation_invalid_id", "message": "Invalid ID."}
            return httpx2.Response(status, json={**error, "data": {"status": status}})
        if request.method == "PUT":
            row.update(json.loads(request.content))
            row["price"] = row["sale_price"] or row["regular_price"]
        return httpx2.Response(200, json=row)

    def connector(self) -> WooCommerceConnector:
        config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
        keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
        return WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(self.answer))


async def test_variations_are_listed_read_priced_and_stocked(
    contract: Contract, woocommerce_document: Callable[[str], Any]
) -> None:
    shop = Variations(woocommerce_document)
    parent = shop.parent["id"]
    connector = shop.connector()
    seen = [state async for state in connector.listings()]
    assert [(s.external_id, s.sku, s.quantity) for s in seen] == [
        (f"{parent}/733", "SHIRT-1", 4),
        (f"{parent}/734", "", 9),
        (f"{parent}/735", "", 9),
    ]
    assert await connector.find_listing("SHIRT-1") == seen[0]
    assert await connector.find_listing("SHIRT") is None  # a variable product is not for sale itself
    assert await connector.read_listing(f"{parent}/734") == seen[1]
    assert await connector.read_listing(f"{parent}/999") is None
    priced = await connector.set_price(f"{parent}/734", usd("30.00"), "k1")
    assert (priced.price, priced.external_id) == (usd("30.00"), f"{parent}/734")
    stocked = await connector.set_quantity(f"{parent}/734", 2, "k2")
    assert stocked.quantity == 2 and shop.rows[734]["manage_stock"] is True
    assert shop.rows[735]["stock_quantity"] == 9
    await connector.revise(f"{parent}/734", offer(), "k3")
    await connector.end(f"{parent}/734", "k4")
    assert (await connector.read_listing(f"{parent}/734")).status == "ended"  # type: ignore[union-attr]
    with pytest.raises(Rejected) as refused:
        await connector.set_price(f"{parent}/999", usd("1.00"), "k5")
    assert refused.value.missing and refused.value.vendor_status == 400
    assert [text for request in shop.requests for text in contract.problems(request)] == []


async def test_a_sku_that_is_taken_but_not_shown_is_tried_again() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[])
        error = {"code": "product_invalid_sku", "message": "Invalid or duplicated SKU.", "data": {"status": 400}}
        return httpx2.Response(400, json=error)

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    with pytest.raises(Retryable) as again:
        await connector.publish(offer(weight_grams=None, category=None), "k1")
    assert again.value.vendor_code == "product_invalid_sku"


@pytest.mark.parametrize("row", [{"sku": "lamp-1"}, {"sku": "LAMP-1", "type": "variable"}])
async def test_a_sku_that_something_else_has_is_a_refusal_that_names_it(row: dict[str, Any]) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[{"id": 12, "name": "Old lamp", **row}])
        error = {"code": "product_invalid_sku", "message": "Invalid or duplicated SKU.", "data": {"status": 400}}
        return httpx2.Response(400, json=error)

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    with pytest.raises(Rejected) as refused:
        await connector.publish(offer(weight_grams=None, category=None), "k1")
    assert "product 12" in refused.value.hint and row["sku"] in refused.value.hint


async def test_an_image_the_shop_could_not_fetch_is_explained() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[])
        error = {"code": "woocommerce_product_image_upload_error", "message": "Error getting remote image."}
        return httpx2.Response(400, json=error)

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    with pytest.raises(Rejected) as refused:
        await connector.publish(offer(weight_grams=None, category=None), "k1")
    assert "address" in refused.value.hint


async def test_another_currency_is_refused_before_it_is_sent(open_channel: Any) -> None:
    channel = open_channel("woocommerce")
    made = await channel.connector.publish(offer(), "k1")
    count = len(channel.tap.requests)
    euro = usd("5.00").model_copy(update={"currency": "EUR"})
    with pytest.raises(Rejected, match="sells in USD"):
        await channel.connector.set_price(made.external_id, euro, "k2")
    with pytest.raises(Rejected, match="sells in USD"):
        await channel.connector.publish(offer(sku="EURO", price=euro), "k3")
    assert len(channel.tap.requests) == count
