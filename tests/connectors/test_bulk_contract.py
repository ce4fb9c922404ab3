"""One suite over all connectors: many quantities in one call, many listings in one look, and listings with choices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flipsync.connectors.base import QuantityChange, QuantityOutcome
from flipsync.connectors.marketplaces import CONNECTORS
from flipsync.connectors.marketplaces.amazon import client as amazon_client
from flipsync.domain.channel import ListingState, Offer, OfferGroup
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd

_NUMBERS = itertools.count()
GROUP = OfferGroup(key="g1", title="Linen shirt", options=("Size",), values={"Size": ("S", "M", "L")})


@pytest.fixture(params=sorted(CONNECTORS))
def channel(request: pytest.FixtureRequest, open_channel: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(amazon_client, "FEED_FROM", 2)  # so that few listings make a feed
    yield open_channel(request.param)


def offer(sku: str, title: str, **more: Any) -> Offer:
    fields = {"price": usd("19.90"), "quantity": 5, "brand": "Lumen", "images": ("https://img.example/lamp.jpg",)}
    return Offer(sku=sku, title=title, **{**fields, **more})


async def made(channel: Any, count: int = 4) -> list[ListingState]:
    return [await channel.connector.publish(offer(f"LAMP-{n}", f"Lamp {n}"), f"k{n}") for n in range(count)]


def changes(rows: list[ListingState], *quantities: int) -> list[QuantityChange]:
    """Each with a key of its own: a channel that remembers keys would answer an old one without writing."""
    return [
        QuantityChange(row.external_id, units, f"q{next(_NUMBERS)}")
        for row, units in zip(rows, quantities, strict=True)
    ]


async def push(channel: Any, asked: list[QuantityChange]) -> list[QuantityOutcome]:
    async def taken(name: str, part: Sequence[QuantityChange]) -> None:
        assert name

    outcomes: list[QuantityOutcome] = await channel.connector.push_quantities(asked, taken)
    assert [outcome.change for outcome in outcomes] == asked, "one outcome for each change, in their order"
    assert all((outcome.state is None) != (outcome.error is None) for outcome in outcomes)
    return outcomes


async def quantities(channel: Any, rows: list[ListingState]) -> list[int | None]:
    """As the channel tells them one by one."""
    found = [await channel.connector.read_listing(row.external_id) for row in rows]
    return [state.quantity for state in found]


async def test_each_listing_gets_its_own_quantity_and_keeps_its_price(channel: Any) -> None:
    rows = await made(channel)
    outcomes = await push(channel, changes(rows, 7, 0, 9, 5))
    assert [outcome.state.quantity for outcome in outcomes if outcome.state] == [7, 0, 9, 5]
    assert await quantities(channel, rows) == [7, 0, 9, 5]
    after = await channel.connector.read_listings([row.external_id for row in rows])
    assert {state.price for state in after.values()} == {usd("19.90")}


async def test_a_second_push_is_as_good_as_the_first(channel: Any) -> None:
    """What a connector remembers of the first must not mislead it, whoever has changed things meanwhile."""
    rows = await made(channel)
    await push(channel, changes(rows, 7, 8, 9, 10))
    channel.sell("LAMP-1", 3)
    await channel.connector.set_price(rows[2].external_id, usd("24.00"), "p")
    await channel.connector.set_quantity(rows[3].external_id, 2, "one")
    outcomes = await push(channel, changes(rows, 7, 8, 4, 10))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert await quantities(channel, rows) == [7, 8, 4, 10]


async def test_what_is_not_there_is_refused_and_the_others_are_done(channel: Any) -> None:
    rows = await made(channel, 3)
    asked = changes(rows, 1, 2, 3)
    asked.insert(1, QuantityChange("424242", 4, "nobody"))
    outcomes = await push(channel, asked)
    refused = outcomes[1].error
    assert isinstance(refused, Rejected) and refused.missing
    assert [outcome.error for outcome in (outcomes[0], *outcomes[2:])] == [None] * 3
    assert await quantities(channel, rows) == [1, 2, 3]


async def test_of_two_changes_to_one_listing_the_later_stays(channel: Any) -> None:
    rows = await made(channel, 3)
    await push(channel, changes([rows[0], rows[1], rows[0], rows[2]], 8, 6, 3, 4))
    assert await quantities(channel, rows) == [3, 6, 4]


async def test_nothing_to_do_is_nothing_done(channel: Any) -> None:
    assert await push(channel, []) == []
    assert await channel.connector.read_listings([]) == {}


async def test_an_outage_while_writing_is_never_taken_for_done(channel: Any) -> None:
    rows = await made(channel, 3)
    channel.tap.refuses_writes = True
    try:
        outcomes = await push(channel, changes(rows, 7, 8, 9))
    except ChannelError as error:
        failed: list[ChannelError | None] = [error]  # as a whole: only before it began
    else:
        failed = [outcome.error for outcome in outcomes]
    assert failed and all(isinstance(error, OutcomeUnknown | Retryable) for error in failed)
    channel.tap.refuses_writes = False
    assert await quantities(channel, rows) == [5, 5, 5]
    outcomes = await push(channel, changes(rows, 7, 8, 9))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert await quantities(channel, rows) == [7, 8, 9]


async def test_lost_answers_are_unknown_until_the_listings_are_read(channel: Any) -> None:
    rows = await made(channel, 3)
    await push(channel, changes(rows, 6, 6, 6))  # whatever is remembered is remembered
    channel.sandbox.faults.configure(channel.name, {"error_after": 1.0})
    try:
        outcomes = await push(channel, changes(rows, 7, 8, 9))
    except ChannelError as error:
        assert isinstance(error, Retryable), "as a whole: only before anything was written"
        outcomes = []
    channel.sandbox.faults.configure(channel.name, {}, replace=True)
    assert all(isinstance(outcome.error, OutcomeUnknown | Retryable) for outcome in outcomes)
    seen = await channel.connector.read_listings([row.external_id for row in rows])
    assert [seen[row.external_id].quantity for row in rows] == await quantities(channel, rows)
    for outcome, shown in zip(outcomes, await quantities(channel, rows), strict=False):
        assert shown in (6, outcome.change.quantity)
        assert shown == 6 or isinstance(outcome.error, OutcomeUnknown), "what may have happened is not called undone"


async def test_one_look_tells_what_many_would(channel: Any) -> None:
    rows = await made(channel)
    ids = [row.external_id for row in rows]
    alone = {one: await channel.connector.read_listing(one) for one in ids}
    assert await channel.connector.read_listings([*ids, "424242", "no such thing", ids[0]]) == alone


@pytest.mark.parametrize("channel", ["amazon", "ebay", "shopify", "woocommerce"], indirect=True)
async def test_choices_of_one_listing_are_counted_each_for_itself(channel: Any) -> None:
    connector = channel.connector
    shirts = []
    for size in GROUP.values["Size"]:
        shirt = offer(
            f"SHIRT-{size}",
            f"Linen shirt, {size}",
            category="Shirts",
            attributes={"Size": size, "Color": "White"},
            group=GROUP,
            choices=(size,),
        )
        shirts.append(await connector.publish(shirt, f"shirt-{size}"))
    lamps = await made(channel, 1)
    groups = {state.group_external_id for state in shirts}
    assert len(groups) == 1, "one listing with choices, or the same goods apart"
    outcomes = await push(channel, changes([shirts[0], lamps[0], shirts[2]], 2, 8, 0))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert await quantities(channel, [*shirts, *lamps]) == [2, 5, 0, 8]
    seen = await connector.read_listings([state.external_id for state in shirts])
    assert {state.group_external_id for state in seen.values()} == groups
    assert [seen[state.external_id].quantity for state in shirts] == [2, 5, 0]
