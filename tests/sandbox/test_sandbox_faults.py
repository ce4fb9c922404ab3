"""Faults happen at the stated rate, do what they say, and follow the seed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flipsync.sandbox.app import Sandbox, SandboxConfig
from flipsync.sandbox.buyers import Buyer

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)


def price(minor: int) -> dict[str, Any]:
    return {"price": {"amount_minor": minor, "currency": "USD"}}


async def test_faults_strike_at_the_stated_rate_and_the_same_way_for_a_seed() -> None:
    def draws(seed: int) -> list[bool]:
        sandbox = Sandbox(SandboxConfig(seed=seed))
        sandbox.faults.configure("woo", {"error_before": 0.2})
        return [sandbox.faults.strikes("woo", "error_before") for _ in range(4000)]

    first = draws(7)
    assert 0.17 < sum(first) / len(first) < 0.23
    assert draws(7) == first
    assert draws(8) != first


async def test_over_http_the_rate_holds_on_its_own_channel_only(rig: Any) -> None:
    rig.sandbox.faults.configure("custom", {"rate_limited": 0.3, "retry_after_seconds": 2})
    answers = [await rig.custom("GET", "/channel") for _ in range(300)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert 60 < len(limited) < 120
    assert {answer.headers["Retry-After"] for answer in limited} == {"2"}
    assert {(await rig.woo("GET", "/products")).status_code for _ in range(20)} == {200}


async def test_an_error_before_changes_nothing_and_an_error_after_changed_it(rig: Any) -> None:
    await rig.list_custom("A", 2000)
    rig.sandbox.faults.configure("custom", {"error_before": 1}, replace=True)
    assert (await rig.custom("PUT", "/listings/A/price", price(2100))).status_code == 503
    rig.sandbox.faults.configure("custom", {"error_after": 1}, replace=True)
    assert (await rig.custom("PUT", "/listings/A/price", price(2200), key="k")).status_code == 502
    rig.sandbox.faults.configure("custom", {}, replace=True)
    assert (await rig.custom("GET", "/listings/A")).json()["price"]["amount_minor"] == 2200
    replay = await rig.custom("PUT", "/listings/A/price", price(2200), key="k")
    assert replay.headers["Idempotent-Replay"] == "true"
    faults = [row[0] for row in rig.sandbox.books.db.execute("SELECT fault FROM write_log ORDER BY id")]
    assert faults == ["", "error_before", "error_after", ""]


async def test_an_ignored_write_is_answered_200_and_not_applied(rig: Any) -> None:
    await rig.list_custom("A", 2000)
    product = await rig.list_woo("W", "20.00")
    for channel in ("custom", "woo"):
        rig.sandbox.faults.configure(channel, {"ignored_write": 1})
    answers = {
        (await rig.custom("PUT", "/listings/A/price", price(2500))).json()["price"]["amount_minor"] for _ in range(30)
    }
    assert answers == {2000, 2500}, "sometimes the old value is answered, sometimes the one asked for"
    assert (await rig.woo("PUT", f"/products/{product['id']}", {"stock_quantity": 3})).status_code == 200
    assert (await rig.custom("GET", "/listings/A")).json()["price"]["amount_minor"] == 2000
    assert (await rig.woo("GET", f"/products/{product['id']}")).json()["stock_quantity"] == 10


async def test_a_stale_read_is_never_older_than_its_bound(rig: Any) -> None:
    rig.sandbox.faults.configure("custom", {"stale_read": 1, "stale_seconds": 0.3})
    await rig.list_custom("A", quantity=10)
    await asyncio.sleep(0.35)
    order = rig.sandbox.market.place("custom", "A", 1, BUYER)
    shown = [(await rig.custom("GET", "/listings/A")).json()["quantity"] for _ in range(10)]
    assert 10 in shown, "an older state is shown right after the sale"
    early = [len((await rig.custom("GET", "/orders")).json()["items"]) for _ in range(10)]
    assert 0 in early
    await asyncio.sleep(0.35)
    assert {(await rig.custom("GET", "/listings/A")).json()["quantity"] for _ in range(10)} == {9}
    assert (await rig.custom("GET", "/orders")).json()["items"][0]["id"] == f"o{order.id}"


async def test_webhooks_are_lost_doubled_and_overtaken(rig: Any, listener: Any) -> None:
    await rig.list_custom("A", quantity=100)
    await rig.custom("PUT", "/webhooks/m", {"url": listener.url, "secret": "s", "topics": ["order.created"]})
    rig.sandbox.faults.configure("custom", {"webhook_duplicate": 1})
    rig.sandbox.market.place("custom", "A", 1, BUYER)
    await rig.sandbox.webhooks.flush()
    await listener.reaches(2)
    assert len({headers["x-channel-delivery"] for headers, _ in listener.seen}) == 1
    rig.sandbox.faults.configure("custom", {"webhook_lost": 1}, replace=True)
    rig.sandbox.market.place("custom", "A", 1, BUYER)
    await rig.sandbox.webhooks.flush()
    assert len(listener.seen) == 2
    rig.sandbox.faults.configure("custom", {"webhook_reorder": 0.5}, replace=True)
    placed = [f"o{rig.sandbox.market.place('custom', 'A', 1, BUYER).id}" for _ in range(12)]
    await listener.reaches(14)
    arrived = [json.loads(body)["id"] for _, body in listener.seen[2:]]
    assert sorted(arrived) == sorted(placed)
    assert arrived != placed


@pytest.mark.parametrize("rates", [{"error_before": 1.5}, {"no_such_fault": 0.1}])
async def test_a_rate_that_is_none_is_refused(rig: Any, rates: dict[str, float]) -> None:
    headers = {"X-Sandbox-Token": rig.sandbox.control_token}
    body = {"channel": "woo", "rates": rates}
    answer = await rig.http.post("http://shop.test/_sandbox/faults", json=body, headers=headers)
    assert answer.status_code == 422
