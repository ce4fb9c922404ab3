"""WooCommerce webhooks: verified and translated deliveries, and what a subscription is named. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from flipsync.connectors.marketplaces.woocommerce import mapping, wire
from flipsync.connectors.unread import notice_of_unread
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import InvalidInput, Unauthenticated

#: Not product.created and product.updated: a shop delivers one after another, and of every unit we set it tells us as
#: well, so that after a push of all listings orders would wait behind thousands of those. See `changed_listings`.
TOPICS = ("order.created", "order.updated", "order.deleted", "product.deleted")
_PING = re.compile(rb"webhook_id=(\d{1,18})")


OURS = "FlipSync "


def subscription_name(topic: str, secret: str) -> str:
    """A name that changes with the secret, which no answer ever shows: so a renewed secret is noticed."""
    mark = hmac.new(secret.encode(), b"flipsync webhook name", hashlib.sha256).hexdigest()[:8]
    return f"{OURS}{topic} {mark}"


def signature(secret: str, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over the raw bytes."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def parse(headers: Mapping[str, str], body: bytes, secret: str) -> WebhookNotice:
    """Translate one delivery. Raises Unauthenticated or InvalidInput.

    Delivery ids repeat (a hash of webhook and second), so facts are told apart by topic, resource and state.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    ping = _PING.fullmatch(body.strip())
    if ping and not any(name.startswith("x-wc-") for name in lower):
        # Sent while POST /webhooks is still waiting: form-encoded, unsigned, and says nothing about the store.
        webhook_id = ping.group(1).decode()
        return WebhookNotice(kind="ping", topic="ping", resource_id=webhook_id, dedup_key=f"ping:{webhook_id}")
    given = lower.get("x-wc-webhook-signature", "")
    if not given or not hmac.compare_digest(signature(secret, body).encode(), given.encode()):
        raise Unauthenticated("the webhook's signature does not match", hint="renew the subscription's secret")
    topic = lower.get("x-wc-webhook-topic", "")
    if not topic:
        raise InvalidInput("the webhook has no topic")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the webhook's body is not JSON") from error
    if not isinstance(data, dict):
        raise InvalidInput("the webhook's body is not an object")
    delivery = lower.get("x-wc-webhook-delivery-id", "")
    try:
        return _notice(topic, data, body, delivery)
    except ValueError as error:
        number = data.get("id")
        if topic.startswith("order.") and isinstance(number, int) and not isinstance(number, bool):
            return notice_of_unread(topic, str(number), body)
        raise InvalidInput(f"the body is not what topic {topic!r} promises") from error


def _notice(topic: str, data: dict[str, Any], body: bytes, delivery: str) -> WebhookNotice:
    resource, _, event = topic.partition(".")
    if "id" not in data:
        # Bodies are built when sent: what was deleted in between is an error document that names nothing.
        digest = hashlib.sha256(body).hexdigest()[:16]
        return WebhookNotice(kind="other", topic=topic, resource_id="", dedup_key=f"{topic}:{delivery}:{digest}")
    if event == "deleted":
        resource_id = str(int(data["id"]))
        kind = "order" if resource == "order" else "listing" if resource == "product" else "other"
        # No date comes along; the delivery id keeps a second deletion (after a restore) apart from the first.
        key = f"{topic}:{resource_id}:{delivery}"
        return WebhookNotice(kind=kind, topic=topic, resource_id=resource_id, dedup_key=key, deleted=True)
    if resource == "order":
        order = wire.Order.model_validate(data)
        moment = order.changed_at
        if order.status in mapping.NOT_ORDERED:  # a basket: it is told of again once it is ordered
            key = f"{topic}:{order.id}:{moment.isoformat()}:{order.status}"
            return WebhookNotice(kind="other", topic=topic, resource_id=str(order.id), dedup_key=key)
        # Dates have whole seconds; the status tells two changes within one apart.
        key = f"{topic}:{order.id}:{moment.isoformat()}:{order.status}:{order.total}:{len(order.refunds)}"
        # What refunds put back on sale is not in this body: such an order is to be fetched.
        whole = None if order.refunds else mapping.order(order, ())
        return WebhookNotice(
            kind="order", topic=topic, resource_id=str(order.id), dedup_key=key, modified_at=moment, order=whole
        )
    if resource == "product":
        product = wire.Product.model_validate(data)
        is_variation = product.type == "variation" and product.parent_id
        resource_id = f"{product.parent_id}/{product.id}" if is_variation else str(product.id)
        modified = product.date_modified_gmt
        state = f"{product.status}:{product.price}:{product.stock_quantity}"
        key = f"{topic}:{resource_id}:{modified.isoformat() if modified else ''}:{state}"
        return WebhookNotice(kind="listing", topic=topic, resource_id=resource_id, dedup_key=key, modified_at=modified)
    digest = hashlib.sha256(body).hexdigest()[:16]
    return WebhookNotice(kind="other", topic=topic, resource_id=str(data["id"]), dedup_key=f"{topic}:{digest}")
