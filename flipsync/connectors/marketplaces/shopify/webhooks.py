"""Shopify webhooks: verified and translated deliveries. Pure.

Bodies are REST-shaped and lack what restocking needs, so an order is fetched by its id. Only the body is signed: topic
and ids in the headers can be altered by whoever replays one, so a fact is known by its body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from flipsync.connectors.marketplaces.shopify import mapping
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import InvalidInput, Unauthenticated

#: Topics as GraphQL names them, and as deliveries do. Not PRODUCTS_UPDATE and INVENTORY_LEVELS_UPDATE: each of our own
#: writes would come back as one of each (see `changed_listings`).
TOPICS = {
    "ORDERS_CREATE": "orders/create",
    "ORDERS_UPDATED": "orders/updated",
    "ORDERS_CANCELLED": "orders/cancelled",
    "REFUNDS_CREATE": "refunds/create",
    "PRODUCTS_DELETE": "products/delete",
    "APP_UNINSTALLED": "app/uninstalled",
}
#: topics that were asked for once and are not any more
FORMER = ("PRODUCTS_UPDATE", "INVENTORY_LEVELS_UPDATE")
_KINDS: dict[str, tuple[Literal["order", "listing"], str, str]] = {
    # resource of the topic: what it is about, the field with its number, and what that is the id of
    "orders": ("order", "id", "Order"),
    "refunds": ("order", "order_id", "Order"),
    "products": ("listing", "id", "Product"),
    "inventory_levels": ("listing", "inventory_item_id", "InventoryItem"),
    # None of the shop can be reached any more: looking at its listings finds that out.
    "app": ("listing", "id", "Shop"),
}


def signature(secret: str, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over the raw bytes."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def parse(headers: Mapping[str, str], body: bytes, secret: str) -> WebhookNotice:
    """Translate one delivery. Raises Unauthenticated or InvalidInput."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    given = lower.get("x-shopify-hmac-sha256", "")
    if not given or not hmac.compare_digest(signature(secret, body).encode(), given.encode()):
        raise Unauthenticated(
            "the webhook's signature does not match", hint="it is made with the app's client secret: is it this app's?"
        )
    topic = lower.get("x-shopify-topic", "")
    if not topic:
        raise InvalidInput("the webhook has no topic")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the webhook's body is not JSON") from error
    if not isinstance(data, dict):
        raise InvalidInput("the webhook's body is not an object")
    digest = hashlib.sha256(body).hexdigest()[:16]
    resource, _, event = topic.partition("/")
    if resource not in _KINDS:
        return WebhookNotice(kind="other", topic=topic, resource_id="", dedup_key=f"{topic}:{digest}")
    kind, field, thing = _KINDS[resource]
    number = data.get(field)
    global_id = data.get("admin_graphql_api_id")
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidInput(f"the body is not what topic {topic!r} promises")
    if kind == "order" and field == "id" and isinstance(global_id, str) and not mapping.is_gid(global_id, thing):
        raise InvalidInput(f"the body is not what topic {topic!r} promises")
    resource_id = f"gid://shopify/{thing}/{number}"
    return WebhookNotice(
        kind=kind,
        topic=topic,
        resource_id=resource_id,
        dedup_key=f"{topic}:{number}:{digest}",
        deleted=event in ("delete", "uninstalled"),
        modified_at=_moment(data.get("updated_at")),
    )


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None
