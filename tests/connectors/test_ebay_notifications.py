"""eBay's notifications: its own test vectors, forgeries, repeats, the key's cache, and the challenge."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from flipsync.connectors.marketplaces.ebay import notifications
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.marketplaces.ebay.wire_notices import PublicKey
from flipsync.domain.errors import InvalidInput, Retryable, Unauthenticated

SECRET = SecretStr("s3cret")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without a key in hand."""
    monkeypatch.setattr(EbayConnector, "keys", notifications.Keys())


@pytest.fixture(scope="module")
def vectors(contracts: Path) -> dict[str, Any]:
    """eBay's own, from its SDK."""
    text = (contracts / "ebay/test-vectors/notification-signature.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def verify(vector: dict[str, Any], body: bytes) -> None:
    signature = notifications.signature_of({"x-ebay-signature": vector["signature"]})
    notifications.verify(signature, body, PublicKey.model_validate(vector["response"]))


def compact(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def test_ebays_own_vectors(vectors: dict[str, Any]) -> None:
    valid = vectors["VALID"]
    verify(valid, compact(valid["message"]))
    for name in ("INVALID", "SIGNATURE_MISMATCH"):
        with pytest.raises(Unauthenticated):
            verify(vectors[name], compact(vectors[name]["message"]))
    signature = notifications.signature_of({"X-EBAY-SIGNATURE": valid["signature"]})
    assert signature.key_id == valid["public_key"] and signature.digest == "SHA1"


def test_blanks_do_not_break_a_signature_and_changes_do(vectors: dict[str, Any]) -> None:
    valid = vectors["VALID"]
    verify(valid, json.dumps(valid["message"], indent=2).encode())
    changed = json.loads(json.dumps(valid["message"]))
    changed["notification"]["data"]["username"] = "somebody else"
    with pytest.raises(Unauthenticated):
        verify(valid, compact(changed))


@pytest.mark.parametrize(
    "told",
    [
        "",
        "not base64 at all!",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"kid":"a"}').decode(),
        base64.b64encode(b'{"kid":"../../sell/account","signature":"AAAA","alg":"ecdsa"}').decode(),
        base64.b64encode(b'{"kid":"a","signature":"AAAA","alg":"none"}').decode(),
    ],
)
def test_unreadable_signatures_are_refused(told: str) -> None:
    with pytest.raises(Unauthenticated):
        notifications.signature_of({"x-ebay-signature": told})


def test_keys_of_other_kinds_are_refused(vectors: dict[str, Any]) -> None:
    valid = vectors["VALID"]
    signature = notifications.signature_of({"x-ebay-signature": valid["signature"]})
    good = valid["response"]
    for wrong in ({"digest": "MD5"}, {"algorithm": "RSA"}, {"key": "no key"}):
        with pytest.raises(Unauthenticated):
            notifications.verify(signature, compact(valid["message"]), PublicKey.model_validate({**good, **wrong}))


def signed(channel: Any, topic: str = "ORDER_CONFIRMATION", order: int = 42) -> tuple[dict[str, str], bytes]:
    notification = channel.ebay.notification.deliveries
    body = notification.render(topic, str(order))
    return {"X-EBAY-SIGNATURE": notification.signature(body)}, body


async def test_a_delivery_is_verified_with_a_key_that_is_fetched_once(open_channel: Any) -> None:
    channel = open_channel("ebay")
    connector = channel.connector
    headers, body = signed(channel)
    with pytest.raises(Unauthenticated, match="not fetched"):
        connector.parse_webhook(headers, body, SECRET, connector.config)
    notice = await connector.verify_webhook(headers, body, SECRET)
    assert (notice.kind, notice.topic, notice.resource_id) == ("order", "ORDER_CONFIRMATION", "27-00042-70193")
    again = await connector.verify_webhook(headers, body, SECRET)
    assert again.dedup_key == notice.dedup_key, "a repeat of the same fact"
    other = await connector.verify_webhook(*signed(channel, order=43), SECRET)
    assert other.dedup_key != notice.dedup_key
    assert connector.parse_webhook(headers, body, SECRET, connector.config) == notice
    fetched = [request for request in channel.tap.requests if "/public_key/" in request.url.path]
    assert len(fetched) == 1


async def test_a_key_is_kept_for_an_hour(open_channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = open_channel("ebay")
    headers, body = signed(channel)
    clock = [1000.0]
    monkeypatch.setattr(EbayConnector, "keys", notifications.Keys(lambda: clock[0]))
    for moment, asked in ((1000.0, 1), (4500.0, 1), (4700.0, 2)):
        clock[0] = moment
        await channel.connector.verify_webhook(headers, body, SECRET)
        assert len([r for r in channel.tap.requests if "/public_key/" in r.url.path]) == asked


async def test_forgeries_are_refused(open_channel: Any) -> None:
    channel = open_channel("ebay")
    connector = channel.connector
    headers, body = signed(channel)
    await connector.verify_webhook(headers, body, SECRET)
    with pytest.raises(Unauthenticated):
        await connector.verify_webhook(headers, body.replace(b"27-00042", b"27-00043"), SECRET)
    told = json.loads(base64.b64decode(headers["X-EBAY-SIGNATURE"]))
    unknown = base64.b64encode(json.dumps({**told, "kid": "9936261a"}).encode()).decode()
    with pytest.raises(Unauthenticated, match="does not know"):
        await connector.verify_webhook({"x-ebay-signature": unknown}, body, SECRET)


async def test_without_the_key_nobody_knows(open_channel: Any) -> None:
    channel = open_channel("ebay")
    headers, body = signed(channel)
    channel.sandbox.faults.configure("ebay", {"error_before": 1.0})
    with pytest.raises(Retryable):
        await channel.connector.verify_webhook(headers, body, SECRET)


def test_what_topics_say() -> None:
    def notice(topic: str, data: Any) -> Any:
        body = {
            "metadata": {"topic": topic, "schemaVersion": "1.0"},
            "notification": {"notificationId": "n1", "eventDate": "2026-03-02T14:00:00.000Z", "data": data},
        }
        return notifications.notice(json.dumps(body).encode())

    deleted = notice("MARKETPLACE_ACCOUNT_DELETION", {"username": "u", "userId": "u1"})
    assert (deleted.kind, deleted.resource_id, deleted.buyer_ids) == ("buyer-deleted", "", ("u", "u1"))
    with pytest.raises(InvalidInput, match="whose account"):
        notice("MARKETPLACE_ACCOUNT_DELETION", {})
    shipped = notice("ITEM_MARKED_SHIPPED", {"itemMarkedShipped": {"itemId": "11", "username": "u"}})
    assert (shipped.kind, shipped.resource_id) == ("listing", "11")
    cancelled = notice("ORDER_CANCELLATION_ACTIVITY", {"cancellation": [{"order": {"orderId": "27-1"}}]})
    assert (cancelled.kind, cancelled.resource_id) == ("order", "27-1")
    for wrong in (b"[]", b"{", b'{"metadata":{"topic":""},"notification":{"notificationId":"a"}}'):
        with pytest.raises(InvalidInput):
            notifications.notice(wrong)


def test_the_challenge_is_answered_as_ebay_asks() -> None:
    url = "https://we.example/api/v1/webhooks/t"
    token = notifications.verification_token("s3cret")
    assert 32 <= len(token) <= 80 and token.isalnum() and "s3cret" not in token
    answered = EbayConnector.answer_challenge({"challenge_code": "abc"}, SECRET, url)
    assert answered == {"challengeResponse": hashlib.sha256(f"abc{token}{url}".encode()).hexdigest()}
    assert EbayConnector.answer_challenge({}, SECRET, url) is None


async def test_destination_and_subscriptions_are_mended(open_channel: Any) -> None:
    channel = open_channel("ebay")
    url = "https://we.example/hook"
    first = await channel.connector.ensure_webhooks(url, SECRET)
    assert {hook.topic for hook in first} == {
        "ORDER_CONFIRMATION",
        "MARKETPLACE_ACCOUNT_DELETION",
        "AUTHORIZATION_REVOCATION",
    }
    before = len(channel.tap.requests)
    await channel.connector.ensure_webhooks(url, SECRET)
    assert {request.method for request in channel.tap.requests[before:]} == {"GET"}, "nothing differs"
    notes = channel.ebay.notification
    destinations = notes.destinations()
    (only,) = destinations
    # eBay marks an endpoint down that did not answer
    channel.sandbox.books.set_meta(
        "ebay.destinations", json.dumps({only: {**destinations[only], "status": "DISABLED"}})
    )
    await channel.connector.ensure_webhooks(url, SECRET)
    assert notes.destinations()[only]["status"] == "ENABLED"
    moved = await channel.connector.ensure_webhooks("https://we.example/other", SECRET)
    assert [hook.external_id for hook in moved] == [hook.external_id for hook in first]
    rows = channel.sandbox.books.db.execute("SELECT DISTINCT url FROM webhook").fetchall()
    assert rows == [("https://we.example/other",)]
