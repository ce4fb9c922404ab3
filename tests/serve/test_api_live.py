"""Live events over a real WebSocket: to those they belong to, in bounded memory, until the token runs out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import Business
from fastapi import FastAPI
from listening import listening
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from flipsync.domain.clock import utc_now
from flipsync.domain.events import SettingsChanged
from flipsync.domain.ids import first_id_at, new_id
from flipsync.security.paces import Paces
from flipsync.security.passwords import Passwords
from flipsync.security.roles import Role
from flipsync.security.tokens import AccessTokens
from flipsync.services import identity, live_events, stock
from flipsync.store.repositories import identity as identity_rows
from flipsync.store.unit_of_work import Store
from serve.backend import Backend
from serve.live import Listener, channel_of


@pytest.fixture(scope="module")
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with listening(app) as where:
        yield f"ws://{where}/api/v1/ws"


def _token(business: Business, role: Role = "owner") -> str:
    return business.headers(role)["Authorization"].removeprefix("Bearer ")


async def _next(client: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = json.loads(await client.recv())
            if message["type"] == kind:
                return message


async def _signed_in(address: str, business: Business) -> ClientConnection:
    client = await connect(address, subprotocols=["flipsync.v1", f"bearer.{_token(business)}"])  # type: ignore[list-item]
    await _next(client, "ready")
    return client


async def _receive_goods(store: Store, business: Business) -> None:
    async with store.unit(business.tenant_id) as unit:
        await stock.receive(unit, business.ids["variant_id"], 1, key=new_id().hex, mode="escrow")


async def test_events_reach_their_business_and_no_other(
    address: str, store: Store, alpha: Business, beta: Business
) -> None:
    async with await _signed_in(address, alpha) as ours, await _signed_in(address, beta) as theirs:
        assert ours.subprotocol == "flipsync.v1"
        await _receive_goods(store, beta)
        await _receive_goods(store, alpha)
        first = (await _next(ours, "event"))["event"]
        other = (await _next(theirs, "event"))["event"]
    assert (first["type"], first["payload"]["variant_id"]) == ("StockMoved", str(alpha.ids["variant_id"]))
    assert other["payload"]["variant_id"] == str(beta.ids["variant_id"])


async def test_signing_in_by_the_first_message(address: str, store: Store, alpha: Business) -> None:
    async with connect(address) as client:
        await client.send(json.dumps({"type": "authenticate", "token": _token(alpha)}))
        await _next(client, "ready")
        await _receive_goods(store, alpha)
        assert (await _next(client, "event"))["event"]["type"] == "StockMoved"
        await _next(client, "heartbeat")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "authenticate", "token": "made up"}', 4401),
        ('{"type": "subscribe"}', 4401),
        ("[]", 1008),
        ("not json", 1008),
        ("x" * 9000, 1009),
        (b"\x00\x01", 1008),
    ],
)
async def test_nobody_listens_without_a_valid_token(message: str | bytes, code: int, address: str) -> None:
    async with connect(address) as client:
        await client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == code


async def test_roles_without_the_right_do_not_listen(address: str, alpha: Business) -> None:
    async with connect(address, subprotocols=[f"bearer.{_token(alpha, 'read-only')}"]) as client:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4403


async def test_the_connection_ends_with_the_token_unless_it_is_renewed(
    address: str, backend: Backend, alpha: Business
) -> None:
    short = AccessTokens(backend.settings.jwt_key_bytes(), lifetime=timedelta(seconds=2))

    def token(user: Role = "owner") -> str:
        return short.issue(
            user_id=alpha.users[user], tenant_id=alpha.tenant_id, role=user, session_id=alpha.users[user]
        )

    async with connect(address) as left_alone, connect(address) as renewed, connect(address) as taken_over:
        for client in (left_alone, renewed, taken_over):
            await client.send(json.dumps({"type": "authenticate", "token": token()}))
            await _next(client, "ready")
        await renewed.send(json.dumps({"type": "authenticate", "token": _token(alpha)}))
        await taken_over.send(json.dumps({"type": "authenticate", "token": token("manager")}))
        with pytest.raises(ConnectionClosed) as other_user:
            await _next(taken_over, "event")
        with pytest.raises(ConnectionClosed) as expired:
            await _next(left_alone, "event")
        await asyncio.sleep(0.6)
        await _next(renewed, "heartbeat")
    assert other_user.value.rcvd is not None and other_user.value.rcvd.code == 4403
    assert expired.value.rcvd is not None and expired.value.rcvd.code == 4401


async def test_nothing_is_kept_for_those_who_left(address: str, backend: Backend, alpha: Business) -> None:
    async with await _signed_in(address, alpha):
        assert await _subscribers(backend, alpha) == 1
    for _ in range(100):
        if await _subscribers(backend, alpha) == 0:
            break
        await asyncio.sleep(0.02)
    assert await _subscribers(backend, alpha) == 0
    assert channel_of(alpha.tenant_id) not in backend.live._listeners


async def _subscribers(backend: Backend, business: Business) -> int:
    [(_, count)] = await backend.redis.pubsub_numsub(channel_of(business.tenant_id))
    return int(count)


async def test_a_slow_client_loses_the_oldest_and_is_told() -> None:
    listener = Listener(3)
    for number in range(5):
        listener.put(str(number))
    assert listener.take_dropped() == 2
    assert [await listener.get() for _ in range(3)] == ["2", "3", "4"]
    assert listener.take_dropped() == 0


async def test_events_go_on_after_redis_lost_the_connection(
    address: str, backend: Backend, store: Store, alpha: Business
) -> None:
    async with await _signed_in(address, alpha) as client:
        await backend.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]
        for _ in range(100):
            if await _subscribers(backend, alpha):
                break
            await asyncio.sleep(0.05)
        await _receive_goods(store, alpha)
        assert (await _next(client, "event"))["event"]["type"] == "StockMoved"


async def test_who_comes_back_misses_nothing(address: str, store: Store, alpha: Business, beta: Business) -> None:
    async with await _signed_in(address, alpha) as client:
        await _receive_goods(store, alpha)
        last = (await _next(client, "event"))["event"]
    await _receive_goods(store, beta)
    for _ in range(3):
        await _receive_goods(store, alpha)  # while nobody watches
    protocols: Any = ["flipsync.v1", f"bearer.{_token(alpha)}", f"resume.{last['id']}"]
    async with connect(address, subprotocols=protocols) as back:
        assert (await _next(back, "ready"))["resumed"] is True
        seen = [(await _next(back, "event"))["event"]]
        while len([each for each in seen if each["id"] > last["id"]]) < 3:
            seen.append((await _next(back, "event"))["event"])
        assert last in seen, "what is told again is told as it was"
        assert {each["payload"]["variant_id"] for each in seen if each["type"] == "StockMoved"} == {
            str(alpha.ids["variant_id"])
        }
        await _receive_goods(store, alpha)
        live = (await _next(back, "event"))["event"]
        assert live["id"] not in {each["id"] for each in seen}
    async with connect(address) as first:
        await first.send(json.dumps({"type": "authenticate", "token": _token(alpha), "resume": live["id"]}))
        assert (await _next(first, "ready"))["resumed"] is True


async def test_where_no_websocket_gets_through_events_come_as_a_stream(
    address: str, store: Store, alpha: Business, beta: Business
) -> None:
    base = address.replace("ws:", "http:").removesuffix("/ws")
    async with httpx2.AsyncClient(base_url=base, timeout=10) as client:
        headers = alpha.headers()
        async with client.stream("GET", "/events/stream?seconds=20", headers=headers) as live:
            assert live.headers["content-type"].startswith("text/event-stream")
            lines = live.aiter_lines()
            assert await _line(lines, "event: ") == "ready"
            await _receive_goods(store, beta)
            await _receive_goods(store, alpha)
            first = await _line(lines, "id: ")
            told = json.loads(await _line(lines, "data: "))
            assert (told["id"], told["payload"]["variant_id"]) == (first, str(alpha.ids["variant_id"]))
        await _receive_goods(store, alpha)  # while nobody reads
        again = await client.get("/events/stream?seconds=0", headers=headers | {"Last-Event-ID": first})
        assert 'event: ready\ndata: {"resumed":true}' in again.text
        ids = [line.removeprefix("id: ") for line in again.text.splitlines() if line.startswith("id: ")]
        assert first in ids and any(each > first for each in ids)
        assert str(beta.tenant_id) not in again.text and str(beta.ids["variant_id"]) not in again.text
        lost = await client.get("/events/stream?seconds=0", headers=headers | {"Last-Event-ID": str(UUID(int=7))})
        assert '"resumed":false' in lost.text
        for query, more, status in (
            ("", {}, 422),
            ("?seconds=99999", {}, 422),
            ("?seconds=0", {"Last-Event-ID": "x"}, 422),
            ("?seconds=0", alpha.headers("read-only"), 403),
        ):
            refused = await client.get(f"/events/stream{query}", headers=headers | more)
            assert refused.status_code == status


async def test_one_business_does_not_take_the_places_of_others(
    address: str, backend: Backend, alpha: Business, beta: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend.live, "_most", 1)
    base = address.replace("ws:", "http:").removesuffix("/ws")
    async with await _signed_in(address, alpha), httpx2.AsyncClient(base_url=base) as client:
        async with connect(address) as second:
            await second.send(json.dumps({"type": "authenticate", "token": _token(alpha)}))
            with pytest.raises(ConnectionClosed):
                await second.recv()
        assert second.close_code == 1013
        stream = await client.get("/events/stream?seconds=5", headers=alpha.headers())
        assert stream.text.endswith("event: unavailable\ndata: {}\n\n")
        async with await _signed_in(address, beta):
            pass


async def _code(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await client.recv()
    return client.close_code


async def test_a_connection_that_sends_without_end_is_closed(address: str, backend: Backend, alpha: Business) -> None:
    at_once = backend.settings.websocket_messages_per_minute // 6
    renewal = json.dumps({"type": "authenticate", "token": _token(alpha)})
    async with await _signed_in(address, alpha) as client, await _signed_in(address, alpha) as other:
        for _ in range(at_once):
            await client.send(renewal)
        await _next(client, "heartbeat")
        for _ in range(2 * at_once):
            await client.send(renewal)
        assert await _code(client) == 4429
        await _next(other, "heartbeat")


@pytest.mark.parametrize("whose", ["user", "business"])
async def test_who_opens_connections_without_end_waits_and_others_do_not(
    whose: str, address: str, backend: Backend, alpha: Business, beta: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backend.live_paces, whose, Paces(whose, 18))
    protocols: Any = [f"bearer.{_token(alpha)}"]
    codes = []
    for _ in range(4):
        async with connect(address, subprotocols=protocols) as client:
            message = await client.recv() if len(codes) < 3 else ""
            codes.append(await _code(client) if not message else json.loads(message)["type"])
    assert codes == ["ready", "ready", "ready", 4429]
    async with connect(address, subprotocols=[f"bearer.{_token(alpha, 'clerk')}"]) as colleague:  # type: ignore[list-item]
        if whose == "user":
            await _next(colleague, "ready")
        else:
            assert await _code(colleague) == 4429
    async with await _signed_in(address, beta):
        pass


async def test_who_does_not_say_who_they_are_counts_for_their_address(
    address: str, backend: Backend, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backend.nobody_paces, "address", Paces("address", 12))
    codes = []
    for _ in range(3):
        async with connect(address, subprotocols=["bearer.made-up"]) as client:  # type: ignore[list-item]
            codes.append(await _code(client))
    assert codes == [4401, 4401, 4429]
    async with connect(address) as silent:
        assert await _code(silent) == 4429
    async with await _signed_in(address, alpha):
        pass


async def test_a_stream_ends_with_its_session(address: str, store: Store, alpha: Business) -> None:
    assert alpha.tokens is not None
    base = address.replace("ws:", "http:").removesuffix("/ws")
    async with store.unit(alpha.tenant_id) as unit:
        session_id = await alpha.session(unit, alpha.users["owner"])
    token = alpha.tokens.issue(
        user_id=alpha.users["owner"], tenant_id=alpha.tenant_id, role="owner", session_id=session_id
    )
    async with (
        httpx2.AsyncClient(base_url=base, timeout=10) as client,
        client.stream("GET", "/events/stream?seconds=60", headers={"Authorization": f"Bearer {token}"}) as live,
    ):
        lines = live.aiter_lines()
        assert await _line(lines, ":") == "", "a sign of life"
        async with store.unit(alpha.tenant_id) as unit:
            await identity_rows.revoke_family(unit.session, session_id, utc_now())
        async with asyncio.timeout(5):
            assert [line async for line in lines if line.startswith("data")] == []


async def _line(lines: AsyncIterator[str], beginning: str) -> str:
    async with asyncio.timeout(10):
        while True:
            line = await anext(lines)
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()


@pytest.mark.parametrize("id_of", ["yesterday", "tomorrow", "another kind"])
async def test_who_was_away_too_long_reads_the_lists(address: str, alpha: Business, id_of: str) -> None:
    at = utc_now() + timedelta(days={"yesterday": -2, "tomorrow": 1}.get(id_of, 0))
    last = UUID(int=first_id_at(at).int | 0x7000 << 64 | 0x8 << 60) if id_of != "another kind" else UUID(int=7)
    async with connect(address) as client:
        await client.send(json.dumps({"type": "authenticate", "token": _token(alpha), "resume": str(last)}))
        assert (await _next(client, "ready"))["resumed"] is False


async def test_who_missed_too_much_reads_the_lists(store: Store, alpha: Business, backend: Backend) -> None:
    before = new_id()
    assert await live_events.missed(store, alpha.tenant_id, before) is not None
    async with store.unit(alpha.tenant_id) as unit:
        for _ in range(live_events.MOST_MISSED):
            unit.emit(SettingsChanged(tenant_id=alpha.tenant_id, before={}, after={}, by=None))
    assert await live_events.missed(store, alpha.tenant_id, before) is None


async def test_a_made_up_place_to_resume_from_is_refused(address: str, alpha: Business) -> None:
    async with connect(address) as client:
        await client.send(json.dumps({"type": "authenticate", "token": _token(alpha), "resume": "'; DROP TABLE"}))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_websockets_are_no_requests_under_way(app: FastAPI) -> None:
    """Serve lets so many requests be under way at once; a WebSocket would be one for as long as it lasts."""
    assert app.short_way({"type": "websocket", "path": "/api/v1/ws", "headers": []}) is not None  # type: ignore[attr-defined]


async def test_a_disabled_user_is_cut_off_at_the_next_heartbeat(address: str, store: Store, beta: Business) -> None:
    async with store.unit(beta.tenant_id) as unit:
        user_id = await identity.add_user(
            unit, Passwords(), email=f"listener@{beta.marker}.example", password="a long enough one", role="owner"
        )
    assert beta.tokens is not None
    async with store.unit(beta.tenant_id) as unit:
        await beta.session(unit, user_id, user_id)
    token = beta.tokens.issue(user_id=user_id, tenant_id=beta.tenant_id, role="owner", session_id=user_id)
    protocols: Any = ["flipsync.v1", f"bearer.{token}"]
    client = await connect(address, subprotocols=protocols)
    await _next(client, "ready")
    async with store.unit(beta.tenant_id) as unit:
        await identity.disable_user(unit, user_id)
    with pytest.raises(ConnectionClosed):
        while True:
            await _next(client, "heartbeat")
    assert client.close_code == 4401
    again = await connect(address, subprotocols=protocols)
    with pytest.raises(ConnectionClosed):
        await _next(again, "ready")
    assert again.close_code == 4401
