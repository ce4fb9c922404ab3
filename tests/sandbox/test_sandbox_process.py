"""The sandbox as a process: one JSON line, a clean stop, and a file that survives kill -9."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from flipsync.domain.errors import Rejected
from flipsync.sandbox.client import SandboxClient


def auth(info: dict[str, Any], key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {info['channels']['custom']['token']}", "Idempotency-Key": key}


BODY = {"title": "T", "price": {"amount_minor": 2000, "currency": "USD"}, "quantity": 50}


async def test_kill_9_and_restart_keep_orders_keys_time_and_credentials(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    data = str(tmp_path / "market.db")
    info, process = serve("--data", data, "--seed", "3")
    async with SandboxClient(info["base_url"], info["control_token"]) as control, httpx2.AsyncClient() as http:
        listed = await http.put(
            f"{info['channels']['custom']['base_url']}/v1/listings/A", json=BODY, headers=auth(info, "k")
        )
        assert listed.status_code == 201
        await control.advance(2 * 86_400)
        assert (await control.place_order("custom", "A", 2))["accepted"] is True
        assert (await control.place_order("custom", "A", 1000))["reason"] == "not enough units"
        before = await control.books()
    process.send_signal(signal.SIGKILL)
    process.wait(10)

    again, process = serve("--data", data, "--seed", "99")
    assert {k: again[k] for k in ("control_token",)} == {"control_token": info["control_token"]}
    assert again["channels"]["woocommerce"]["consumer_key"] == info["channels"]["woocommerce"]["consumer_key"]
    async with SandboxClient(again["base_url"], again["control_token"]) as control, httpx2.AsyncClient() as http:
        after = await control.books()
        assert after["orders"] == before["orders"]
        assert after["market_time"] == before["market_time"]
        assert (await control.status())["seed"] == 3, "the market goes on with the seed it began with"
        replay = await http.put(
            f"{again['channels']['custom']['base_url']}/v1/listings/A", json=BODY, headers=auth(again, "k")
        )
        assert replay.headers["Idempotent-Replay"] == "true"
        assert (await control.advance(2 * 86_400))["orders_placed"] > 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


async def test_a_dropped_and_a_hanging_answer_come_after_the_write_took_effect(serve: Callable[..., Any]) -> None:
    info, _ = serve("--seed", "3")
    url = f"{info['channels']['custom']['base_url']}/v1/listings"
    async with SandboxClient(info["base_url"], info["control_token"]) as control, httpx2.AsyncClient() as http:
        await control.set_faults("custom", drop_after=1)
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.put(f"{url}/A", json=BODY, headers=auth(info, "k1"))
        await control.set_faults("custom", replace=True, hang_after=1, hang_seconds=1.0)
        with pytest.raises(httpx2.ReadTimeout):
            await http.put(f"{url}/B", json=BODY, headers=auth(info, "k2"), timeout=0.3)
        await control.set_faults("custom", replace=True)
        for sku in ("A", "B"):
            assert (await http.get(f"{url}/{sku}", headers=auth(info, ""))).json()["quantity"] == 50
        books = await control.books(orders=False)
        assert books["write_faults"] == {"custom.drop_after": 1, "custom.hang_after": 1}


async def test_real_time_runs_by_itself(serve: Callable[..., Any]) -> None:
    info, process = serve("--mode", "real", "--speed", "200000")
    async with SandboxClient(info["base_url"], info["control_token"]) as control, httpx2.AsyncClient() as http:
        await http.put(f"{info['channels']['custom']['base_url']}/v1/listings/A", json=BODY, headers=auth(info, "k"))
        placed = 0
        for _ in range(100):
            placed = (await control.status())["market"]["tally"].get("orders_placed", 0)
            if placed:
                break
            await asyncio.sleep(0.1)
        assert placed > 0
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0


async def test_the_control_plane_needs_its_token(serve: Callable[..., Any]) -> None:
    info, _ = serve()
    async with SandboxClient(info["base_url"], "wrong") as control:
        with pytest.raises(Rejected) as refused:
            await control.books()
    assert refused.value.auth
