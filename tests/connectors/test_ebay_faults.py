"""Under faults of every kind the eBay connector tells what it knows, and nothing is done twice."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from flipsync.domain.channel import Offer
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd


def lamp(sku: str, price: int, quantity: int) -> Offer:
    return Offer(
        sku=sku,
        title="Lamp & shade",
        description_html="<p>Brass.</p>",
        price=usd(f"{price}.00"),
        quantity=quantity,
        brand="Lumen",
        images=("https://img.example/lamp.jpg",),
    )


async def until_done(call: Any, seen: Counter[str]) -> Any:
    """As the effect worker does: again after what is not known or not now, never after a refusal."""
    for _ in range(60):
        try:
            return await call()
        except (Retryable, OutcomeUnknown) as failed:
            seen[type(failed).__name__] += 1
    raise AssertionError("it never ends")


async def test_writes_under_faults_end_where_they_were_to(open_channel: Any) -> None:
    channel = open_channel("ebay")
    connector, rng, seen = channel.connector, Random(11), Counter[str]()
    rates = {"error_before": 0.08, "error_after": 0.08, "rate_limited": 0.04, "retry_after_seconds": 0}
    channel.sandbox.faults.configure("ebay", rates)
    wanted: dict[str, tuple[int, int]] = {}
    for number in range(12):
        wanted[f"L-{number}"] = (rng.randint(5, 50), rng.randint(1, 9))
        price, quantity = wanted[f"L-{number}"]
        offer = lamp(f"L-{number}", price, quantity)
        await until_done(lambda offer=offer: connector.publish(offer, "k"), seen)
    for _ in range(60):
        sku = rng.choice(sorted(wanted))
        price, quantity = rng.randint(5, 50), rng.randint(0, 9)
        if rng.random() < 0.5:
            wanted[sku] = (price, wanted[sku][1])
            value = usd(f"{price}.00")
            state = await until_done(lambda sku=sku, value=value: connector.set_price(sku, value, "k"), seen)
            assert state.price == value
        else:
            wanted[sku] = (wanted[sku][0], quantity)
            state = await until_done(
                lambda sku=sku, quantity=quantity: connector.set_quantity(sku, quantity, "k"), seen
            )
            assert state.quantity == quantity
    channel.sandbox.faults.configure("ebay", {}, replace=True)
    rows = channel.sandbox.books.listings("channel = 'ebay' ORDER BY id", ())
    assert {row.sku: (row.price_minor, row.quantity) for row in rows} == {
        sku: (price * 100, quantity) for sku, (price, quantity) in wanted.items()
    }
    assert len(rows) == len(wanted) and seen["Retryable"] and seen["OutcomeUnknown"]


async def test_a_write_that_was_ignored_is_seen(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp("L", 20, 5), "k1")
    channel.sandbox.faults.configure("ebay", {"ignored_write": 1.0})
    assert (await channel.connector.set_price("L", usd("30.00"), "k2")).price == usd("20.00")
    assert (await channel.connector.set_quantity("L", 1, "k3")).quantity == 5
    offer = lamp("L", 20, 5).model_copy(update={"title": "Other"})
    assert (await channel.connector.revise("L", offer, "k4")).title == "Lamp & shade"


async def test_shipping_under_faults_happens_once(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp("L", 20, 50), "k1")
    ids = [channel.sell("L") for _ in range(12)]
    channel.sandbox.faults.configure("ebay", {"error_after": 0.4, "error_before": 0.1})
    seen = Counter[str]()
    for number, id in enumerate(ids):
        told = await until_done(
            lambda id=id, number=number: channel.connector.confirm_shipment(id, "UPS", f"1Z{number}", "k"), seen
        )
        assert told.status == "shipped"
    rows = channel.sandbox.books.db.execute("SELECT order_id, count(*) FROM shipment GROUP BY 1").fetchall()
    assert len(rows) == 12 and all(count == 1 for _, count in rows) and seen["OutcomeUnknown"]


async def test_every_failure_is_one_of_three(open_channel: Any) -> None:
    channel = open_channel("ebay")
    for rates in ({"error_before": 1.0}, {"error_after": 1.0}, {"rate_limited": 1.0, "retry_after_seconds": 0}):
        channel.sandbox.faults.configure("ebay", rates, replace=True)
        for call in (
            channel.connector.probe,
            lambda: channel.connector.find_listing("A"),
            lambda: channel.connector.publish(lamp("A", 9, 1), "k"),
            lambda: channel.connector.set_price("A", usd("8.00"), "k"),
            lambda: channel.connector.end("A", "k"),
            lambda: channel.connector.rivals(["A"]),
        ):
            try:
                await call()
            except ChannelError as failed:
                assert isinstance(failed, Rejected | Retryable | OutcomeUnknown)
