"""What connectors know of listings outlives their process, is bounded, and heals when it has become wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from flipsync.connectors import knowledge
from flipsync.connectors.base import MarketplaceConnector, QuantityChange
from flipsync.connectors.knowledge import Facts, Recalled, Remembered
from flipsync.connectors.marketplaces.amazon import client as amazon_client
from flipsync.domain.channel import Offer
from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd

VENDORS = ("amazon", "ebay", "shopify")


def remembered(**more: Any) -> Remembered[str]:
    def unpack(facts: Facts) -> str:
        return str(facts["word"]).lower()

    return Remembered(lambda word: {"word": word.upper()}, unpack, lasts=100.0, **more)


def test_only_what_differs_from_what_was_told_is_news() -> None:
    known = remembered()
    known.keep("a", "blue")
    assert known.learnt() == {"a": {"word": "BLUE"}}
    known.keep("a", "Blue")
    assert known.learnt() == {}
    known.keep("a", "red")
    known.forget("a")
    known.forget("b")
    assert known.learnt() == {"a": None}


def test_what_was_recalled_ends_gives_way_to_what_was_seen_and_can_be_doubted() -> None:
    known = remembered(seconds=50.0)
    known.keep("a", "mine")
    known.learnt()
    known.recall(
        {
            "a": Recalled({"word": "OLD"}, 1.0),
            "b": Recalled({"word": "RED"}, 1.0),
            "c": Recalled({"word": "RED"}, 101.0),
            "d": Recalled({"other": 1}, 1.0),
        }
    )
    assert [known.get(key) for key in "abcd"] == ["mine", "red", None, None]
    known.refuted("b")
    assert known.get("b") == "red", "whoever doubts it says so"
    assert known.doubt(["a", "b", "x"]) == {"b"}
    assert known.get("b") is None and known.learnt() == {"b": None}
    known.refuted("a")
    assert known.get("a") is None


def test_no_more_is_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "MOST", 3)
    known = remembered()
    for number in range(10):
        known.keep(str(number), "x")
    known.recall({"11": Recalled({"word": "Y"}, 0.0)})
    assert [key for key in map(str, range(12)) if known.get(key)] == ["8", "9", "11"]
    assert set(known.learnt()) == {"8", "9"}


async def push(connector: MarketplaceConnector, ids: Sequence[str], units: int) -> list[Any]:
    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        return None

    changes = [QuantityChange(one, units + place, f"k{units}{place}") for place, one in enumerate(ids)]
    return await connector.push_quantities(changes, taken)


@pytest.fixture(params=VENDORS)
async def pair(request: pytest.FixtureRequest, open_channel: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A channel, the ids of three listings there, and what its connector has learnt of them; as JSON, as it is kept."""
    monkeypatch.setattr(amazon_client, "FEED_FROM", 2)
    channel = open_channel(request.param)
    goods = [
        Offer(sku=f"LAMP-{n}", title="Lamp", price=usd("19.90"), quantity=5, brand="L", images=("https://i.example/1",))
        for n in range(3)
    ]
    ids = [(await channel.connector.publish(each, f"k{each.sku}")).external_id for each in goods]
    await push(channel.connector, ids, 10)
    learnt = channel.connector.learnt()
    assert set(learnt) == set(ids)
    return open_channel(request.param), ids, json.loads(json.dumps(learnt))


def recall(connector: MarketplaceConnector, learnt: dict[str, Facts], age: float = 60.0) -> None:
    connector.recall({one: Recalled(facts, age) for one, facts in learnt.items()})


async def test_a_fresh_process_reads_nothing_that_an_earlier_one_has_learnt(pair: Any) -> None:
    channel, ids, learnt = pair
    assert channel.connector.lacks([*ids, "nobody"]) == [*ids, "nobody"]
    recall(channel.connector, learnt)
    assert channel.connector.lacks([*ids, "nobody"]) == ["nobody"]
    before = len(channel.tap.requests)
    outcomes = await push(channel.connector, ids, 20)
    assert [outcome.state.quantity for outcome in outcomes] == [20, 21, 22]
    asked = [request for request in channel.tap.requests[before:] if "token" not in request.url.path]
    reads = [r for r in asked if r.method == "GET" and "/offer" in r.url.path]
    assert reads == [] and channel.connector.learnt().keys() <= set(ids)
    first = next(r for r in asked if r.method == "POST" and b"location" not in r.content[:200])
    known = {"amazon": "feeds", "ebay": "bulk_update_price_quantity", "shopify": "graphql"}[channel.vendor]
    assert known in first.url.path, "the first thing it does is to write"
    assert b"nodes(ids" not in b"".join(r.content for r in asked if channel.vendor == "shopify")


async def test_old_or_strange_facts_are_not_relied_on(pair: Any) -> None:
    channel, ids, learnt = pair
    recall(channel.connector, learnt, age=30 * 86_400.0)
    recall(channel.connector, {one: {"item": [], "offer": 7, "type": None} for one in ids})
    assert channel.connector.lacks(ids) == ids
    outcomes = await push(channel.connector, ids, 30)
    assert [outcome.state.quantity for outcome in outcomes] == [30, 31, 32]


async def test_what_has_become_wrong_is_refused_doubted_and_read_anew(open_channel: Any) -> None:
    first = open_channel("shopify")
    offer = Offer(sku="LAMP-1", title="Lamp", price=usd("19.90"), quantity=5, images=("https://i.example/1",))
    made = await first.connector.publish(offer, "k1")
    facts = first.connector.learnt()[made.external_id]
    wrong = {made.external_id: {**facts, "item_id": "gid://shopify/InventoryItem/999999"}}
    many, one = open_channel("shopify"), open_channel("shopify")
    recall(many.connector, wrong)
    (outcome,) = await push(many.connector, [made.external_id], 7)
    assert isinstance(outcome.error, Rejected)
    assert many.connector.doubt([made.external_id]) == {made.external_id}
    (outcome,) = await push(many.connector, [made.external_id], 8)
    assert outcome.state.quantity == 8
    recall(one.connector, wrong)
    assert (await one.connector.set_quantity(made.external_id, 9, "k9")).quantity == 9
