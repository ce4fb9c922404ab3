"""Sync over HTTP: a phone is made known, told everything, tells what it did, and hears what became of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, Business
from sqlalchemy import text

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.security.roles import Role
from flipsync.services.sync import beginning, devices
from flipsync.services.sync.pulling import Cursor
from flipsync.store.repositories.sync import Snapshot
from flipsync.store.unit_of_work import Store


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


@pytest.mark.parametrize("odd", [2**70, "tea\ud83dpot"], ids=["beyond 64 bits", "half a character"])
async def test_what_nobody_can_write_down_does_not_stop_the_others(
    odd: Any, client: httpx2.AsyncClient, alpha: Business
) -> None:
    device = await phone(client, alpha)
    told = {
        "sent_at": utc_now().isoformat(),
        "mutations": [
            done(1, "balloon.ride", height=odd),
            done(2, "stock.receive", variant_id=str(alpha.ids["variant_id"]), quantity=1),
        ],
    }
    headers = alpha.headers(**{"Content-Type": "application/json"})
    for _ in range(2):
        answer = await client.post(
            f"{API}/sync/devices/{device}/mutations", headers=headers, content=json.dumps(told).encode()
        )
        assert [each["outcome"] for each in answer.json()["answers"]] == ["rejected", "accepted"], answer.text


def usd(minor: int) -> dict[str, Any]:
    return {"amount_minor": minor, "currency": "USD"}


async def test_a_cursor_that_cannot_go_on_says_so(client: httpx2.AsyncClient, alpha: Business) -> None:
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


async def test_a_first_phone_that_has_to_wait_asks_again_with_the_same_key(
    client: httpx2.AsyncClient, store: Store, beta: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "WAIT_SECONDS", 0.0)
    known = await phone(client, beta)
    headers = beta.headers("clerk", **{"Idempotency-Key": new_id().hex})
    form = {"name": "scanner", "clock": utc_now().isoformat()}
    async with store.unit(beta.tenant_id) as unit:
        await unit.session.execute(text("UPDATE sync_begun SET filled_at = NULL, barrier = NULL"))
    async with store.unit(beta.tenant_id) as long:
        await long.session.execute(text("SELECT pg_current_xact_id()"))
        for _ in range(2):
            answer = await client.post(f"{API}/sync/devices", headers=headers, json=form)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:flipsync:error:unavailable")
            assert "again" in answer.json()["hint"]
        pulled = await client.get(f"{API}/sync/devices/{known}/changes", headers=beta.headers())
        assert pulled.status_code == 503
    made, again = [await client.post(f"{API}/sync/devices", headers=headers, json=form) for _ in range(2)]
    assert (made.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert made.json() == again.json()
    listed = await client.get(f"{API}/sync/devices", headers=beta.headers("clerk"))
    assert [each["id"] for each in listed.json()["items"]] == [made.json()["id"]]


# What somebody may try


async def test_another_business_learns_nothing_from_a_cursor_or_a_device(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    mine, theirs = await phone(client, alpha), await phone(client, beta)
    cursor = (await client.get(f"{API}/sync/devices/{mine}/changes", headers=alpha.headers())).json()["cursor"]
    taken = await client.get(f"{API}/sync/devices/{theirs}/changes", headers=beta.headers(), params={"cursor": cursor})
    assert (taken.status_code, taken.json()["type"]) == (410, "urn:flipsync:error:resync-required")
    assert (await client.get(f"{API}/sync/devices/{mine}/changes", headers=beta.headers())).status_code == 404
    told = done(1, "stock.receive", variant_id=str(alpha.ids["variant_id"]), quantity=1)
    assert (await push(client, beta, mine, told)).status_code == 404
    foreign = (await push(client, beta, theirs, told)).json()["answers"][0]
    assert (foreign["outcome"], foreign["reason"]) == ("rejected", "not-found")


async def test_a_cursor_made_up_from_ones_own_shows_no_more(
    client: httpx2.AsyncClient, alpha: Business, beta: Business
) -> None:
    device = await phone(client, alpha)
    changes = f"{API}/sync/devices/{device}/changes"
    good = Cursor.parse((await client.get(changes, headers=alpha.headers())).json()["cursor"])
    for seen in (Snapshot(2**62, 2**62 + 1, ()), Snapshot(2**62, 3, tuple(range(300)))):
        answer = await client.get(
            changes, headers=alpha.headers(), params={"cursor": str(replace(good, seen=seen, target=None))}
        )
        assert answer.status_code in (200, 410), answer.text
        assert beta.marker not in answer.text


async def test_the_same_batch_pushed_twice_at_once_is_done_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha)
    item = f"{API}/inventory/items/{alpha.ids['stock_item_id']}"
    before = (await client.get(item, headers=alpha.headers())).json()["on_hand"]
    variant = str(alpha.ids["variant_id"])
    batch = [done(seq, "stock.receive", variant_id=variant, quantity=1) for seq in range(1, 31)]
    answers = await asyncio.gather(*(push(client, alpha, device, *batch) for _ in range(3)))
    assert {each.status_code for each in answers} == {200}
    assert answers[0].json()["answers"] == answers[1].json()["answers"] == answers[2].json()["answers"]
    assert (await client.get(item, headers=alpha.headers())).json()["on_hand"] == before + 30


async def test_an_id_used_again_for_something_else_is_refused_and_moves_nothing(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    device = await phone(client, alpha)
    first = done(1, "stock.receive", variant_id=str(alpha.ids["variant_id"]), quantity=1)
    other = first | {"seq": 2**52, "quantity": 900}
    for pushed in ((first, other), (other,)):
        told = (await push(client, alpha, device, *pushed)).json()
        assert (told["answers"][-1]["outcome"], told["answers"][-1]["reason"]) == ("rejected", "id-reused")
        assert told["last_seq"] == 1


async def test_a_batch_too_large_is_refused_as_a_whole(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha)
    variant = str(alpha.ids["variant_id"])
    many = [done(seq, "stock.receive", variant_id=variant, quantity=1) for seq in range(1, 202)]
    assert (await push(client, alpha, device, *many)).status_code == 422
    long = done(1, "stock.receive", variant_id=variant, quantity=1, note="x" * 1_100_000)
    assert (await push(client, alpha, device, long)).status_code == 413
    longer = done(1, "stock.receive", variant_id=variant, quantity=1, note="x" * 400_000)
    answer = (await push(client, alpha, device, longer)).json()["answers"][0]
    assert (answer["outcome"], len(str(answer)) < 1000) == ("rejected", True)


async def test_words_of_any_script_come_back_as_they_were_written(client: httpx2.AsyncClient, alpha: Business) -> None:
    device = await phone(client, alpha)
    words = "إبريق שלום 茶壶 🫖 té́"
    products = (await client.get(f"{API}/sync/devices/{device}/changes", headers=alpha.headers())).json()["changes"]
    product = next(each["record"] for each in products if each["kind"] == "product")
    edit = {"product_id": product["id"], "base_version": product["version"], "set": {"category": words}}
    answer = (await push(client, alpha, device, done(1, "product.edit", **edit))).json()["answers"][0]
    assert answer["outcome"] == "accepted", answer
    again = (await client.get(f"{API}/sync/devices/{device}/changes", headers=alpha.headers())).json()["changes"]
    told = {each["id"]: each["record"] for each in again if each["kind"] == "product"}
    assert told[product["id"]]["category"] == words
    back = edit | {"base_version": told[product["id"]]["version"], "set": {"category": product["category"] or "Cups"}}
    await push(client, alpha, device, done(2, "product.edit", **back))


async def test_a_session_that_was_ended_syncs_no_more(
    client: httpx2.AsyncClient, alpha: Business, store: Store
) -> None:
    device = await phone(client, alpha)
    owner = alpha.users["owner"]
    async with store.unit(alpha.tenant_id) as unit:
        session = await alpha.session(unit, owner)
    assert alpha.tokens is not None
    token = alpha.tokens.issue(user_id=owner, tenant_id=alpha.tenant_id, role="owner", session_id=session)
    headers, changes = {"Authorization": f"Bearer {token}"}, f"{API}/sync/devices/{device}/changes"
    assert (await client.get(changes, headers=headers)).status_code == 200
    ended = await client.delete(f"{API}/auth/sessions/{session}", headers=alpha.headers())
    assert ended.status_code in (200, 204), ended.text
    assert (await client.get(changes, headers=headers)).status_code == 401
    body = {"sent_at": utc_now().isoformat(), "mutations": [done(1, "balloon.ride")]}
    pushed = await client.post(f"{API}/sync/devices/{device}/mutations", headers=headers, json=body)
    assert pushed.status_code == 401


async def test_a_user_has_only_so_many_devices(
    client: httpx2.AsyncClient, beta: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await phone(client, beta, "read-only")
    monkeypatch.setattr(devices, "MAX_DEVICES", 1)
    body = {"name": "one more", "clock": utc_now().isoformat()}
    for status in (409, 201):
        headers = beta.headers("read-only", **{"Idempotency-Key": new_id().hex})
        assert (await client.post(f"{API}/sync/devices", headers=headers, json=body)).status_code == status
        await client.delete(f"{API}/sync/devices/{first}", headers=beta.headers("read-only"))
