"""The catalogue of named faults: what it holds, and that each family does to a channel what its name says."""

from __future__ import annotations

from typing import Any, get_args

import httpx2
import pytest

from flipsync.domain.channel_fault import CAUSES, Cause
from flipsync.sandbox.named_faults import FAULTS, Family
from flipsync.sandbox.records import CHANNELS


def test_the_catalogue_has_fifty_faults_with_names_causes_and_channels() -> None:
    assert len(FAULTS) >= 50
    assert {fault.family for fault in FAULTS.values()} == set(get_args(Family))
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.cause in CAUSES, f"{name}: nobody knows the cause {fault.cause}"
        assert fault.channels and set(fault.channels) <= set(CHANNELS)
    assert {fault.cause for fault in FAULTS.values()} == set(get_args(Cause)), "a cause nobody can inject is not tested"


def test_each_beginning_has_an_act_of_its_own() -> None:
    for fault in FAULTS.values():
        assert fault.make() is not fault.make()


async def quantity(rig: Any, sku: str) -> int:
    read = await rig.custom("GET", f"/listings/{sku}")
    assert read.status_code == 200
    units: int = read.json()["quantity"]
    return units


async def put(rig: Any, sku: str, units: int) -> httpx2.Response:
    answer: httpx2.Response = await rig.custom("PUT", f"/listings/{sku}/quantity", {"quantity": units})
    return answer


async def test_over_the_control_plane(rig: Any) -> None:
    header = {"X-Sandbox-Token": rig.sandbox.control_token}
    body = {"channel": "custom", "begin": ["key-deleted"]}
    assert (await rig.http.post("/_sandbox/faults", json=body, headers=header)).status_code == 200
    assert (await rig.custom("GET", "/channel")).status_code == 401
    status = (await rig.http.get("/_sandbox/status", headers=header)).json()
    assert status["named_faults"] == {"custom": {"key-deleted": 1}}
    body = {"channel": "custom", "end": ["key-deleted"]}
    assert (await rig.http.post("/_sandbox/faults", json=body, headers=header)).status_code == 200
    assert (await rig.custom("GET", "/channel")).status_code == 200
    for wrong in ({"channel": "custom", "begin": ["no-such"]}, {"channel": "woo", "begin": ["queue-deleted"]}):
        assert (await rig.http.post("/_sandbox/faults", json=wrong, headers=header)).status_code == 422


async def test_a_lost_scope_leaves_reads_alone(rig: Any) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", "write-scope-lost")
    assert (await put(rig, "A", 3)).status_code == 403
    assert await quantity(rig, "A") == 10


async def test_an_ignored_write_is_answered_and_not_done(rig: Any) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", "write-ignored")
    answer = await put(rig, "A", 3)
    assert (answer.status_code, answer.json()["quantity"]) == (200, 3)
    assert await quantity(rig, "A") == 10


@pytest.mark.parametrize(("fault", "shown"), [("write-half-applied", 7), ("write-applied-twice", 0)])
async def test_writes_that_are_done_otherwise(rig: Any, fault: str, shown: int) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", fault)
    assert (await put(rig, "A", 4)).status_code == 200
    assert await quantity(rig, "A") == shown


async def test_delays_are_of_market_time(rig: Any) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", "write-applied-late")
    await put(rig, "A", 4)
    assert await quantity(rig, "A") == 10
    await rig.sandbox.market.advance(13)
    assert await quantity(rig, "A") == 4
    rig.sandbox.named.end("custom")
    rig.sandbox.inject("custom", "write-reverted-later")
    await put(rig, "A", 9)
    assert await quantity(rig, "A") == 9
    await rig.sandbox.market.advance(13)
    assert await quantity(rig, "A") == 4


async def test_reads_through_a_cache_and_a_frozen_stock(rig: Any) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", "stock-frozen")
    await put(rig, "A", 4)
    assert await quantity(rig, "A") == 10
    rig.sandbox.named.end("custom")
    assert await quantity(rig, "A") == 4
    rig.sandbox.inject("custom", "reads-stale")
    await rig.custom("GET", "/listings/A")
    await rig.list_custom("B")
    assert (await rig.custom("GET", "/listings/B")).status_code == 404


async def test_a_list_that_ends_early(rig: Any) -> None:
    for sku in "ABCDEF":
        await rig.list_custom(sku)
    rig.sandbox.inject("custom", "list-truncated")
    items = (await rig.custom("GET", "/listings")).json()["items"]
    assert len(items) < 6 and (await rig.custom("GET", "/listings/F")).status_code == 200


async def test_subscriptions_and_deliveries(rig: Any, listener: Any) -> None:
    await rig.list_custom("A")
    body = {"url": listener.url, "secret": "s3cret", "topics": ["order.created"]}
    await rig.custom("PUT", "/webhooks/ours", body)
    rig.sandbox.inject("custom", "webhooks-forged")
    header = {"X-Sandbox-Token": rig.sandbox.control_token}
    await rig.http.post("/_sandbox/order", json={"channel": "custom", "sku": "A"}, headers=header)
    await listener.reaches(2)
    assert [headers["x-channel-signature"] == "forged" for headers, _ in listener.seen] == [False, True]
    rig.sandbox.named.end("custom")
    rig.sandbox.inject("custom", "webhooks-deleted")
    assert (await rig.custom("GET", "/webhooks")).json()["items"] == []


async def test_limits_and_the_catalogue(rig: Any) -> None:
    await rig.list_custom("A")
    rig.sandbox.inject("custom", "daily-quota-gone")
    answer = await rig.custom("GET", "/channel")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "28800")
    rig.sandbox.named.end("custom", "daily-quota-gone")
    rig.sandbox.inject("custom", "listing-deleted")
    assert (await rig.custom("GET", "/listings/A")).status_code == 404


async def test_rates_are_put_back_when_the_fault_ends(rig: Any) -> None:
    rig.sandbox.faults.configure("custom", {"error_after": 0.1})
    rig.sandbox.inject("custom", "write-answered-502")
    assert rig.sandbox.faults.settings["custom"].error_after == 1.0
    rig.sandbox.named.end("custom")
    assert rig.sandbox.faults.settings["custom"].error_after == 0.1
