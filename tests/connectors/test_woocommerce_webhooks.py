"""WooCommerce's webhooks: signatures over raw bytes, pings, repeats, and delivery ids that repeat."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.marketplaces.woocommerce.webhooks import signature, subscription_name
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import InvalidInput, Unauthenticated

SECRET = "s3cret"
CONFIG = AccountConfig(vendor="woocommerce", base_url="https://shop.test", currency="USD")


def parse(headers: dict[str, str], body: bytes, secret: str = SECRET) -> WebhookNotice:
    return connector_class("woocommerce").parse_webhook(headers, body, SecretStr(secret), CONFIG)


def deliver(topic: str, data: Any, delivery: str = "d1", **signed: str) -> WebhookNotice:
    body = json.dumps(data).replace("/", "\\/").encode()
    headers = {
        "x-wc-webhook-topic": topic,
        "X-WC-WEBHOOK-DELIVERY-ID": delivery,
        "X-Wc-Webhook-Signature": signature(SECRET, body),
    }
    return parse({**headers, **signed}, body)


def order(**changes: Any) -> dict[str, Any]:
    row = {"id": 727, "status": "processing", "currency": "USD", "total": "29.35", "refunds": []}
    dates = {"date_created_gmt": "2026-01-01T10:00:00", "date_modified_gmt": "2026-01-01T10:00:05"}
    return {**row, **dates, "_links": {"self": [{"href": "https://shop.test/1"}]}, **changes}


def test_a_known_signature() -> None:
    # RFC 4231, test case 2.
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert signature("Jefe", b"what do ya want for nothing?") == b64encode(digest).decode()


def test_an_order_arrives_whole() -> None:
    notice = deliver("order.created", order(status="completed"))
    assert (notice.kind, notice.topic, notice.resource_id, notice.deleted) == ("order", "order.created", "727", False)
    assert notice.order is not None and notice.order.status == "shipped"
    assert notice.order.total.plain() == "29.35"


def test_an_order_with_refunds_must_be_fetched() -> None:
    notice = deliver("order.updated", order(refunds=[{"id": 9, "reason": "", "total": "-5.00"}]))
    assert notice.kind == "order" and notice.order is None and notice.resource_id == "727"


def test_repeats_share_a_key_and_different_facts_do_not() -> None:
    first = deliver("order.updated", order())
    assert deliver("order.updated", order(), delivery="d2").dedup_key == first.dedup_key
    others = [
        deliver("order.updated", order(id=728)),  # the same delivery id: one batch, one second
        deliver("order.updated", order(date_modified_gmt="2026-01-01T10:00:06")),
        deliver("order.updated", order(status="completed")),  # within the same second
        deliver("order.created", order()),
        deliver("order.deleted", {"id": 727}),
        deliver("order.deleted", {"id": 728}),
    ]
    assert len({first.dedup_key, *(notice.dedup_key for notice in others)}) == 7


def test_deletions_name_the_resource_only() -> None:
    for topic, kind in (("order.deleted", "order"), ("product.deleted", "listing"), ("coupon.deleted", "other")):
        notice = deliver(topic, {"id": 12})
        assert (notice.kind, notice.resource_id, notice.deleted, notice.order) == (kind, "12", True, None)


def test_an_order_deleted_before_it_was_sent_is_an_error_document() -> None:
    data = {"code": "woocommerce_rest_shop_order_invalid_id", "message": "Invalid ID.", "data": {"status": 404}}
    notice = deliver("order.updated", data)
    assert (notice.kind, notice.resource_id, notice.order) == ("other", "", None)
    assert deliver("order.updated", data, delivery="d2").dedup_key != notice.dedup_key


def test_an_order_that_cannot_be_read_is_looked_for() -> None:
    notice = deliver("order.updated", {"id": 12, "status": ["paid"]})
    assert (notice.kind, notice.resource_id, notice.order, notice.deleted) == ("order", "12", None, False)
    assert deliver("order.updated", {"id": 12, "status": ["sent"]}).dedup_key != notice.dedup_key


def test_products_and_variations() -> None:
    row = {"id": 5, "type": "simple", "sku": "S", "stock_quantity": 3, "date_modified_gmt": "2026-01-01T10:00:00"}
    notice = deliver("product.updated", row)
    assert (notice.kind, notice.resource_id) == ("listing", "5")
    assert deliver("product.updated", {**row, "stock_quantity": 2}).dedup_key != notice.dedup_key
    child = deliver("product.updated", {**row, "id": 7, "type": "variation", "parent_id": 5})
    assert child.resource_id == "5/7"


def test_the_ping_is_unsigned_and_form_encoded() -> None:
    notice = parse({"Content-Type": "application/x-www-form-urlencoded"}, b"webhook_id=14")
    assert (notice.kind, notice.resource_id) == ("ping", "14")
    for body in (b"webhook_id=1&x=2", b"webhook_id=", b'{"webhook_id":1}', b""):
        with pytest.raises(Unauthenticated):
            parse({"Content-Type": "application/x-www-form-urlencoded"}, body)
    # What claims to be a delivery is none without its signature.
    with pytest.raises(Unauthenticated):
        parse({"X-WC-Webhook-Topic": "order.created"}, b"webhook_id=14")


def test_signatures_are_over_the_raw_bytes() -> None:
    body = json.dumps(order()).replace("/", "\\/").encode()
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": signature(SECRET, body)}
    assert parse(headers, body).kind == "order"
    for changed, secret in ((json.dumps(json.loads(body)).encode(), SECRET), (body + b" ", SECRET), (body, "other")):
        with pytest.raises(Unauthenticated):
            parse(headers, changed, secret)
    with pytest.raises(Unauthenticated):
        parse({**headers, "X-WC-Webhook-Signature": "ü"}, body)


@pytest.mark.parametrize("body", [b"[]", b"no json", b'{"id": "x"}', b'{"id": true, "status": 5}'])
def test_signed_nonsense_is_invalid_input(body: bytes) -> None:
    headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": signature(SECRET, body)}
    with pytest.raises(InvalidInput):
        parse(headers, body)
    del headers["X-WC-Webhook-Topic"]
    with pytest.raises(InvalidInput):
        parse(headers, body)


def test_other_topics_pass_by() -> None:
    notice = deliver("coupon.created", {"id": 3})
    assert (notice.kind, notice.resource_id) == ("other", "3")


def test_subscriptions_are_named_by_their_secret_without_showing_it() -> None:
    assert subscription_name("order.created", "a") != subscription_name("order.created", "b")
    assert "s3cret" not in subscription_name("order.created", "s3cret")


@pytest.mark.parametrize("status", ["checkout-draft", "auto-draft"])
def test_a_basket_at_the_till_is_no_order(status: str) -> None:
    notice = deliver("order.updated", order(status=status))
    assert (notice.kind, notice.order, notice.resource_id) == ("other", None, "727")
    assert deliver("order.updated", order(status="pending")).kind == "order"
