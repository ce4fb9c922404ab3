"""The custom-channel protocol: its examples, its webhooks, and what leaves for the channel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.custom import mapping
from flipsync.connectors.marketplaces.custom.client import CustomConnector
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable, Unauthenticated
from flipsync.domain.money import usd

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MONEY = {"amount_minor": 1999, "currency": "USD"}


def listing(**changes: Any) -> dict[str, Any]:
    row = {"sku": "S", "title": "T", "status": "active", "price": MONEY, "quantity": 3, "stock_version": "7"}
    return {**row, "modified_at": "2026-01-01T12:00:00Z", "unknown": "ignored", **changes}


def order(**changes: Any) -> dict[str, Any]:
    line = {"id": "l1", "sku": "S", "title": "T", "quantity": 2, "total": MONEY, "tax": {**MONEY, "amount_minor": 0}}
    return {
        "id": "o1",
        "number": "C-1",
        "status": "paid",
        "placed_at": "2026-01-01T11:00:00Z",
        "modified_at": "2026-01-01T12:00:00Z",
        "currency": "USD",
        "lines": [line],
        "shipping": MONEY,
        "tax": MONEY,
        "total": MONEY,
        "fee": None,
        "refunds": [],
        "ship_to": {"name": "A", "country": "US"},
        "note": "",
        **changes,
    }


@pytest.mark.parametrize(
    ("status", "holds"), [("paid", True), ("shipped", True), ("cancelled", False), ("refunded", True)]
)
def test_orders(status: str, holds: bool) -> None:
    refund = {"id": "r1", "amount": MONEY, "restocked": {"l1": 1, "l2": 0}, "created_at": "2026-01-01T12:00:00Z"}
    found = mapping.decode_order(order(status=status, fee=MONEY, refunds=[refund]))
    assert (found.status, found.holds_stock, found.channel_fee) == (status, holds, usd("19.99"))
    assert found.refunds[0].restocked == {"l1": 1}
    assert found.lines[0].listing_external_id == "S"


@pytest.mark.parametrize(
    "broken",
    [
        {"price": {"amount_minor": "1999", "currency": "USD"}},
        {"price": {"amount_minor": 19.99, "currency": "USD"}},
        {"price": {"amount_minor": 1, "currency": "usd"}},
        {"modified_at": "2026-01-01T12:00:00"},
        {"status": "sold"},
    ],
)
def test_answers_that_mean_nothing_certain_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        mapping.decode_listing(listing(**broken))


def deliver(topic: str, data: Any, *, at: datetime = NOW, secret: str = "s", now: datetime = NOW, **more: str) -> Any:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    stamp = str(int(at.timestamp()))
    headers = {
        "X-CHANNEL-TOPIC": topic,
        "x-channel-delivery": "d1",
        "X-Channel-Timestamp": stamp,
        "X-Channel-Signature": mapping.signature("s", stamp, body),
    }
    return mapping.webhook({**headers, **more}, body, secret, now)


def test_webhooks() -> None:
    notice = deliver("order.updated", order())
    assert (notice.kind, notice.resource_id, notice.order.external_id) == ("order", "o1", "o1")
    assert deliver("order.updated", order()).dedup_key == notice.dedup_key
    later = order(modified_at="2026-01-01T12:00:00.001Z")
    assert deliver("order.updated", later).dedup_key != notice.dedup_key
    stock = deliver("listing.updated", listing())
    assert (stock.kind, stock.resource_id) == ("listing", "S")
    assert deliver("listing.updated", listing(stock_version="8")).dedup_key != stock.dedup_key
    assert deliver("something.else", {}).kind == "other"


def test_webhooks_that_are_forged_old_or_broken() -> None:
    for bad in (
        {"secret": "other"},
        {"now": NOW + timedelta(minutes=5, seconds=1)},
        {"now": NOW - timedelta(minutes=5, seconds=1)},
        {"X-Channel-Signature": "sha256=00"},
        {"X-Channel-Signature": ""},
        {"X-Channel-Timestamp": str(int(NOW.timestamp()) + 1)},
    ):
        with pytest.raises(Unauthenticated):
            deliver("order.updated", order(), **bad)  # type: ignore[arg-type]
    for body in (b"no json", b"{}", b"[]"):
        with pytest.raises(InvalidInput):
            deliver("order.updated", body)


def connector(answer: Any) -> CustomConnector:
    config = AccountConfig(vendor="custom", base_url="http://shop.test/api/", currency="USD")
    token = {"token": SecretStr("tok")}
    return CustomConnector(config, token, Unlimited(), "a", transport=httpx2.MockTransport(answer))


def problem(status: int, code: str) -> httpx2.Response:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": "because", "code": code}
    return httpx2.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


async def test_every_write_carries_its_key_and_the_token() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204) if request.method == "DELETE" else httpx2.Response(200, json=listing())

    made = connector(answer)
    await made.set_price("A/B", usd("5.00"), "k1")
    await made.set_quantity("S", 4, "k2", expected_version="7")
    await made.end("S", "k3")
    writes = [(r.method, r.url.raw_path.decode(), r.headers["idempotency-key"]) for r in seen]
    assert writes == [
        ("PUT", "/api/v1/listings/A%2FB/price", "k1"),
        ("PUT", "/api/v1/listings/S/quantity", "k2"),
        ("DELETE", "/api/v1/listings/S", "k3"),
    ]
    assert seen[1].headers["if-match"] == '"7"'
    assert json.loads(seen[0].content) == {"price": {"amount_minor": 500, "currency": "USD"}}
    assert all(request.headers["authorization"] == "Bearer tok" for request in seen)


async def test_dot_segments_never_leave() -> None:
    made = connector(lambda request: pytest.fail(f"sent {request.url}"))
    for sku in (".", "..", ""):
        with pytest.raises(Rejected):
            await made.set_price(sku, usd("1.00"), "k")


@pytest.mark.parametrize(
    ("status", "code", "kind", "auth"),
    [
        (401, "unauthorized", Rejected, True),
        (403, "forbidden", Rejected, True),
        (404, "not_found", Rejected, False),
        (409, "key_reused", Rejected, False),
        (412, "version", Rejected, False),
        (422, "invalid", Rejected, False),
        (429, "slow_down", Retryable, False),
        (500, "oops", OutcomeUnknown, False),
    ],
)
async def test_problem_documents(status: int, code: str, kind: Any, auth: bool) -> None:
    made = connector(lambda request: problem(status, code))
    with pytest.raises(kind) as caught:
        await made.set_quantity("S", 1, "k")
    assert (caught.value.vendor_code, caught.value.vendor_status) == (code, status)
    assert "because" in caught.value.message
    assert getattr(caught.value, "auth", False) == auth


async def test_cursors_are_followed_and_repeats_dropped() -> None:
    pages = {None: ([order(id="o1"), order(id="o2")], "c 1"), "c 1": ([order(id="o2"), order(id="o3")], None)}

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.params["modified_after"] == "2026-01-01T12:00:00Z"
        items, cursor = pages[request.url.params.get("cursor")]
        return httpx2.Response(200, json={"items": items, "next_cursor": cursor})

    made = connector(answer)
    assert [row.external_id async for row in made.orders(NOW)] == ["o1", "o2", "o3"]


async def test_rivals_are_asked_for_fifty_at_a_time() -> None:
    asked: list[int] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        skus = request.url.params.get_list("sku")
        asked.append(len(skus))
        return httpx2.Response(200, json={"items": []})

    assert await connector(answer).rivals([f"S{n}" for n in range(101)] + ["S1"]) == []
    assert asked == [50, 50, 1]


def test_what_may_be_left_out_may_be_null() -> None:
    names = ("fee", "refunds", "ship_to", "note")
    minimal = {name: value for name, value in order().items() if name not in names}
    assert mapping.decode_order(order(**dict.fromkeys(names))) == mapping.decode_order(minimal)
    optional = dict.fromkeys(("description_html", "images", "attributes", "quantity_before"))
    assert mapping.decode_listing(listing(**optional)) == mapping.decode_listing(listing())
    nobody = order(ship_to={"name": None, "country": "US"})
    assert mapping.decode_order(nobody).ship_to.name == ""
    for name in ("lines", "total", "modified_at"):
        with pytest.raises(ValueError):
            mapping.decode_order(order(**{name: None}))
    error = mapping.read_error(409, {"code": "key_reused", "title": None, "detail": None})
    assert (error.code, error.message) == ("key_reused", "")


def test_a_time_out_of_bounds_is_unusable_and_no_crash() -> None:
    early = "0001-01-01T00:00:00+14:00"
    with pytest.raises(ValueError, match="out of bounds"):
        mapping.decode_listing(listing(modified_at=early))
    body = json.dumps(listing(modified_at=early)).encode()
    stamp = str(int(NOW.timestamp()))
    headers = {"X-Channel-Topic": "listing.updated", "X-Channel-Timestamp": stamp}
    headers["X-Channel-Signature"] = mapping.signature("s", stamp, body)
    with pytest.raises(InvalidInput):
        mapping.webhook(headers, body, "s", NOW)


@pytest.mark.parametrize("what", ["listings", "orders"])
async def test_a_list_that_comes_round_again_ends(what: str) -> None:
    """The server forgets its place: the third page points to the second."""
    pages = {None: "a", "a": "b", "b": "a"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        told = pages[request.url.params.get("cursor")]
        items = [listing(sku=told)] if what == "listings" else [order(id=told)]
        return httpx2.Response(200, json={"items": items, "next_cursor": told})

    config = AccountConfig(vendor="custom", base_url="http://shop.test", currency="USD")
    keys = {"token": SecretStr("t")}
    connector = CustomConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    seen: list[Any] = []
    with pytest.raises(Retryable, match="same page"):
        async for each in connector.listings() if what == "listings" else connector.orders(NOW):
            seen.append(each)
    assert 2 <= len(seen) <= 3
