"""Sync over HTTP: a phone is made known, told everything, tells what it did, and hears what became of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, Business

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.security.roles import Role


async def phone(client: httpx2.AsyncClient, business: Business, role: Role = "owner") -> str:
    answer = await client.post(
        f"{API}/sync/devices",
        headers=business.headers(role, **{"Idempotency-Key": new_id().hex}),
        json={"name": "phone", "clock": utc_now().isoformat()},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def done(seq: int, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": str(new_id()), "seq": seq, "at": utc_now().isoformat(), "kind": kind, **more}


async def push(
    client: httpx2.AsyncClient, business: Business, device: str, *told: dict[str, Any], role: Role = "owner"
) -> httpx2.Response:
    return await client.post(
        f"{API}/sync/devices/{device}/mutations",
        headers=business.headers(role),
        json={"sent_at": utc_now().isoformat(), "mutations": list(told)},
    )


async def test_what_a_phone_does_and_hears(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha)
    changes = f"{API}/sync/devices/{device}/changes"
    first = (await client.get(changes, headers=alpha.headers(), params={"limit": 500})).json()
    kinds = {each["kind"] for each in first["changes"]}
    assert first["full"] and {"product", "variant", "stock_item", "listing", "order", "order_line"} <= kinds
    assert "Main St" not in str(first), "no buyer's address on phones"

    variant = str(alpha.ids["variant_id"])
    told = (
        done(1, "stock.receive", variant_id=variant, quantity=2),
        done(2, "stock.receive", variant_id=variant, quantity=0),
        done(3, "balloon.ride", height=9),
        done(4, "stock.receive", variant_id=variant, quantity=1),
        done(5, "listing.price", listing_id=str(alpha.ids["listing_id"]), price=usd(2899), seen=usd(2999)),
    )
    answered = (await push(client, alpha, device, *told)).json()
    assert [each["outcome"] for each in answered["answers"]] == [
        *("accepted", "rejected", "rejected", "accepted", "accepted")
    ]
    assert "quantity" in answered["answers"][1]["message"] and answered["last_seq"] == 5
    assert (await push(client, alpha, device, *told)).json()["answers"] == answered["answers"]

    since = (await client.get(changes, headers=alpha.headers(), params={"cursor": first["cursor"]})).json()
    assert str(alpha.ids["stock_item_id"]) in {each["id"] for each in since["changes"]} and not since["full"]
    became = await client.get(f"{API}/sync/devices/{device}/mutations/{told[4]['id']}", headers=alpha.headers())
    assert became.json()["answer"]["reason"] == "proposed" and became.json()["decision"] is None
    assert UUID(became.json()["answer"]["event_id"])


def usd(minor: int) -> dict[str, Any]:
    return {"amount_minor": minor, "currency": "USD"}


async def test_a_cursor_that_cannot_go_on_says_so(client: httpx2.AsyncClient, alpha: Business) -> None:
    from dataclasses import replace

    from flipsync.services.sync.pulling import Cursor

    device = await phone(client, alpha)
    changes = f"{API}/sync/devices/{device}/changes"
    cursor = (await client.get(changes, headers=alpha.headers())).json()["cursor"]
    other = str(replace(Cursor.parse(cursor), lineage="restored"))
    answer = await client.get(changes, headers=alpha.headers(), params={"cursor": other})
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:flipsync:error:resync-required")


async def test_a_lost_phone_is_forgotten(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha)
    gone = await client.delete(f"{API}/sync/devices/{device}", headers=alpha.headers())
    assert gone.status_code == 204
    answer = await push(client, alpha, device, done(1, "stock.receive", variant_id=str(new_id()), quantity=1))
    assert (answer.status_code, answer.json()["type"]) == (410, "urn:flipsync:error:device-forgotten")


@pytest.mark.parametrize("role", ["clerk", "analyst", "read-only"])
async def test_a_phone_may_what_its_user_may(client: httpx2.AsyncClient, alpha: Business, role: Role) -> None:
    device = await phone(client, alpha, role)
    told = (
        done(1, "stock.receive", variant_id=str(alpha.ids["variant_id"]), quantity=1),
        done(2, "listing.price", listing_id=str(alpha.ids["listing_id"]), price=usd(2899), seen=usd(2999)),
    )
    answers = (await push(client, alpha, device, *told, role=role)).json()["answers"]
    assert [each["reason"] for each in answers] == ["" if role == "clerk" else "forbidden", "forbidden"]


async def test_a_phone_of_somebody_elses_does_not_exist(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha, "owner")
    answer = await client.get(f"{API}/sync/devices/{device}/changes", headers=alpha.headers("manager"))
    assert answer.status_code == 404
