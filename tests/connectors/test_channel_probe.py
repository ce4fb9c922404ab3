"""Trying a channel: every read is made, what selling needs decides, and limits and webhooks are told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from flipsync.domain.channel import Offer, WarehouseUnits
from flipsync.domain.errors import Rejected, Retryable
from flipsync.domain.money import usd
from flipsync.services import channel_probe
from flipsync.services.channel_probe import Check, ProbeReport, SeenLimits, try_channel

VENDORS = ("woocommerce", "custom", "shopify", "ebay", "amazon")
EVERYWHERE = {"credentials", "listings", "find by SKU", "one listing", "orders", "one order", "webhooks", "limits"}
MORE = {
    "custom": {"rival offers"},
    "ebay": {"rival offers", "catalogue", "ads", "payouts"},
    "amazon": {"rival offers", "catalogue", "refunds", "warehouse"},
}


@pytest.fixture
async def stocked(open_channel: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A channel with one listing that was sold once, on a day of the sandbox's own."""
    monkeypatch.setattr(channel_probe, "_ORDERS", timedelta(days=36_500))
    channel = open_channel(request.param)
    offer = Offer(
        sku="LAMP-1",
        title="Brass lamp",
        price=usd("19.90"),
        quantity=5,
        brand="Lumen",
        barcode="4006381333931",
        images=("https://img.example/lamp.jpg",),
    )
    await channel.connector.publish(offer, "k")
    channel.sell("LAMP-1")
    return channel


def named(report: ProbeReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


@pytest.mark.parametrize("stocked", VENDORS, indirect=True)
async def test_everything_that_is_read_is_tried(stocked: Any) -> None:
    report = await try_channel(stocked.connector, SeenLimits())
    checks = named(report)
    assert set(checks) == EVERYWHERE | MORE.get(report.vendor, set())
    assert report.healthy and all(check.ok for check in checks.values()), checks
    assert "LAMP-1" in checks["listings"].detail and "19.90" in checks["one listing"].detail


@pytest.mark.parametrize("stocked", ["amazon"], indirect=True)
async def test_what_selling_does_not_need_leaves_it_healthy(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> AsyncIterator[WarehouseUnits]:
        raise Rejected("the role is missing", hint="ask for the role", auth=True)
        yield

    monkeypatch.setattr(type(stocked.connector), "warehouse", lambda _: refuse())
    report = await try_channel(stocked.connector, SeenLimits())
    check = named(report)["warehouse"]
    assert (check.ok, check.cause, check.hint) == (False, "rejected", "ask for the role") and report.healthy


@pytest.mark.parametrize("stocked", ["woocommerce"], indirect=True)
async def test_what_is_listed_and_not_there_is_no_health(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        return None

    monkeypatch.setattr(stocked.connector, "read_listing", none)
    monkeypatch.setattr(stocked.connector, "read_order", none)
    report = await try_channel(stocked.connector, SeenLimits())
    assert not report.healthy
    assert {name for name, check in named(report).items() if not check.ok} == {"one listing", "one order"}


@pytest.mark.parametrize("stocked", ["woocommerce"], indirect=True)
async def test_webhooks_that_are_switched_off_are_named(stocked: Any) -> None:
    made = await stocked.connector.ensure_webhooks("https://listener.test/hook", SecretStr("s"))
    stocked.sandbox.books.db.execute("UPDATE webhook SET status = 'disabled'")
    told = named(await try_channel(stocked.connector, SeenLimits()))["webhooks"]
    assert told.detail.startswith("0 active; switched off: ") and made[0].topic in told.detail


async def test_limits_are_told_as_they_were_met() -> None:
    limits = SeenLimits()
    for _ in range(3):
        await limits.acquire("a:sell.inventory", 23.1, 2_000_000)
    await limits.learn("a:sell.inventory", burst=1_000, left=400.0)
    await limits.acquire("a:getOrder", 0.5, 30)
    await limits.learn("a:getOrder", rate_per_second=0.25)
    await limits.learn("a:never.called", left=0.0)
    assert limits.told() == (
        "2 met in 4 calls; least is left of sell.inventory: 400 of 1,000; getOrder: 0.25 a second, documented are 0.5"
    )
    await limits.learn("a:sell.inventory", left=0.0)
    with pytest.raises(Retryable, match=r"sell\.inventory: 0 of 1,000 are left"):
        limits.told()


async def test_a_pause_that_was_asked_for_is_told() -> None:
    limits = SeenLimits()
    await limits.acquire("a:http", 25.0, 25)
    await limits.pause("a:http", 30.0)
    with pytest.raises(Retryable, match="http: no calls for 30 s"):
        limits.told()
