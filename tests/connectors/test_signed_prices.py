"""A guarded connector sends no price without a fresh signature, whichever vendor it is for."""

from __future__ import annotations

import asyncio
import inspect
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.marketplaces import CONNECTORS, STORES, connector_class
from flipsync.connectors.signed_prices import PRICED, PriceGuard, permit
from flipsync.domain.channel import Offer
from flipsync.domain.clock import ManualClock
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money, usd

sys.path.append(str(Path(__file__).parents[1] / "runtime"))
from scripted_channel import ScriptedChannel

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def channel() -> ScriptedChannel:
    channel = ScriptedChannel()
    channel.put("teapot", 3)
    channel.price_guard = PriceGuard(ManualClock(NOW))
    return channel


def offer(price: Money) -> Offer:
    return Offer(sku="teapot", title="A teapot", price=price, quantity=1)


async def alone(work: object) -> None:
    """In a task of its own, as every effect is."""
    await asyncio.create_task(work)  # type: ignore[arg-type]


async def test_an_unsigned_price_is_refused_before_anything_is_sent(channel: ScriptedChannel) -> None:
    for call in (
        channel.set_price("x-teapot", usd("30.00"), "k"),
        channel.set_price(external_id="x-teapot", price=usd("30.00"), key="k"),
        channel.publish(offer(usd("30.00")), "k"),
    ):
        with pytest.raises(Rejected, match="not signed") as refused:
            await alone(call)
        assert refused.value.vendor_code == "certificate"
    assert channel.calls == []


async def test_a_permit_is_for_one_price_until_its_time_and_one_task(channel: ScriptedChannel) -> None:
    async def send(minor: str, valid: timedelta) -> None:
        permit(usd("30.00"), NOW + valid, "hash")
        await channel.set_price("x-teapot", usd(minor), "k")

    await alone(send("30.00", timedelta(minutes=1)))
    assert channel.shelves["x-teapot"].price == usd("30.00")
    with pytest.raises(Rejected, match=r"for 30\.00 USD, not 31\.00 USD"):
        await alone(send("31.00", timedelta(minutes=1)))
    with pytest.raises(Rejected, match="valid until"):
        await alone(send("30.00", timedelta(0)))
    with pytest.raises(Rejected, match="not signed"):
        await alone(channel.set_price("x-teapot", usd("30.00"), "k"))
    assert len(channel.calls) == 1


async def test_what_a_price_is_compared_with_needs_no_signature_and_lends_none(channel: ScriptedChannel) -> None:
    shown = channel.shelves["x-teapot"].price
    assert shown is not None

    async def send(sent: Money, *more: Money, **named: Money) -> None:
        permit(usd("30.00"), NOW + timedelta(minutes=1), "hash")
        await channel.set_price("x-teapot", sent, "k", *more, **named)

    await alone(send(usd("30.00"), shown))
    await alone(send(usd("30.00"), expected=usd("30.00")))
    for work in (send(usd("31.00"), usd("30.00")), send(usd("31.00"), expected=usd("30.00"))):
        with pytest.raises(Rejected, match=r"for 30\.00 USD, not 31\.00 USD"):
            await alone(work)


@pytest.mark.parametrize("vendor", [*CONNECTORS, *STORES])
def test_every_connector_asks_its_guard(vendor: str) -> None:
    """Wherever a class brings its own way to write a price, the question stands in front of it."""
    made = connector_class(vendor)  # type: ignore[arg-type]
    for name in PRICED:
        owner = next(each for each in made.__mro__ if name in each.__dict__)
        assert owner is not MarketplaceConnector
        assert inspect.unwrap(owner.__dict__[name]) is not owner.__dict__[name]
