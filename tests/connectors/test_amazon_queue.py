"""Amazon's notifications: subscribed once, read from the queue, signed, redelivered, told once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from amazon_models import models_at
from pydantic import SecretStr

from flipsync.connectors.base import Unlimited
from flipsync.connectors.marketplaces.amazon import notifications, wire_work
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.connectors.marketplaces.amazon.queue import NotificationQueue
from flipsync.connectors.marketplaces.amazon.sigv4 import signed_headers
from flipsync.domain.channel import Offer, WebhookNotice
from flipsync.domain.errors import Rejected, Retryable, Unauthenticated
from flipsync.domain.money import usd

LAMP = Offer(sku="LAMP-1", title="Lamp", price=usd("19.90"), quantity=5, barcode="4006381333931")


@pytest.fixture
async def channel(open_channel: Any) -> Any:
    opened = open_channel("amazon")
    await opened.connector.ensure_webhooks("", SecretStr(""))
    return opened


@pytest.fixture
def queue(channel: Any) -> Any:
    return channel.sandbox.server("/amazon").queue


async def everything(connector: Any) -> list[WebhookNotice]:
    return [notice async for notice in connector.notices()]


# Signature Version 4


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        # From the test suite AWS published for Signature Version 4 (get-vanilla, get-vanilla-query-order-key-case,
        # post-x-www-form-urlencoded).
        (
            "GET",
            "https://example.amazonaws.com/",
            {},
            b"",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "GET",
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_signatures_of_the_published_suite(
    method: str, url: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    sent = signed_headers(
        method,
        url,
        headers,
        body,
        access_key_id="AKIDEXAMPLE",
        secret_access_key=SecretStr("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        region="us-east-1",
        service="service",
        now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )
    assert sent["Authorization"].endswith(f"Signature={signature}")
    assert sent["X-Amz-Date"] == "20150830T123600Z"


# Subscriptions


async def test_subscriptions_are_made_once_and_follow_the_queue(channel: Any) -> None:
    connector = channel.connector
    first = await connector.ensure_webhooks("", SecretStr(""))
    assert {hook.topic for hook in first} == set(notifications.TYPES) and all(hook.active for hook in first)
    assert await connector.ensure_webhooks("", SecretStr("")) == first
    world = channel.sandbox.server("/amazon").world
    for name, _ in list(world.all("subscription"))[:2]:
        world.drop("subscription", name)  # Amazon dropped them
    again = {hook.topic: hook.external_id for hook in await connector.ensure_webhooks("", SecretStr(""))}
    assert len([hook for hook in first if again[hook.topic] != hook.external_id]) == 2
    options = {**connector.config.options, "queue_arn": "arn:aws:sqs:us-east-1:123456789012:another"}
    moved = AmazonConnector(
        connector.config.model_copy(update={"options": options}),
        connector.credentials,
        Unlimited(),
        "a",
        transport=channel.tap,
    )
    there = await moved.ensure_webhooks("", SecretStr(""))
    assert {hook.url for hook in there} == {options["queue_arn"]}
    assert {hook.external_id for hook in there}.isdisjoint(again.values())
    await moved.aclose()


async def test_a_refused_type_does_not_cost_the_others(channel: Any) -> None:
    world = channel.sandbox.server("/amazon").world
    for name, _ in list(world.all("subscription")):
        world.drop("subscription", name)
    passed = channel.tap.inner.handle_async_request
    refused = {"PRICING_HEALTH"}

    async def without_role(request: httpx2.Request) -> httpx2.Response:
        if any(topic in request.url.path for topic in refused):
            denied = {"code": "Unauthorized", "message": "Access to requested resource is denied.", "details": ""}
            return httpx2.Response(403, json={"errors": [denied]}, request=request)
        return await passed(request)

    channel.tap.inner.handle_async_request = without_role
    hooks = await channel.connector.ensure_webhooks("", SecretStr(""))
    assert {hook.topic for hook in hooks if not hook.active} == refused
    assert {hook.topic for hook in hooks} == set(notifications.TYPES)
    refused |= set(notifications.TYPES)
    with pytest.raises(Rejected) as denied:
        await channel.connector.ensure_webhooks("", SecretStr(""))
    assert denied.value.auth


async def test_without_a_queue_nothing_is_subscribed(channel: Any) -> None:
    own = channel.connector
    options = {name: value for name, value in own.config.options.items() if name != "queue_arn"}
    config = own.config.model_copy(update={"options": options})
    connector = AmazonConnector(config, own.credentials, Unlimited(), "a", transport=channel.tap)
    with pytest.raises(Rejected, match="queue"):
        await connector.ensure_webhooks("", SecretStr(""))
    with pytest.raises(Rejected, match="queue_arn"):
        await everything(connector)
    assert any("no queue" in note for note in (await connector.probe()).notes)
    await connector.aclose()
    bare = AmazonConnector(
        config.model_copy(update={"notification_url": None}), own.credentials, Unlimited(), "a", transport=channel.tap
    )
    assert await everything(bare) == []
    await bare.aclose()


# Notices


async def test_a_sale_is_heard_of(channel: Any, queue: Any) -> None:
    await channel.connector.publish(LAMP, "k1")
    order_id = channel.sell("LAMP-1")
    notices = await everything(channel.connector)
    assert [(n.kind, n.topic, n.resource_id) for n in notices] == [
        ("listing", "LISTINGS_ITEM_STATUS_CHANGE", "LAMP-1"),
        ("order", "ORDER_CHANGE", order_id),
    ]
    assert notices[1].modified_at == datetime(2026, 3, 2, 14, tzinfo=UTC)
    assert len({notice.dedup_key for notice in notices}) == 2
    assert queue.waiting() == 0, "taken off once they were worked through"
    assert await everything(channel.connector) == []


async def test_what_was_not_worked_through_comes_again(channel: Any, queue: Any) -> None:
    await channel.connector.publish(LAMP, "k1")
    await everything(channel.connector)
    second = channel.sell("LAMP-1")
    third = channel.sell("LAMP-1")
    stream = channel.connector.notices()
    seen = [await anext(stream), await anext(stream)]
    await stream.aclose()  # the process ends while it works on the second one
    assert queue.waiting() == 1
    assert await everything(channel.connector) == [], "for a while nobody else gets them"
    queue.make_visible()
    again = await everything(channel.connector)
    assert [notice.resource_id for notice in seen] == [second, third]
    assert again == [seen[1]], "the same notice, with the same key"
    assert queue.waiting() == 0


async def test_a_doubled_notification_has_one_key(channel: Any) -> None:
    await channel.connector.publish(LAMP, "k1")
    await everything(channel.connector)
    channel.sandbox.faults.configure("amazon", {"webhook_duplicate": 1.0})
    channel.sell("LAMP-1")
    notices = await everything(channel.connector)
    assert len([n for n in notices if n.kind == "order"]) == 2
    assert len({n.dedup_key for n in notices if n.kind == "order"}) == 1


async def test_a_lost_notification_is_lost(channel: Any) -> None:
    await channel.connector.publish(LAMP, "k1")
    await everything(channel.connector)
    channel.sandbox.faults.configure("amazon", {"webhook_lost": 1.0})
    order_id = channel.sell("LAMP-1")
    assert await everything(channel.connector) == []
    since = datetime(2026, 3, 2, tzinfo=UTC)
    assert [order.external_id async for order in channel.connector.orders(since)] == [order_id], "the list has it"


async def test_a_long_queue_is_read_to_its_end(channel: Any, queue: Any) -> None:
    await channel.connector.publish(LAMP.model_copy(update={"quantity": 50}), "k1")
    ids = [channel.sell("LAMP-1") for _ in range(25)]
    notices = await everything(channel.connector)
    assert [n.resource_id for n in notices if n.kind == "order"] == ids and queue.waiting() == 0


async def test_a_message_that_is_no_notification_does_not_stay(channel: Any, queue: Any) -> None:
    for body in ("garbage", {"NotificationType": "ORDER_CHANGE"}, [1]):
        with channel.sandbox.books.transaction():
            queue.send(body)
    notices = await everything(channel.connector)
    assert [notice.topic for notice in notices] == ["unreadable"] * 3
    assert len({notice.dedup_key for notice in notices}) == 3 and queue.waiting() == 0


async def test_rivals_that_move_are_heard_of(channel: Any, contracts: Path) -> None:
    await channel.connector.publish(LAMP, "k1")
    await everything(channel.connector)
    await channel.sandbox.market.advance(24 * 3600)
    bodies = [
        json.loads(row[0]) for row in channel.sandbox.books.db.execute("SELECT body FROM amazon_message").fetchall()
    ]
    notices = [n for n in await everything(channel.connector) if n.topic == "ANY_OFFER_CHANGED"]
    asin = channel.sandbox.server("/amazon").world.listing("LAMP-1").doc["asin"]
    assert notices and {(n.kind, n.resource_id) for n in notices} == {("other", asin)}
    schemas = {
        "ANY_OFFER_CHANGED": "AnyOfferChangedNotification",
        "ORDER_CHANGE": "OrderChangeNotification",
        "LISTINGS_ITEM_STATUS_CHANGE": "ListingsItemStatusChangeNotification",
    }
    validate(contracts, bodies, schemas)


def validate(contracts: Path, bodies: list[Any], schemas: dict[str, str]) -> None:
    from jsonschema import Draft7Validator

    models = models_at(contracts)
    seen: set[str] = set()
    for body in bodies:
        topic = body.get("NotificationType") or body["notificationType"]
        schema = models.load(f"schemas/notifications/{schemas[topic]}.json")
        if topic == "LISTINGS_ITEM_STATUS_CHANGE":
            # Defect of the document: its own example has the type's real name, its enum another one.
            del schema["properties"]["NotificationType"]["enum"]
        assert [error.message for error in Draft7Validator(schema).iter_errors(body)] == []
        seen.add(topic)
    assert seen >= {"ANY_OFFER_CHANGED"} or len(schemas) == 1


async def test_a_finished_feed_is_heard_of(channel: Any, contracts: Path) -> None:
    from flipsync.connectors.base import QuantityChange

    await channel.connector.publish(LAMP, "k1")
    await everything(channel.connector)
    changes = [QuantityChange("LAMP-1", 3, "q")] + [QuantityChange(f"N{n}", 1, f"q{n}") for n in range(45)]
    await channel.connector.set_quantities(changes)
    rows = channel.sandbox.books.db.execute("SELECT body FROM amazon_message").fetchall()
    bodies = [json.loads(row[0]) for row in rows if "feedType" in row[0]]
    assert len(bodies) == 1
    validate(contracts, bodies, {"FEED_PROCESSING_FINISHED": "FeedProcessingFinishedNotification"})
    (notice,) = [n for n in await everything(channel.connector) if n.topic == "FEED_PROCESSING_FINISHED"]
    assert notice.resource_id == bodies[0]["payload"]["feedProcessingFinishedNotification"]["feedId"]


def test_the_published_example_notifications(contracts: Path) -> None:
    models = models_at(contracts)
    told = {}
    for file in sorted((contracts / "amazon/schemas/notifications").glob("*.json")):
        for example in models.load(f"schemas/notifications/{file.name}").get("examples", []):
            notice = notifications.parse(json.dumps(example))
            told[notice.topic] = (notice.kind, notice.resource_id)
    assert len(told) == 14, sorted(told)
    assert told["ORDER_CHANGE"] == ("order", "903-8868176-2219830")
    assert told["LISTINGS_ITEM_STATUS_CHANGE"] == told["LISTINGS_ITEM_ISSUES_CHANGE"] == ("listing", "NLS-SHOES-03")
    assert told["FEED_PROCESSING_FINISHED"] == ("other", "53347018456")
    assert told["PRICING_HEALTH"] == ("other", "B007IBIWZY")
    assert told["ANY_OFFER_CHANGED"] == ("other", "123")
    assert told["ITEM_PRODUCT_TYPE_CHANGE"] == ("other", ""), "types we do not ask for are passed on as they are"


def test_warehouse_stock_changes_name_their_sku() -> None:
    body = {
        "NotificationType": "FBA_INVENTORY_AVAILABILITY_CHANGES",
        "EventTime": "2026-03-02T14:00:00Z",
        "Payload": {"SellerId": "S", "SKU": "LAMP-1", "ASIN": "B0", "FNSKU": "X0"},
        "NotificationMetadata": {"NotificationId": "n1"},
    }
    notice = notifications.parse(json.dumps(body))
    assert (notice.kind, notice.resource_id, notice.dedup_key) == (
        "other",
        "LAMP-1",
        "FBA_INVENTORY_AVAILABILITY_CHANGES:n1",
    )


def test_a_deleted_listing_is_told_as_deleted() -> None:
    body = {
        "NotificationType": "LISTINGS_ITEM_STATUS_CHANGE",
        "Payload": {"SellerId": "S", "Sku": "A", "Status": ["DELETED"]},
        "NotificationMetadata": {"NotificationId": "n1"},
    }
    assert notifications.parse(json.dumps(body)).deleted


def told(topic: str, payload: dict[str, Any], moment: str = "2026-03-02T14:00:00Z") -> str:
    body = {"NotificationType": topic, "EventTime": moment, "Payload": payload}
    return json.dumps({**body, "NotificationMetadata": {"NotificationId": "n1"}})


def order_changed(marketplace: str | None) -> str:
    summary = {} if marketplace is None else {"MarketplaceId": marketplace}
    change = {"AmazonOrderId": "111-0000000-0000001", "Summary": summary}
    return told("ORDER_CHANGE", {"OrderChangeNotification": change})


def test_what_happens_in_another_marketplace_is_not_ours() -> None:
    here, there = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"
    deleted = told("LISTINGS_ITEM_STATUS_CHANGE", {"MarketplaceId": there, "Sku": "A", "Status": ["DELETED"]})
    for text, ours in ((deleted, "listing"), (order_changed(there), "order")):
        notice = notifications.parse(text, here)
        assert (notice.kind, notice.deleted) == ("other", False)
        assert notifications.parse(text, there).kind == ours
    for known in (here, None):
        assert notifications.parse(order_changed(known), here).kind == "order"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "yesterday", ""])
def test_what_happened_is_told_without_its_time(moment: str) -> None:
    payload = {"OrderChangeNotification": {"AmazonOrderId": "1", "OrderChangeTrigger": {"TimeOfOrderChange": moment}}}
    notice = notifications.parse(told("ORDER_CHANGE", payload, moment))
    assert (notice.kind, notice.resource_id, notice.modified_at) == ("order", "1", None)


# The queue refuses


async def test_a_forged_signature_is_an_auth_refusal(channel: Any) -> None:
    own = channel.connector
    for name, code in (
        ("aws_secret_access_key", "SignatureDoesNotMatch"),
        ("aws_access_key_id", "InvalidClientTokenId"),
    ):
        keys = {**own.credentials, name: SecretStr("not-this-one")}
        connector = AmazonConnector(own.config, keys, Unlimited(), "a", transport=channel.tap)
        with pytest.raises(Rejected) as refused:
            await everything(connector)
        assert refused.value.auth and refused.value.vendor_code == code
        assert "not-this-one" not in f"{refused.value} {refused.value.hint}"
        await connector.aclose()


async def test_the_queues_own_address_is_understood(channel: Any) -> None:
    own = channel.connector
    queue_url = f"{own.config.notification_url}/123456789012/flipsync"
    config = type(own.config).model_validate({**own.config.model_dump(), "notification_url": queue_url})
    connector = AmazonConnector(config, own.credentials, Unlimited(), "a", transport=channel.tap)
    channel.tap.requests.clear()
    assert await everything(connector) == []
    (request,) = channel.tap.requests
    assert str(request.url) == str(own.config.notification_url)
    assert json.loads(request.content)["QueueUrl"] == queue_url
    assert request.headers["X-Amz-Target"] == "AmazonSQS.ReceiveMessage"
    assert request.headers["Content-Type"] == "application/x-amz-json-1.0"
    await connector.aclose()


async def test_throttling_and_lost_answers_of_the_queue(channel: Any) -> None:
    own = channel.connector
    answers = [
        httpx2.Response(400, json={"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}),
        httpx2.Response(500, json={"__type": "InternalFailure"}),
        httpx2.Response(400, json={"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}),
    ]
    transport = httpx2.MockTransport(lambda request: answers.pop(0))
    queue = NotificationQueue(own.config, own.credentials, Unlimited(), "a", transport)
    for failure in (Retryable, Retryable, Rejected):
        with pytest.raises(failure):
            [message async for message in queue.messages()]
    await queue.aclose()


async def test_a_late_receipt_is_no_failure(channel: Any) -> None:
    own = channel.connector
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{}"}
    answers = [
        httpx2.Response(200, json={"Messages": [message]}),
        httpx2.Response(400, json={"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "expired"}),
        httpx2.Response(200, json={}),
    ]
    queue = NotificationQueue(
        own.config, own.credentials, Unlimited(), "a", httpx2.MockTransport(lambda request: answers.pop(0))
    )
    assert [m async for m in queue.messages()] == [
        wire_work.QueueMessage(message_id="m", receipt_handle="r", body="{}")
    ]
    await queue.aclose()


def test_nobody_calls_us() -> None:
    with pytest.raises(Unauthenticated, match="no webhooks"):
        AmazonConnector.parse_webhook({}, b"{}", SecretStr("s"), None)  # type: ignore[arg-type]
