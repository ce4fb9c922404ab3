"""Shopify webhooks: real deliveries, forged, altered and replayed ones; subscriptions that are mended."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.shopify import documents, webhooks
from flipsync.connectors.marketplaces.shopify.client import ShopifyConnector
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import InvalidInput, Unauthenticated

SECRET = "shpss_of_the_app"
CONFIG = AccountConfig(vendor="shopify", base_url="http://shop.test", currency="USD")
ORDER = {
    "id": 820982911946154508,
    "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
    "updated_at": "2026-03-02T09:00:00-05:00",
    "financial_status": "paid",
    "line_items": [],
}


def deliver(topic: str, body: Any, *, secret: str = SECRET, **headers: str) -> WebhookNotice:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    digest = base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode()
    sent = {
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": digest,
        "X-Shopify-Shop-Domain": "sandbox-shop.myshopify.com",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        **headers,
    }
    return ShopifyConnector.parse_webhook(sent, raw, SecretStr(SECRET), CONFIG)


def test_the_signature_is_shopifys_way() -> None:
    """Base64 of HMAC-SHA256 with the client secret as key."""
    assert webhooks.signature("key", b"The quick brown fox jumps over the lazy dog") == (
        "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg="
    )


@pytest.mark.parametrize(
    ("topic", "body", "kind", "resource"),
    [
        ("orders/create", ORDER, "order", "gid://shopify/Order/820982911946154508"),
        ("orders/updated", ORDER, "order", "gid://shopify/Order/820982911946154508"),
        ("orders/cancelled", ORDER, "order", "gid://shopify/Order/820982911946154508"),
        ("refunds/create", {"id": 5, "order_id": 77}, "order", "gid://shopify/Order/77"),
        ("products/update", {"id": 6, "variants": []}, "listing", "gid://shopify/Product/6"),
        ("products/delete", {"id": 6}, "listing", "gid://shopify/Product/6"),
        ("inventory_levels/update", {"inventory_item_id": 8}, "listing", "gid://shopify/InventoryItem/8"),
        ("app/uninstalled", {"id": 1, "name": "Shop"}, "listing", "gid://shopify/Shop/1"),
        ("themes/publish", {"id": 1}, "other", ""),
    ],
)
def test_topics_are_about_orders_or_listings(topic: str, body: dict[str, Any], kind: str, resource: str) -> None:
    notice = deliver(topic, body)
    assert (notice.kind, notice.topic, notice.resource_id) == (kind, topic, resource)
    assert notice.order is None, "an order is fetched: the body does not say what was restocked"
    assert notice.deleted == (topic in ("products/delete", "app/uninstalled"))


def test_times_are_utc_and_header_names_come_in_any_case() -> None:
    raw = json.dumps(ORDER).encode()
    headers = {"x-shopify-topic": "orders/create", "X-SHOPIFY-HMAC-SHA256": webhooks.signature(SECRET, raw)}
    notice = ShopifyConnector.parse_webhook(headers, raw, SecretStr(SECRET), CONFIG)
    assert notice.modified_at == datetime(2026, 3, 2, 14, tzinfo=UTC)


def test_what_is_not_signed_with_the_apps_secret_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="signature"):
        deliver("orders/create", ORDER, secret="another")
    good = webhooks.signature(SECRET, json.dumps(ORDER).encode())
    with pytest.raises(Unauthenticated):
        deliver("orders/create", {**ORDER, "id": 1}, **{"X-Shopify-Hmac-Sha256": good})
    for forged in ("", "é", good[:-2], good.lower()):
        with pytest.raises(Unauthenticated):
            deliver("orders/create", ORDER, **{"X-Shopify-Hmac-Sha256": forged})


def test_a_repeat_is_the_same_fact_and_another_state_another() -> None:
    first = deliver("orders/updated", ORDER)
    # The ids of a delivery are not signed: a replay under new ones is still the same fact.
    replayed = deliver("orders/updated", ORDER, **{"X-Shopify-Webhook-Id": "made up", "X-Shopify-Event-Id": "too"})
    assert replayed.dedup_key == first.dedup_key
    keys = {
        first.dedup_key,
        deliver("orders/create", ORDER).dedup_key,
        deliver("orders/updated", {**ORDER, "financial_status": "refunded"}).dedup_key,
        deliver("orders/updated", {**ORDER, "updated_at": "2026-03-02T09:00:01-05:00"}).dedup_key,
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("", ORDER),
        ("orders/create", b"{"),
        ("orders/create", b"[]"),
        ("orders/create", {}),
        ("orders/create", {"id": True}),
        ("orders/create", {"id": "7"}),
        # A body of one topic under the name of another.
        ("orders/create", {"id": 6, "admin_graphql_api_id": "gid://shopify/Product/6"}),
        ("refunds/create", {"id": 5}),
    ],
)
def test_bodies_that_do_not_keep_the_topics_promise(topic: str, body: Any) -> None:
    with pytest.raises(InvalidInput):
        deliver(topic, body)


def test_deliveries_are_signed_with_the_client_secret() -> None:
    assert ShopifyConnector.signs_with == "client_secret"


async def test_a_subscription_that_sends_too_little_is_mended(open_channel: Any) -> None:
    connector = open_channel("shopify").connector
    url = "https://listener.test/hook"
    made = await connector._api.send(
        documents.SUBSCRIBE,
        {
            "topic": "ORDERS_CREATE",
            "subscription": {"uri": url, "format": "XML", "filter": "id:1", "includeFields": ["id"]},
        },
    )
    wanted = made["webhookSubscriptionCreate"]["webhookSubscription"]["id"]
    hooks = await connector.ensure_webhooks(url, SecretStr("unused"))
    assert {hook.topic for hook in hooks} == set(webhooks.TOPICS.values())
    assert next(hook.external_id for hook in hooks if hook.topic == "orders/create") == wanted
    rows = (await connector._api.send(documents.SUBSCRIPTIONS, {"after": None}))["webhookSubscriptions"]["nodes"]
    assert len(rows) == len(webhooks.TOPICS)
    assert all(row["format"] == "JSON" and not row["filter"] and row["includeFields"] == [] for row in rows)


async def test_other_addresses_are_left_alone(open_channel: Any) -> None:
    connector = open_channel("shopify").connector
    await connector.ensure_webhooks("https://other.test/hook", SecretStr("x"))
    hooks = await connector.ensure_webhooks("https://listener.test/hook", SecretStr("x"))
    assert {hook.url for hook in hooks} == {"https://listener.test/hook"}
    rows = (await connector._api.send(documents.SUBSCRIPTIONS, {"after": None}))["webhookSubscriptions"]["nodes"]
    assert len(rows) == 2 * len(webhooks.TOPICS)


async def test_what_we_no_longer_want_to_hear_is_taken_back(open_channel: Any) -> None:
    connector = open_channel("shopify").connector
    urls = ("https://listener.test/hook", "https://other.test/hook")
    for url in urls:
        for topic in ("PRODUCTS_UPDATE", "INVENTORY_LEVELS_UPDATE"):
            subscription = {"uri": url, "format": "JSON"}
            await connector._api.send(documents.SUBSCRIBE, {"topic": topic, "subscription": subscription})
    hooks = await connector.ensure_webhooks(urls[0], SecretStr("x"))
    assert {hook.topic for hook in hooks} == set(webhooks.TOPICS.values())
    rows = (await connector._api.send(documents.SUBSCRIPTIONS, {"after": None}))["webhookSubscriptions"]["nodes"]
    assert {row["uri"] for row in rows if row["topic"] in webhooks.FORMER} == {urls[1]}
