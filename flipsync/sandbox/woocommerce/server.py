"""The shop as an ASGI application: routes, key authentication, visits, webhook bodies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from flipsync.sandbox.books import Change
from flipsync.sandbox.exchange import Answer, Call, ChannelServer, Refusal, parse_object
from flipsync.sandbox.records import Channel, Listing
from flipsync.sandbox.woocommerce import wire
from flipsync.sandbox.woocommerce.about import About
from flipsync.sandbox.woocommerce.auth import ApiKey, KeyAuthentication
from flipsync.sandbox.woocommerce.grants import PAGE, Grants
from flipsync.sandbox.woocommerce.hooks import Hooks
from flipsync.sandbox.woocommerce.orders import Orders
from flipsync.sandbox.woocommerce.products import Products
from flipsync.sandbox.woocommerce.refunds import OrderDetails
from flipsync.sandbox.woocommerce.shop import Row, Shop
from flipsync.sandbox.woocommerce.terms import Terms
from flipsync.sandbox.woocommerce.variations import Variations

_API = "/wp-json/wc/v3"
_PRODUCT = re.compile(rf"{_API}/products/(\d+)(?:/variations/(\d+))?")
#: How long a read-then-write of stock lies open to others (seconds).
_READ_THEN_WRITE = 0.004


class WooCommerceShop(ChannelServer):
    """WooCommerce REST v3 below /wp-json/wc/v3, and the shop's front page, which is a visit."""

    channel: ClassVar[Channel] = "woo"

    def __init__(self, shop: Shop, keys: list[ApiKey]) -> None:
        super().__init__(shop.books, shop.faults)
        self.shop = shop
        self.authentication = KeyAuthentication(shop.books, keys)
        self.grants = Grants(self.authentication)
        self.about = About(shop)
        self.products = Products(shop, Terms(shop))
        self.variations = Variations(self.products)
        self.orders = Orders(shop)
        self.details = OrderDetails(shop, self.orders)
        self.hooks = Hooks(shop)
        shop.webhooks.render["woo"] = self.render
        shop.webhooks.topic["woo"] = _topic
        products, orders, details, hooks, terms = (
            self.products,
            self.orders,
            self.details,
            self.hooks,
            self.products.terms,
        )
        parts, part = self.variations, r"/products/(\d+)/variations"
        taxonomy = "/products/(categories|tags|brands)"
        table: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", "", self.about.namespace),
            ("GET", "/products", products.collection),
            ("POST", "/products", products.post),
            ("POST", "/products/batch", products.batch),
            ("GET", r"/products/(\d+)", products.get),
            ("PUT", r"/products/(\d+)", products.put),
            ("DELETE", r"/products/(\d+)", products.delete),
            ("GET", part, parts.collection),
            ("POST", part, parts.post),
            ("POST", rf"{part}/batch", parts.batch),
            ("GET", rf"{part}/(\d+)", parts.get),
            ("PUT", rf"{part}/(\d+)", parts.put),
            ("DELETE", rf"{part}/(\d+)", parts.delete),
            ("GET", taxonomy, terms.collection),
            ("POST", taxonomy, terms.post),
            ("GET", rf"{taxonomy}/(\d+)", terms.get),
            ("GET", "/orders", orders.collection),
            ("POST", "/orders", orders.post),
            ("POST", "/orders/batch", orders.batch),
            ("GET", r"/orders/(\d+)", orders.get),
            ("PUT", r"/orders/(\d+)", orders.put),
            ("DELETE", r"/orders/(\d+)", orders.delete),
            ("GET", r"/orders/(\d+)/refunds", details.list_refunds),
            ("POST", r"/orders/(\d+)/refunds", details.post_refund),
            ("GET", r"/orders/(\d+)/refunds/(\d+)", details.get_refund),
            ("GET", r"/orders/(\d+)/notes", details.list_notes),
            ("POST", r"/orders/(\d+)/notes", details.post_note),
            ("GET", "/webhooks", hooks.collection),
            ("POST", "/webhooks", hooks.post),
            ("POST", "/webhooks/batch", hooks.batch),
            ("GET", r"/webhooks/(\d+)", hooks.get),
            ("PUT", r"/webhooks/(\d+)", hooks.put),
            ("DELETE", r"/webhooks/(\d+)", hooks.delete),
            ("GET", "/settings/(general|products)", self.about.settings),
            ("GET", r"/settings/(general|products)/(\w+)", self.about.setting),
            ("GET", "/system_status", self.about.system_status),
            ("GET", "/data/currencies", self.about.currencies),
            ("GET", "/data/currencies/current", self.about.currency),
        ]
        self._routes = [(method, re.compile(f"{_API}{pattern}/?"), handler) for method, pattern, handler in table]

    def error(self, status: int, code: str, message: str) -> Answer:
        return wire.json_answer(wire.error_body(status, code, message), status)

    def can_be_ignored(self, call: Call) -> bool:
        return call.method in ("PUT", "POST") and _PRODUCT.fullmatch(call.path) is not None

    def current(self, call: Call) -> Answer:
        listing = self._written(call)
        if listing is None:
            return self.error(404, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        parent = self.books.listing(int(listing.doc.get("parent_id", 0)))
        if parent is not None:
            return wire.json_answer(self.variations.view(listing, parent))
        return wire.json_answer(self.products.view(listing, edit=True))

    async def prepare(self, call: Call) -> Call:
        """A request is a visit; then who calls; then the shop's unguarded reading of stock."""
        self.shop.webhooks.visit("woo")
        if call.path == PAGE:
            raise Refusal(await self.grants.answer(call))
        if not call.path.startswith(_API) or call.path.rstrip("/") == _API:
            return call
        self.authentication.check(call)  # signatures cover the method that was sent
        call = _tunnelled(call)
        body = self._read_before_write(call)
        if body is not None:
            await asyncio.sleep(_READ_THEN_WRITE)
            return replace(call, body=body)
        return call

    def _read_before_write(self, call: Call) -> bytes | None:
        if call.method != "PUT" or b'"inventory_delta"' not in call.body:
            return None
        fields, listing = parse_object(call.body), self._written(call)
        if fields is None or listing is None:
            return None
        return wire.php_json({**fields, "_read_quantity": listing.quantity or 0})

    def _written(self, call: Call) -> Listing | None:
        """The product or variation whose own address the call has."""
        match = _PRODUCT.fullmatch(call.path)
        return self.books.listing(int(match.group(2) or match.group(1))) if match else None

    def answer(self, call: Call) -> Answer:
        if call.path in ("", "/"):
            return Answer(200, b"<!doctype html><title>Sandbox shop</title>", media_type="text/html; charset=UTF-8")
        if call.path.rstrip("/") == "/wp-json":
            return self.about.index(call)
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(call.path) if method == call.method else None
            if match is not None:
                arguments = [int(part) if part.isdigit() else part for part in match.groups()]
                return handler(call, self._body(call), *arguments) if call.writes else handler(call, *arguments)
        message = "No route was found matching the URL and request method."
        raise wire.refusal(404, "rest_no_route", message)

    def _body(self, call: Call) -> Row:
        fields = parse_object(call.body)
        if fields is None:
            raise wire.refusal(400, "rest_invalid_json", "Invalid JSON body passed.")
        return fields

    def render(self, topic: str, resource_id: str) -> bytes:
        """The body of a webhook, built when it is sent: what the API would answer at that moment."""
        if topic.endswith(".deleted"):
            return wire.php_json({"id": int(resource_id)})
        try:
            if topic.startswith("order."):
                return wire.php_json(self.orders.view(self.orders.find(int(resource_id), 404)))
        except Refusal as refused:
            return refused.answer.body
        listing = self.books.listing(int(resource_id))
        if listing is None:
            return self.error(404, "woocommerce_rest_product_invalid_id", "Invalid ID.").body
        return wire.php_json(self.products.view(listing, edit=False))


def _tunnelled(call: Call) -> Call:
    """WordPress takes POST for PUT on an item, and a method in `_method`."""
    method = (call.first("_method") or call.headers.get("x-http-method-override") or call.method).upper()
    if call.method != "POST":
        return call
    if method == "POST" and re.fullmatch(rf"{_API}/(?:products|orders|webhooks)/\d+(?:/variations/\d+)?/?", call.path):
        method = "PUT"
    return replace(call, method=method)


def _topic(change: Change) -> str:
    return f"{'product' if change.resource == 'listing' else 'order'}.{change.event}"
