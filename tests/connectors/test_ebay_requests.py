"""The eBay connector at work: tokens, quotas, revisions, groups, bulk writes and what breaks on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from ebay_channel import Server, connector, lamp

from flipsync.connectors import knowledge
from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.ebay.revisions import A_DAY, Revisions
from flipsync.domain.channel import Offer, OfferGroup, RefundOrder
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money, usd

Handler = Callable[[httpx2.Request], httpx2.Response]


async def test_what_changes_nothing_is_not_written(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    before = len(channel.tap.requests)
    assert (await channel.connector.set_price(made.external_id, usd("19.90"), "k2")).price == usd("19.90")
    assert (await channel.connector.set_quantity(made.external_id, 5, "k3")).quantity == 5
    assert (await channel.connector.revise(made.external_id, lamp(), "k4")).title == "Lamp & shade"
    writes = [r for r in channel.tap.requests[before:] if r.method != "GET" and "bulk_get" not in r.url.path]
    assert writes == []


async def test_the_days_revisions_are_counted_and_learned(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    other = await channel.connector.publish(lamp("LAMP-2"), "k2")
    for _ in range(A_DAY):  # another tool revises the listing all day
        channel.ebay.items.shop.revise("LAMP-1")
    with pytest.raises(Retryable, match="250 times a day") as used:
        await channel.connector.set_quantity(made.external_id, 4, "k3")
    assert used.value.after is not None and 0 < used.value.after <= 86_400
    before = len(channel.tap.requests)
    for change in (
        channel.connector.set_quantity(made.external_id, 3, "k4"),
        channel.connector.set_price(made.external_id, usd("3.00"), "k5"),
        channel.connector.revise(made.external_id, lamp(title="Other"), "k6"),
    ):
        with pytest.raises(Retryable, match="250 times a day"):
            await change
    assert not [r for r in channel.tap.requests[before:] if r.method != "GET" and "bulk_get" not in r.url.path]
    outcomes = await channel.connector.set_quantities(
        [QuantityChange(made.external_id, 2, "k7"), QuantityChange(other.external_id, 2, "k8")]
    )
    assert isinstance(outcomes[0].error, Retryable) and outcomes[1].state.quantity == 2


async def test_what_was_seen_lately_is_written_and_read_back_without_a_look_before(
    open_channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = open_channel("ebay")
    made = [await channel.connector.publish(lamp(f"S{n}"), f"k{n}") for n in range(3)]

    async def push(*quantities: int) -> list[str]:
        before = len(channel.tap.requests)
        changes = [
            QuantityChange(row.external_id, units, f"q{before}-{row.sku}")
            for row, units in zip(made, quantities, strict=True)
        ]
        outcomes = await channel.connector.set_quantities(changes)
        assert [outcome.state.quantity for outcome in outcomes] == list(quantities)
        return [request.url.path.rpartition("/")[2] for request in channel.tap.requests[before:]]

    await push(11, 12, 13)
    assert await push(21, 22, 23) == ["bulk_update_price_quantity", "bulk_get_inventory_item"]
    assert await push(21, 30, 23) == [
        "bulk_get_inventory_item",
        "bulk_update_price_quantity",
        "bulk_get_inventory_item",
    ]
    await channel.connector.end(made[0].external_id, "end")
    assert "offer" in await push(21, 31, 24), "what became of the others is asked"
    monkeypatch.setattr(knowledge, "MOST", 1)
    await push(41, 42, 43)
    assert "offer" in await push(51, 52, 53)


def test_revisions_begin_anew_with_ebays_day() -> None:
    now = datetime(2026, 3, 2, 20, tzinfo=UTC)  # noon in California
    revisions = Revisions(lambda: now)
    for _ in range(A_DAY):
        revisions.count("L")
    with pytest.raises(Retryable) as used:
        revisions.require("L")
    assert used.value.after == 12 * 3600
    revisions.require("M")
    now += timedelta(hours=11, minutes=59)
    assert revisions.left("L") == 0
    now += timedelta(minutes=1)
    assert revisions.left("L") == A_DAY
    assert revisions.count("L", Rejected("no picture", vendor_code="25002")) is not None
    assert revisions.left("L") == A_DAY, "what was refused is no revision"
    revisions.count("L", OutcomeUnknown("?"))
    assert revisions.left("L") == A_DAY - 1


async def test_policies_and_location_are_named_when_there_is_a_choice(open_channel: Any) -> None:
    def answers(policies: int, places: int) -> dict[tuple[str, str], Any]:
        rows = [{"name": f"P{n}", "paymentPolicyId": str(n)} for n in range(policies)]
        spots = [{"merchantLocationKey": f"L{n}", "name": "W"} for n in range(places)]
        return {
            ("GET", "/payment_policy"): {"paymentPolicies": rows},
            ("GET", "/fulfillment_policy"): {"fulfillmentPolicies": [{"name": "F", "fulfillmentPolicyId": "f"}]},
            ("GET", "/return_policy"): {"returnPolicies": [{"name": "R", "returnPolicyId": "r"}]},
            ("GET", "/location"): {"locations": spots},
            ("GET", "/get_default_category_tree_id"): {"categoryTreeId": "0"},
            ("GET", "/get_item_aspects_for_category"): {"aspects": []},
        }

    for policies, places, said in ((0, 1, "no payment policy"), (2, 1, "2 of payment policy"), (1, 0, "no inventory")):
        server = Server(answers(policies, places))
        async with connector(server, category_id="1") as ebay:
            with pytest.raises(Rejected, match=said) as refused:
                await ebay.publish(lamp(), "k1")
        assert "the option " in refused.value.hint
        assert not [r for r in server.seen if r.method == "PUT"], "nothing was written"
    server = Server(answers(2, 2))
    async with connector(server, category_id="1", payment_policy_id="1", merchant_location_key="L1") as ebay:
        with pytest.raises(ChannelError) as failed:
            await ebay.publish(lamp(), "k1")
    assert "policy" not in failed.value.message, "it went on with what was chosen"


async def test_a_publish_that_broke_anywhere_is_gone_on_with(open_channel: Any) -> None:
    channel = open_channel("ebay")
    steps = ("PUT /ebay/sell/inventory/v1/inventory_item/", "POST /ebay/sell/inventory/v1/offer", "/publish")
    for number, step in enumerate(steps):
        inner = channel.tap.inner

        class Breaking(httpx2.AsyncBaseTransport):
            async def handle_async_request(
                self, request: httpx2.Request, inner: Any = inner, step: str = step
            ) -> httpx2.Response:
                response = await inner.handle_async_request(request)
                what = f"{request.method} {request.url.path}"
                hit = what.endswith(step) if step.startswith("/") else what.startswith(step)
                return httpx2.Response(502) if hit and request.method != "GET" else response

        channel.tap.inner = Breaking()
        sku = f"LAMP-{number}"
        with pytest.raises(OutcomeUnknown):
            await channel.connector.publish(lamp(sku), "k1")
        channel.tap.inner = inner
        state = await channel.connector.publish(lamp(sku), "k1")
        assert (state.status, state.quantity, state.price) == ("active", 5, usd("19.90"))
    assert len([state async for state in channel.connector.listings()]) == 3


async def test_without_a_unit_it_waits_for_the_first_one(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(quantity=0), "k1")
    assert (made.status, made.quantity, made.price) == ("draft", 0, usd("19.90"))
    shown = await channel.connector.set_quantity(made.external_id, 3, "k2")
    assert (shown.status, shown.quantity) == ("active", 3)
    channel.sell("LAMP-1", 3)
    sold_out = await channel.connector.read_listing(made.external_id)
    assert (sold_out.status, sold_out.quantity) == ("active", 0)
    again = await channel.connector.set_quantity(made.external_id, 2, "k3")
    assert (again.status, again.quantity) == ("active", 2)


async def test_an_offers_own_quantity_is_set_with_the_items(open_channel: Any) -> None:
    channel = open_channel("ebay")
    made = await channel.connector.publish(lamp(), "k1")
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    with channel.sandbox.books.transaction():
        channel.ebay.offers.shop.set_available(row, 2, "by hand")
        channel.sandbox.books.save_listing(row)
    assert (await channel.connector.read_listing(made.external_id)).quantity == 2
    assert (await channel.connector.set_quantity(made.external_id, 4, "k2")).quantity == 4


async def test_many_quantities_go_in_parts_of_25_and_each_has_its_outcome(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for number in range(52):
        await channel.connector.publish(lamp(f"L-{number}"), "k")
    changes = [QuantityChange(f"L-{number}", number % 7, f"q{number}") for number in range(52)]
    changes += [QuantityChange("NOBODY", 1, "q"), QuantityChange("L-1", 3, "again"), QuantityChange("L-1", 4, "last")]
    before = len(channel.tap.requests)
    outcomes = await channel.connector.set_quantities(changes)
    assert [outcome.change for outcome in outcomes] == changes
    for outcome in outcomes[:52]:
        assert outcome.state.quantity == outcome.change.quantity
    assert isinstance(outcomes[52].error, Rejected) and outcomes[52].error.missing
    assert (outcomes[53].state.quantity, outcomes[54].state.quantity) == (3, 4)
    bulk = [r for r in channel.tap.requests[before:] if r.url.path.endswith("bulk_update_price_quantity")]
    # without those that show 5 already, and the one nobody has; a SKU comes once in a call
    assert [len(json.loads(r.content)["requests"]) for r in bulk] == [22, 21, 3, 1]


async def test_a_bulk_write_that_breaks_leaves_the_rest_known(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for number in range(30):
        await channel.connector.publish(lamp(f"L-{number}"), "k")
    inner, seen = channel.tap.inner, []

    class SecondBreaks(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await inner.handle_async_request(request)
            if request.url.path.endswith("bulk_update_price_quantity"):
                seen.append(request)
                if len(seen) == 2:
                    return httpx2.Response(500)
            return response

    channel.tap.inner = SecondBreaks()
    changes = [QuantityChange(f"L-{number}", 1, "q") for number in range(30)]
    outcomes = await channel.connector.set_quantities(changes)
    assert all(outcome.state is not None and outcome.state.quantity == 1 for outcome in outcomes[:25])
    assert all(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes[25:])


async def test_a_long_title_is_shown_cut_and_read_back_whole(open_channel: Any) -> None:
    channel = open_channel("ebay")
    long = f"Lamp {'very ' * 20}old"
    made = await channel.connector.publish(lamp(title=long), "k1")
    assert made.title == long
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    assert len(row.title) <= 80
    other = f"Lamp {'very ' * 20}new"
    assert (
        await channel.connector.revise(made.external_id, lamp(title=other, description_html=""), "k2")
    ).title == other
    short = await channel.connector.revise(made.external_id, lamp(title="Lamp", description_html=""), "k3")
    assert short.title == "Lamp"
    (row,) = channel.sandbox.books.listings("channel = 'ebay'", ())
    assert row.doc["offer"]["listingDescription"] == row.doc["item"]["product"]["description"] == "<p>Brass.</p>"


SHIRT = OfferGroup(
    key="SHIRT/1",
    title="Shirt, plain",
    description_html="<p>Cotton.</p>",
    options=("Size", "Color"),
    images=("https://img.example/shirt.jpg",),
    values={"Size": ("S", "M"), "Color": ("Red", "Blue")},
)


def shirt(sku: str, size: str, color: str, **changes: Any) -> Offer:
    fields = {"title": f"Shirt {size} {color}", "group": SHIRT, "choices": (size, color), "brand": "Weft"}
    return lamp(sku, **{**fields, **changes})


async def test_variations_are_one_listing_with_choices(open_channel: Any) -> None:
    channel = open_channel("ebay")
    first = await channel.connector.publish(shirt("S-R", "S", "Red"), "k1")
    second = await channel.connector.publish(shirt("M-B", "M", "Blue", quantity=0), "k2")
    third = await channel.connector.publish(shirt("S-B", "S", "Blue"), "k3")
    assert {each.group_external_id for each in (first, second, third)} == {"fs.SHIRT_2F1"}
    assert [each.status for each in (first, second, third)] == ["active"] * 3
    numbers = {row.doc["listing_id"] for row in channel.sandbox.books.listings("channel = 'ebay'", ())}
    assert len(numbers) == 1, "one listing"
    (group,) = channel.ebay.items.shop.groups().values()
    assert group["body"]["variantSKUs"] == ["S-R", "M-B", "S-B"]
    assert group["body"]["variesBy"]["specifications"] == [
        {"name": "Size", "values": ["S", "M"]},
        {"name": "Color", "values": ["Red", "Blue"]},
    ]
    assert (await channel.connector.set_quantity("M-B", 2, "k4")).quantity == 2
    assert (await channel.connector.set_price("M-B", usd("9.00"), "k5")).price == usd("9.00")
    await channel.connector.end("S-B", "k6")
    assert (await channel.connector.read_listing("S-B")).status == "ended"
    assert (await channel.connector.read_listing("M-B")).status == "active"
    again = await channel.connector.publish(shirt("S-B", "S", "Blue", quantity=1), "k7")
    assert (again.status, again.quantity, again.group_external_id) == ("active", 1, "fs.SHIRT_2F1")
    for sku in ("S-R", "M-B", "S-B"):
        await channel.connector.end(sku, "k8")
    states = [state async for state in channel.connector.listings()]
    assert {state.status for state in states} == {"ended"}
    back = await channel.connector.publish(shirt("S-R", "S", "Red"), "k9")
    assert (back.status, back.group_external_id) == ("active", "fs.SHIRT_2F1")


async def test_a_group_of_nothing_but_empty_shelves_waits(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for sku, size in (("S-R", "S"), ("M-R", "M")):
        assert (await channel.connector.publish(shirt(sku, size, "Red", quantity=0), "k1")).status == "draft"
    first = await channel.connector.set_quantity("S-R", 2, "k2")
    assert (first.status, first.quantity) == ("active", 2)
    assert (await channel.connector.read_listing("M-R")).status == "active"


async def test_a_variation_that_was_sold_stays_and_shows_nothing(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for sku, size in (("S-R", "S"), ("M-R", "M")):
        await channel.connector.publish(shirt(sku, size, "Red"), "k1")
    channel.sell("S-R")
    with pytest.raises(Rejected) as refused:
        await channel.connector.end("S-R", "k2")
    assert "quantity is 0" in refused.value.hint
    assert (await channel.connector.read_listing("S-R")).quantity == 0
    assert (await channel.connector.read_listing("M-R")).quantity == 5


async def test_other_currencies_than_the_marketplaces_are_refused() -> None:
    async with connector(Server({})) as ebay:
        for call in (
            ebay.publish(lamp(price=Money.parse("9.00", "EUR")), "k1"),
            ebay.set_price("A", Money.parse("9.00", "EUR"), "k2"),
        ):
            with pytest.raises(Rejected, match="sells in USD"):
                await call


async def test_refunds_that_want_a_digital_signature_are_for_a_person() -> None:
    server = Server({})
    wish = RefundOrder(
        order_external_id="27-00001-70193", amount=Money(amount_minor=100, currency="GBP"), reason="", reference="FS-1"
    )
    async with connector(server, marketplace_id="EBAY_GB") as ebay:
        with pytest.raises(Rejected, match="digital signature") as refused:
            await ebay.issue_refund(wish, "k")
    assert "own page" in refused.value.hint
