"""Orders of a page that cannot be read, over all connectors: told apart from the others, with nothing of a buyer's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError
from test_connector_contract import START, offer

from flipsync.connectors import unread
from flipsync.connectors.marketplaces import CONNECTORS
from flipsync.domain.errors import Unreadable, UnreadOrders

_LINES = ("line_items", "lineItems", "lines", "orderItems")


@pytest.fixture(params=sorted(CONNECTORS))
def channel(request: pytest.FixtureRequest, open_channel: Any) -> Iterator[Any]:
    yield open_channel(request.param)


def orders_of(node: Any) -> Iterator[dict[str, Any]]:
    """Whatever in an answer is an order."""
    if isinstance(node, dict):
        if any(name in node for name in _LINES) and ("id" in node or "orderId" in node):
            yield node
        for each in node.values():
            yield from orders_of(each)
    elif isinstance(node, list):
        for each in node:
            yield from orders_of(each)


def no_number(order: dict[str, Any]) -> None:
    """A line's units are a word, wherever they stand."""

    def walk(node: Any) -> None:
        for name, each in node.items() if isinstance(node, dict) else ():
            if name in ("quantity", "quantityOrdered"):
                node[name] = "many"
            walk(each)
        for each in node if isinstance(node, list) else ():
            walk(each)

    walk({name: order[name] for name in _LINES if name in order})


def spoil(channel: Any, ids: set[str], how: Any = no_number) -> None:
    """From now on the server's answers hold these orders in a form nobody can read."""
    passed = channel.tap.inner.handle_async_request

    async def spoilt(request: httpx2.Request) -> httpx2.Response:
        answer = await passed(request)
        content = await answer.aread()
        try:
            data = json.loads(content)
        except ValueError:
            return answer
        for order in list(orders_of(data)):
            if str(order.get("id") or order.get("orderId")) in ids:
                how(order)
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() != "content-length"]
        return httpx2.Response(answer.status_code, headers=headers, json=data, request=request)

    channel.tap.inner.handle_async_request = spoilt


async def read_all(channel: Any) -> tuple[list[str], tuple[Any, ...]]:
    seen: list[str] = []
    with pytest.raises(UnreadOrders) as caught:
        async for order in channel.connector.orders(START):
            seen.append(order.external_id)
    return seen, caught.value.orders


@pytest.mark.parametrize("place", [0, 2])
async def test_the_others_are_told_and_it_is_named_with_the_reason(channel: Any, place: int) -> None:
    await channel.connector.publish(offer(quantity=50), "k1")
    ids = []
    for _ in range(4):
        ids.append(channel.sell("LAMP-1"))
        await channel.sandbox.market.advance(60)
    spoil(channel, {ids[place]})
    seen, orders = await read_all(channel)
    assert [each for each in seen if each in ids] == [each for each in ids if each != ids[place]]
    (found,) = orders
    assert found.external_id == found.key == ids[place]
    assert "uantity" in found.reason and "many" not in found.reason
    assert ids[place] in found.told and len(found.told) <= 4_000
    assert "@" not in found.told
    with pytest.raises(Unreadable):
        await channel.connector.read_order(ids[place])


async def test_a_hundred_orders_in_pages_with_one_that_has_not_even_an_id(channel: Any) -> None:
    await channel.connector.publish(offer(quantity=150), "k1")
    many = 30 if channel.vendor == "shopify" else 120  # nobody keeps to the limits here, and Shopify counts points
    ids = [channel.sell("LAMP-1") for _ in range(many)]
    await channel.sandbox.market.advance(60)

    def nameless(order: dict[str, Any]) -> None:
        order["id" if "id" in order else "orderId"] = None

    spoil(channel, {ids[-20]}, nameless)
    seen, (found,) = await read_all(channel)
    assert set(ids) - set(seen) == {ids[-20]} and len(seen) == len(set(seen))
    assert found.external_id == "" and found.key == f"#{found.mark}"


async def test_when_nothing_can_be_read_the_channel_has_changed_its_form(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "MOST", 2)
    await channel.connector.publish(offer(quantity=50), "k1")
    ids = {channel.sell("LAMP-1") for _ in range(3)}
    await channel.sandbox.market.advance(60)
    spoil(channel, ids)
    with pytest.raises(Unreadable, match="more than 2 orders"):
        _ = [order async for order in channel.connector.orders(START)]


BUYER = {
    "id": 7,
    "billing": {"first_name": "Ada", "email": "ada@x.example", "phone": 491701234567},
    "shipTo": {"line1": "Mill Lane 3", "postalCode": "AB1"},
    "buyerUsername": "ada_l",
    "customer_note": "ring twice",
    "order_number": "1001",
    "status": "processing",
    "date_created": "2026-03-02T14:00:00",
    "taxIdentifier": "DE123",
    "meta_data": [{"key": "_vat_number", "value": "DE123"}],
    "line_items": [{"sku": "CUP-1", "quantity": "many", "total": "9.90", "value": "for Ada Lovelace", "title": "Ada"}],
}


def test_the_copy_keeps_what_tells_and_nothing_of_a_person() -> None:
    told = unread.unread(BUYER, ValueError("units 'Ada' are no number"))
    assert told.reason == "units … are no number"
    assert json.loads(told.told) == {
        "id": 7,
        "billing": {"first_name": "…", "email": "…", "phone": "…"},
        "shipTo": "…",
        "buyerUsername": "…",
        "customer_note": "…",
        "order_number": "1001",
        "status": "processing",
        "date_created": "2026-03-02T14:00:00",
        "taxIdentifier": "…",
        "meta_data": ["…"],
        "line_items": [{"sku": "CUP-1", "quantity": "many", "total": "9.90", "value": "…", "title": "…"}],
    }


def test_a_reason_says_where_and_not_what() -> None:
    class Line(BaseModel):
        quantity: int

    with pytest.raises(ValidationError) as caught:
        Line.model_validate({"quantity": "Ada Lovelace"})
    assert "Ada" not in unread.reason_of(caught.value) and unread.reason_of(caught.value).startswith("quantity: ")
    assert unread.reason_of(KeyError("total")) == "total is missing"
    assert unread.reason_of(KeyError("Ada Lovelace")) == "… is missing"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "x" * 10_000,
        {"id": True},
        {"id": {"id": 1}},
        {"id": "x" * 500},
        {f"key{n}": n for n in range(50_000)},
        {"lines": [{"quantity": n} for n in range(50_000)]},
        {"\u202eid": "\0\ud83d", "at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=lambda raw: type(raw).__name__,
)
def test_whatever_comes_is_remembered_within_bounds(raw: Any) -> None:
    found = unread.unread(raw, ValueError("x" * 5_000))
    assert found.external_id == "" and len(found.mark) == 32
    assert len(found.told) <= 4_000 and len(found.reason) <= 500


def test_a_deep_row_is_remembered_too() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"items": [deep]}
    assert len(unread.unread({"id": "7", "items": deep}, ValueError("x")).told) < 200
