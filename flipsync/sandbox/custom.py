"""A marketplace that serves the custom-channel protocol (flipsync/connectors/marketplaces/custom/PROTOCOL.md)."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from flipsync.sandbox import custom_wire as wire
from flipsync.sandbox.books import Change
from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.exchange import Answer, Call, ChannelServer, Refusal
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.market import Market
from flipsync.sandbox.records import Channel, Listing, Order
from flipsync.sandbox.webhooks import Pending, Subscription, Webhooks

_KEY_SECONDS = 48 * 3600.0
_MAX_LIMIT = 200
_MAX_OFFER_SKUS = 50
_TIME = TypeAdapter[AwareDatetime](AwareDatetime)
_BodyT = TypeVar("_BodyT", bound=wire.Body)


class CustomChannel(ChannelServer):
    """The marketplace's API below /v1."""

    channel: ClassVar[Channel] = "custom"

    def __init__(self, market: Market, faults: Faults, webhooks: Webhooks, tokens: dict[str, bool]) -> None:
        """`tokens` maps a bearer token to whether it may write."""
        super().__init__(market.books, faults)
        self.market = market
        self.orders = market.orders
        self.currency = market.orders.currency
        self.subscriptions = webhooks.subscriptions
        self.tokens = tokens
        webhooks.render["custom"] = self.render
        webhooks.topic["custom"] = _topic
        webhooks.sign["custom"] = _sign
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            ("GET", re.compile(r"/v1/channel"), self._get_channel),
            ("GET", re.compile(r"/v1/listings"), self._list_listings),
            ("GET", re.compile(r"/v1/listings/([^/]+)"), self._get_listing),
            ("PUT", re.compile(r"/v1/listings/([^/]+)"), self._put_listing),
            ("DELETE", re.compile(r"/v1/listings/([^/]+)"), self._end_listing),
            ("PUT", re.compile(r"/v1/listings/([^/]+)/price"), self._put_price),
            ("PUT", re.compile(r"/v1/listings/([^/]+)/quantity"), self._put_quantity),
            ("GET", re.compile(r"/v1/orders"), self._list_orders),
            ("GET", re.compile(r"/v1/orders/([^/]+)"), self._get_order),
            ("POST", re.compile(r"/v1/orders/([^/]+)/shipment"), self._ship),
            ("POST", re.compile(r"/v1/orders/([^/]+)/refunds"), self._refund),
            ("GET", re.compile(r"/v1/offers"), self._offers),
            ("GET", re.compile(r"/v1/webhooks"), self._list_webhooks),
            ("PUT", re.compile(r"/v1/webhooks/([^/]+)"), self._put_webhook),
        ]

    # ChannelServer

    def error(self, status: int, code: str, message: str) -> Answer:
        body = {
            "type": f"urn:flipsync:custom-channel:{code}",
            "title": code.replace("_", " "),
            "status": status,
            "detail": message,
            "code": code,
        }
        return Answer(status, wire.encode(body), media_type="application/problem+json")

    def _refuse(self, status: int, code: str, message: str) -> Refusal:
        return Refusal(self.error(status, code, message))

    def can_be_ignored(self, call: Call) -> bool:
        return call.method == "PUT" and call.path.startswith("/v1/listings/")

    def current(self, call: Call) -> Answer:
        listing = self.books.listing_by_sku("custom", unquote(call.path.split("/")[3]))
        if listing is None:
            return self.error(404, "not_found", "There is no such listing.")
        return self._listing(listing)

    def render(self, topic: str, resource_id: str) -> bytes:
        """The body of a webhook: the order or the listing."""
        if topic.startswith("order."):
            order = self.books.order(int(resource_id))
            return wire.encode(wire.order_view(order)) if order else b"{}"
        listing = self.books.listing(int(resource_id))
        return wire.encode(wire.listing_view(listing, self.currency)) if listing else b"{}"

    def answer(self, call: Call) -> Answer:
        self._authorize(call)
        known = False
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(call.path)
            if match is None:
                continue
            known = True
            if method == call.method:
                arguments = [unquote(part) for part in match.groups()]
                return self._once(call, handler, arguments) if call.writes else handler(call, *arguments)
        if known:
            raise self._refuse(405, "method_not_allowed", "The resource has no such method.")
        raise self._refuse(404, "not_found", "There is no such resource.")

    def _authorize(self, call: Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token.strip() not in self.tokens:
            raise self._refuse(401, "unauthorized", "The token is unknown or expired.")
        if call.writes and not self.tokens[token.strip()]:
            raise self._refuse(403, "forbidden", "The token may not write.")

    def _once(self, call: Call, handler: Callable[..., Answer], arguments: list[str]) -> Answer:
        """Answer a repeated key with the first answer; only what took effect is remembered."""
        key = call.headers.get("idempotency-key", "")
        if not key or len(key) > 255:
            raise self._refuse(400, "key_required", "Every write carries an Idempotency-Key of at most 255 characters.")
        fingerprint = hashlib.sha256(b"\0".join((call.method.encode(), call.path.encode(), call.body))).hexdigest()
        db = self.books.db
        db.execute("DELETE FROM idempotency WHERE key = ? AND at_s < ?", (key, time.time() - _KEY_SECONDS))
        row = db.execute("SELECT fingerprint, status, body FROM idempotency WHERE key = ?", (key,)).fetchone()
        if row is not None:
            if row[0] != fingerprint:
                raise self._refuse(409, "key_reused", "This Idempotency-Key was used with another request.")
            return Answer(row[1], row[2], {"Idempotent-Replay": "true"})
        answer = handler(call, *arguments)
        db.execute(
            "INSERT INTO idempotency VALUES (?,?,?,?,?)", (key, fingerprint, answer.status, answer.body, time.time())
        )
        return answer

    def _parse(self, call: Call, model: type[_BodyT]) -> _BodyT:
        try:
            return model.model_validate_json(call.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            raise self._refuse(422, "invalid", f"{where}: {first['msg']}") from error

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        return Answer(status, wire.encode(value), headers or {})

    def _listing(self, listing: Listing, status: int = 200, **more: int | None) -> Answer:
        view = wire.listing_view(listing, self.currency) | more
        return self._json(view, status, {"ETag": f'"{listing.stock_version}"'})

    # Channel and listings

    def _get_channel(self, call: Call) -> Answer:
        token = call.headers["authorization"].partition(" ")[2].strip()
        return self._json(
            {
                "name": "Sandbox marketplace",
                "version": "1",
                "currency": self.currency,
                "timezone": "UTC",
                "can_write": self.tokens[token],
            }
        )

    def _find(self, sku: str) -> Listing:
        listing = self.books.listing_by_sku("custom", sku)
        if listing is None:
            raise self._refuse(404, "not_found", "There is no such listing.")
        return listing

    def _get_listing(self, call: Call, sku: str) -> Answer:
        listing = self._find(sku)
        age = self.faults.stale_age("custom")
        older = self.books.listing_as_of(listing, age) if age else listing
        if older is None:
            raise self._refuse(404, "not_found", "There is no such listing.")
        return self._listing(older)

    def _page(self, call: Call) -> tuple[tuple[int, int], int]:
        """Place and limit of a list call."""
        try:
            limit = int(call.first("limit") or 50)
            place = wire.read_cursor(call.first("cursor") or "") if call.first("cursor") else (-1, -1)
        except (ValueError, UnicodeDecodeError) as error:
            raise self._refuse(422, "invalid", "cursor or limit cannot be read.") from error
        if not 1 <= limit <= _MAX_LIMIT:
            raise self._refuse(422, "invalid", f"limit is between 1 and {_MAX_LIMIT}.")
        return place, limit

    def _list_listings(self, call: Call) -> Answer:
        (_, after_id), limit = self._page(call)
        rows = self.books.listings("channel = 'custom' AND id > ? ORDER BY id LIMIT ?", (after_id, limit + 1))
        page = rows[:limit]
        age = self.faults.stale_age("custom")
        shown = [older for row in page if (older := self.books.listing_as_of(row, age) if age else row) is not None]
        more = wire.cursor(0, page[-1].id) if len(rows) > limit else None
        return self._json({"items": [wire.listing_view(row, self.currency) for row in shown], "next_cursor": more})

    def _put_listing(self, call: Call, sku: str) -> Answer:
        body = self._parse(call, wire.ListingBody)
        if not sku or len(sku) > 100:
            raise self._refuse(422, "invalid", "sku: 1 to 100 characters")
        listing = self.books.listing_by_sku("custom", sku)
        if listing is None or (listing.status == "ended" and body.price is not None and body.quantity is not None):
            return self._create(call, sku, body, listing)
        if body.price is not None or body.quantity is not None:
            raise self._refuse(422, "invalid", "price and quantity of an existing listing have their own calls.")
        listing.title = body.title
        listing.doc = {**listing.doc, **body.descriptive()}
        self.books.save_listing(listing)
        return self._listing(listing)

    def _create(self, call: Call, sku: str, body: wire.ListingBody, ended: Listing | None) -> Answer:
        if body.price is None or body.quantity is None:
            raise self._refuse(422, "invalid", "A new listing needs price and quantity.")
        price_minor = self._price(body.price.amount_minor, body.price.currency)
        key = call.headers["idempotency-key"]
        if ended is not None:
            relisted = replace(
                ended, status="active", title=body.title, price_minor=price_minor, doc=body.descriptive()
            )
            self.books.save_listing(relisted)
            self.books.set_stock(relisted, body.quantity, "relisted", key)
            return self._listing(relisted, 201)
        now = self.books.clock.now_ms()
        listing = Listing(
            id=self.books.next_id(),
            channel="custom",
            sku=sku,
            title=body.title,
            status="active",
            price_minor=price_minor,
            quantity=body.quantity,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc=body.descriptive(),
        )
        self.books.add_listing(listing, key)
        return self._listing(listing, 201)

    def _price(self, amount_minor: int, currency: str) -> int:
        if currency != self.currency:
            raise self._refuse(422, "currency", f"This channel sells in {self.currency}.")
        if amount_minor <= 0:
            raise self._refuse(422, "invalid", "price: must be above zero")
        return amount_minor

    def _put_price(self, call: Call, sku: str) -> Answer:
        price = self._parse(call, wire.PriceBody).price
        listing = self._find(sku)
        listing.price_minor = self._price(price.amount_minor, price.currency)
        self.books.save_listing(listing)
        return self._listing(listing)

    def _put_quantity(self, call: Call, sku: str) -> Answer:
        quantity = self._parse(call, wire.QuantityBody).quantity
        listing = self._find(sku)
        expected = call.headers.get("if-match")
        if expected is not None and expected.strip() not in ("*", f'"{listing.stock_version}"'):
            raise self._refuse(412, "version", f"The stock version is {listing.stock_version} now.")
        before = listing.quantity
        self.books.set_stock(listing, quantity, "set by seller", call.headers["idempotency-key"])
        return self._listing(listing, quantity_before=before)

    def _end_listing(self, call: Call, sku: str) -> Answer:
        listing = self._find(sku)
        if listing.status != "ended":
            listing.status = "ended"
            self.books.save_listing(listing)
        return Answer(204, b"")

    # Orders and rivals

    def _order_number(self, text: str) -> int:
        if not re.fullmatch(r"o\d{1,15}", text):
            raise self._refuse(404, "not_found", "There is no such order.")
        return int(text[1:])

    def _find_order(self, text: str) -> Order:
        order = self.books.order(self._order_number(text))
        if order is None or order.channel != "custom":
            raise self._refuse(404, "not_found", "There is no such order.")
        return order

    def _list_orders(self, call: Call) -> Answer:
        place, limit = self._page(call)
        since = call.first("modified_after")
        try:
            since_ms = milliseconds(_TIME.validate_python(since)) if since else 0
        except ValidationError as error:
            raise self._refuse(422, "invalid", "modified_after is not an RFC 3339 time with a zone.") from error
        rows = self.books.orders(
            "channel = 'custom' AND modified_ms >= ? AND (modified_ms, id) > (?, ?) ORDER BY modified_ms, id LIMIT ?",
            (since_ms, *place, limit + 1),
        )
        page = rows[:limit]
        age = self.faults.stale_age("custom")
        shown = [older for row in page if (older := self.books.order_as_of(row, age) if age else row) is not None]
        items = [wire.order_view(order) for order in shown if order.modified_ms >= since_ms]
        more = wire.cursor(page[-1].modified_ms, page[-1].id) if len(rows) > limit else None
        return self._json({"items": items, "next_cursor": more})

    def _get_order(self, call: Call, text: str) -> Answer:
        order = self._find_order(text)
        age = self.faults.stale_age("custom")
        older = self.books.order_as_of(order, age) if age else order
        if older is None:
            raise self._refuse(404, "not_found", "There is no such order.")
        return self._json(wire.order_view(older))

    def _ship(self, call: Call, text: str) -> Answer:
        body = self._parse(call, wire.ShipmentBody)
        order = self._find_order(text)
        if order.status in ("cancelled", "refunded"):
            raise self._refuse(409, "not_shippable", f"The order is {order.status}.")
        self.orders.record_shipment(order, body.carrier, body.tracking_number, call.headers["idempotency-key"])
        if order.status != "shipped":
            order.status = "shipped"
            order.doc["shipment"] = body.model_dump()
            self.books.save_order(order)
        return self._json(wire.order_view(order))

    def _refund(self, call: Call, text: str) -> Answer:
        body = self._parse(call, wire.RefundBody)
        order = self._find_order(text)
        if order.status not in ("paid", "shipped"):
            raise self._refuse(409, "not_refundable", f"The order is {order.status}.")
        amount = self._price(body.amount.amount_minor, body.amount.currency)
        if amount > order.total_minor - order.refunded_minor:
            raise self._refuse(409, "not_refundable", "That is more than is left of what was paid.")
        known = {str(line.id): line for line in order.lines}
        if any(line not in known or not 0 < units <= known[line].quantity for line, units in body.restock.items()):
            raise self._refuse(422, "invalid", "restock: units of lines of this order")
        lines = {int(line): (units, 0) for line, units in body.restock.items()}
        refund = self.orders.refund(order, lines, amount, body.reason, restock=True)
        refund.reference = body.reference
        if order.refunded_minor >= order.total_minor:
            order.status = "refunded"
        self.books.save_order(order)
        return self._json(wire.refund_view(refund, self.currency), 201)

    def _offers(self, call: Call) -> Answer:
        skus = [value for name, value in call.query if name == "sku"]
        if not skus or len(skus) > _MAX_OFFER_SKUS:
            raise self._refuse(422, "invalid", f"Ask for 1 to {_MAX_OFFER_SKUS} SKUs.")
        seen_at = rfc3339(self.books.clock.now_ms())
        items = [
            {
                "sku": sku,
                "seller": rival.seller,
                "price": wire.money(rival.price_minor, self.currency),
                "in_stock": rival.in_stock,
                "seen_at": seen_at,
            }
            for sku in dict.fromkeys(skus)
            for rival in self.market.rival_offers(sku)
        ]
        return self._json({"items": items})

    # Webhooks

    def _webhook_view(self, hook: Subscription) -> dict[str, Any]:
        return {"name": hook.name, "url": hook.url, "topics": list(hook.topics), "active": hook.status == "active"}

    def _list_webhooks(self, call: Call) -> Answer:
        hooks = self.subscriptions.find("channel = 'custom' ORDER BY id", ())
        return self._json({"items": [self._webhook_view(hook) for hook in hooks], "next_cursor": None})

    def _put_webhook(self, call: Call, name: str) -> Answer:
        body = self._parse(call, wire.WebhookBody)
        now = self.books.clock.now_ms()
        existing = self.subscriptions.find("channel = 'custom' AND name = ?", (name,))
        hook = Subscription(
            id=existing[0].id if existing else self.books.next_id(),
            channel="custom",
            name=name,
            topics=tuple(body.topics),
            url=body.url,
            secret=body.secret,
            status="active",
            failures=0,
            created_ms=existing[0].created_ms if existing else now,
            modified_ms=now,
        )
        self.subscriptions.save(hook)
        return self._json(self._webhook_view(hook), 200 if existing else 201)


def _topic(change: Change) -> str | tuple[str, ...]:
    """What subscribers hear of a change. The protocol has no word for a listing that is gone."""
    if change.resource == "listing":
        return () if change.event == "deleted" else "listing.updated"
    return f"order.{change.event}"


def _sign(hook: Subscription, pending: Pending, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = hmac.new(hook.secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "X-Channel-Topic": pending.topic,
        "X-Channel-Delivery": pending.delivery_key,
        "X-Channel-Timestamp": timestamp,
        "X-Channel-Signature": f"sha256={signature}",
    }
