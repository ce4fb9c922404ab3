"""Stock on Shopify: compare and set, idempotency keys, 250 at once with an outcome for each, items not yet counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.shopify import stock
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.money import usd


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return open_channel("shopify")


async def publish(channel: Any, count: int) -> list[str]:
    made = []
    for n in range(count):
        offer = Offer(sku=f"SKU-{n:03}", title=f"Thing {n}", price=usd("5"), quantity=n)
        made.append((await channel.connector.publish(offer, f"k{n}")).external_id)
    return made


def bodies(channel: Any, name: str) -> list[dict[str, Any]]:
    sent = [json.loads(r.content) for r in channel.tap.requests if r.url.path.endswith("graphql.json")]
    return [body["variables"] for body in sent if body["operationName"] == name]


def edit(channel: Any, external_id: str, **changes: Any) -> None:
    """Change what the shop keeps of a variant, as a merchant would in the admin."""
    books = channel.sandbox.books
    listing = books.listing(int(external_id.rpartition("/")[2]))
    with books.transaction():
        if "quantity" in changes:
            books.set_stock(listing, changes.pop("quantity"), "edited", "admin")
        listing.doc.update(changes)
        books.save_listing(listing)


async def test_the_version_is_the_quantity_and_is_compared(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    state = await channel.connector.set_quantity(variant, 5, "a", "0")
    assert (state.quantity, state.version) == (5, "5")
    for version in ("0", "not a number"):
        with pytest.raises(Rejected) as refused:
            await channel.connector.set_quantity(variant, 9, "b", version)
        assert refused.value.vendor_code == "version"
    assert (await channel.connector.read_listing(variant)).quantity == 5
    changes = [body["input"]["quantities"][0]["changeFromQuantity"] for body in bodies(channel, "SetQuantities")]
    assert changes == [0, 0]


async def test_without_a_version_the_comparison_is_opted_out_of_in_so_many_words(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    await channel.connector.set_quantity(variant, 5, "a")
    (body,) = bodies(channel, "SetQuantities")
    assert body["input"]["quantities"][0]["changeFromQuantity"] is None
    assert body["input"]["name"] == "available"


async def test_a_repeat_has_the_same_key_and_another_quantity_another(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    await channel.connector.set_quantity(variant, 5, "a")
    channel.sell("SKU-000")
    await channel.connector.set_quantity(variant, 5, "a")
    assert (await channel.connector.read_listing(variant)).quantity == 4, "the repeat does not undo the sale"
    await channel.connector.set_quantity(variant, 7, "a")
    keys = [body["key"] for body in bodies(channel, "SetQuantities")]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 36


async def test_a_quantity_that_was_set_but_cannot_be_read_back_is_unknown(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (variant,) = await publish(channel, 1)

    async def broken(external_id: str) -> None:
        raise Rejected("gone")

    monkeypatch.setattr(channel.connector._shelf, "known", broken)
    with pytest.raises(OutcomeUnknown, match="the quantity was done, but not the rest: gone"):
        await channel.connector.set_quantity(variant, 5, "a")


async def test_many_quantities_go_in_one_call(channel: Any) -> None:
    variants = await publish(channel, 6)
    changes = [QuantityChange(variant, 10 + n, f"q{n}") for n, variant in enumerate(variants)]
    start = len(channel.tap.requests)
    outcomes = await channel.connector.set_quantities(changes)
    assert [(outcome.error, outcome.state.quantity) for outcome in outcomes] == [(None, 10 + n) for n in range(6)]
    assert [outcome.change for outcome in outcomes] == changes
    assert len(channel.tap.requests) == start + 1
    assert [(await channel.connector.read_listing(v)).quantity for v in variants] == [10, 11, 12, 13, 14, 15]
    assert outcomes[0].state.version == "10" and outcomes[0].state.sku == "SKU-000"


async def test_quantities_that_stay_as_they_are_are_read_back(channel: Any) -> None:
    variants = await publish(channel, 3)
    changes = [QuantityChange(variant, n, "q") for n, variant in enumerate(variants)]
    outcomes = await channel.connector.set_quantities(changes)
    assert [outcome.state.quantity for outcome in outcomes] == [0, 1, 2]
    assert len(bodies(channel, "ReadListings")) == 1


async def test_each_bad_change_fails_alone_and_the_rest_is_set(channel: Any) -> None:
    variants = await publish(channel, 4)
    changes = [
        QuantityChange(variants[0], 9, "a"),
        QuantityChange("gid://shopify/ProductVariant/424242", 9, "b"),
        QuantityChange(variants[1], 2_000_000_000, "c"),
        QuantityChange("no id", 9, "d"),
        QuantityChange(variants[2], 8, "e"),
        QuantityChange(variants[2], 7, "f"),
        QuantityChange(variants[3], 6, "g"),
    ]
    outcomes = await channel.connector.set_quantities(changes)
    assert [outcome.state and outcome.state.quantity for outcome in outcomes] == [9, None, None, None, 8, 7, 6]
    missing, too_high, nonsense = outcomes[1].error, outcomes[2].error, outcomes[3].error
    assert isinstance(missing, Rejected) and missing.missing
    assert isinstance(nonsense, Rejected) and nonsense.missing
    assert isinstance(too_high, Rejected) and too_high.vendor_code == "INVALID_QUANTITY_TOO_HIGH"
    assert "input.quantities.1.quantity" in too_high.message
    assert [(await channel.connector.read_listing(v)).quantity for v in variants] == [9, 1, 7, 6]


async def test_more_than_one_call_takes_are_sent_in_parts(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stock.MOST_AT_ONCE == channel.connector.capabilities.bulk_quantity == 250
    monkeypatch.setattr(stock, "MOST_AT_ONCE", 4)
    variants = await publish(channel, 6)
    outcomes = await channel.connector.set_quantities([QuantityChange(v, 500, "q") for v in variants])
    assert all(outcome.state is not None and outcome.state.quantity == 500 for outcome in outcomes)
    assert [len(body["input"]["quantities"]) for body in bodies(channel, "SetQuantities")] == [4, 2]


async def test_a_lost_answer_is_unknown_for_every_change_of_the_call(channel: Any) -> None:
    variants = await publish(channel, 2)
    channel.sandbox.faults.configure("shopify", {"error_after": 1.0})
    outcomes = await channel.connector.set_quantities([QuantityChange(v, 50, "q") for v in variants])
    assert all(isinstance(outcome.error, OutcomeUnknown) and outcome.state is None for outcome in outcomes)


async def test_stock_that_was_not_counted_is_counted_from_now_on(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    edit(channel, variant, quantity=None, tracked=False)
    state = await channel.connector.read_listing(variant)
    assert (state.quantity, state.version) == (None, None)
    assert (await channel.connector.set_quantity(variant, 6, "a")).quantity == 6
    edit(channel, variant, quantity=None, tracked=False)
    await channel.connector.read_listing(variant)
    (outcome,) = await channel.connector.set_quantities([QuantityChange(variant, 4, "b")])
    assert outcome.state is not None and outcome.state.quantity == 4


async def test_an_item_that_is_not_stocked_at_our_location_is_activated_there(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    edit(channel, variant, stocked=False)
    state = await channel.connector.read_listing(variant)
    assert (state.quantity, state.version) == (0, "0"), "nothing of it can be sold from here"
    with pytest.raises(Rejected) as refused:
        await channel.connector.set_quantity(variant, 6, "a", "4")
    assert refused.value.vendor_code == "version"
    assert (await channel.connector.set_quantity(variant, 6, "b", "0")).quantity == 6
    assert len(bodies(channel, "ActivateStock")) == 1


async def test_a_swallowed_write_shows_in_the_answer(channel: Any) -> None:
    (variant,) = await publish(channel, 1)
    channel.sandbox.faults.configure("shopify", {"ignored_write": 1.0})
    assert (await channel.connector.set_quantity(variant, 6, "a")).quantity == 0
    priced = {str((await channel.connector.set_price(variant, usd("9"), f"p{n}")).price) for n in range(12)}
    assert priced == {"9.00 USD", "5.00 USD"}, "at times the answer pretends, at times it shows the truth"
    assert (await channel.connector.read_listing(variant)).price == usd("5")
