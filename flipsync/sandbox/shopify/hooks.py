"""Webhook subscriptions, and deliveries as Shopify words and signs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from flipsync.sandbox.books import Change
from flipsync.sandbox.records import Listing, Order, Refund
from flipsync.sandbox.shopify.orders import Orders, financial_status, fulfilled, fulfillment_status, parts_of
from flipsync.sandbox.shopify.shop import InputRefused, Row, Shop, gid, item_id, keyed_page, number, stamp
from flipsync.sandbox.webhooks import Pending, Subscription

_API_VERSION = "2026-10"


class Hooks:
    """Resolvers of webhook subscriptions; topics, bodies and signatures of deliveries."""

    def __init__(self, shop: Shop, orders: Orders, client_secret: str) -> None:
        self.shop = shop
        self.orders = orders
        self._secret = client_secret
        self._rows = shop.webhooks.subscriptions
        shop.webhooks.topic["shopify"] = self.topics
        shop.webhooks.render["shopify"] = self.render
        shop.webhooks.sign["shopify"] = self.sign

    # Subscriptions

    def _active(self) -> list[Subscription]:
        return self._rows.find("channel = ? AND status = 'active' ORDER BY id", (self.shop.channel,))

    def subscriptions(self, info: Any, **given: Any) -> Row:
        rows = self._active()
        if given.get("topics"):
            rows = [row for row in rows if topic_enum(row.topics[0]) in given["topics"]]
        if given.get("uri"):
            rows = [row for row in rows if row.url == given["uri"]]
        return keyed_page(rows, given.get("first"), given.get("after"), self._view, lambda row: [row.id])

    def create(self, info: Any, topic: str, webhookSubscription: Row) -> Row:  # noqa: N803
        url = webhookSubscription.get("uri") or ""
        self._require_address(url)
        name = topic_name(topic)
        if any(row.url == url and row.topics == (name,) for row in self._active()):
            message = "Address for this topic has already been taken"
            raise InputRefused("", ("webhookSubscription", "uri"), message)
        self.shop.books.db.execute(
            "DELETE FROM webhook WHERE channel = ? AND url = ? AND topics = ?",
            (self.shop.channel, url, json.dumps([name])),
        )
        now = self.shop.books.clock.now_ms()
        row = Subscription(
            id=self.shop.books.next_id(),
            channel=self.shop.channel,
            name=_settings(webhookSubscription, {}),
            topics=(name,),
            url=url,
            secret="",
            status="active",
            failures=0,
            created_ms=now,
            modified_ms=now,
        )
        self._rows.save(row)
        return {"webhookSubscription": self._view(row), "userErrors": []}

    def update(self, info: Any, id: str, webhookSubscription: Row) -> Row:  # noqa: N803
        row = self._find(id)
        url = webhookSubscription.get("uri") or row.url
        self._require_address(url)
        settings = _settings(webhookSubscription, json.loads(row.name))
        changed = replace(row, url=url, name=settings, modified_ms=self.shop.books.clock.now_ms())
        self._rows.save(changed)
        return {"webhookSubscription": self._view(changed), "userErrors": []}

    def delete(self, info: Any, id: str) -> Row:
        self._rows.delete(self._find(id).id)
        return {"deletedWebhookSubscriptionId": id, "userErrors": []}

    def _find(self, subscription_id: str) -> Subscription:
        wanted = number(subscription_id, "WebhookSubscription")
        row = next((row for row in self._active() if row.id == wanted), None)
        if row is None:
            raise InputRefused("", ("id",), "Webhook subscription does not exist")
        return row

    @staticmethod
    def _require_address(url: str) -> None:
        # Shopify takes https alone; listeners of a sandbox on the same machine have no certificate.
        if urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).netloc:
            raise InputRefused("", ("webhookSubscription", "uri"), "Address is invalid")

    def _view(self, row: Subscription) -> Row:
        settings = json.loads(row.name)
        return {
            "id": gid("WebhookSubscription", row.id),
            "legacyResourceId": str(row.id),
            "topic": topic_enum(row.topics[0]),
            "uri": row.url,
            "format": settings["format"],
            "filter": settings["filter"] or None,
            "includeFields": settings["includeFields"],
            "createdAt": stamp(row.created_ms),
            "updatedAt": stamp(row.modified_ms),
        }

    # Deliveries

    def topics(self, change: Change) -> tuple[str, ...]:
        if change.resource == "listing":
            if change.event == "deleted":
                return ()  # a variant that is gone: its product's other variants tell
            listing = self.shop.variant(change.id)
            moved = listing is not None and self._stock_moved(listing)
            product = f"products/{'create' if change.event == 'created' else 'update'}"
            return (product, "inventory_levels/update") if moved else (product,)
        if change.event == "created":
            return ("orders/create",)
        order = self.shop.books.order(change.id)
        names = ["orders/updated"]
        if order is not None and order.status == "cancelled":
            names.append("orders/cancelled")
        if order is not None and order.refunds and order.refunds[-1].created_ms == order.modified_ms:
            names.append("refunds/create")
        return tuple(names)

    def _stock_moved(self, listing: Listing) -> bool:
        row = self.shop.books.db.execute(
            "SELECT max(at_ms) FROM stock_change WHERE listing_id = ?", (listing.id,)
        ).fetchone()
        return bool(row[0] == listing.modified_ms)

    def render(self, topic: str, resource_id: str) -> bytes:
        """A body in the shape of the old REST resources."""
        body: Row = {}
        if topic.startswith(("orders/", "refunds/")):
            order = self.shop.books.order(int(resource_id))
            if order is not None:
                body = self._order_body(order) if topic.startswith("orders/") else self._refund_body(order)
        else:
            listing = self.shop.variant(int(resource_id))
            if listing is not None:
                body = self._product_body(listing) if topic.startswith("products/") else self._level_body(listing)
        return json.dumps(body).encode()

    def _order_body(self, order: Order) -> Row:
        refunds = self.orders.refunds_of(order)
        refunded = sum(refund.amount_minor for refund in refunds)
        ship_to = order.doc["ship_to"]
        sent = fulfillment_status(order)
        return {
            "id": order.id,
            "admin_graphql_api_id": gid("Order", order.id),
            "name": f"#{order.id}",
            "order_number": order.id,
            "created_at": stamp(order.placed_ms),
            "updated_at": stamp(order.modified_ms),
            "cancelled_at": stamp(order.modified_ms) if order.status == "cancelled" else None,
            "currency": order.currency,
            "test": bool(order.doc.get("test", False)),
            "confirmed": True,
            "financial_status": financial_status(order, refunded).lower(),
            "fulfillment_status": {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial"}.get(sent),
            "total_price": self.shop.amount(order.total_minor),
            "total_tax": self.shop.amount(0),
            "email": ship_to["email"],
            "shipping_address": {"name": ship_to["name"], "address1": ship_to["line1"], "city": ship_to["city"]},
            "line_items": [
                {
                    "id": line.id,
                    "admin_graphql_api_id": gid("LineItem", line.id),
                    "variant_id": line.listing_id,
                    "sku": line.sku,
                    "title": line.title,
                    "quantity": line.quantity,
                    "price": self.shop.amount(line.total_minor // line.quantity),
                    "fulfillment_status": "fulfilled" if fulfilled(order, line) else None,
                }
                for line in order.lines
            ],
            "refunds": [self._refund_row(order, refund) for refund in refunds],
        }

    def _refund_row(self, order: Order, refund: Refund) -> Row:
        return {
            "id": refund.id,
            "admin_graphql_api_id": gid("Refund", refund.id),
            "order_id": order.id,
            "created_at": stamp(refund.created_ms),
            "note": refund.reason,
            "refund_line_items": [
                {
                    "id": part.line.id,
                    "line_item_id": part.line.id,
                    "quantity": part.units,
                    "restock_type": part.restock_type.lower(),
                }
                for line in order.lines
                for part in parts_of(order, refund, line)
            ],
        }

    def _refund_body(self, order: Order) -> Row:
        return self._refund_row(order, order.refunds[-1])

    def _product_body(self, listing: Listing) -> Row:
        product = self.shop.product(listing.doc["product_id"])
        assert product is not None
        return {
            "id": product.id,
            "admin_graphql_api_id": gid("Product", product.id),
            "title": product.doc["title"],
            "handle": product.handle,
            "status": product.doc["status"].lower(),
            "vendor": product.doc["vendor"],
            "created_at": stamp(product.created_ms),
            "updated_at": stamp(max(product.modified_ms, listing.modified_ms)),
            "variants": [
                {
                    "id": row.id,
                    "admin_graphql_api_id": gid("ProductVariant", row.id),
                    "product_id": product.id,
                    "sku": row.sku,
                    "price": self.shop.amount(row.price_minor or 0),
                    "inventory_item_id": item_id(row.id),
                    "inventory_quantity": row.quantity or 0,
                    "updated_at": stamp(row.modified_ms),
                }
                for row in self.shop.variants(product.id)
            ],
        }

    def _level_body(self, listing: Listing) -> Row:
        place = self.shop.locations[0]["id"]
        return {
            "inventory_item_id": item_id(listing.id),
            "location_id": place,
            "available": listing.quantity,
            "updated_at": stamp(listing.modified_ms),
            "admin_graphql_api_id": (f"gid://shopify/InventoryLevel/{place}?inventory_item_id={item_id(listing.id)}"),
        }

    def sign(self, hook: Subscription, pending: Pending, body: bytes) -> dict[str, str]:
        digest = hmac.new(self._secret.encode(), body, hashlib.sha256).digest()
        return {
            "X-Shopify-Topic": pending.topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": self.shop.domain,
            "X-Shopify-API-Version": _API_VERSION,
            # The same for every try of one delivery.
            "X-Shopify-Webhook-Id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{hook.id}:{pending.delivery_key}")),
            "X-Shopify-Event-Id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{pending.topic}:{body.decode()}")),
            "X-Shopify-Triggered-At": stamp(self.shop.books.clock.now_ms()),
        }


def topic_name(topic: str) -> str:
    """ORDERS_CREATE is delivered as orders/create."""
    resource, _, event = topic.rpartition("_")
    return f"{resource.lower()}/{event.lower()}"


def topic_enum(name: str) -> str:
    return name.replace("/", "_").upper()


def _settings(body: Row, known: Row) -> str:
    """What a subscription is set to, kept as its name."""
    return json.dumps(
        {
            "format": body.get("format") or known.get("format", "JSON"),
            "filter": body["filter"] if body.get("filter") is not None else known.get("filter", ""),
            "includeFields": (
                body["includeFields"] if body.get("includeFields") is not None else known.get("includeFields", [])
            ),
        }
    )
