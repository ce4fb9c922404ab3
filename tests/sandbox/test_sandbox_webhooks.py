"""Webhooks come as each vendor sends them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

from flipsync.sandbox.buyers import Buyer

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
TOPICS = ["order.created", "order.updated", "listing.updated"]


async def subscribe_shop(rig: Any, url: str, topic: str) -> int:
    body = {"name": topic, "topic": topic, "delivery_url": url, "secret": "s3cret"}
    response = await rig.woo("POST", "/webhooks", body)
    assert response.status_code == 201, response.text
    assert "secret" not in response.json()
    return int(response.json()["id"])


async def test_the_marketplace_signs_time_and_body(rig: Any, listener: Any) -> None:
    await rig.list_custom("A")
    await rig.custom("PUT", "/webhooks/main", {"url": listener.url, "secret": "s", "topics": TOPICS})
    order = rig.sandbox.market.place("custom", "A", 1, BUYER)
    await listener.reaches(2)
    topics = {headers["x-channel-topic"] for headers, _ in listener.seen}
    assert topics == {"order.created", "listing.updated"}
    for headers, body in listener.seen:
        signed = headers["x-channel-timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(b"s", signed, hashlib.sha256).hexdigest()
        assert headers["x-channel-signature"] == expected
    bodies = {headers["x-channel-topic"]: json.loads(body) for headers, body in listener.seen}
    assert bodies["order.created"]["id"] == f"o{order.id}"
    assert bodies["listing.updated"]["quantity"] == 9


async def test_the_marketplace_tries_again_until_it_is_heard(rig: Any, listener: Any) -> None:
    await rig.list_custom("A")
    listener.answer = lambda count: 500 if count == 1 else 200
    await rig.custom("PUT", "/webhooks/main", {"url": listener.url, "secret": "s", "topics": ["order.created"]})
    rig.sandbox.market.place("custom", "A", 1, BUYER)
    await listener.reaches(2)
    assert listener.seen[0][1] == listener.seen[1][1]
    assert len({headers["x-channel-delivery"] for headers, _ in listener.seen}) == 1
    await asyncio.sleep(0.1)
    assert rig.sandbox.webhooks.waiting() == 0


async def test_subscribing_again_under_one_name_does_not_double(rig: Any, listener: Any) -> None:
    body = {"url": listener.url, "secret": "s", "topics": TOPICS}
    assert (await rig.custom("PUT", "/webhooks/main", body)).status_code == 201
    assert (await rig.custom("PUT", "/webhooks/main", body)).status_code == 200
    (shown,) = (await rig.custom("GET", "/webhooks")).json()["items"]
    assert shown == {"name": "main", "url": listener.url, "topics": TOPICS, "active": True}


async def test_the_shop_pings_unsigned_before_its_answer(rig: Any, listener: Any) -> None:
    hook = await subscribe_shop(rig, listener.url, "order.created")
    ((headers, body),) = listener.seen
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body == f"webhook_id={hook}".encode()
    assert not [name for name in headers if name.startswith("x-wc-")]


async def test_the_shop_delivers_only_when_somebody_visits(rig: Any, listener: Any) -> None:
    rig.sandbox.webhooks.set_shop_interval(0)
    await rig.list_woo("W")
    await subscribe_shop(rig, listener.url, "order.created")
    with rig.sandbox.books.transaction():
        order = rig.sandbox.market.orders.place("woo", "W", 1, BUYER)
    await asyncio.sleep(0.3)
    assert listener.deliveries() == [], "nobody has visited since"
    await rig.http.get("http://shop.test/woo/")
    await listener.reaches(2)
    headers, body = listener.deliveries()[0]
    digest = base64.b64encode(hmac.new(b"s3cret", body, hashlib.sha256).digest()).decode()
    assert headers["x-wc-webhook-signature"] == digest
    assert headers["x-wc-webhook-topic"] == "order.created"
    assert json.loads(body)["id"] == order.id
    assert b"http:\\/\\/" in body


async def test_delivery_ids_repeat_and_repeated_events_come_once(rig: Any, listener: Any) -> None:
    await subscribe_shop(rig, listener.url, "product.created")
    await subscribe_shop(rig, listener.url, "product.updated")
    rows = [{"name": str(n), "sku": f"N{n}"} for n in range(25)]
    created = (await rig.woo("POST", "/products/batch", {"create": rows})).json()["create"]
    for price in ("1", "2", "3"):
        await rig.woo("PUT", f"/products/{created[0]['id']}", {"regular_price": price})
    await rig.sandbox.webhooks.flush()
    seen = [
        (headers["x-wc-webhook-topic"], headers["x-wc-webhook-delivery-id"]) for headers, _ in listener.deliveries()
    ]
    assert [topic for topic, _ in seen].count("product.created") == 25
    assert [topic for topic, _ in seen].count("product.updated") == 1
    assert len({delivery for topic, delivery in seen if topic == "product.created"}) < 25


async def test_the_body_is_built_when_it_is_sent(rig: Any, listener: Any) -> None:
    await rig.list_woo("W")
    await subscribe_shop(rig, listener.url, "order.created")
    changed = rig.sandbox.market.place("woo", "W", 1, BUYER)
    deleted = rig.sandbox.market.place("woo", "W", 1, BUYER)
    rig.sandbox.webhooks.set_shop_interval(60)
    await rig.woo("PUT", f"/orders/{changed.id}", {"status": "completed"})
    await rig.woo("DELETE", f"/orders/{deleted.id}?force=true")
    await rig.sandbox.webhooks.flush()
    bodies = [json.loads(body) for _, body in listener.deliveries()]
    assert bodies[0]["status"] == "completed"
    assert bodies[1]["code"] == "woocommerce_rest_shop_order_invalid_id"


async def test_the_seventh_failure_in_a_row_switches_the_webhook_off(rig: Any, listener: Any) -> None:
    await rig.list_woo("W", quantity=100)
    hook = await subscribe_shop(rig, listener.url, "order.created")
    listener.answer = lambda count: 500
    for number in range(1, 9):
        rig.sandbox.market.place("woo", "W", 1, BUYER)
        await rig.sandbox.webhooks.flush()
        status = (await rig.woo("GET", f"/webhooks/{hook}")).json()["status"]
        assert status == ("active" if number < 7 else "disabled")
    assert len(listener.deliveries()) == 7, "no retry, and nothing once it is off"
    await rig.woo("PUT", f"/webhooks/{hook}", {"status": "active"})
    assert (await rig.woo("GET", f"/webhooks/{hook}")).json()["status"] == "active"


async def test_webhooks_do_not_go_to_the_bin(rig: Any, listener: Any) -> None:
    hook = await subscribe_shop(rig, listener.url, "order.created")
    assert (await rig.woo("DELETE", f"/webhooks/{hook}")).status_code == 501
    assert (await rig.woo("DELETE", f"/webhooks/{hook}?force=true")).status_code == 200
    assert (await rig.woo("GET", f"/webhooks/{hook}")).status_code == 404
