"""Webhooks as the custom channel signs them: genuine ones are booked once, all others change nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from typing import Any

import httpx2
import orjson
import pytest
from api_world import API, Business, webhook_address
from sqlalchemy import text

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.services import accounts, webhooks
from serve.backend import Backend


def _order(business: Business, external_id: str, **changes: Any) -> bytes:
    def usd(minor: int) -> dict[str, Any]:
        return {"amount_minor": minor, "currency": "USD"}

    now = utc_now().isoformat().replace("+00:00", "Z")
    order = {
        "id": external_id,
        "number": f"#{external_id}",
        "status": "paid",
        "placed_at": now,
        "modified_at": now,
        "currency": "USD",
        "lines": [
            {
                "id": "1",
                "sku": f"{business.marker}-SKU",
                "title": "teapot",
                "quantity": 1,
                "total": usd(2999),
                "tax": usd(0),
            }
        ],
        "shipping": usd(0),
        "tax": usd(0),
        "total": usd(2999),
        "refunds": [],
        "ship_to": {"name": "A Buyer", "country": "US"},
    }
    return orjson.dumps(order | changes)


def _signed(business: Business, body: bytes, *, secret: str | None = None, at: float | None = None) -> dict[str, str]:
    stamp = str(int(at or time.time()))
    key = (secret or f"{business.marker}-webhook-secret").encode()
    return {
        "content-type": "application/json",
        "X-Channel-Topic": "order.created",
        "X-Channel-Delivery": new_id().hex,
        "X-Channel-Timestamp": stamp,
        "X-Channel-Signature": "sha256=" + hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest(),
    }


@pytest.fixture
async def address(backend: Backend, alpha: Business) -> str:
    return f"{API}/webhooks/{await webhook_address(backend.database, alpha)}"


async def _orders(backend: Backend, business: Business, external_id: str) -> int:
    async with backend.store.reader(business.tenant_id) as session:
        found = await session.execute(
            text("SELECT count(*) FROM customer_order WHERE external_id = :id"), {"id": external_id}
        )
        return int(found.scalar_one())


async def test_a_sale_is_booked_once_however_often_it_is_told(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    external_id = new_id().hex
    body = _order(alpha, external_id)
    answers = await asyncio.gather(
        *(client.post(address, content=body, headers=_signed(alpha, body)) for _ in range(4))
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sorted(answer.json()["outcome"] for answer in answers) == ["accepted", *["duplicate"] * 3]
    assert await _orders(backend, alpha, external_id) == 1
    listed = await client.get(f"{API}/orders", params={"number": f"#{external_id}"}, headers=alpha.headers())
    [order] = listed.json()["items"]
    assert (order["state"], order["short_units"], order["total"]["amount_minor"]) == ("reserved", 0, 2999)


async def test_forged_deliveries_change_nothing(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business, address: str
) -> None:
    external_id = new_id().hex
    body = _order(alpha, external_id)
    changed = _order(alpha, external_id, number="changed afterwards")
    no_signature = {name: value for name, value in _signed(alpha, body).items() if "Signature" not in name}
    for content, headers in [
        (body, no_signature),
        (body, _signed(alpha, body, secret="a guess")),
        (body, _signed(beta, body)),
        (changed, _signed(alpha, body)),
        (body, _signed(alpha, body, at=time.time() - 3600)),
    ]:
        answer = await client.post(address, content=content, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
    assert await _orders(backend, alpha, external_id) == 0


async def test_what_is_not_taken_in_is_counted_for_the_watch(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_TROUBLE_SECONDS", 0.0)
    async with backend.store.reader(alpha.tenant_id) as session:
        moment = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    body = _order(alpha, new_id().hex)
    for content, headers in [
        (body, _signed(alpha, body)),
        (body, _signed(alpha, body)),
        (body, _signed(alpha, body, secret="a guess")),
        (b"not json", _signed(alpha, b"not json")),
    ]:
        await client.post(address, content=content, headers=headers)
    async with backend.store.reader(alpha.tenant_id) as session:
        rows = await session.execute(
            text("SELECT kind, count FROM webhook_trouble WHERE last_at >= :moment ORDER BY kind"), {"moment": moment}
        )
        counted = {row.kind: row.count for row in rows}
        told = await session.execute(
            text("SELECT order_id, changed_at FROM webhook_delivery WHERE received_at >= :moment"), {"moment": moment}
        )
        [delivery] = told.all()
    assert counted.keys() == {"duplicate", "forged", "garbled"} and all(counted.values())
    assert delivery.order_id == orjson.loads(body)["id"] and delivery.changed_at is not None


async def test_a_flood_of_forgeries_is_written_down_once_a_second(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    async def counted() -> int:
        async with backend.store.reader(alpha.tenant_id) as session:
            found = await session.execute(text("SELECT coalesce(sum(count), 0) FROM webhook_trouble"))
            return int(found.scalar_one())

    body = _order(alpha, new_id().hex)
    headers = _signed(alpha, body, secret="a guess")
    before = await counted()
    webhooks._troubles.clear()
    for _ in range(5):
        await client.post(address, content=body, headers=headers)
    assert 1 <= await counted() - before < 5


async def test_a_signed_delivery_that_makes_no_sense_is_refused_and_may_come_again(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    for body in (b"", b"[]", b"not json", orjson.dumps({"number": "x"})):
        answer = await client.post(address, content=body, headers=_signed(alpha, body))
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:flipsync:error:invalid-input"), body


async def test_an_order_that_cannot_be_read_or_booked_is_taken_and_looked_for(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    """A refusal would have it delivered again and again, and WooCommerce switches off what fails five times."""

    async def looks() -> int:
        async with backend.store.reader(alpha.tenant_id) as session:
            asked = "SELECT count(*) FROM event WHERE type = 'ChannelCheckDue' AND subject_id = :account"
            return int((await session.execute(text(asked), {"account": alpha.ids["account_id"]})).scalar_one())

    whole = orjson.loads(_order(alpha, new_id().hex))
    unreadable = orjson.dumps({"id": "x", "lines": "none"})
    line = whole["lines"][0]
    unbookable = orjson.dumps(whole | {"lines": [line, line]})  # the same line twice
    for body in (unreadable, unbookable):
        before = await looks()
        first = await client.post(address, content=body, headers=_signed(alpha, body))
        assert (first.status_code, first.json()) == (200, {"outcome": "accepted"}), first.text
        assert await looks() == before + 1
        again = await client.post(address, content=body, headers=_signed(alpha, body))
        assert again.json() == {"outcome": "duplicate"}
        assert await _orders(backend, alpha, orjson.loads(body)["id"]) == 0


async def test_an_address_nobody_has_does_not_exist(client: httpx2.AsyncClient, alpha: Business) -> None:
    body = _order(alpha, "x")
    answer = await client.post(f"{API}/webhooks/{'x' * 43}", content=body, headers=_signed(alpha, body))
    assert answer.status_code == 404


async def test_a_listing_notice_makes_the_channels_agent_look(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    now = utc_now().isoformat().replace("+00:00", "Z")
    body = orjson.dumps(
        {
            "sku": f"{alpha.marker}-SKU",
            "title": "teapot",
            "status": "active",
            "price": {"amount_minor": 2999, "currency": "USD"},
            "quantity": 4,
            "stock_version": "17",
            "modified_at": now,
        }
    )
    headers = _signed(alpha, body) | {"X-Channel-Topic": "listing.updated"}
    answer = await client.post(address, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"outcome": "accepted"})
    async with backend.store.reader(alpha.tenant_id) as session:
        found = await session.execute(
            text(
                "SELECT t.agent FROM event e JOIN agent_task t ON t.event_id = e.id"
                " WHERE e.type = 'ListingCheckDue' AND e.subject_id = :account"
            ),
            {"account": alpha.ids["account_id"]},
        )
        assert "base_market" in set(found.scalars())
    # one look serves for what is told until the next may be asked for
    later = orjson.dumps(orjson.loads(body) | {"quantity": 5})
    headers = _signed(alpha, later) | {"X-Channel-Topic": "listing.updated"}
    answer = await client.post(address, content=later, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"outcome": "ignored"})


@pytest.mark.parametrize(
    ("listings", "seconds"), [(0, 30), (1, 30), (600, 30), (601, 60), (1_200, 60), (10_000, 960), (1_000_000, 61_440)]
)
def test_notices_ask_no_sooner_for_the_next_look_than_one_may_take(listings: int, seconds: float) -> None:
    assert webhooks.seconds_apart(listings) == seconds


async def test_a_disconnected_account_has_no_address_any_more(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    async with backend.store.unit(alpha.tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor="custom",
            name=f"short-lived {new_id()}",
            config=(await accounts.get_account(unit.session, alpha.ids["account_id"])).config,
            credentials={"token": "x", "webhook_secret": f"{alpha.marker}-webhook-secret"},
        )
        token = (await accounts.load_account(unit.session, backend.box, account_id)).webhook_token
    gone = await client.post(
        f"{API}/marketplace/accounts/{account_id}/disconnect", headers=alpha.headers(), json={"reason": "sold the shop"}
    )
    assert (gone.status_code, gone.json()["status"]) == (200, "disconnected")
    body = _order(alpha, "late")
    answer = await client.post(f"{API}/webhooks/{token}", content=body, headers=_signed(alpha, body))
    assert answer.status_code == 404


@pytest.mark.parametrize("change", ["disconnected", "new secret"])
async def test_what_another_process_changed_counts_at_once(
    change: str, client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    """The account is remembered here; it is changed as another process would, behind our back."""
    async with backend.store.unit(alpha.tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor="custom",
            name=f"remembered {new_id()}",
            config=(await accounts.get_account(unit.session, alpha.ids["account_id"])).config,
            credentials={"token": "x", "webhook_secret": f"{alpha.marker}-webhook-secret"},
        )
        token = (await accounts.load_account(unit.session, backend.box, account_id)).webhook_token
    address = f"{API}/webhooks/{token}"
    first, second = _order(alpha, "first"), _order(alpha, "second")
    assert (await client.post(address, content=first, headers=_signed(alpha, first))).status_code == 200
    async with backend.store.unit(alpha.tenant_id) as unit:
        if change == "disconnected":
            await accounts.disconnect_account(unit, account_id, "elsewhere")
        else:
            await accounts.replace_credentials(unit, backend.box, account_id, {"webhook_secret": "replaced"})
    for body in (first, second):
        late = await client.post(address, content=body, headers=_signed(alpha, body))
        assert late.status_code == (404 if change == "disconnected" else 401), late.text
    if change == "new secret":
        fine = await client.post(address, content=second, headers=_signed(alpha, second, secret="replaced"))
        assert (fine.status_code, fine.json()) == (200, {"outcome": "accepted"})


async def test_a_vendor_that_signs_with_its_own_key_tries_the_address_first(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, start_sandbox: Any
) -> None:
    market = await start_sandbox()
    told = dict(market.channels["ebay"])
    where = {name: told.pop(name) for name in list(told) if name in AccountConfig.model_fields}
    async with backend.store.unit(alpha.tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor="ebay",
            name=f"auctions {new_id()}",
            config=AccountConfig.model_validate({"vendor": "ebay", "currency": "USD", **where}),
            credentials=told,
        )
        account = await accounts.load_account(unit.session, backend.box, account_id)
    address = f"{API}/webhooks/{account.webhook_token}"
    answer = await client.get(address, params={"challenge_code": "abc"})
    assert answer.status_code == 200
    connector = connector_class("ebay")
    assert answer.json() == connector.answer_challenge(
        {"challenge_code": "abc"}, account.webhook_secret, webhooks.callback_url("", account.webhook_token)
    )
    assert (await client.get(address)).status_code == 404, "without a question there is no answer"
    key = base64.b64encode(orjson.dumps({"alg": "ecdsa", "kid": "k1", "signature": "AAAA", "digest": "SHA1"})).decode()
    forged = await client.post(address, content=b"{}", headers={"X-EBAY-SIGNATURE": key})
    assert forged.status_code == 401
    other = await webhook_address(backend.database, alpha)
    assert (await client.get(f"{API}/webhooks/{other}", params={"challenge_code": "abc"})).status_code == 404


async def test_restored_books_that_catch_up_ask_for_the_delivery_again(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, address: str
) -> None:
    """An order booked before the listing it names is found would never be reserved."""
    account = {"id": alpha.ids["account_id"]}

    async def mark(values: str) -> None:
        backend.webhook_addresses._known.clear()
        async with backend.database.session(alpha.tenant_id) as session:
            await session.execute(text(f"UPDATE marketplace_account SET {values} WHERE id = :id"), account)

    name = f"restored-{new_id().hex}"
    body = _order(alpha, name)
    await mark("restored_at = now(), reconciled_at = NULL")
    early = await client.post(address, content=body, headers=_signed(alpha, body))
    assert (early.status_code, early.json()["type"]) == (503, "urn:flipsync:error:unavailable")
    assert early.headers["retry-after"] and await _orders(backend, alpha, name) == 0
    async with backend.database.session(alpha.tenant_id) as session:
        await session.execute(text("UPDATE marketplace_account SET reconciled_at = now() WHERE id = :id"), account)
    again = await client.post(address, content=body, headers=_signed(alpha, body))
    assert again.status_code == 200, "nothing remembers the account as it was"
    assert await _orders(backend, alpha, name) == 1
    await mark("restored_at = NULL, reconciled_at = NULL")
